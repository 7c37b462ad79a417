"""`/api/v1/deliveries/` and `/api/v1/inbox/`: messages on their way out, and those received."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.access import require
from incidents.api.base import Api, person_of, read
from incidents.api.queries import IncidentKey, Number, OneOrMore, Query
from incidents.lifecycle import Refused
from incidents.visibility import about_seen
from integrations.inbox.drain import replay
from integrations.masking import mask
from integrations.models import Delivery, InboxMessage
from integrations.outbox.deliver import redeliver

#: Rows put back in line by one call; the rest by calling again.
MOST = 500


class ManySerializer(serializers.Serializer):
    """Which of them; nothing said means all."""

    connection = Number(help_text="Only those of this connection.")


class ManyMessagesSerializer(ManySerializer):
    messages = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), required=False, max_length=MOST,
        help_text="Only these messages.",
    )  # fmt: skip


class BackInLineSerializer(serializers.Serializer):
    count = serializers.IntegerField(help_text="How many are back in line, the oldest first.")


class DeliverySerializer(serializers.ModelSerializer):
    """One message on its way out."""

    incident = serializers.CharField(source="incident.key", default=None, read_only=True)

    class Meta:
        model = Delivery
        fields: tuple[str, ...] = (
            "id", "connection", "incident", "kind", "idempotency_key", "state", "attempts", "next_attempt_at", "created_at",
            "delivered_at", "last_status", "last_error", "remote_id", "note",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class DeliveryDetailSerializer(DeliverySerializer):
    """One message with what it says, and the masked requests and answers of its last try."""

    announcement = serializers.SerializerMethodField()
    transcript = serializers.ListField(child=serializers.DictField(), read_only=True)

    class Meta(DeliverySerializer.Meta):
        fields: tuple[str, ...] = (*DeliverySerializer.Meta.fields, "announcement", "transcript")
        read_only_fields: tuple[str, ...] = fields

    def get_announcement(self, row: Delivery) -> dict[str, Any]:
        return dict(mask(row.announcement))


class DeliveryQuery(Query):
    state = OneOrMore([code for code, _ in Delivery.STATES])
    connection = Number(help_text="Number of a connection.")
    incident = IncidentKey()


class DeliveryViewSet(Api, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Messages on their way out. Sending one again needs the scope `admin`."""

    serializer_class = DeliverySerializer
    queryset = Delivery.objects.all()
    lookup_value_regex = "[0-9]{1,18}"
    needs_scope = "admin"

    def get_queryset(self) -> QuerySet[Delivery]:
        require(self.request.user, "config.see")
        rows = about_seen(Delivery.objects.all(), self.request.user, or_none=True)
        return rows.select_related("incident", "connection").defer("connection__settings")

    @extend_schema(summary="Deliveries, newest first", parameters=[DeliveryQuery])
    def list(self, request: Request) -> Response:
        asked = DeliveryQuery.of(request)
        rows = self.get_queryset()
        if "state" in asked:
            rows = rows.filter(state__in=asked["state"])
        if "connection" in asked:
            rows = rows.filter(connection_id=asked["connection"])
        if "incident" in asked:
            rows = rows.filter(incident_id=asked["incident"])
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(summary="One delivery with its last exchange", responses=DeliveryDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(DeliveryDetailSerializer(self.get_object()).data)

    @extend_schema(
        summary="Send all dead letters again", request=ManySerializer, responses=BackInLineSerializer
    )
    @action(detail=False, methods=["post"])
    def redeliveries(self, request: Request) -> Response:
        """At most 500 of those that you may see; call again for the rest."""
        require(request.user, "config.edit")
        asked = read(ManySerializer, request)
        rows = self.get_queryset().filter(state="dead").order_by("id")
        if "connection" in asked:
            rows = rows.filter(connection_id=asked["connection"])
        taken = list(rows[:MOST])
        for row in taken:
            redeliver(row, by=person_of(request))
        return Response({"count": len(taken)})

    @extend_schema(summary="Send again", request=None, responses=DeliverySerializer)
    @action(detail=True, methods=["post"])
    def redelivery(self, request: Request, pk: str) -> Response:
        """Under the same idempotency key; a delivered one is not repeated."""
        row = self.get_object()
        require(request.user, "config.edit")
        if row.state == "delivered":
            raise Refused("redeliver", ["It was delivered; there is nothing to repeat."])
        redeliver(row, by=request.user)
        return Response(DeliverySerializer(self.get_queryset().get(pk=row.pk)).data)


class InboxMessageSerializer(serializers.ModelSerializer):
    """One message received, and what became of it."""

    class Meta:
        model = InboxMessage
        fields: tuple[str, ...] = (
            "id", "receipt", "connection", "delivery_key", "received_at", "items", "status", "attempts", "error", "processed_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class InboxMessageDetailSerializer(InboxMessageSerializer):
    """One message as it came, credentials masked."""

    headers = serializers.SerializerMethodField()
    body = serializers.SerializerMethodField()

    class Meta(InboxMessageSerializer.Meta):
        fields: tuple[str, ...] = (*InboxMessageSerializer.Meta.fields, "headers", "body")
        read_only_fields: tuple[str, ...] = fields

    def get_headers(self, row: InboxMessage) -> dict[str, str]:
        return dict(mask(row.headers))

    def get_body(self, row: InboxMessage) -> str:
        return str(mask(row.body))


class InboxQuery(Query):
    status = OneOrMore([code for code, _ in InboxMessage.STATUSES])
    connection = Number(help_text="Number of a connection.")


class InboxViewSet(Api, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Messages received. Reading one again needs the scope `admin`."""

    serializer_class = InboxMessageSerializer
    queryset = InboxMessage.objects.all()
    lookup_value_regex = "[0-9]{1,18}"
    needs_scope = "admin"

    def get_queryset(self) -> QuerySet[InboxMessage]:
        require(self.request.user, "config.see")
        return InboxMessage.objects.all()

    @extend_schema(summary="Messages received, newest first", parameters=[InboxQuery])
    def list(self, request: Request) -> Response:
        """`?status=set_aside` are those that could not be read."""
        asked = InboxQuery.of(request)
        rows = self.get_queryset().defer("body", "headers")
        if "status" in asked:
            rows = rows.filter(status__in=asked["status"])
        if "connection" in asked:
            rows = rows.filter(connection_id=asked["connection"])
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(summary="One message as it came", responses=InboxMessageDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(InboxMessageDetailSerializer(self.get_object()).data)

    @extend_schema(summary="Read many again", request=ManyMessagesSerializer, responses=BackInLineSerializer)
    @action(detail=False, methods=["post"])
    def replays(self, request: Request) -> Response:
        """At most 500 of those that were set aside; call again for the rest."""
        require(request.user, "config.edit")
        asked = read(ManyMessagesSerializer, request)
        rows = InboxMessage.objects.filter(status="set_aside").order_by("id")
        if "messages" in asked:
            rows = rows.filter(pk__in=asked["messages"])
        if "connection" in asked:
            rows = rows.filter(connection_id=asked["connection"])
        ids = list(rows.values_list("pk", flat=True)[:MOST])
        return Response({"count": replay(ids, by=person_of(request))})

    @extend_schema(summary="Read again", request=None, responses=InboxMessageSerializer)
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        """Puts a message that was set aside back in line."""
        require(request.user, "config.edit")
        row = self.get_object()
        if not replay([row.pk], by=person_of(request)):
            raise Refused("replay", ["Only messages that were set aside can be read again."])
        row.refresh_from_db()
        return Response(InboxMessageSerializer(row).data)
