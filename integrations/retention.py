"""What the roof keeps for some time: inbox messages that were read, deliveries that arrived."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from incidents.retention import Kind, finished
from integrations.models import Delivery, InboxMessage


def _inbox(before: datetime) -> QuerySet[Any]:
    return InboxMessage.objects.filter(status="done", received_at__lt=before)


def _remove_inbox(ids: Sequence[int]) -> None:
    InboxMessage.objects.filter(pk__in=ids).delete()


def _deliveries(before: datetime) -> QuerySet[Any]:
    # while its incident is open, a delivery says that a place was told and has to hear of the end
    arrived = Delivery.objects.filter(state__in=("delivered", "cancelled"), created_at__lt=before)
    return arrived.filter(Q(incident=None) | finished(before))


def _remove_deliveries(ids: Sequence[int]) -> None:
    Delivery.objects.filter(pk__in=ids).delete()


KINDS = (
    Kind(
        "inbox", "Inbox messages",
        "Requests as they came, headers and bodies, once they were read. Those that wait or are set aside stay until "
        "somebody deals with them; what was read from a message stays as alerts and timeline.",
        _inbox, _remove_inbox, least=1,
    ),
    Kind(
        "deliveries", "Deliveries",
        "Messages that arrived, of incidents that are over. Dead letters stay until somebody deals with them; the "
        "timeline keeps who was told what.",
        _deliveries, _remove_deliveries, least=7,
    ),
)  # fmt: skip
