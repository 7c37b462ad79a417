"""From stored messages to signals: claim, translate, hand in, mark done, in one transaction per batch.

A message that cannot be understood is set aside where people see it; it never holds up the ones behind it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q
from django.utils import timezone

from incidents import changes, wake
from incidents.intake import ingest
from incidents.intake.signal import Signal
from incidents.models import Event, User
from integrations.contract import Change, Inbound, Instruction, Unreadable
from integrations.inbox import acts
from integrations.models import Connection, InboxMessage
from integrations.secrets import SecretsUnreadable
from integrations.shelf import UnknownProvider, provider

log = logging.getLogger(__name__)

#: How often a message whose signals cannot be taken in is tried before it is set aside.
ATTEMPTS = 3
#: How often a batch that met another transaction (deadlock, serialization) is tried at once.
RETRIES = 3
#: Alerts of one transaction at most (a single bigger message excepted): on SQLite nobody else writes meanwhile.
ITEMS = 1000

# the literal status lets both databases use the partial index `inbox_waiting`
_WAITING = "SELECT * FROM integrations_inboxmessage WHERE status = 'new' ORDER BY id LIMIT %s"


@dataclass(slots=True)
class Reading:
    """One message and what it says, or why it cannot be read."""

    message: InboxMessage
    signals: list[Signal] = field(default_factory=list)
    others: list[Instruction | Change] = field(default_factory=list)
    reason: str = ""  #: it is set aside for this
    failed: bool = False  #: its signals could not be taken in; tried again until ATTEMPTS


def drain(limit: int = 500) -> int:
    """Work through up to `limit` waiting messages; returns how many were handled.

    Safe to call from several threads and hosts at once: every message is taken by one of them. Raises
    OperationalError when the database is away; nothing is lost then.
    """
    for attempt in range(1, RETRIES + 1):
        try:
            return _drain_skipping_locked(limit) if _can_skip_locked() else _drain_by_status(limit)
        except (OperationalError, InterfaceError) as error:
            if attempt == RETRIES or not _met_another_transaction(error):
                raise
            log.info("draining the inbox met another transaction; trying again: %s", error)
    raise AssertionError("unreachable")


def replay(message_ids: Iterable[int], by: User | None = None) -> int:
    """Put messages that were set aside back in line; returns how many. Others are left as they are."""
    with transaction.atomic():
        waiting = InboxMessage.objects.filter(pk__in=list(message_ids), status="set_aside")
        ids = sorted(waiting.select_for_update().values_list("pk", flat=True))
        _back_in_line(ids, by)
    return len(ids)


def replay_last(sender: Connection, by: User | None = None) -> InboxMessage | None:
    """Read the newest message of a connection once more, whatever became of it; None when there is none.

    It reports what its sender said last, so a second reading changes no state: the same fingerprint is the same
    alert, and what a person did outside is carried out once by its key.
    """
    with transaction.atomic():
        newest = InboxMessage.objects.filter(connection=sender).order_by("-id").select_for_update().first()
        if newest is not None and newest.status != "new":
            _back_in_line([newest.pk], by)
    return newest


def _back_in_line(ids: list[int], by: User | None) -> None:
    if not ids:
        return
    InboxMessage.objects.filter(pk__in=ids).update(status="new", attempts=0, error="", processed_at=None)
    Event.objects.create(
        kind="inbox.replayed",
        by=by,
        text=f"{_messages(len(ids))} put back in line to be read again.",
        data={"messages": ids},
    )
    wake.wake("inbox")
    wake.wake("outbox")


def _can_skip_locked() -> bool:
    return connection.features.has_select_for_update_skip_locked


def _drain_skipping_locked(limit: int) -> int:
    with transaction.atomic():
        readings = _read(_some(InboxMessage.objects.raw(f"{_WAITING} FOR UPDATE SKIP LOCKED", [limit])))
        _keep(readings)
    return len(readings)


def _drain_by_status(limit: int) -> int:
    """SQLite has one writer at a time: translate before asking for the turn, then take what is still new."""
    readings = _read(_some(InboxMessage.objects.raw(_WAITING, [limit])))
    if not readings:
        return 0
    with transaction.atomic():
        ids = [reading.message.pk for reading in readings]
        still = set(InboxMessage.objects.filter(pk__in=ids, status="new").values_list("pk", flat=True))
        readings = [reading for reading in readings if reading.message.pk in still]
        _keep(readings)
    return len(readings)


def _some(messages: Iterable[InboxMessage]) -> list[InboxMessage]:
    """The first messages that have ITEMS alerts together; the others wait for the next round."""
    some: list[InboxMessage] = []
    items = 0
    for message in messages:
        if some and items + message.items > ITEMS:
            break
        items += message.items
        some.append(message)
    return some


def _read(messages: Sequence[InboxMessage]) -> list[Reading]:
    senders = _connections({message.connection_id for message in messages})
    return [_reading(message, senders[message.connection_id]) for message in messages]


def _connections(ids: set[int]) -> dict[int, Connection | SecretsUnreadable]:
    try:
        return dict(Connection.objects.in_bulk(ids))
    except SecretsUnreadable:  # of one of them: the others go on
        found: dict[int, Connection | SecretsUnreadable] = {}
        for number in ids:
            try:
                found[number] = Connection.objects.get(pk=number)
            except SecretsUnreadable as error:
                found[number] = error
        return found


def _reading(message: InboxMessage, sender: Connection | SecretsUnreadable) -> Reading:
    if isinstance(sender, SecretsUnreadable):
        return Reading(message, reason=str(sender))
    inbound = Inbound(
        headers=message.headers,
        body=message.body.encode(),
        received_at=message.received_at,
        origin=sender.origin,
        inbox_id=message.pk,
    )
    try:
        said = provider(sender.provider).parse(inbound, sender.settings)
        signals = [one for one in said if isinstance(one, Signal)]
        if len(signals) == len(said):
            return Reading(message, signals)
        return Reading(message, signals, [one for one in said if not isinstance(one, Signal)])
    except Unreadable as error:
        return Reading(message, reason=str(error))
    except UnknownProvider as error:
        return Reading(message, reason=f"{error} Replay the message when it is there again.")
    except Exception as error:
        log.exception("reading inbox message %s failed", message.pk)
        return Reading(
            message,
            reason=f"A defect in the reader of {sender.provider} ({type(error).__name__}: {error}). "
            "Replay the message after an update.",
        )


def _keep(readings: Sequence[Reading]) -> None:
    """Take the signals in and mark the messages, inside the caller's transaction."""
    if not readings:
        return
    try:
        with transaction.atomic():
            _ingest(readings)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        log.warning("a batch of %d inbox messages failed (%s); one by one now", len(readings), error)
        for reading in readings:
            _take_in_alone(reading)
    _mark(readings)


def _take_in_alone(reading: Reading) -> None:
    try:
        with transaction.atomic():
            _ingest([reading])
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        log.exception("inbox message %s could not be taken in", reading.message.pk)
        reading.failed = True
        reading.message.attempts += 1
        reading.message.error = f"{type(error).__name__}: {error}"
        if reading.message.attempts >= ATTEMPTS:
            reading.reason = (
                f"Its alerts could not be taken in, {ATTEMPTS} times: {reading.message.error}. "
                "Correct the cause (the log has the details), then replay the message."
            )


def _ingest(readings: Sequence[Reading]) -> None:
    gathered = [signal for reading in readings for signal in reading.signals]
    if gathered:
        ingest(gathered)
    for reading in readings:
        for said in reading.others:
            _do(said, reading.message)


def _do(said: Instruction | Change, message: InboxMessage) -> None:
    if isinstance(said, Instruction):
        acts.carry_out(said, message.connection)
        return
    changes.keep(
        message.connection.origin, said.key, kind=said.kind, title=said.title, at=said.at, system=said.system,
        version=said.version, by=said.by, url=said.url, labels=said.labels, extra=said.extra,
    )  # fmt: skip


def _mark(readings: Sequence[Reading]) -> None:
    now = timezone.now()
    done = [reading.message.pk for reading in readings if not reading.reason and not reading.failed]
    InboxMessage.objects.filter(pk__in=done).update(status="done", error="", processed_at=now)
    for reading in readings:
        if reading.failed and not reading.reason:
            InboxMessage.objects.filter(pk=reading.message.pk).update(
                attempts=reading.message.attempts, error=reading.message.error
            )
    _set_aside([reading for reading in readings if reading.reason])
    _note_arrivals(readings)


def _set_aside(readings: Sequence[Reading]) -> None:
    """Mark them and tell people once per connection, however many there are."""
    now = timezone.now()
    by_connection: defaultdict[int, list[Reading]] = defaultdict(list)
    for reading in readings:
        InboxMessage.objects.filter(pk=reading.message.pk).update(
            status="set_aside",
            attempts=max(reading.message.attempts, 1),
            error=reading.reason,
            processed_at=now,
        )
        by_connection[reading.message.connection_id].append(reading)
    names = dict(Connection.objects.filter(pk__in=by_connection).values_list("pk", "name"))
    for number, some in sorted(by_connection.items()):
        reason = some[0].reason
        Event.objects.create(
            kind="inbox.set_aside",
            actor="inbox",
            text=f'{_messages(len(some))} from "{names[number]}" set aside: {reason}',
            data={"connection": number, "messages": [r.message.pk for r in some], "reason": reason},
        )
        Connection.objects.filter(pk=number).update(last_error_at=now, last_error=reason)
    if readings:
        wake.wake("outbox")


def _note_arrivals(readings: Sequence[Reading]) -> None:
    """`last_received_at` of the connections, to the nearest seconds: the row is hot under load."""
    newest: dict[int, Any] = {}
    for reading in readings:
        message = reading.message
        newest[message.connection_id] = max(
            newest.get(message.connection_id, message.received_at), message.received_at
        )
    stale: Mapping[int, Any] = dict(
        Connection.objects.filter(pk__in=newest).values_list("pk", "last_received_at")
    )
    for number, at in sorted(newest.items()):
        if stale[number] is None or at - stale[number] > timedelta(seconds=5):
            Connection.objects.filter(
                Q(last_received_at=None) | Q(last_received_at__lt=at), pk=number
            ).update(last_received_at=at)


def _met_another_transaction(error: Exception) -> bool:
    """Whether PostgreSQL ended the transaction for another one's sake (40001, 40P01), or SQLite was busy."""
    cause = error.__cause__
    return getattr(cause, "sqlstate", None) in ("40001", "40P01") or "locked" in str(error)


def _messages(count: int) -> str:
    return "1 message was" if count == 1 else f"{count} messages were"
