"""`/api/v1/incidents/`: the verbs are the pages' verbs; ids are `INC-7`."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from incidents import (
    audit,
    bulk,
    drafts,
    handover,
    lifecycle,
    regrouping,
    rescoring,
    search,
    severity,
    similar,
)
from incidents.access import require, visible
from incidents.api import incident_shapes as shapes
from incidents.api.base import Api, read, telling_values
from incidents.api.fields import EventSerializer
from incidents.api.pages import NewestFirst, OldestAdded, OldestFirst
from incidents.api.pieces import Pieces
from incidents.api.queries import OneOrMore, Query, Word
from incidents.api.work import Working
from incidents.models import Incident, SeverityProfile
from incidents.models.incident import CLASS_TITLES
from incidents.report import FORMATS, export
from incidents.report.facts import report_of


class IncidentQuery(Query):
    state = OneOrMore([*(code for code, _ in lifecycle.STATES), "open"])
    severity = OneOrMore("12345")
    system = Word(help_text="Slug of an AI system.")
    owner = Word(help_text="Username.")
    search = Word(help_text="Words of the title, the summary or a note; or an id.")

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "class": OneOrMore(list(CLASS_TITLES))}


class ExportQuery(Query):
    format = Word(help_text=f"{', '.join(FORMATS)}; default json.", default="json")

    def validate_format(self, value: str) -> str:
        if value not in FORMATS:
            raise ValidationError(f"There is no format {value!r}; choose one of {', '.join(FORMATS)}.")
        return value


@extend_schema_view(retrieve=extend_schema(summary="One incident, with what it may do next"))
class IncidentViewSet(Working, Pieces, Api, mixins.ListModelMixin, viewsets.GenericViewSet):
    """Incidents; ids are `INC-7`."""

    serializer_class = shapes.IncidentSerializer
    pagination_class = NewestFirst
    queryset = Incident.objects.all()
    lookup_value_regex = "INC-[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[Incident]:
        return visible(self.request.user, Incident.objects.select_related("system", "owner"))

    def get_object(self) -> Incident:
        found = self.get_queryset().filter(pk=int(self.kwargs["pk"].removeprefix("INC-"))).first()
        if found is None:
            raise Http404
        return found

    def _other(self, request: Request, pk: int) -> Incident:
        return get_object_or_404(visible(request.user, Incident.objects.all()), pk=pk)

    def _detail(self, incident: Incident, code: int = 200) -> Response:
        incident = Incident.objects.select_related("system", "owner").get(pk=incident.pk)
        return Response(shapes.IncidentDetailSerializer(incident).data, status=code)

    @extend_schema(summary="Incidents, newest first", parameters=[IncidentQuery])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Only those that you may see; restricted ones of others are absent."""
        asked = IncidentQuery.of(request)
        rows = self.get_queryset()
        if "state" in asked:
            states = set(asked["state"]) - {"open"}
            rows = rows.filter(
                state__in=states | (set(lifecycle.OPEN) if "open" in asked["state"] else set())
            )
        if "severity" in asked:
            rows = rows.filter(severity__in=[int(s) for s in asked["severity"]])
        if "class" in asked:
            rows = rows.filter(incident_class__in=asked["class"])
        if "system" in asked:
            rows = rows.filter(system__slug=asked["system"])
        if "owner" in asked:
            rows = rows.filter(owner__username=asked["owner"])
        if "search" in asked:
            rows = search.found(rows, asked["search"])
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(responses=shapes.IncidentDetailSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """`moves` names each lifecycle move from here and what it still needs."""
        return Response(shapes.IncidentDetailSerializer(self.get_object()).data)

    @extend_schema(
        summary="Declare an incident",
        request=shapes.DeclareSerializer,
        responses={201: shapes.IncidentDetailSerializer},
    )
    def create(self, request: Request) -> Response:
        """By hand, as a person who noticed something."""
        incident = Incident.declare(by=request.user, **read(shapes.DeclareSerializer, request))
        return self._detail(incident, status.HTTP_201_CREATED)

    @extend_schema(
        summary="One verb on many incidents",
        request=shapes.BatchSerializer,
        responses=shapes.BatchAnswerSerializer(many=True),
    )
    @action(detail=False, methods=["post"])
    def batches(self, request: Request) -> Response:
        """Each by itself: what was refused says why and stops none of the others."""
        data = read(shapes.BatchSerializer, request)
        keys = data.pop("incidents")
        found = {incident.pk: incident for incident in self.get_queryset().filter(pk__in=keys)}
        with telling_values():
            answers = bulk.apply([found[k] for k in sorted(found)], data.pop("verb"), by=request.user, **data)
        told = [{"id": a.incident.key, "done": a.done, "reasons": a.reasons} for a in answers]
        missing = [f"INC-{k}" for k in dict.fromkeys(keys) if k not in found]
        told += [
            {"id": k, "done": False, "reasons": ["There is no such incident that you may see."]}
            for k in missing
        ]
        return Response(told)

    @extend_schema(summary="Acknowledge", request=None, responses=shapes.IncidentDetailSerializer)
    @action(detail=True, methods=["post"])
    def acknowledgement(self, request: Request, pk: str) -> Response:
        """Somebody is on it; the first one counts."""
        incident = self.get_object()
        incident.acknowledge(by=request.user)
        return self._detail(incident)

    @extend_schema(
        summary="Hand over", request=shapes.OwnerSerializer, responses=shapes.IncidentDetailSerializer
    )
    @action(detail=True, methods=["put"])
    def owner(self, request: Request, pk: str) -> Response:
        """Give the incident a (new) commander."""
        incident = self.get_object()
        data = read(shapes.OwnerSerializer, request)
        incident.assign(data["owner"], by=request.user, note=data["note"])
        return self._detail(incident)

    @extend_schema(summary="Say that a hand-over was read", request=None, responses={201: EventSerializer})
    @action(detail=True, methods=["post"])
    def handover(self, request: Request, pk: str) -> Response:
        """By the new commander; until then it stands on the incident's page and on their start page."""
        event = handover.read(self.get_object(), by=request.user)
        return Response(EventSerializer(event).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="Make a lifecycle move",
        request=shapes.TransitionSerializer,
        responses=shapes.IncidentDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def transitions(self, request: Request, pk: str) -> Response:
        """Refused with 409 when something is missing; `reasons` names everything that is."""
        incident = self.get_object()
        data = read(shapes.TransitionSerializer, request)
        to = data.pop("to")
        if to in (lifecycle.DUPLICATE, lifecycle.MERGED):
            if "into" not in data:
                raise ValidationError({"into": ["Name the other incident, like INC-7."]})
            data["into"] = self._other(request, data["into"])
            if data["into"].pk == incident.pk:
                raise ValidationError({"into": ["Name another incident than this one."]})
        else:
            data.pop("into", None)
        with telling_values():
            incident.move(to, by=request.user, **data)
        return self._detail(incident)

    @extend_schema(
        summary="Move alerts to another incident",
        request=shapes.AlertMoveSerializer,
        responses={201: EventSerializer},
    )
    @action(detail=True, methods=["post"], url_path="alert-moves")
    def alert_moves(self, request: Request, pk: str) -> Response:
        """Later reports of them follow; new alerts still go by their grouping key."""
        incident = self.get_object()
        data = read(shapes.AlertMoveSerializer, request)
        data["into"] = self._other(request, data["into"])
        event = regrouping.move_alerts(incident, data.pop("alerts"), by=request.user, **data)
        return Response(EventSerializer(event).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="Split alerts off as an incident of their own",
        request=shapes.SplitSerializer,
        responses={201: shapes.IncidentDetailSerializer},
    )
    @action(detail=True, methods=["post"])
    def splits(self, request: Request, pk: str) -> Response:
        """Severity, class, system and commander are taken over."""
        incident = self.get_object()
        data = read(shapes.SplitSerializer, request)
        new = regrouping.split(incident, data.pop("alerts"), by=request.user, **data)
        return self._detail(new, status.HTTP_201_CREATED)

    @extend_schema(
        summary="Undo a move of alerts, a split or a merge",
        request=shapes.UndoingSerializer,
        responses={201: EventSerializer},
    )
    @action(detail=True, methods=["post"])
    def undoings(self, request: Request, pk: str) -> Response:
        """Alerts that were moved on since stay where they are."""
        incident = self.get_object()
        data = read(shapes.UndoingSerializer, request)
        event = get_object_or_404(incident.events, pk=data["event"])
        done = regrouping.undo(incident, event, by=request.user, note=data["note"])
        return Response(EventSerializer(done).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="Answer the severity matrix",
        request=shapes.AssessmentSerializer,
        responses=shapes.IncidentDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def assessments(self, request: Request, pk: str) -> Response:
        """A chosen severity other than the computed one needs a reason."""
        incident = self.get_object()
        with telling_values():
            incident.assess(by=request.user, **read(shapes.AssessmentSerializer, request))
        return self._detail(incident)

    @extend_schema(
        summary="Try answers to the severity matrix",
        request=shapes.AssessmentSerializer,
        responses=shapes.ResultSerializer,
    )
    @action(detail=True, methods=["post"], url_path="assessments/preview")
    def preview(self, request: Request, pk: str) -> Response:
        """What they would give; nothing is kept."""
        self.get_object()
        data = read(shapes.AssessmentSerializer, request)
        asked = {name: data[name] for name in ("impact", "urgency", "facts", "cap_approved")}
        with telling_values():
            result = severity.assess(SeverityProfile.current().data, **asked)
        return Response(shapes.ResultSerializer(result).data)

    @extend_schema(
        summary="Attest that the harm has stopped",
        request=shapes.AttestationSerializer,
        responses={201: EventSerializer},
    )
    @action(detail=True, methods=["post"])
    def attestations(self, request: Request, pk: str) -> Response:
        """Commander and model owner both attest where no playbook verified."""
        event = self.get_object().attest(by=request.user, **read(shapes.AttestationSerializer, request))
        return Response(EventSerializer(event).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Timeline, oldest first", responses=EventSerializer(many=True))
    @action(detail=True, pagination_class=OldestFirst)
    def timeline(self, request: Request, pk: str) -> Response:
        """What happened, as it was recorded; entries never change."""
        Query.of(request)
        page = self.paginate_queryset(self.get_object().events.select_related("by", "incident"))
        return self.get_paginated_response(EventSerializer(page, many=True).data)

    @extend_schema(
        summary="Add a note to the timeline", request=shapes.NoteSerializer, responses={201: EventSerializer}
    )
    @timeline.mapping.post
    def note(self, request: Request, pk: str) -> Response:
        """Markdown; with `corrects` it is shown as the correction of an earlier entry."""
        incident = self.get_object()
        data = read(shapes.NoteSerializer, request)
        corrects = get_object_or_404(incident.events, pk=data["corrects"]) if "corrects" in data else None
        event = incident.note(data["text"], by=request.user, corrects=corrects)
        return Response(EventSerializer(event).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Pinned entries, oldest first", responses=EventSerializer(many=True))
    @action(detail=True, pagination_class=None)
    def pins(self, request: Request, pk: str) -> Response:
        """Entries that stand on top of the timeline's page."""
        return self._pins(self.get_object())

    @extend_schema(
        summary="Pin or unpin an entry", request=shapes.PinSerializer, responses=EventSerializer(many=True)
    )
    @pins.mapping.post
    def pin(self, request: Request, pk: str) -> Response:
        """Answers with what is pinned then."""
        incident = self.get_object()
        data = read(shapes.PinSerializer, request)
        event = get_object_or_404(incident.events, pk=data["event"])
        incident.pin(event, by=request.user, pinned=data["pinned"])
        return self._pins(incident)

    def _pins(self, incident: Incident) -> Response:
        rows = incident.events.exclude(pin=None).select_related("by", "incident")
        return Response(EventSerializer(rows, many=True).data)

    @extend_schema(summary="Who hears when, with drafts", responses=shapes.CommunicationsSerializer)
    @action(detail=True)
    def communications(self, request: Request, pk: str) -> Response:
        """The communications plan; each audience with what could be said now."""
        return self._communications(self.get_object())

    @extend_schema(
        summary="Make the communications plan", request=None, responses=shapes.CommunicationsSerializer
    )
    @communications.mapping.put
    def plan_communications(self, request: Request, pk: str) -> Response:
        """From class and severity, anew."""
        incident = self.get_object()
        incident.plan_communications(by=request.user)
        return self._communications(incident)

    @extend_schema(
        summary="Note that an audience was told",
        request=shapes.ToldSerializer,
        responses=shapes.CommunicationsSerializer,
    )
    @communications.mapping.post
    def told(self, request: Request, pk: str) -> Response:
        """With `text` it may be told again: one more update."""
        incident = self.get_object()
        data = read(shapes.ToldSerializer, request)
        try:
            incident.tell_audience(data["index"], by=request.user, text=data["text"])
        except IndexError:
            raise ValidationError({"index": ["The plan has no such audience; GET shows the plan."]}) from None
        return self._communications(incident)

    def _communications(self, incident: Incident) -> Response:
        rows = [
            {
                "index": index, "audience": row["audience"], "due_at": row.get("due_at"), "done_at": row.get("done_at"),
                "done_by": row.get("done_by", ""),
                "draft": dict(zip(("subject", "text"), drafts.draft(incident, row["audience"]), strict=True)),
            }
            for index, row in enumerate(incident.comms_plan)
        ]  # fmt: skip
        return Response({"next_update_at": drafts.next_update(incident), "audiences": rows})

    @extend_schema(summary="Impact: who was hit, from when to when", responses=shapes.ImpactSerializer)
    @action(detail=True)
    def impact(self, request: Request, pk: str) -> Response:
        """From the last good moment to the containment, and how far decisions are taken again."""
        return self._impact(self.get_object())

    @extend_schema(
        summary="Say how many decisions were re-scored",
        request=shapes.RescoredSerializer,
        responses=shapes.ImpactSerializer,
    )
    @impact.mapping.put
    def count_rescored(self, request: Request, pk: str) -> Response:
        """Where they are counted and not listed one by one."""
        incident = self.get_object()
        require(request.user, "incident.edit", incident)
        rescoring.count_rescored(incident, read(shapes.RescoredSerializer, request)["done"], by=request.user)
        return self._impact(incident)

    def _impact(self, incident: Incident) -> Response:
        facts = {
            "incident": incident, "interval": rescoring.interval_of(incident), "progress": rescoring.progress_of(incident),
        }  # fmt: skip
        return Response(shapes.ImpactSerializer(facts).data)

    @extend_schema(
        summary="Decisions to re-score, oldest first", responses=shapes.AffectedDecisionSerializer(many=True)
    )
    @action(detail=True, pagination_class=OldestAdded)
    def decisions(self, request: Request, pk: str) -> Response:
        """The worklist: what was decided in the affected interval, and what the corrected system says."""
        Query.of(request)
        incident = self.get_object()
        require(request.user, "evidence.see", incident)
        page = self.paginate_queryset(incident.decisions.all())
        return self.get_paginated_response(shapes.AffectedDecisionSerializer(page, many=True).data)

    @extend_schema(
        summary="List decisions, or give their new outcomes",
        request=shapes.DecisionsSerializer,
        responses=shapes.BroughtSerializer,
    )
    @decisions.mapping.post
    def list_decisions(self, request: Request, pk: str) -> Response:
        """At most 5,000 at a time. With `new_outcome` a decision is marked as re-scored; none is listed twice."""
        incident = self.get_object()
        require(request.user, "incident.edit", incident)
        given = read(shapes.DecisionsSerializer, request)["decisions"]
        brought, _ = rescoring.list_decisions(
            incident, [rescoring.Line(**one) for one in given], by=request.user
        )
        return Response(shapes.BroughtSerializer(brought).data)

    @extend_schema(summary="Similar incidents", responses=shapes.SimilarSerializer(many=True))
    @action(detail=True, pagination_class=None)
    def similar(self, request: Request, pk: str) -> Response:
        """The closest first, each with why it resembles and what helped then."""
        found = similar.similar_to(self.get_object(), request.user)
        return Response(shapes.SimilarSerializer(found, many=True).data)

    @extend_schema(
        summary="The post-mortem as a file",
        parameters=[
            OpenApiParameter("format", OpenApiTypes.STR, OpenApiParameter.QUERY, enum=[*FORMATS], default="json",
                             description="Kind of the file."),
        ],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )  # fmt: skip
    @action(detail=True, url_path="postmortem")
    def export_postmortem(self, request: Request, pk: str) -> HttpResponse:
        """`?format=md|html|pdf|docx|json`; what nobody has written yet is computed from the facts."""
        incident = self.get_object()
        require(request.user, "postmortem.export", incident)
        made = export(report_of(incident), ExportQuery.of(request)["format"])
        audit.exported("the post-mortem", by=request.user, incident=incident, file=made.filename)
        return HttpResponse(
            made.content,
            content_type=made.media_type,
            headers={"Content-Disposition": f'attachment; filename="{made.filename}"'},
        )

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # the exported file has a type of its own, whatever Accept says
        return super().perform_content_negotiation(
            request, force or self.action in ("export_postmortem", "content")
        )
