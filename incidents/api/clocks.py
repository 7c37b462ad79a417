"""`/api/v1/clocks/`: statutory and contractual deadlines."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.api.base import Api, read
from incidents.api.pages import DueFirst
from incidents.api.queries import IncidentKey, OneOrMore, Query
from incidents.models import Clock
from incidents.visibility import about_seen


class ClockSerializer(serializers.ModelSerializer):
    """A deadline that runs on an incident."""

    incident = serializers.CharField(source="incident.key", read_only=True)

    class Meta:
        model = Clock
        fields: tuple[str, ...] = (
            "id", "incident", "regime", "article", "anchor_at", "due_at", "state", "receipt", "reason", "settled_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class SettlementSerializer(serializers.Serializer):
    """A receipt fulfils the clock, a reason alone sets it aside."""

    receipt = serializers.CharField(required=False, allow_blank=True, default="", max_length=300)
    reason = serializers.CharField(required=False, allow_blank=True, default="")


class ClockQuery(Query):
    state = OneOrMore([code for code, _ in Clock.STATES])
    incident = IncidentKey()


@extend_schema_view(retrieve=extend_schema(summary="One clock"))
class ClockViewSet(Api, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Clocks of the incidents you may see."""

    serializer_class = ClockSerializer
    pagination_class = DueFirst
    queryset = Clock.objects.all()

    def get_queryset(self) -> QuerySet[Clock]:
        return about_seen(Clock.objects.all(), self.request.user).select_related("incident")

    @extend_schema(summary="Clocks, the next one due first", parameters=[ClockQuery])
    def list(self, request: Request) -> Response:
        asked = ClockQuery.of(request)
        rows = self.get_queryset()
        if "state" in asked:
            rows = rows.filter(state__in=asked["state"])
        if "incident" in asked:
            rows = rows.filter(incident_id=asked["incident"])
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(summary="Fulfil or set aside", request=SettlementSerializer, responses=ClockSerializer)
    @action(detail=True, methods=["post"])
    def settlement(self, request: Request, pk: str) -> Response:
        """With the `receipt` of the submission, or a `reason` to set the clock aside."""
        clock = self.get_object()
        clock.settle(by=request.user, **read(SettlementSerializer, request))
        return Response(ClockSerializer(clock).data)
