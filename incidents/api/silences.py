"""`/api/v1/silences/`: messages about matching alerts wait, state does not."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incidents import silences
from incidents.access import require_somewhere
from incidents.api.base import Api, person_of, read
from incidents.api.pages import CursorPages
from incidents.api.queries import Query
from incidents.models import Silence


class SilenceSerializer(serializers.ModelSerializer):
    """What is muted, until when, and why."""

    created_by = serializers.CharField(source="created_by.username", default=None, read_only=True)

    class Meta:
        model = Silence
        fields: tuple[str, ...] = ("id", "matchers", "reason", "starts_at", "ends_at", "created_by")
        read_only_fields: tuple[str, ...] = ("id", "created_by")


class SilenceQuery(Query):
    active = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="True: those that mute now or will."
    )


class LastToEndFirst(CursorPages):
    ordering = ("-ends_at", "-id")


@extend_schema_view(retrieve=extend_schema(summary="One silence"))
class SilenceViewSet(Api, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Silences. State is recorded all the same."""

    serializer_class = SilenceSerializer
    pagination_class = LastToEndFirst
    queryset = Silence.objects.all()
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[Silence]:
        require_somewhere(self.request.user, "incident.see")
        return Silence.objects.select_related("created_by")

    @extend_schema(summary="Silences, the last to end first", parameters=[SilenceQuery])
    def list(self, request: Request) -> Response:
        active = SilenceQuery.of(request)["active"]
        rows = self.get_queryset()
        if active is not None:
            now = timezone.now()
            rows = rows.filter(ends_at__gt=now) if active else rows.filter(ends_at__lte=now)
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(summary="Silence alerts", responses={201: SilenceSerializer})
    def create(self, request: Request) -> Response:
        """Also those that fire already; who is told again when it ends is on their incidents."""
        made = silences.create(by=person_of(request), **read(SilenceSerializer, request))
        return Response(SilenceSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="End a silence now", request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        """What still fires is told again; one that had not begun is gone."""
        silences.expire(self.get_object(), by=person_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
