"""`/api/v1/alerts/`: alerts as sources report them."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incidents import explaining
from incidents.api.base import Api
from incidents.api.pages import LastSeenFirst
from incidents.api.queries import IncidentKey, OneOrMore, Query, Word
from incidents.intake.signal import FAMILIES
from incidents.models import Alert
from incidents.visibility import visible_alerts


class AlertSerializer(serializers.ModelSerializer):
    """An alert with what its source said."""

    system = serializers.CharField(source="system.slug", default=None, read_only=True)
    incident = serializers.CharField(source="incident.key", default=None, read_only=True)

    class Meta:
        model = Alert
        fields: tuple[str, ...] = (
            "id", "title", "status", "disposition", "level", "family", "source", "fingerprint", "labels", "system", "version",
            "segment", "feature", "dataset", "metric", "value", "threshold", "comparator", "baseline", "window", "sample_size",
            "links", "starts_at", "ends_at", "first_seen", "last_seen", "count", "incident", "grouping_key",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class AlertQuery(Query):
    status = OneOrMore(("firing", "resolved"))
    disposition = OneOrMore([code for code, _ in Alert.DISPOSITIONS])
    level = OneOrMore(("critical", "warning", "info"))
    family = OneOrMore(FAMILIES)
    system = Word(help_text="Slug of an AI system.")
    incident = IncidentKey()
    fingerprint = Word(help_text="As the source gives it.")
    source = Word(help_text="Provider, as alerts name it.")  # type: ignore[assignment]


@extend_schema_view(retrieve=extend_schema(summary="One alert"))
class AlertViewSet(Api, viewsets.ReadOnlyModelViewSet):
    """Alerts as sources report them, and why each is where it is."""

    serializer_class = AlertSerializer
    pagination_class = LastSeenFirst
    queryset = Alert.objects.all()

    def get_queryset(self) -> QuerySet[Alert]:
        return visible_alerts(self.request.user).select_related("system", "incident")

    @extend_schema(summary="Alerts, last seen first", parameters=[AlertQuery])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        asked = AlertQuery.of(request)
        columns = {"system": "system__slug", "incident": "incident_id"}
        given = {
            f"{columns.get(name, name)}{'__in' if isinstance(value, list) else ''}": value
            for name, value in asked.items()
        }
        rows = self.get_queryset().filter(**given)
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(summary="Why the alert is where it is", responses=OpenApiTypes.OBJECT)
    @action(detail=True)
    def why(self, request: Request, pk: str) -> Response:
        """Rule, version, key, window, gate and promotion that decided; `words` tells it in sentences."""
        alert = self.get_object()
        return Response({**alert.explain(), "words": explaining.sentences(alert)})
