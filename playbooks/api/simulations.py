"""`/api/v1/simulations/`: walk a playbook on supposed facts; nothing is stored and nothing is sent."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.access import require_somewhere, visible
from incidents.api.base import Api, read
from incidents.api.queries import IncidentKey
from incidents.models import Incident
from playbooks.api.plans import version_of
from playbooks.forms import InvalidForm
from playbooks.plan import definition_of_any
from playbooks.simulate import simulate
from playbooks.supposed import Simulation, Unusable


class SimulationRequestSerializer(serializers.Serializer):
    """Which version, on which incident (a past one, or an invented one), supposing what."""

    playbook = serializers.SlugField(help_text="Slug.")
    version = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        help_text="Also a draft's; default: the published one.",
    )
    incident = IncidentKey()
    facts = serializers.DictField(
        required=False, default=dict, help_text="`incident`, `system`: facts laid over those of the incident."
    )
    inputs = serializers.DictField(
        required=False, default=dict, help_text="What the playbook's `inputs` declare."
    )
    outputs = serializers.DictField(
        required=False, default=dict,
        help_text="Step → what it finds out, or a list of that, one per try; `state`, `error`, `cause`, `verdict`, "
        "`summary` and `wait` (seconds) say how it ends.",
    )  # fmt: skip
    answers = serializers.DictField(
        required=False, default=dict,
        help_text="Step → form fields, or {“approved”, “reason”}, or {“expired”: true}; default: yes, and first choices.",
    )  # fmt: skip
    diagnose = serializers.BooleanField(default=False, help_text="Really run diagnosis that only reads.")


class SaidSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(["approve", "form"])
    prompt = serializers.CharField()
    roles = serializers.ListField(child=serializers.CharField())
    risk = serializers.CharField()
    answer = serializers.DictField()
    given = serializers.BooleanField(help_text="False: nobody said, the default was taken.")


class SimulatedStepSerializer(serializers.Serializer):
    """One look at a step; `does` is what was not sent, `why` the condition that led to `goto`."""

    id = serializers.CharField()
    kind = serializers.CharField()
    title = serializers.CharField()
    action = serializers.CharField()
    at = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True)
    inside = serializers.CharField(help_text="Branch or item.")
    state = serializers.CharField()
    inputs = serializers.DictField()
    outputs = serializers.DictField()
    verdict = serializers.CharField()
    summary = serializers.CharField()
    error = serializers.CharField()
    source = serializers.CharField(help_text="given, for real, or default.")  # type: ignore[assignment]
    does = serializers.CharField()
    risk = serializers.CharField()
    asked = SaidSerializer(allow_null=True)
    why = serializers.CharField()
    goto = serializers.CharField()


class SimulationSerializer(serializers.Serializer):
    """How the walk went; times are those of a clock that jumps over waits."""

    playbook = serializers.CharField()
    version = serializers.IntegerField()
    state = serializers.ChoiceField(["succeeded", "failed"])
    reason = serializers.CharField()
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField()
    steps = SimulatedStepSerializer(many=True)
    undone = serializers.ListField(child=serializers.CharField())
    notes = serializers.ListField(child=serializers.CharField())


class SimulationViewSet(Api, viewsets.ViewSet):
    """Simulations of playbooks."""

    @extend_schema(
        summary="Simulate a playbook", request=SimulationRequestSerializer, responses=SimulationSerializer
    )
    def create(self, request: Request) -> Response:
        """Branches, questions, waits and effects as they would come; no rows are written and nothing is sent."""
        require_somewhere(request.user, "config.see")
        asked = read(SimulationRequestSerializer, request)
        incident = None
        if "incident" in asked:
            seen = visible(request.user, Incident.objects.select_related("system", "owner"))
            incident = get_object_or_404(seen, pk=asked["incident"])
        return Response(as_json(_walked(asked, incident)))


def as_json(found: Simulation) -> dict[str, Any]:
    """The simulation as JSON values."""
    return dict(SimulationSerializer(asdict(found)).data)


def _walked(asked: dict[str, Any], incident: Incident | None) -> Simulation:
    version = version_of(asked["playbook"], asked.get("version"))
    given = {**asked["facts"], **{name: asked[name] for name in ("inputs", "outputs", "answers")}}
    try:
        return simulate(
            version, definition_of_any(version), incident=incident, given=given, for_real=asked["diagnose"]
        )
    except InvalidForm as error:
        raise ValidationError({"inputs": error.errors}) from error
    except Unusable as error:
        raise ValidationError({"facts": [str(error)]}) from error
