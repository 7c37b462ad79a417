"""Carry deliveries: claim, commit, then act. Retries by the vendor's rules; dead letters are shown."""

from __future__ import annotations

import logging
import random
from datetime import timedelta
from typing import Any

from django.db import connection as database
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from incidents.models import Event
from incidents.wake import wake
from integrations import http, shelf
from integrations.contract import SendError, Sent
from integrations.models import Connection, Delivery, RemoteLink
from integrations.outbox.announce import link_of, restore
from integrations.secrets import SecretsUnreadable

log = logging.getLogger(__name__)

#: How long one try may take before another worker may take the delivery over. Longer than any
#: conversation: a few requests of at most 10 s each.
LEASE = timedelta(seconds=120)
#: With pauses of 5 s doubling to an hour, the last try comes about nine hours after the first.
MAX_ATTEMPTS = 18
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3600.0
#: Rows waked by one sweep.
SWEEP = 100


def deliver(delivery_id: int) -> bool:
    """Make one try of one delivery. True when it is delivered now; False when there was nothing to
    do, somebody else has it, or it failed (and was queued again or laid among the dead letters)."""
    claimed = _claim(delivery_id)
    if claimed is None:
        return False
    delivery, fence = claimed
    connection = delivery.connection
    try:
        settings = connection.settings
        provider = shelf.provider(connection.provider)
        sent, transcript = http.run(
            provider.compose(
                restore(delivery.announcement), settings, link_of(connection, delivery.incident)
            ),
            secrets=provider.secrets(settings),
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
    return _delivered(delivery, fence, sent, transcript)


def due(now: Any = None) -> Any:
    """Deliveries that may be tried now: queued and due, or left behind by a worker that died; in
    order per connection and incident, so that a resolve never overtakes its trigger."""
    now = now or timezone.now()
    earlier = Delivery.objects.filter(
        connection=OuterRef("connection"),
        incident=OuterRef("incident"),
        id__lt=OuterRef("id"),
        state__in=("queued", "sending"),
    )
    return (
        Delivery.objects.filter(
            Q(state="queued", next_attempt_at__lte=now) | Q(state="sending", lease_until__lt=now),
            connection__enabled=True,
        )
        .filter(~Exists(earlier))
        .order_by("next_attempt_at", "id")
    )


def sweep(now: Any = None) -> int:
    """Wake a worker for each delivery that is due; returns how many."""
    ids = list(due(now).values_list("pk", flat=True)[:SWEEP])
    for pk in ids:
        wake("delivery", pk)
    return len(ids)


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
        if delivery is None:
            return None
        Delivery.objects.filter(pk=delivery.pk).update(
            state="sending", lease_until=now + LEASE, fence=F("fence") + 1, attempts=F("attempts") + 1
        )
    delivery.attempts += 1
    return delivery, delivery.fence + 1


def _delivered(delivery: Delivery, fence: int, sent: Sent, transcript: list[Any]) -> bool:
    now = timezone.now()
    with transaction.atomic():
        kept = Delivery.objects.filter(pk=delivery.pk, fence=fence, state="sending").update(
            state="delivered", delivered_at=now, lease_until=None, last_error="", remote_id=sent.remote_id[:300],
            last_status=_status(transcript), transcript=_rows(transcript),
        )  # fmt: skip
        if delivery.incident is not None and (sent.remote_id or sent.url or sent.data):
            link, _ = RemoteLink.objects.get_or_create(
                connection=delivery.connection, incident=delivery.incident
            )
            link.remote_id = sent.remote_id or link.remote_id
            link.url = sent.url or link.url
            link.data = {**link.data, **sent.data}
            link.updated_at = now
            link.save()
        Connection.objects.filter(pk=delivery.connection_id).update(last_success_at=now)
        if kept:
            where = f" ({sent.url})" if sent.url else ""
            _tell(
                delivery,
                "delivery.delivered",
                f"{delivery.connection} was told: {delivery.kind}{where}.",
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
        if kept and not again:
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
    if not again:
        _wake_next(delivery)


def _wake_next(delivery: Delivery) -> None:
    """A delivery that is over lets the next one of the same incident go."""
    if delivery.incident_id is None:
        return
    following = (
        due()
        .filter(connection_id=delivery.connection_id, incident_id=delivery.incident_id)
        .values_list("pk", flat=True)
    )
    for pk in following[:1]:
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
