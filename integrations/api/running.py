"""What is done with a running connection by call: health, test, replay, redelivery, people, acts from outside."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.access import require
from incidents.api.base import person_of, read
from incidents.api.queries import OneOrMore, Query
from incidents.lifecycle import Refused
from incidents.models import Event, User
from incidents.visibility import about_seen
from integrations import health
from integrations.api.deliveries import DeliverySerializer, InboxMessageSerializer
from integrations.inbox.drain import replay_last
from integrations.models import PersonLink, RemoteAct
from integrations.outbox.announce import queue_test
from integrations.outbox.deliver import redeliver_all
from integrations.shelf import provider
from integrations.visibility import visible_deliveries


class HealthSerializer(serializers.Serializer):
    """The last day of a connection; times in seconds, shares from 0 to 1, null where nothing happened."""

    received = serializers.IntegerField()
    unreadable = serializers.FloatField(allow_null=True, help_text="Share of what came in.")
    sent = serializers.IntegerField()
    error_rate = serializers.FloatField(allow_null=True, help_text="Share of the tries that failed.")
    p50 = serializers.FloatField(allow_null=True, help_text="From the news to the vendor's acceptance.")
    p95 = serializers.FloatField(allow_null=True)
    waiting = serializers.IntegerField()
    dead = serializers.IntegerField()
    unread = serializers.IntegerField()
    set_aside = serializers.IntegerField()
    next_poll = serializers.DateTimeField(allow_null=True)
    silent_since = serializers.DateTimeField(allow_null=True)
    capped = serializers.BooleanField(help_text="More happened than was looked at.")


class RemoteActSerializer(serializers.ModelSerializer):
    """What somebody did at the tool, and what came of it here."""

    incident = serializers.CharField(source="incident.key", default=None, read_only=True)

    class Meta:
        model = RemoteAct
        fields: tuple[str, ...] = ("id", "verb", "incident", "by", "result", "text", "at")
        read_only_fields: tuple[str, ...] = fields


class RemoteActQuery(Query):
    result = OneOrMore([code for code, _ in RemoteAct.RESULTS])


class PersonLinkSerializer(serializers.ModelSerializer):
    """Who somebody at the tool is here."""

    user = serializers.SlugRelatedField(
        slug_field="username", queryset=User.objects.filter(is_active=True), help_text="Username."
    )

    class Meta:
        model = PersonLink
        fields: tuple[str, ...] = ("id", "remote_id", "user")
        read_only_fields: tuple[str, ...] = ("id",)


class CountSerializer(serializers.Serializer):
    """How many it was."""

    count = serializers.IntegerField()


class Running:
    """The part of the connections' view that is about running them."""

    @extend_schema(summary="How the connection fares", responses=HealthSerializer)
    @action(detail=True)
    def health(self, request: Request, pk: str) -> Response:
        """The last day, and what waits."""
        row = self.get_object()  # type: ignore[attr-defined]
        found = health.of(row, known=visible_deliveries(person_of(request)))
        return Response(HealthSerializer(found).data)

    @extend_schema(summary="Send a test", request=None, responses={201: DeliverySerializer})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Queues a message that says it is a test; look at the delivery to see how it fared."""
        require(request.user, "config.edit")
        row = self.get_object()  # type: ignore[attr-defined]
        if not provider(row.provider).outbound:
            raise Refused("test", [f"{row} does not send; use its address to send it a message."])
        sent = queue_test(row, by=person_of(request))
        return Response(DeliverySerializer(sent).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Read the last message again", request=None, responses=InboxMessageSerializer)
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        """Whatever became of it; it reports the same conditions and changes nothing that is so already."""
        require(request.user, "config.edit")
        row = self.get_object()  # type: ignore[attr-defined]
        found = replay_last(row, by=person_of(request))
        if found is None:
            raise Refused("replay", [f"Nothing was received from {row} yet."])
        found.refresh_from_db()
        return Response(InboxMessageSerializer(found).data)

    @extend_schema(summary="Send all dead letters again", request=None, responses=CountSerializer)
    @action(detail=True, methods=["post"])
    def redelivery(self, request: Request, pk: str) -> Response:
        """Oldest first, under the same idempotency keys; sending goes on if it was paused."""
        require(request.user, "config.edit")
        return Response({"count": redeliver_all(self.get_object(), by=person_of(request))})  # type: ignore[attr-defined]

    @extend_schema(
        summary="What was done there", parameters=[RemoteActQuery], responses=RemoteActSerializer(many=True)
    )
    @action(detail=True)
    def acts(self, request: Request, pk: str) -> Response:
        """Newest first; `?result=refused` are those that were not carried out, with the reason."""
        asked = RemoteActQuery.of(request)
        rows = self.get_object().acts.select_related("incident")  # type: ignore[attr-defined]
        rows = about_seen(rows, request.user, or_none=True)
        if "result" in asked:
            rows = rows.filter(result__in=asked["result"])
        page = self.paginate_queryset(rows)  # type: ignore[attr-defined]
        return self.get_paginated_response(RemoteActSerializer(page, many=True).data)  # type: ignore[attr-defined]

    @extend_schema(summary="People at the tool", responses=PersonLinkSerializer(many=True))
    @action(detail=True, pagination_class=None)
    def people(self, request: Request, pk: str) -> Response:
        """Who is somebody here whose e-mail address does not tell."""
        rows = self.get_object().people.select_related("user").order_by("remote_id")  # type: ignore[attr-defined]
        return Response(PersonLinkSerializer(rows, many=True).data)

    @extend_schema(
        summary="Say who somebody is", request=PersonLinkSerializer, responses={201: PersonLinkSerializer}
    )
    @people.mapping.post
    def add_person(self, request: Request, pk: str) -> Response:
        """They act here with the rights of that person."""
        require(request.user, "config.edit")
        row = self.get_object()  # type: ignore[attr-defined]
        data = read(PersonLinkSerializer, request)
        if row.people.filter(remote_id=data["remote_id"]).exists():
            raise serializers.ValidationError(
                {"remote_id": ["Somebody is linked to this id; take that link out first."]}
            )
        link = PersonLink.objects.create(connection=row, **data)
        _tell(request, row, f"{link} at {row}.")
        return Response(PersonLinkSerializer(link).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Forget who somebody is", request=None, responses={204: None})
    @action(detail=True, methods=["delete"], url_path="people/(?P<number>[0-9]{1,18})")
    def person(self, request: Request, pk: str, number: str) -> Response:
        """They are known by their e-mail address only from then on."""
        require(request.user, "config.edit")
        row = self.get_object()  # type: ignore[attr-defined]
        link = get_object_or_404(row.people.all(), pk=int(number))
        _tell(request, row, f"{link.remote_id} at {row} is nobody known here any more.")
        link.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)


def _tell(request: Request, row: Any, text: str) -> None:
    Event.objects.create(
        kind="connection.people", by=person_of(request), text=text, data={"connection": row.pk}
    )
