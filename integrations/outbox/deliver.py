"""Carry deliveries: claim, commit, then act. Retries by the vendor's rules; dead letters are shown."""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from incidents.models import Event
from incidents.wake import wake
from integrations import http, shelf
from integrations.contract import SendError, Sent
from integrations.masking import mask
from integrations.models import Connection, Delivery, Pace, RemoteLink
from integrations.outbox import digest, pace
from integrations.outbox.announce import link_of, restore
from integrations.secrets import SecretsUnreadable

log = logging.getLogger(__name__)

#: How long one try may take before another worker may take the delivery over. Longer than any
#: conversation: a few requests of at most 10 s each.
LEASE = timedelta(seconds=120)
#: With pauses of 5 s doubling to an hour, the last try comes about nine hours after the first.
MAX_ATTEMPTS = 18
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3600.0
#: Dead letters in a row after which sending to the connection is paused.
HOPELESS = 5


def deliver(delivery_id: int) -> bool:
    """Make one try of one delivery. True when it is delivered now; False when there was nothing to
    do, somebody else has it, or it failed (and was queued again or laid among the dead letters)."""
    claimed = _claim(delivery_id)
    if claimed is None:
        return False
    delivery, fence = claimed
    connection = delivery.connection
    try:
        values = connection.settings
        provider = shelf.provider(connection.provider)
        sent, transcript = http.run(
            provider.compose(restore(delivery.announcement), values, link_of(connection, delivery.incident)),
            secrets=provider.secrets(values),
            turn=partial(pace.wait, connection.pk, delivery.place, provider.rate),
        )
    except SendError as error:
        _failed(
            delivery, fence, str(error), error.retryable, error.retry_after, getattr(error, "transcript", [])
        )
        return False
    except (SecretsUnreadable, shelf.UnknownProvider) as error:
        _failed(delivery, fence, str(error), False, None, [])
        return False
    except Exception as error:
        log.exception("delivery %s broke", delivery.pk)
        _failed(
            delivery, fence,
            f"The message could not be composed ({error!r}); this is a defect of the {connection.provider} provider.",
            False, None, [],
        )  # fmt: skip
        return False
    note = str(mask(sent.note, provider.secrets(values)))
    return _delivered(delivery, fence, replace(sent, note=note), transcript)


def due(now: Any = None) -> Any:
    """Deliveries that may be tried now: queued and due, or left behind by a worker that died; in order per
    connection and incident, so that a resolve never overtakes its trigger; not where sending is paused, nor
    where the vendor's rate has to be waited for."""
    now = now or timezone.now()
    earlier = Delivery.objects.filter(
        connection=OuterRef("connection"),
        incident=OuterRef("incident"),
        id__lt=OuterRef("id"),
        state__in=("queued", "sending"),
    )
    shut = Pace.objects.filter(connection=OuterRef("connection"), place=OuterRef("place"), open_at__gt=now)
    return (
        Delivery.objects.filter(
            Q(state="queued", next_attempt_at__lte=now) | Q(state="sending", lease_until__lt=now),
            connection__enabled=True,
            connection__sending_paused="",
        )
        .filter(~Exists(earlier), ~Exists(shut))
        .order_by("next_attempt_at", "id")
    )


def sweep(now: Any = None) -> int:
    """Wake a worker for deliveries that are due, of each connection as many as it may have under way; returns
    how many."""
    waiting = (
        Delivery.objects.filter(state__in=("queued", "sending"))
        .order_by()
        .values_list("connection", flat=True)
    )
    ids = []
    for connection_id in sorted(set(waiting.distinct())):
        of_it = due(now).filter(connection=connection_id).values_list("pk", flat=True)
        ids += list(of_it[: settings.HOLDFAST_WORKER_THREADS])
    for pk in ids:
        wake("delivery", pk)
    return len(ids)


def resume(connection: Connection, *, by: Any) -> None:
    """Send to the connection again, after it was paused; what waited goes out at once."""
    with transaction.atomic():
        Connection.objects.filter(pk=connection.pk).update(sending_paused="", dead_in_a_row=0)
        Event.objects.create(
            kind="connection.resumed", by=by, text=f"{by} let {connection} be sent to again.",
            data={"connection": connection.pk},
        )  # fmt: skip
    for pk in due().filter(connection=connection).values_list("pk", flat=True)[:5]:
        wake("delivery", pk)


def redeliver_all(connection: Connection, *, by: Any) -> int:
    """Put all dead letters of a connection back in line, oldest first, with their idempotency keys; how many."""
    with transaction.atomic():
        dead = Delivery.objects.filter(connection=connection, state="dead")
        count = dead.update(state="queued", attempts=0, next_attempt_at=timezone.now(), lease_until=None)
        if count:
            Event.objects.create(
                kind="delivery.redelivered", by=by, data={"connection": connection.pk, "count": count},
                text=f"{by} asked to send {count} dead letters to {connection} again.",
            )  # fmt: skip
    resume(connection, by=by)
    return count


def redeliver(delivery: Delivery, *, by: Any) -> None:
    """Put a dead (or waiting) delivery back to the front, with the same idempotency key."""
    with transaction.atomic():
        Delivery.objects.filter(pk=delivery.pk).exclude(state="delivered").update(
            state="queued", attempts=0, next_attempt_at=timezone.now(), lease_until=None
        )
        _tell(
            delivery,
            "delivery.redelivered",
            f"{by} asked to send the {delivery.kind} to {delivery.connection} again.",
            by=by,
        )
    wake("delivery", delivery.pk)


def _claim(delivery_id: int) -> tuple[Delivery, int] | None:
    now = timezone.now()
    with transaction.atomic():
        rows = due(now).filter(pk=delivery_id).select_related("connection", "incident")
        if database.features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=True, of=("self",))
        delivery = rows.first()
        if delivery is None or not _has_room(delivery.connection, now):
            return None
        if not pace.take(delivery.connection_id, delivery.place, _rate(delivery.connection), now):
            return None
        Delivery.objects.filter(pk=delivery.pk).update(
            state="sending", lease_until=now + LEASE, fence=F("fence") + 1, attempts=F("attempts") + 1
        )
        digest.gather(delivery, now)
    delivery.attempts += 1
    return delivery, delivery.fence + 1


def _rate(connection: Connection) -> tuple[int, float] | None:
    try:
        return shelf.provider(connection.provider).rate
    except shelf.UnknownProvider:
        return None


def _has_room(connection: Connection, now: Any) -> bool:
    """Whether the connection may have one more under way: a vendor that hangs holds few of the workers' threads.
    One that never answered, or failed last, gets one at a time until it succeeds."""
    proven = connection.last_success_at is not None and (
        connection.last_error_at is None or connection.last_success_at >= connection.last_error_at
    )
    most = max(1, settings.HOLDFAST_WORKER_THREADS // 2) if proven else 1
    under_way = Delivery.objects.filter(connection=connection, state="sending", lease_until__gt=now).count()
    return under_way < most


def _delivered(delivery: Delivery, fence: int, sent: Sent, transcript: list[Any]) -> bool:
    now = timezone.now()
    with transaction.atomic():
        kept = Delivery.objects.filter(pk=delivery.pk, fence=fence, state="sending").update(
            state="delivered", delivered_at=now, lease_until=None, last_error="", remote_id=(sent.part or sent.remote_id)[:300],
            note=sent.note,
            last_status=_status(transcript), transcript=_rows(transcript),
        )  # fmt: skip
        about_it = delivery.incident is not None and delivery.announcement.get("incident_key")
        if about_it and (sent.remote_id or sent.url or sent.data):
            link, _ = RemoteLink.objects.get_or_create(
                connection=delivery.connection, incident=delivery.incident
            )
            link.remote_id = sent.remote_id or link.remote_id
            link.url = sent.url or link.url
            link.data = {**link.data, **sent.data}
            link.updated_at = now
            link.save()
        Connection.objects.filter(pk=delivery.connection_id).update(last_success_at=now, dead_in_a_row=0)
        if kept:
            where = f" ({sent.url})" if sent.url else ""
            note = f" Note: {sent.note}" if sent.note else ""
            _tell(
                delivery,
                "delivery.delivered",
                f"{delivery.connection} was told: {delivery.kind}{where}.{note}",
                remote_id=sent.remote_id,
            )
    _wake_next(delivery)
    return bool(kept)


def _failed(
    delivery: Delivery,
    fence: int,
    message: str,
    retryable: bool,
    retry_after: float | None,
    transcript: list[Any],
) -> None:
    now = timezone.now()
    again = retryable and delivery.attempts < MAX_ATTEMPTS
    pause = (
        retry_after
        if retry_after is not None
        else min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (delivery.attempts - 1))
    )
    # jitter keeps many deliveries to one vendor from coming back in step
    pause *= 1 + random.random() * 0.2  # noqa: S311
    with transaction.atomic():
        kept = Delivery.objects.filter(pk=delivery.pk, fence=fence, state="sending").update(
            state="queued" if again else "dead", next_attempt_at=now + timedelta(seconds=pause), lease_until=None,
            last_error=message, last_status=_status(transcript), transcript=_rows(transcript),
        )  # fmt: skip
        Connection.objects.filter(pk=delivery.connection_id).update(last_error_at=now, last_error=message)
        if kept and retryable and retry_after:
            pace.hold(delivery.connection_id, delivery.place, pause)
        if kept and not again:
            _pause_if_hopeless(delivery.connection, message)
            _tell(
                delivery,
                "delivery.dead",
                f"{delivery.connection} was not told ({delivery.kind}): {message} "
                "Mend the cause, then send it again from Deliveries.",
            )
        elif kept and delivery.attempts == 1:
            _tell(
                delivery,
                "delivery.retrying",
                f"{delivery.connection} cannot be told yet ({delivery.kind}): {message}",
            )
    _wake_next(delivery)


def _pause_if_hopeless(connection: Connection, message: str) -> None:
    """After HOPELESS dead letters in a row nothing more is sent until a person looked."""
    Connection.objects.filter(pk=connection.pk).update(dead_in_a_row=F("dead_in_a_row") + 1)
    reason = f"{HOPELESS} messages in a row failed for good. The last: {message}"
    hopeless = Connection.objects.filter(pk=connection.pk, dead_in_a_row__gte=HOPELESS, sending_paused="")
    if hopeless.update(sending_paused=reason[:300]):
        Event.objects.create(
            kind="connection.paused", actor="outbox", data={"connection": connection.pk},
            text=f"Sending to {connection} is paused: {reason} Mend the cause, then resume on its page; what waits is kept.",
        )  # fmt: skip
        wake("outbox")


def _wake_next(delivery: Delivery) -> None:
    """One that is over lets the next one of the connection go."""
    for pk in due().filter(connection_id=delivery.connection_id).values_list("pk", flat=True)[:1]:
        wake("delivery", pk)


def _tell(delivery: Delivery, kind: str, text: str, *, by: Any = None, **data: Any) -> None:
    if delivery.incident_id is None and kind != "delivery.dead":
        return
    Event.objects.create(
        incident=delivery.incident,
        kind=kind,
        actor="" if by else str(delivery.connection),
        by=by,
        text=text,
        data={"delivery": delivery.pk, **data},
    )


def _status(transcript: list[Any]) -> int | None:
    return next((answer["status"] for _, answer in reversed(transcript) if "status" in answer), None)


def _rows(transcript: list[Any]) -> list[dict[str, Any]]:
    return [{"request": request, "response": answer} for request, answer in transcript]
