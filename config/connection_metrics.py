"""What `/metrics` tells of each connection: when it last worked, what waits, what failed, how long sending takes.

Counted in the database at scrape time. What is not finished is counted whole, by partial indexes; of what is, the newest
LOOKED rows of each direction within the last hour are looked at, so that a scrape stays quick however many rows there are.
How long that window really is, is a metric of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from integrations.health import quantile
from integrations.models import Connection, Delivery, InboxMessage

#: Connections told of (the first ones made), rows looked at per direction, and how far back.
CONNECTIONS, LOOKED, WINDOW = 500, 5000, timedelta(hours=1)
QUANTILES = (0.5, 0.95, 0.99)
LABELS = ("connection", "provider")

#: pk of a connection → (name, provider)
Names = Mapping[int, tuple[str, str]]


def collect(now: datetime | None = None) -> Iterator[Metric]:
    """The families, one sample per connection (and state, result or quantile)."""
    moment = now or timezone.now()
    rows = list(
        Connection.objects.defer("settings", "former_secrets", "poll_memory").order_by("pk")[:CONNECTIONS]
    )
    names = {row.pk: (row.name, row.provider) for row in rows}
    yield from _standing(rows, names)
    yield from _unfinished(names, moment)
    yield from _sent(names, moment)
    yield from _received(names, moment)


def _standing(rows: Sequence[Connection], names: Names) -> Iterator[Metric]:
    stamps = {
        "success": ("last_success_at", "When something was last sent to it with success."),
        "error": ("last_error_at", "When something last failed there."),
        "received": ("last_received_at", "When something was last received from it."),
    }
    for name, (attribute, help) in stamps.items():
        known = {row.pk: at.timestamp() for row in rows if (at := getattr(row, attribute)) is not None}
        yield _family(
            f"holdfast_connection_last_{name}_timestamp_seconds", f"{help} Seconds since 1970.", names, known
        )
    yield _family(
        "holdfast_connection_enabled",
        "1 when it is switched on.",
        names,
        {row.pk: int(row.enabled) for row in rows},
    )
    yield _family(
        "holdfast_connection_sending_paused",
        "1 when nothing is sent to it for now, by a person or after repeated failures.",
        names,
        {row.pk: int(bool(row.sending_paused)) for row in rows},
    )
    yield _family(
        "holdfast_connection_silent",
        "1 when the source has been silent for longer than it may be; only sources of which something is expected.",
        names,
        {row.pk: int(row.silent_since is not None) for row in rows if row.expect_every},
    )


def _unfinished(names: Names, now: datetime) -> Iterator[Metric]:
    """Deliveries that wait, are on their way, or were given up; inbox messages that wait or could not be read."""
    counts = {(pk, state): 0 for pk in names for state in ("queued", "sending", "dead")}
    oldest: dict[int, float] = {}
    live = Delivery.objects.filter(state__in=("queued", "sending")).order_by()
    for pk, state, n, since in live.values_list("connection", "state").annotate(
        n=Count("id"), since=Min("created_at")
    ):
        counts[pk, state] = n
        if state == "queued":
            oldest[pk] = max(0.0, (now - since).total_seconds())
    dead = Delivery.objects.filter(state="dead").order_by().values_list("connection").annotate(n=Count("id"))
    counts |= {(pk, "dead"): n for pk, n in dead}
    yield _by(
        "holdfast_connection_deliveries",
        "Deliveries that are not delivered, by state.",
        "state",
        names,
        counts,
    )
    yield _family(
        "holdfast_connection_oldest_queued_seconds",
        "Age of the oldest delivery that waits; 0 when none does.",
        names,
        {pk: oldest.get(pk, 0.0) for pk in names},
    )
    inbox = {(pk, status): 0 for pk in names for status in ("new", "set_aside")}
    for status in ("new", "set_aside"):  # each has a partial index of its own
        waiting = (
            InboxMessage.objects.filter(status=status)
            .order_by()
            .values_list("connection")
            .annotate(n=Count("id"))
        )
        inbox |= {(pk, status): n for pk, n in waiting}
    yield _by(
        "holdfast_connection_inbox", "Messages not read yet, or set aside, by status.", "status", names, inbox
    )


def _sent(names: Names, now: datetime) -> Iterator[Metric]:
    """Tries and times of the window: a delivery counts when it was queued within it."""
    columns = ("connection", "created_at", "state", "attempts", "delivered_at")
    newest = list(Delivery.objects.order_by("-id").values_list(*columns)[:LOOKED])
    rows = [row for row in newest if row[1] > now - WINDOW]
    tries = {(pk, result): 0 for pk in names for result in ("accepted", "failed")}
    took: dict[int, list[float]] = defaultdict(list)
    for pk, created, state, attempts, delivered in rows:
        good = state == "delivered"
        tries[pk, "accepted"] = tries.get((pk, "accepted"), 0) + good
        failed = max(0, attempts - good - (state == "sending"))
        tries[pk, "failed"] = tries.get((pk, "failed"), 0) + failed
        if good and delivered:
            took[pk].append((delivered - created).total_seconds())
    yield _by(
        "holdfast_connection_tries", "Tries to send within the window, by result.", "result", names, tries
    )
    seconds = {(pk, str(share)): found for pk, times in took.items() for share in QUANTILES
               if (found := quantile(sorted(times), share)) is not None}  # fmt: skip
    yield _by(
        "holdfast_connection_delivery_seconds",
        "From the news to the vendor's acceptance within the window, by quantile.",
        "quantile",
        names,
        seconds,
    )
    yield _window("sent", [row[1] for row in newest], now)


def _received(names: Names, now: datetime) -> Iterator[Metric]:
    newest = list(InboxMessage.objects.order_by("-id").values_list("connection", "received_at")[:LOOKED])
    came = Counter(pk for pk, at in newest if at > now - WINDOW)
    yield _family(
        "holdfast_connection_received",
        "Messages accepted within the window.",
        names,
        {pk: came[pk] for pk in names},
    )
    yield _window("received", [at for _, at in newest], now)


def _window(direction: str, times: Sequence[datetime], now: datetime) -> Metric:
    """An hour, or less when more happened than was looked at."""
    span = WINDOW if len(times) < LOOKED else min(WINDOW, now - min(times))
    return GaugeMetricFamily(
        f"holdfast_connections_{direction}_window_seconds",
        f"How far back the figures of what was {direction} look.",
        value=max(1.0, span.total_seconds()),
    )


def _family(name: str, help: str, names: Names, values: Mapping[int, float]) -> Metric:
    family = GaugeMetricFamily(name, help, labels=LABELS)
    for pk, value in values.items():
        if pk in names:
            family.add_metric(names[pk], value)
    return family


def _by(name: str, help: str, label: str, names: Names, values: Mapping[tuple[int, str], Any]) -> Metric:
    family = GaugeMetricFamily(name, help, labels=(*LABELS, label))
    for (pk, kind), value in values.items():
        if pk in names:
            family.add_metric((*names[pk], kind), value)
    return family
