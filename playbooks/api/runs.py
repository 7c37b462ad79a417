"""`/api/v1/runs/`: executions with their steps, and what people do with them."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.access import visible
from incidents.api.base import Api, read
from incidents.api.queries import IncidentKey, OneOrMore, Query, Word
from incidents.models import Incident
from incidents.visibility import about_seen
from playbooks import control, plan
from playbooks.api.plans import PlanSerializer
from playbooks.forms import InvalidForm
from playbooks.models import Playbook, Run, Step
from playbooks.stuck import explain, stuck


class StepSerializer(serializers.ModelSerializer):
    """One attempt of a step."""

    seconds = serializers.FloatField(
        source="duration", read_only=True, help_text="From start to end, or so far."
    )
    actor = serializers.CharField(source="actor.username", default=None, read_only=True)

    class Meta:
        model = Step
        fields: tuple[str, ...] = (
            "id", "key", "attempt", "position", "kind", "title", "action", "state", "inputs", "outputs", "verified", "verdict",
            "summary", "error", "tries", "started_at", "ended_at", "seconds", "wake_at", "deadline_at", "actor", "evidence",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class RunSerializer(serializers.ModelSerializer):
    """One execution of a playbook on an incident."""

    playbook = serializers.CharField(source="playbook.slug", read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True)
    incident = serializers.CharField(source="incident.key", read_only=True)
    started_by = serializers.CharField(source="started_by.username", default=None, read_only=True)

    class Meta:
        model = Run
        fields: tuple[str, ...] = (
            "id", "playbook", "version", "incident", "state", "reason", "dry_run", "inputs", "started_by", "created_at",
            "started_at", "ended_at", "wake_at", "parent", "branch",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class RunDetailSerializer(RunSerializer):
    """One execution with its steps, in the order in which they were reached."""

    steps = StepSerializer(many=True, read_only=True)
    again = serializers.DictField(
        read_only=True, help_text="Steps done again: by whom, why, with which parameters."
    )
    stuck = serializers.SerializerMethodField(
        help_text="Why it does not go on by itself; empty when it does."
    )

    class Meta(RunSerializer.Meta):
        fields: tuple[str, ...] = (*RunSerializer.Meta.fields, "again", "stuck", "steps")
        read_only_fields: tuple[str, ...] = fields

    def get_stuck(self, run: Run) -> str:
        return explain(run).why if stuck(Run.objects.filter(pk=run.pk)).exists() else ""


class RunStartSerializer(serializers.Serializer):
    """Which playbook on which incident."""

    playbook = serializers.SlugRelatedField(slug_field="slug", queryset=Playbook.objects.all())
    incident = IncidentKey(required=True)
    dry_run = serializers.BooleanField(default=False, help_text="Rehearse: nothing outside is changed.")
    inputs = serializers.DictField(
        required=False, default=dict, help_text="What the playbook's `inputs` declare."
    )
    plan_hash = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=64,
        help_text="The hash of the plan you were shown; refused when the plan is another one now.",
    )  # fmt: skip


class RunReasonSerializer(serializers.Serializer):
    """Why."""

    reason = serializers.CharField(max_length=2000)


class OptionalReasonSerializer(serializers.Serializer):
    """Why, where there is something to say."""

    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)


class RerunSerializer(serializers.Serializer):
    """From which step, why, and with which parameters: as they are looked up now, `stored`, or `inputs`."""

    step = serializers.CharField(max_length=60)
    reason = serializers.CharField(max_length=2000)
    stored = serializers.BooleanField(default=False, help_text="Those of its last attempt.")
    inputs = serializers.DictField(
        required=False, help_text="These ones; they are asked for again where that is needed."
    )


class RunQuery(Query):
    stuck = serializers.BooleanField(required=False, help_text="Only those that need somebody.")
    state = OneOrMore([*(code for code, _ in Run.STATES), "live"])
    playbook = Word(help_text="Slug.")
    incident = IncidentKey()
    below = serializers.IntegerField(
        required=False, help_text="Those below this run; without it only top-level runs."
    )


class RunViewSet(Api, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Runs on the incidents you may see. Starting and steering them needs the scope `act`."""

    serializer_class = RunSerializer
    queryset = Run.objects.all()
    lookup_value_regex = "[0-9]{1,18}"
    needs_scope = "act"

    def get_queryset(self) -> QuerySet[Run]:
        return about_seen(Run.objects.all(), self.request.user).select_related(
            "playbook", "version", "incident", "started_by"
        )

    @extend_schema(summary="Runs, newest first", parameters=[RunQuery])
    def list(self, request: Request) -> Response:
        asked = RunQuery.of(request)
        rows = self.get_queryset().filter(parent=asked.get("below"))
        if "state" in asked:
            states = set(asked["state"]) - {"live"}
            rows = rows.filter(state__in=states | (set(Run.LIVE) if "live" in asked["state"] else set()))
        if asked.get("stuck"):
            rows = stuck(rows)
        if "playbook" in asked:
            rows = rows.filter(playbook__slug=asked["playbook"])
        if "incident" in asked:
            rows = rows.filter(incident_id=asked["incident"])
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(summary="One run with its steps", responses=RunDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._shown(self.get_object())

    @extend_schema(
        summary="Start a playbook", request=RunStartSerializer, responses={201: RunDetailSerializer}
    )
    def create(self, request: Request) -> Response:
        """The published version, pinned; one live run of a playbook per incident."""
        data = read(RunStartSerializer, request)
        seen = visible(request.user, Incident.objects.all())
        incident = get_object_or_404(seen, pk=data["incident"])
        try:
            run = plan.start(
                data["playbook"], incident, by=request.user, plan_hash=data["plan_hash"], dry_run=data["dry_run"],
                inputs=data["inputs"],
            )  # fmt: skip
        except InvalidForm as error:
            raise ValidationError({"inputs": error.errors}) from error
        return self._shown(run, status.HTTP_201_CREATED)

    @extend_schema(summary="Pause", request=OptionalReasonSerializer, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Stops after the step in hand; timers and answers wait."""
        run = self.get_object()
        control.pause(run, request.user, read(OptionalReasonSerializer, request)["reason"])
        return self._shown(run)

    @extend_schema(summary="Resume", request=None, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Goes on where it was paused."""
        run = self.get_object()
        control.resume(run, request.user)
        return self._shown(run)

    @extend_schema(summary="Cancel", request=RunReasonSerializer, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Ends the run now; what it did stays done."""
        run = self.get_object()
        control.cancel(run, request.user, read(RunReasonSerializer, request)["reason"])
        return self._shown(run)

    @extend_schema(summary="Skip a step", request=RunReasonSerializer, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"], url_path="steps/(?P<step>[0-9]{1,18})/skip")
    def skip(self, request: Request, pk: str, step: str) -> Response:
        """The step at which the run stands."""
        run = self.get_object()
        found = get_object_or_404(run.steps, pk=int(step))
        control.skip(found, request.user, read(RunReasonSerializer, request)["reason"])
        return self._shown(run)

    @extend_schema(summary="Try a step again", request=None, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"], url_path="steps/(?P<step>[0-9]{1,18})/retry")
    def retry(self, request: Request, pk: str, step: str) -> Response:
        """A failed step, as a new attempt of the same effect."""
        run = self.get_object()
        control.retry(get_object_or_404(run.steps, pk=int(step)), request.user)
        return self._shown(run)

    @extend_schema(summary="Go on from a step", request=RerunSerializer, responses=RunDetailSerializer)
    @action(detail=True, methods=["post"])
    def reruns(self, request: Request, pk: str) -> Response:
        """Any step of the playbook, as a new attempt; what follows it is done again, effects in place stay."""
        run = self.get_object()
        data = read(RerunSerializer, request)
        control.rerun(
            run, data["step"], request.user, data["reason"], inputs=data.get("inputs"), stored=data["stored"]
        )
        return self._shown(run)

    @extend_schema(summary="What a run has still before it", responses=PlanSerializer)
    @action(detail=True, methods=["get"])
    def plan(self, request: Request, pk: str) -> Response:
        """The plan from where it stands, with what its steps have found out."""
        return Response(plan.plan_ahead(self.get_object()).as_json())

    def _shown(self, run: Run, code: int = 200) -> Response:
        fresh = self.get_queryset().prefetch_related("steps__actor").get(pk=run.pk)
        return Response(RunDetailSerializer(fresh).data, status=code)
