"""Asks vendors that do not call by themselves: what they answer enters the inbox like any message."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from incidents.wake import wake
from integrations import http, shelf
from integrations.contract import Fetched, Polled, SendError
from integrations.inbox.writer import Entry, keep
from integrations.models import Connection
from integrations.normalise import short_key
from integrations.secrets import SecretsUnreadable

log = logging.getLogger(__name__)

#: A round that does not come back is taken over after this time.
LEASE = timedelta(minutes=10)
#: Between rounds that fail, at least this, however often the provider wants to be asked.
AFTER_FAILURE = 60.0


def sweep(now: Any = None) -> int:
    """Wake a worker for each connection whose next round is due; returns how many."""
    polled = [one.slug for one in shelf.providers().values() if one.polls_every is not None]
    due = Connection.objects.filter(Q(poll_at=None) | Q(poll_at__lte=now or timezone.now()), enabled=True)
    ids = list(due.filter(provider__in=polled).order_by("poll_at").values_list("pk", flat=True)[:100])
    for pk in ids:
        wake("poll", pk)
    return len(ids)


def poll(connection_id: int) -> int:
    """One round of one connection; how many new messages it brought. Failures stand on the connection."""
    now = timezone.now()
    mine = Connection.objects.filter(Q(poll_at=None) | Q(poll_at__lte=now), pk=connection_id, enabled=True)
    if not mine.update(poll_at=now + LEASE):
        return 0
    row = Connection.objects.defer("settings").get(pk=connection_id)
    kind = shelf.provider(row.provider)
    every = float(kind.polls_every or AFTER_FAILURE)
    try:
        settings = row.settings
        polled, _ = http.run(kind.poll(settings, row.poll_memory, now), secrets=kind.secrets(settings))
    except (SendError, SecretsUnreadable) as error:
        pause = max(every, AFTER_FAILURE, getattr(error, "retry_after", None) or 0.0)
        _failed(row, str(error), pause)
        return 0
    except Exception as error:
        log.exception("polling connection %s broke", connection_id)
        _failed(
            row,
            f"A defect of the {row.provider} provider kept it from being asked ({error!r}).",
            max(every, 600),
        )
        return 0
    return _kept(row, polled, every)


def _kept(row: Connection, polled: Polled, every: float) -> int:
    now = timezone.now()
    with transaction.atomic():
        new = keep([_entry(row.pk, one, now) for one in polled.messages]) if polled.messages else 0
        Connection.objects.filter(pk=row.pk).update(
            poll_memory=dict(polled.memory), poll_at=now + timedelta(seconds=every), last_success_at=now
        )
    return new


def _entry(connection_id: int, one: Fetched, now: Any) -> Entry:
    text = one.body.decode(errors="replace").replace("\x00", "")
    return Entry(
        connection_id=connection_id, delivery_key=short_key(one.key) or None, received_at=now, headers=dict(one.headers),
        body=text, items=one.items, size=len(one.body),
    )  # fmt: skip


def _failed(row: Connection, why: str, pause: float) -> None:
    now = timezone.now()
    Connection.objects.filter(pk=row.pk).update(
        poll_at=now + timedelta(seconds=pause), last_error_at=now, last_error=why
    )
