"""`/api/v1/routes/`: which news of which incidents goes where, and how that looks, on paper."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.access import require, visible
from incidents.api.base import Api, person_of, read
from incidents.api.queries import IncidentKey, Number, Query
from incidents.models import Event, Incident
from integrations.models import Connection, Route
from integrations.outbox import rehearsal
from integrations.shelf import provider

DAYS = 30


class RouteSerializer(serializers.ModelSerializer):
    """What of the house's news goes to a connection. No kinds: all that its provider carries."""

    connection = serializers.PrimaryKeyRelatedField(queryset=Connection.objects.all())
    kinds = serializers.ListField(child=serializers.ChoiceField(choices=Route.KINDS), required=False)

    class Meta:
        model = Route
        fields: tuple[str, ...] = (
            "id", "name", "connection", "kinds", "matchers", "channel", "template", "active", "position",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = ("id",)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        to = data.get("connection") or (self.instance.connection if self.instance else None)
        kind = provider(to.provider) if to else None
        if kind is not None and not kind.outbound:
            raise ValidationError({"connection": [f"{to} does not send, so no route can lead to it."]})
        return data


class RehearsalSerializer(serializers.Serializer):
    """The news that is tried."""

    incident = IncidentKey(required=True)
    kind = serializers.ChoiceField(choices=[kind for kind in Route.KINDS if kind != "approval"])


class OnPaperSerializer(serializers.Serializer):
    """What the vendor would get; nothing was sent."""

    fits = serializers.BooleanField(help_text="Whether the route carries it at all.")
    text = serializers.CharField()
    requests = serializers.ListField(child=serializers.DictField(), help_text="Secrets masked.")
    note = serializers.CharField(help_text="Why the conversation ends early on paper.")


class WouldHaveSerializer(serializers.Serializer):
    """One event that the route would have carried."""

    kind = serializers.CharField()
    incident = serializers.CharField(allow_null=True)
    at = serializers.DateTimeField()


class PastSerializer(serializers.Serializer):
    """What the route, as it is now, would have carried in the last 30 days."""

    total = serializers.IntegerField()
    by_kind = serializers.DictField(child=serializers.IntegerField())
    newest = WouldHaveSerializer(many=True)
    capped = serializers.BooleanField(help_text="More happened than was looked at.")


class RouteQuery(Query):
    connection = Number(help_text="Number of a connection.")


class RouteViewSet(Api, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Routes. Changing them needs the scope `admin`."""

    serializer_class = RouteSerializer
    queryset = Route.objects.all()
    lookup_value_regex = "[0-9]{1,18}"
    needs_scope = "admin"

    def get_queryset(self) -> QuerySet[Route]:
        require(self.request.user, "config.see")
        return Route.objects.select_related("connection").defer("connection__settings")

    @extend_schema(summary="Routes, newest first", parameters=[RouteQuery])
    def list(self, request: Request) -> Response:
        asked = RouteQuery.of(request)
        rows = self.get_queryset()
        if "connection" in asked:
            rows = rows.filter(connection_id=asked["connection"])
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(summary="One route")
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(summary="Add a route", request=RouteSerializer, responses={201: RouteSerializer})
    def create(self, request: Request) -> Response:
        require(request.user, "config.edit")
        return self._kept(RouteSerializer(data=request.data), status.HTTP_201_CREATED, "added")

    @extend_schema(summary="Change a route", request=RouteSerializer, responses=RouteSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        require(request.user, "config.edit")
        return self._kept(RouteSerializer(self.get_object(), data=request.data, partial=True), 200, "changed")

    @extend_schema(summary="Remove a route", request=None, responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        require(request.user, "config.edit")
        route = self.get_object()
        with transaction.atomic():
            self._tell(route, "removed")
            route.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="What the vendor would get", request=RehearsalSerializer, responses=OnPaperSerializer
    )
    @action(detail=True, methods=["post"])
    def preview(self, request: Request, pk: str) -> Response:
        """On paper, for a real incident that you may see. Nothing is sent."""
        route, asked = self.get_object(), read(RehearsalSerializer, request)
        about = visible(request.user, Incident.objects.all()).filter(pk=asked["incident"]).first()
        if about is None:
            raise Http404
        paper = rehearsal.on_paper(route, about, asked["kind"])
        answer = {
            "fits": paper.fits, "text": paper.announcement.text, "requests": paper.requests, "note": paper.note,
        }  # fmt: skip
        return Response(OnPaperSerializer(answer).data)

    @extend_schema(summary="What would have gone there", responses=PastSerializer)
    @action(detail=True)
    def past(self, request: Request, pk: str) -> Response:
        """In the last 30 days, by the route as it is now."""
        found = rehearsal.last_days(self.get_object(), DAYS)
        about = {one.incident.pk for one in found.newest if one.incident}
        seen = set(visible(request.user, Incident.objects.filter(pk__in=about)).values_list("pk", flat=True))
        newest = [
            {"kind": one.kind, "at": one.event.at,
             "incident": one.incident.key if one.incident and one.incident.pk in seen else None}
            for one in found.newest
        ]  # fmt: skip
        answer = {"total": found.total, "by_kind": found.by_kind, "newest": newest, "capped": found.capped}
        return Response(PastSerializer(answer).data)

    def _kept(self, shape: RouteSerializer, code: int, what: str) -> Response:
        shape.is_valid(raise_exception=True)
        with transaction.atomic():
            self._tell(shape.save(), what)
        return Response(shape.data, status=code)

    def _tell(self, route: Any, what: str) -> None:
        Event.objects.create(
            kind="route.changed", by=person_of(self.request), data={"connection": route.connection_id},
            text=f'Route "{route.name}" to {route.connection} {what}.',
        )  # fmt: skip
