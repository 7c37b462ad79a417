"""`/api/v1/changes/`: deploys, registry moves, configurations and prompts, told by whoever makes them."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from incidents import changes
from incidents.access import can, require
from incidents.api.base import Api, person_of, read
from incidents.api.pages import CursorPages
from incidents.api.queries import OneOrMore, Query, Word
from incidents.models import Change
from incidents.visibility import visible_systems


class ChangeSerializer(serializers.ModelSerializer):
    """Something that was changed on purpose. `system` is the slug or name of an AI system."""

    system = serializers.SerializerMethodField()

    class Meta:
        model = Change
        fields: tuple[str, ...] = (
            "id", "key", "kind", "title", "at", "system", "version", "by", "url", "labels", "extra", "origin", "recorded_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields

    def get_system(self, row: Change) -> str:
        return row.system.slug if row.system else row.system_name


class NewChangeSerializer(serializers.Serializer):
    """A change to tell."""

    key = serializers.CharField(max_length=255, help_text="Your own id of it: told twice, it is one change.")
    kind = serializers.ChoiceField(choices=Change.KINDS, default="other")
    title = serializers.CharField(max_length=300)
    at = serializers.DateTimeField(help_text="When it took effect.")
    system = serializers.CharField(
        max_length=200, required=False, default="", allow_blank=True,
        help_text="Slug or name of the AI system; empty: it may concern all.",
    )  # fmt: skip
    version = serializers.CharField(max_length=120, required=False, default="", allow_blank=True)
    by = serializers.CharField(
        max_length=200, required=False, default="", allow_blank=True, help_text="Empty: you."
    )
    url = serializers.URLField(max_length=1000, required=False, default="", allow_blank=True)
    labels = serializers.DictField(child=serializers.CharField(max_length=300), required=False, default=dict)
    extra = serializers.DictField(required=False, default=dict)


class ChangeQuery(Query):
    kind = OneOrMore([code for code, _ in Change.KINDS])
    system = Word(help_text="Slug of an AI system.")
    since = serializers.DateTimeField(required=False, help_text="Took effect at this time or later.")
    until = serializers.DateTimeField(required=False, help_text="Took effect before.")


class NewestChangeFirst(CursorPages):
    ordering = ("-at", "-id")


class ChangeViewSet(Api, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Changes made on purpose: the first suspects of an incident."""

    serializer_class = ChangeSerializer
    pagination_class = NewestChangeFirst
    queryset = Change.objects.all()
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[Change]:
        rows = Change.objects.select_related("system")
        if can(self.request.user, "incident.see"):
            return rows
        return rows.filter(system__in=visible_systems(self.request.user))

    @extend_schema(summary="Changes, newest first", parameters=[ChangeQuery])
    def list(self, request: Request) -> Response:
        asked = ChangeQuery.of(request)
        columns = {"kind": "kind__in", "system": "system__slug", "since": "at__gte", "until": "at__lt"}
        rows = self.get_queryset().filter(**{columns[name]: value for name, value in asked.items()})
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(summary="One change")
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(summary="Tell a change", request=NewChangeSerializer, responses={201: ChangeSerializer})
    def create(self, request: Request) -> Response:
        """Answers 201 when it is new and 200 when this key was told before; nothing is changed then."""
        data = read(NewChangeSerializer, request)
        about = changes.system_named(data["system"])
        require(request.user, "timeline.append", system_id=about.pk if about else None)
        person = person_of(request)
        origin, key = f"user:{person.pk}", data.pop("key")
        new = changes.keep(origin, key, **{**data, "by": data["by"] or str(person)})
        row = Change.objects.select_related("system").get(origin=origin, key=key)
        return Response(
            ChangeSerializer(row).data, status=status.HTTP_201_CREATED if new else status.HTTP_200_OK
        )
