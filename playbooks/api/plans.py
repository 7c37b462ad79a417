"""`/api/v1/incidents/INC-7/plan/`: what a playbook would do on an incident, before anything is done."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from incidents.access import require, visible
from incidents.api.base import Api
from incidents.api.queries import Number, Query, Word
from incidents.lifecycle import Refused
from incidents.models import Incident
from playbooks import plan
from playbooks.forms import InvalidForm
from playbooks.models import Playbook, PlaybookVersion


class ParameterSerializer(serializers.Serializer):
    """A parameter; while `decided_by` names steps, its value is the playbook's text."""

    name = serializers.CharField()
    value = serializers.JSONField()
    decided_by = serializers.ListField(child=serializers.CharField())
    trouble = serializers.CharField()


class LeadSerializer(serializers.Serializer):
    """Where a step may lead to."""

    goto = serializers.CharField()
    when = serializers.CharField()
    holds = serializers.ChoiceField(["yes", "no", "open"])
    decided_by = serializers.ListField(child=serializers.CharField())


class ConsentSerializer(serializers.Serializer):
    """Who has to agree first; `people` may do so as things stand."""

    roles = serializers.ListField(child=serializers.CharField())
    all_of = serializers.ListField(child=serializers.CharField())
    quorum = serializers.IntegerField()
    hours = serializers.FloatField()
    people = serializers.ListField(child=serializers.CharField())
    not_these = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))
    missing = serializers.ListField(child=serializers.CharField())


class PlannedStepSerializer(serializers.Serializer):
    """A step that could run. `inside` holds branches as [name, steps]."""

    id = serializers.CharField()
    kind = serializers.CharField()
    title = serializers.CharField()
    text = serializers.CharField()
    applies = serializers.ChoiceField(["yes", "no", "open"])
    because = serializers.CharField()
    decided_by = serializers.ListField(child=serializers.CharField())
    only_if_failed = serializers.BooleanField()
    action = serializers.CharField()
    action_title = serializers.CharField()
    does = serializers.ChoiceField(["reads", "changes", "sends", "asks", "decides", "waits"])
    where = serializers.CharField()
    risk = serializers.CharField()
    parameters = ParameterSerializer(many=True)
    verification = serializers.CharField()
    undo = serializers.CharField()
    consent = ConsentSerializer(allow_null=True)
    leads = LeadSerializer(many=True)
    inside = serializers.JSONField()


class PlanSerializer(serializers.Serializer):
    """What would be done; `hash` starts exactly this (`plan_hash` of `POST /runs/`)."""

    playbook = serializers.CharField()
    version = serializers.IntegerField()
    inputs = serializers.DictField()
    hash = serializers.CharField()
    steps = PlannedStepSerializer(many=True)


class PlanQuery(Query):
    playbook = Word(required=True, help_text="Slug.")
    version = Number(help_text="A version's number; default: the published one.")
    inputs = serializers.JSONField(
        required=False, default=dict, help_text="The run's inputs, as a JSON object."
    )

    def validate_inputs(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("Write the inputs as a JSON object.")
        return value


class PlanView(Api, APIView):
    """The plan of a playbook on one incident."""

    @extend_schema(
        summary="Plan of a playbook on an incident", parameters=[PlanQuery], responses=PlanSerializer
    )
    def get(self, request: Request, id: str) -> Response:
        """Nothing runs. Steps in the playbook's order, as far as they can be reached."""
        seen = visible(request.user, Incident.objects.select_related("system", "owner"))
        incident = get_object_or_404(seen, pk=int(id.removeprefix("INC-")))
        require(request.user, "incident.see", incident)
        asked = PlanQuery.of(request)
        version = version_of(asked["playbook"], asked.get("version"))
        try:
            found = plan.plan_of(version, incident, asked["inputs"], by=request.user)
        except InvalidForm as error:
            raise ValidationError({"inputs": error.errors}) from error
        return Response(found.as_json())


def version_of(slug: str, number: int | None) -> PlaybookVersion:
    """The version of that number, or the one in force. Raises ValidationError, Refused (none is in force)."""
    playbook = Playbook.objects.filter(slug=slug).first()
    if playbook is None:
        raise ValidationError({"playbook": ["There is no such playbook."]})
    found = playbook.versions.filter(number=number).first() if number else playbook.published
    if found is None and number:
        raise ValidationError({"version": [f"“{playbook}” has no version {number}."]})
    if found is None:
        raise Refused("plan", [f"“{playbook}” has no published version. Publish one, or name a version."])
    return found
