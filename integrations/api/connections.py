"""`/api/v1/connections/`: accounts at outside systems. Secrets go in and never come out."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.access import require
from incidents.api.base import Api, person_of, read
from incidents.api.queries import OneOrMore, Query
from incidents.lifecycle import Refused
from integrations import connecting, guide
from integrations.api.running import Running
from integrations.authenticity import unproven
from integrations.masking import MASK, mask
from integrations.models import Connection
from integrations.outbox.deliver import resume
from integrations.secrets import SecretsUnreadable
from integrations.shelf import UnknownProvider, provider, providers


class ConnectionSerializer(serializers.ModelSerializer):
    """A configured account. Secret settings are shown as •••; `url` only in the answer that made it."""

    settings = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()
    unproven = serializers.SerializerMethodField(
        help_text="Why nothing that people ask by this connection is done, and what to do; empty: it is done."
    )

    class Meta:
        model = Connection
        fields: tuple[str, ...] = (
            "id", "provider", "name", "settings", "unproven", "enabled", "paused_reason", "token_prefix", "url", "created_at",
            "last_received_at", "last_success_at", "last_error_at", "last_error", "sending_paused", "expect_every",
            "silent_since",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields

    @extend_schema_field({"type": "object", "additionalProperties": {}})
    def get_settings(self, row: Connection) -> dict[str, Any]:
        return shown(row)

    def get_unproven(self, row: Connection) -> str:
        try:
            return unproven(provider(row.provider), row.settings)
        except UnknownProvider:
            return ""

    @extend_schema_field({"type": ["string", "null"], "format": "uri"})
    def get_url(self, row: Connection) -> str | None:
        return self.context.get("url")


def shown(row: Connection) -> dict[str, Any]:
    """The settings with every secret masked; nothing at all where the provider is gone."""
    try:
        kind = provider(row.provider)
    except UnknownProvider:
        return {}
    secret = {field.name for field in connecting.fields_of(kind) if field.secret}
    settings: dict[str, Any] = row.settings
    plain = mask(settings, kind.secrets(settings))
    return {name: MASK if name in secret and value else value for name, value in plain.items()}


class NewConnectionSerializer(serializers.Serializer):
    """A connection to make."""

    provider = serializers.CharField(max_length=60, help_text="Slug; `connections/providers/` lists them.")
    name = serializers.CharField(max_length=120)
    settings = serializers.DictField(required=False, default=dict, help_text="By the provider's fields.")


class ConnectionChangeSerializer(serializers.Serializer):
    """What to change. Settings that are left out stay; an empty one goes back to its default."""

    settings = serializers.DictField(required=False)
    enabled = serializers.BooleanField(
        required=False, help_text="False: neither receives nor sends; deliveries wait."
    )
    paused_reason = serializers.CharField(required=False, max_length=300, help_text="Needed to pause.")
    sending_paused = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=300,
        help_text="Why nothing is sent for now; empty: sent to again.",
    )
    expect_every = serializers.IntegerField(
        required=False, allow_null=True, min_value=60, max_value=31 * 86400,
        help_text="Seconds of silence after which the source itself is an alert; null: never.",
    )  # fmt: skip


class ProviderFieldSerializer(serializers.Serializer):
    """A setting that connections of the provider have."""

    name = serializers.CharField()
    title = serializers.CharField()
    help = serializers.CharField()
    kind = serializers.CharField()
    secret = serializers.BooleanField()
    required = serializers.BooleanField()  # type: ignore[assignment]
    default = serializers.JSONField()
    choices = serializers.ListField(child=serializers.CharField())


class ProviderSerializer(serializers.Serializer):
    """A kind of outside system."""

    slug = serializers.CharField()
    title = serializers.CharField()
    summary = serializers.CharField()
    docs = serializers.CharField()
    inbound = serializers.BooleanField()
    outbound = serializers.BooleanField()
    idempotency = serializers.CharField()
    setup = serializers.SerializerMethodField(help_text="Steps, as Markdown.")
    example = serializers.SerializerMethodField(help_text="A message as the vendor sends it.")
    settings = serializers.SerializerMethodField()

    def get_setup(self, kind: Any) -> str:
        return guide.steps(kind.slug)

    def get_example(self, kind: Any) -> str:
        return guide.example(kind) if kind.inbound else ""

    @extend_schema_field(ProviderFieldSerializer(many=True))
    def get_settings(self, kind: Any) -> Any:
        return ProviderFieldSerializer(connecting.fields_of(kind), many=True).data


class ConnectionQuery(Query):
    enabled = serializers.BooleanField(required=False, allow_null=True, default=None)

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "provider": OneOrMore(list(providers()))}


class ConnectionViewSet(Running, Api, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Connections. Changing them needs the scope `admin`."""

    serializer_class = ConnectionSerializer
    queryset = Connection.objects.all()
    lookup_value_regex = "[0-9]{1,18}"
    needs_scope = "admin"

    def get_queryset(self) -> QuerySet[Connection]:
        require(self.request.user, "config.see")
        return Connection.objects.all()

    def handle_exception(self, exc: Exception) -> Any:
        match exc:
            case connecting.BadSettings():
                exc = ValidationError({"settings": exc.errors})
            case UnknownProvider():
                exc = ValidationError({"provider": [str(exc)]})
            case SecretsUnreadable():
                exc = Refused("read", [str(exc)])
        return super().handle_exception(exc)

    @extend_schema(summary="Connections, newest first", parameters=[ConnectionQuery])
    def list(self, request: Request) -> Response:
        asked = ConnectionQuery.of(request)
        rows = self.get_queryset()
        if "provider" in asked:
            rows = rows.filter(provider__in=asked["provider"])
        if asked["enabled"] is not None:
            rows = rows.filter(enabled=asked["enabled"])
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(summary="One connection")
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        summary="Make a connection", request=NewConnectionSerializer, responses={201: ConnectionSerializer}
    )
    def create(self, request: Request) -> Response:
        """`url` in the answer is the inbound address; it is shown this once."""
        require(request.user, "config.edit")
        data = read(NewConnectionSerializer, request)
        if Connection.objects.filter(name=data["name"]).exists():
            raise ValidationError(
                {"name": ["There is a connection of this name; change that one, or take another name."]}
            )
        made = connecting.connect(data["provider"], data["name"], data["settings"], by=person_of(request))
        return self._shown(made.connection, made.url, status.HTTP_201_CREATED)

    @extend_schema(
        summary="Change a connection", request=ConnectionChangeSerializer, responses=ConnectionSerializer
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Settings, and whether it works or rests. A secret sent as ••• stays as it is."""
        require(request.user, "config.edit")
        row = self.get_object()
        data = read(ConnectionChangeSerializer, request)
        if data.get("enabled") is False and row.enabled and not data.get("paused_reason"):
            raise ValidationError({"paused_reason": ["Say why the connection rests."]})
        with transaction.atomic():
            if changes := {name: value for name, value in data.get("settings", {}).items() if value != MASK}:
                row = connecting.connect(row.provider, row.name, changes, by=person_of(request)).connection
            if "enabled" in data and data["enabled"] != row.enabled:
                connecting.switch(
                    row, on=data["enabled"], reason=data.get("paused_reason", ""), by=person_of(request)
                )  # fmt: skip
            if "expect_every" in data:
                connecting.expect(row, data["expect_every"], by=person_of(request))
            if reason := data.get("sending_paused"):
                connecting.hold(row, reason, by=person_of(request))
        if data.get("sending_paused") == "":
            resume(row, by=person_of(request))
            row.refresh_from_db()
        return self._shown(row)

    @extend_schema(summary="Make a new inbound address", request=None, responses=ConnectionSerializer)
    @action(detail=True, methods=["post"])
    def rotation(self, request: Request, pk: str) -> Response:
        """`url` is shown this once; the former address stays good for a day."""
        require(request.user, "config.edit")
        row = self.get_object()
        if not provider(row.provider).inbound:
            raise Refused("rotate", [f"{row} only sends; it has no inbound address."])
        made = connecting.connect(row.provider, row.name, rotate=True, by=person_of(request))
        return self._shown(made.connection, made.url)

    @extend_schema(summary="Kinds of outside systems", responses=ProviderSerializer(many=True))
    @action(detail=False, pagination_class=None, url_path="providers")
    def kinds(self, request: Request) -> Response:
        """With the settings that their connections have."""
        require(request.user, "config.see")
        return Response(ProviderSerializer(list(providers().values()), many=True).data)

    def _shown(self, row: Connection, url: str | None = None, code: int = 200) -> Response:
        answer = Response(ConnectionSerializer(row, context={"url": url}).data, status=code)
        if url:  # a repetition of the request must not find the address in the database
            answer.kept = {**answer.data, "url": None}  # type: ignore[attr-defined]
        return answer
