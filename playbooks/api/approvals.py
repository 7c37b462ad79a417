"""`/api/v1/approvals/`: what people are asked, and their answers."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.api.base import Api, read
from incidents.api.queries import IncidentKey, Number, OneOrMore, Query
from incidents.visibility import about_seen
from playbooks import approvals
from playbooks.electorate import electorate, missing, standing
from playbooks.forms import InvalidForm
from playbooks.models import Approval


class ApprovalSerializer(serializers.ModelSerializer):
    """A yes or no that is asked for, or a form to fill."""

    incident = serializers.CharField(source="incident.key", read_only=True)
    step = serializers.CharField(source="step.key", read_only=True)
    decided_by = serializers.CharField(source="decided_by.username", default=None, read_only=True)

    class Meta:
        model = Approval
        fields: tuple[str, ...] = (
            "id", "incident", "run", "step", "kind", "prompt", "risk", "roles", "all_of", "handed_to", "quorum", "form",
            "input_hash", "decision",
            "answer", "votes", "reason", "break_glass", "requested_at", "expires_at", "decided_at", "decided_by",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class ApprovalDetailSerializer(ApprovalSerializer):
    """One question with the parameters it is about; `objection` says why you may not answer it."""

    inputs = serializers.SerializerMethodField()
    missing = serializers.SerializerMethodField(help_text="What is still needed beside the yeses that count.")
    people = serializers.SerializerMethodField(help_text="Who may answer now.")
    objection = serializers.SerializerMethodField()

    class Meta(ApprovalSerializer.Meta):
        fields: tuple[str, ...] = (
            *ApprovalSerializer.Meta.fields,
            "inputs",
            "missing",
            "people",
            "objection",
        )
        read_only_fields: tuple[str, ...] = fields

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_inputs(self, asked: Approval) -> Any:
        return asked.step.inputs

    def get_missing(self, asked: Approval) -> list[str]:
        return list(missing(asked, standing(asked))) if asked.decision == "pending" else []

    def get_people(self, asked: Approval) -> list[str]:
        return [user.username for user, _ in electorate(asked).may] if asked.decision == "pending" else []

    def get_objection(self, asked: Approval) -> str:
        return approvals.objection(asked, self.context["user"])


class DecisionSerializer(serializers.Serializer):
    """A vote."""

    yes = serializers.BooleanField()
    reason = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=2000, help_text="A no needs one."
    )
    break_glass = serializers.BooleanField(
        default=False, help_text="Alone and at once, on a SEV1; it is reviewed afterwards."
    )
    input_hash = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=64,
        help_text="The one you were shown; refused when the parameters are others now.",
    )  # fmt: skip


class AnswerSerializer(serializers.Serializer):
    """A filled form."""

    answer = serializers.DictField(help_text="Values by field name, as `form` declares them.")


class ApprovalQuery(Query):
    decision = OneOrMore([code for code, _ in Approval.DECISIONS])
    kind = OneOrMore(("approve", "form"))
    incident = IncidentKey()
    run = Number(help_text="Number of a run.")


class ApprovalViewSet(Api, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Approvals and forms of the incidents you may see. Answering needs the scope `act`; who asked for a
    risky step cannot approve it, and a service account approves nothing."""

    serializer_class = ApprovalSerializer
    queryset = Approval.objects.all()
    lookup_value_regex = "[0-9]{1,18}"
    needs_scope = "act"

    def get_queryset(self) -> QuerySet[Approval]:
        return about_seen(Approval.objects.all(), self.request.user).select_related(
            "incident__system", "run__playbook", "run__started_by", "run__version", "step", "decided_by"
        )

    @extend_schema(summary="Approvals, newest first", parameters=[ApprovalQuery])
    def list(self, request: Request) -> Response:
        asked = ApprovalQuery.of(request)
        columns = {"incident": "incident_id", "run": "run_id"}
        given = {
            f"{columns.get(name, name)}{'__in' if isinstance(value, list) else ''}": value
            for name, value in asked.items()
        }
        page = self.paginate_queryset(self.get_queryset().filter(**given))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(summary="One approval or form", responses=ApprovalDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._shown(self.get_object())

    @extend_schema(summary="Decide", request=DecisionSerializer, responses=ApprovalDetailSerializer)
    @action(detail=True, methods=["post"])
    def decision(self, request: Request, pk: str) -> Response:
        """One no rejects; enough yeses approve, and the run goes on."""
        asked = self.get_object()
        data = read(DecisionSerializer, request)
        return self._shown(
            approvals.decide(
                asked, request.user, data["yes"], data["reason"],
                break_glass=data["break_glass"], seen=data["input_hash"],
            )
        )  # fmt: skip

    @extend_schema(summary="Answer a form", request=AnswerSerializer, responses=ApprovalDetailSerializer)
    @action(detail=True, methods=["post"])
    def answer(self, request: Request, pk: str) -> Response:
        """Every field is checked; the run goes on with the values."""
        asked = self.get_object()
        data = read(AnswerSerializer, request)
        try:
            return self._shown(approvals.answer(asked, request.user, data["answer"]))
        except InvalidForm as error:
            raise ValidationError({"answer": error.errors}) from error

    def _shown(self, asked: Approval) -> Response:
        fresh = self.get_queryset().get(pk=asked.pk)
        return Response(ApprovalDetailSerializer(fresh, context={"user": self.request.user}).data)
