"""`/api/v1/`: systems, alerts, incidents, post-mortems, clocks, insights. Verbs are the pages' verbs."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from incidents import insights, lifecycle, postmortem
from incidents.access import require, visible
from incidents.api import serializers as shapes
from incidents.api.idempotency import Idempotent
from incidents.api.pages import CursorPages
from incidents.models import AISystem, Alert, Clock, Incident, PostMortem
from incidents.report import FORMATS, export
from incidents.report.facts import report_of

WORDS = OpenApiTypes.STR


def _query(name: str, description: str, kind: Any = WORDS) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=description)


class NewestFirst(CursorPages):
    ordering: ClassVar[tuple[str, ...]] = ("-detected_at", "-id")


class LastSeenFirst(CursorPages):
    ordering: ClassVar[tuple[str, ...]] = ("-last_seen", "-id")


class OldestFirst(CursorPages):
    ordering: ClassVar[tuple[str, ...]] = ("at", "id")


class BySlug(CursorPages):
    ordering = "slug"


class SystemViewSet(Idempotent, viewsets.ModelViewSet):
    """The inventory of AI systems."""

    serializer_class = shapes.SystemSerializer
    pagination_class = BySlug
    lookup_field = "slug"
    http_method_names: ClassVar[list[str]] = ["get", "post", "patch", "head", "options"]

    def get_queryset(self) -> QuerySet[AISystem]:
        return AISystem.objects.select_related("owner").prefetch_related(
            "upstream", "links", "deployments__version"
        )

    def perform_create(self, serializer: Any) -> None:
        require(self.request.user, "system.edit")
        serializer.save()

    def perform_update(self, serializer: Any) -> None:
        require(self.request.user, "system.edit", system_id=serializer.instance.pk)
        serializer.save()

    @extend_schema(responses=shapes.ModelVersionSerializer(many=True), request=shapes.ModelVersionSerializer)
    @action(detail=True, methods=["get", "post"], pagination_class=None)
    def versions(self, request: Request, slug: str) -> Response:
        """Model versions of the system; POST records one."""
        system = self.get_object()
        if request.method == "POST":
            require(request.user, "system.edit", system_id=system.pk)
            made = shapes.ModelVersionSerializer(data=request.data)
            made.is_valid(raise_exception=True)
            made.save(system=system)
            return Response(made.data, status=status.HTTP_201_CREATED)
        return Response(shapes.ModelVersionSerializer(system.versions.all(), many=True).data)


class AlertViewSet(viewsets.ReadOnlyModelViewSet):
    """Alerts as sources report them, and why each is where it is."""

    serializer_class = shapes.AlertSerializer
    pagination_class = LastSeenFirst

    def get_queryset(self) -> QuerySet[Alert]:
        seen = visible(self.request.user, Incident.objects.all()).values("pk")
        require(self.request.user, "incident.see")
        found = Alert.objects.select_related("system", "incident").filter(
            Q(incident=None) | Q(incident__in=seen)
        )
        params = self.request.query_params
        for name in ("status", "disposition", "level", "family"):
            if params.get(name):
                found = found.filter(**{name: params[name]})
        if params.get("system"):
            found = found.filter(system__slug=params["system"])
        if params.get("incident"):
            found = found.filter(incident_id=_number(params["incident"]))
        if params.get("fingerprint"):
            found = found.filter(fingerprint=params["fingerprint"])
        return found

    @extend_schema(
        parameters=[
            _query("status", "firing or resolved"), _query("disposition", "attached, watching, suppressed, recorded"),
            _query("level", "critical, warning, info"), _query("family", "class code such as DRIFT"),
            _query("system", "slug"), _query("incident", "INC-7"), _query("fingerprint", "as the source gives it"),
        ]
    )  # fmt: skip
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=True)
    def why(self, request: Request, pk: str) -> Response:
        """Rule, version, key, window, gate and promotion that put the alert where it is."""
        return Response(self.get_object().explain())


class IncidentViewSet(Idempotent, mixins.ListModelMixin, viewsets.GenericViewSet):
    """Incidents; ids are `INC-7`."""

    serializer_class = shapes.IncidentSerializer
    pagination_class = NewestFirst
    lookup_value_regex = r"INC-\d+"

    def get_queryset(self) -> QuerySet[Incident]:
        found = visible(self.request.user, Incident.objects.select_related("system", "owner"))
        params = self.request.query_params
        if params.get("state") == "open":
            found = found.filter(state__in=lifecycle.OPEN)
        elif params.get("state"):
            found = found.filter(state__in=params["state"].split(","))
        if params.get("severity"):
            found = found.filter(severity__in=[int(s) for s in params["severity"].split(",") if s.isdigit()])
        for name, column in (
            ("class", "incident_class"),
            ("system", "system__slug"),
            ("owner", "owner__username"),
        ):
            if params.get(name):
                found = found.filter(**{column: params[name]})
        if params.get("search"):
            found = found.filter(
                Q(title__icontains=params["search"]) | Q(summary__icontains=params["search"])
            )
        return found

    def get_object(self) -> Incident:
        incident = self.get_queryset().filter(pk=_number(self.kwargs["pk"])).first()
        if incident is None:
            raise Http404
        return incident

    def _detail(self, incident: Incident, code: int = 200) -> Response:
        incident.refresh_from_db()
        return Response(shapes.IncidentDetailSerializer(incident).data, status=code)

    @extend_schema(
        parameters=[
            _query("state", "one state, several with commas, or `open`"), _query("severity", "1…5, several with commas"),
            _query("class", "class code"), _query("system", "slug"), _query("owner", "username"), _query("search", "words of the title"),
        ]
    )  # fmt: skip
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(responses=shapes.IncidentDetailSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(shapes.IncidentDetailSerializer(self.get_object()).data)

    @extend_schema(request=shapes.DeclareSerializer, responses={201: shapes.IncidentDetailSerializer})
    def create(self, request: Request) -> Response:
        """Declare an incident by hand."""
        incident = Incident.declare(by=request.user, **_read(shapes.DeclareSerializer, request))
        return self._detail(incident, status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=shapes.IncidentDetailSerializer)
    @action(detail=True, methods=["post"])
    def acknowledgement(self, request: Request, pk: str) -> Response:
        """Somebody is on it; the first one counts."""
        incident = self.get_object()
        incident.acknowledge(by=request.user)
        return self._detail(incident)

    @extend_schema(request=shapes.OwnerSerializer, responses=shapes.IncidentDetailSerializer)
    @action(detail=True, methods=["put", "post"])
    def owner(self, request: Request, pk: str) -> Response:
        """Hand over."""
        incident = self.get_object()
        data = _read(shapes.OwnerSerializer, request)
        incident.assign(data["owner"], by=request.user, note=data["note"])
        return self._detail(incident)

    @extend_schema(
        request=shapes.TransitionSerializer,
        responses={
            200: shapes.IncidentDetailSerializer,
            409: OpenApiResponse(description="Refused; `reasons` says why."),
        },
    )
    @action(detail=True, methods=["post"])
    def transitions(self, request: Request, pk: str) -> Response:
        """Make a lifecycle move."""
        incident = self.get_object()
        data = _read(shapes.TransitionSerializer, request)
        if "into" in data:
            data["into"] = get_object_or_404(
                visible(request.user, Incident.objects.all()), pk=_number(data["into"])
            )
        incident.move(data.pop("to"), by=request.user, **data)
        return self._detail(incident)

    @extend_schema(request=shapes.AssessmentSerializer, responses=shapes.IncidentDetailSerializer)
    @action(detail=True, methods=["post"])
    def assessments(self, request: Request, pk: str) -> Response:
        """Answer the severity matrix."""
        incident = self.get_object()
        incident.assess(by=request.user, **_read(shapes.AssessmentSerializer, request))
        return self._detail(incident)

    @extend_schema(request=shapes.AttestationSerializer, responses={201: shapes.EventSerializer})
    @action(detail=True, methods=["post"])
    def attestations(self, request: Request, pk: str) -> Response:
        """State, in a role, that the harm has stopped."""
        event = self.get_object().attest(by=request.user, **_read(shapes.AttestationSerializer, request))
        return Response(shapes.EventSerializer(event).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        request=shapes.NoteSerializer,
        responses={200: shapes.EventSerializer(many=True), 201: shapes.EventSerializer},
    )
    @action(detail=True, methods=["get", "post"], pagination_class=OldestFirst)
    def timeline(self, request: Request, pk: str) -> Response:
        """What happened, oldest first; POST adds a note or a correction."""
        incident = self.get_object()
        if request.method == "POST":
            data = _read(shapes.NoteSerializer, request)
            corrects = get_object_or_404(incident.events, pk=data["corrects"]) if "corrects" in data else None
            event = incident.note(data["text"], by=request.user, corrects=corrects)
            return Response(shapes.EventSerializer(event).data, status=status.HTTP_201_CREATED)
        page = self.paginate_queryset(incident.events.select_related("by", "incident"))
        return self.get_paginated_response(shapes.EventSerializer(page, many=True).data)

    @extend_schema(responses=shapes.EvidenceSerializer(many=True))
    @action(detail=True, pagination_class=None)
    def evidence(self, request: Request, pk: str) -> Response:
        """Names, hashes and sources of the evidence."""
        incident = self.get_object()
        require(request.user, "evidence.see", incident)
        return Response(shapes.EvidenceSerializer(incident.evidence.defer("content"), many=True).data)

    @extend_schema(
        parameters=[OpenApiParameter("format", WORDS, OpenApiParameter.QUERY, enum=[*FORMATS])],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    @action(detail=True, url_path="postmortem")
    def export_postmortem(self, request: Request, pk: str) -> HttpResponse:
        """The post-mortem as md, html, pdf, docx or json."""
        incident = self.get_object()
        require(request.user, "postmortem.export", incident)
        wanted = request.query_params.get("format", "json")
        made = export(report_of(incident), wanted)
        return HttpResponse(
            made.content,
            content_type=made.media_type,
            headers={"Content-Disposition": f'attachment; filename="{made.filename}"'},
        )

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # `?format=` chooses the export here, not DRF's renderer
        return (self.get_renderers()[0], self.get_renderers()[0].media_type)


class PostMortemViewSet(
    Idempotent, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """Post-mortems of the incidents you may see."""

    serializer_class = shapes.PostMortemSerializer

    def get_queryset(self) -> QuerySet[PostMortem]:
        seen = visible(self.request.user, Incident.objects.all()).values("pk")
        return (
            PostMortem.objects.filter(incident__in=seen)
            .select_related("incident")
            .prefetch_related("incident__action_items__owner")
        )

    @extend_schema(request=shapes.PostMortemSerializer, responses=shapes.PostMortemSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Write sections; with `revision`, refused when somebody else saved since."""
        pm = self.get_object()
        data = _read(shapes.PostMortemSerializer, request, partial=True)
        pm = postmortem.write(pm, data.get("sections", {}), by=request.user, revision=data.get("revision"))
        return Response(shapes.PostMortemSerializer(pm).data)

    @extend_schema(request=shapes.ActionItemSerializer, responses={201: shapes.ActionItemSerializer})
    @action(detail=True, methods=["post"])
    def actions(self, request: Request, pk: str) -> Response:
        """Add an action item; refused when nobody could check it."""
        data = _read(shapes.ActionItemSerializer, request)
        item = postmortem.add_action(self.get_object().incident, by=request.user, **data)
        return Response(shapes.ActionItemSerializer(item).data, status=status.HTTP_201_CREATED)


class ClockViewSet(Idempotent, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Statutory and contractual deadlines."""

    serializer_class = shapes.ClockSerializer

    def get_queryset(self) -> QuerySet[Clock]:
        seen = visible(self.request.user, Incident.objects.all()).values("pk")
        return Clock.objects.filter(incident__in=seen).select_related("incident")

    @extend_schema(request=shapes.ClockSerializer, responses=shapes.ClockSerializer)
    @action(detail=True, methods=["post"])
    def settlement(self, request: Request, pk: str) -> Response:
        """Fulfil with a `receipt`, or set aside with a `reason`."""
        clock = self.get_object()
        data = _read(shapes.ClockSerializer, request, partial=True)
        clock.settle(by=request.user, receipt=data.get("receipt", ""), reason=data.get("reason", ""))
        return Response(shapes.ClockSerializer(clock).data)


class InsightsView(APIView):
    """Honest numbers with n beside each."""

    @extend_schema(
        parameters=[_query("days", "length of the period, default 90", OpenApiTypes.INT)],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        days = int(request.query_params.get("days", 90))
        if not 1 <= days <= 3650:
            raise ValueError("days: choose 1 to 3650.")
        return Response(
            insights.figures(visible(request.user, Incident.objects.all()), days=days, now=timezone.now())
        )


def _number(key: str) -> int:
    digits = key.removeprefix("INC-")
    if not digits.isdigit():
        raise Http404
    return int(digits)


def _read(shape: type[Any], request: Request, **kwargs: Any) -> dict[str, Any]:
    reader = shape(data=request.data, **kwargs)
    reader.is_valid(raise_exception=True)
    return dict(reader.validated_data)
