"""The relay: each event is told once to each listener, in order; listeners only write rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from incidents.models import Event
from incidents.wake import wake

log = logging.getLogger(__name__)

Listener = Callable[[Event], None]
#: PostgreSQL advisory lock that makes relays take turns: events of one incident must not overtake.
RELAY_LOCK = 0x484F4C44


def relay(listeners: Mapping[str, Sequence[Listener]], limit: int = 200) -> int:
    """Tell unpublished events to the listeners whose key is a prefix of the event's kind ("" hears
    all) and mark them published, all in one commit. Returns how many events were published.

    A listener that fails on an event is recorded as `relay.failed` on the timeline, so that people
    see it; a failing database fails the batch, which stays unpublished and is tried again.
    """
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [RELAY_LOCK])
                if not cursor.fetchone()[0]:
                    return 0
        events = _unpublished(limit)
        try:
            # one savepoint for all: nearly every batch goes well, and a savepoint costs more than most listeners
            with transaction.atomic():
                for event in events:
                    for listener in _listeners(listeners, event):
                        listener(event)
        except DatabaseError:
            raise
        except Exception as error:
            log.info("a listener failed (%r); telling %d events one by one", error, len(events))
            events = _unpublished(limit)  # as they are, whatever the listeners did to the objects
            for event in events:
                for listener in _listeners(listeners, event):
                    _tell(listener, event)
        Event.objects.filter(pk__in=[e.pk for e in events]).update(published_at=timezone.now())
    if len(events) == limit:
        wake("outbox")
    return len(events)


def _unpublished(limit: int) -> list[Event]:
    waiting = Event.objects.filter(published_at=None).select_related("incident__system")
    return list(waiting.order_by("id")[:limit])


def _listeners(listeners: Mapping[str, Sequence[Listener]], event: Event) -> Iterator[Listener]:
    for prefix, heard_by in listeners.items():
        if event.kind.startswith(prefix):
            yield from heard_by


def _tell(listener: Listener, event: Event) -> None:
    name = f"{listener.__module__}.{listener.__qualname__}"
    try:
        with transaction.atomic():
            listener(event)
    except DatabaseError:
        raise
    except Exception as error:
        log.exception("%s failed on event %s (%s)", name, event.pk, event.kind)
        if event.kind != "relay.failed":
            Event.objects.create(
                incident=event.incident,
                kind="relay.failed",
                actor=name[:120],
                text=f"{name} could not act on “{event.kind}”: {error}",
                data={"event": event.pk, "listener": name, "error": repr(error)},
            )
