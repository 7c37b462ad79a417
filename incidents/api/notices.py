"""`/api/v1/notices/`: what concerns whoever asks, as the mark in the head of the pages counts it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incidents import notices
from incidents.api.base import Api, person_of, read
from incidents.api.pages import CursorPages
from incidents.api.queries import Query
from incidents.models import Notice, User


class NoticeSerializer(serializers.ModelSerializer):
    incident = serializers.CharField(source="event.incident.key", read_only=True)
    text = serializers.CharField(source="event.text", read_only=True)

    class Meta:
        model = Notice
        fields: tuple[str, ...] = ("id", "kind", "incident", "text", "at", "read_at")
        read_only_fields: tuple[str, ...] = fields


class ReadingSerializer(serializers.Serializer):
    notices = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), required=False, max_length=500,
        help_text="Ids; without it, all.",
    )  # fmt: skip


class ReadSerializer(serializers.Serializer):
    read = serializers.IntegerField(help_text="How many were not read before.")


class WishesSerializer(serializers.Serializer):
    """How each kind of notice reaches you; what is left out stays."""

    def get_fields(self) -> dict[str, Any]:
        return {
            kind: serializers.ChoiceField(choices=list(notices.WAYS), required=False, help_text=title)
            for kind, (title, _) in notices.KINDS.items()
        }


class NoticeViewSet(Api, mixins.ListModelMixin, viewsets.GenericViewSet):
    """Own notices."""

    serializer_class = NoticeSerializer
    pagination_class = CursorPages
    queryset = Notice.objects.all()

    def get_queryset(self) -> QuerySet[Notice]:
        return notices.of(person_of(self.request))

    @extend_schema(summary="What concerns me, newest first")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Of what you may see now."""
        Query.of(request)
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="How notices reach me", responses=WishesSerializer)
    @action(detail=False, pagination_class=None)
    def wishes(self, request: Request) -> Response:
        """off, page (a mark on every page), or mail (the mark and a letter)."""
        return _wishes_of(person_of(request))

    @extend_schema(summary="Say how notices reach me", request=WishesSerializer, responses=WishesSerializer)
    @wishes.mapping.put
    def wish(self, request: Request) -> Response:
        """Answers with all of them."""
        person = person_of(request)
        person.notify = {**(person.notify or {}), **read(WishesSerializer, request)}
        person.save(update_fields=["notify"])
        return _wishes_of(person)

    @extend_schema(summary="Mark notices as read", request=ReadingSerializer, responses=ReadSerializer)
    @action(detail=False, methods=["post"])
    def reading(self, request: Request) -> Response:
        """Your own; ids of others change nothing."""
        wanted = read(ReadingSerializer, request).get("notices")
        return Response({"read": notices.read(person_of(request), wanted)})


def _wishes_of(person: User) -> Response:
    return Response({kind: notices.way_of(person, kind) for kind in notices.KINDS})
