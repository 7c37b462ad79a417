"""How a running connection fares: what came and went in the last day, how fast, and what waits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from django.db.models import Count, QuerySet
from django.utils import timezone

from integrations import shelf
from integrations.models import Connection, Delivery, InboxMessage

DAY = timedelta(days=1)
#: Newest messages of each direction that are looked at: a page stays quick however much a storm brought.
LOOKED = 2000


@dataclass(frozen=True, slots=True)
class Health:
    """The last day of one connection; times in seconds, shares from 0 to 1, None where nothing happened.

    `error_rate` is the share of tries to send that failed; `p50` and `p95` the time from the news to the vendor's
    acceptance; `unreadable` the share of messages received that could not be read.
    """

    received: int
    unreadable: float | None
    sent: int
    error_rate: float | None
    p50: float | None
    p95: float | None
    waiting: int
    dead: int
    unread: int
    set_aside: int
    next_poll: datetime | None
    silent_since: datetime | None
    capped: bool  #: more happened than was looked at


def of(row: Connection, now: datetime | None = None, known: QuerySet[Delivery] | None = None) -> Health:
    """The health of one connection, as far as its deliveries are among those `known` to the reader (None: all)."""
    sent = (Delivery.objects.all() if known is None else known).filter(connection=row)
    since = (now or timezone.now()) - DAY
    inward = list(row.messages.order_by("-id").values_list("received_at", "status")[:LOOKED])
    came = [status for at, status in inward if at >= since]
    outward = list(
        sent.order_by("-id").values_list("created_at", "state", "attempts", "delivered_at")[:LOOKED]
    )
    went = [one for one in outward if one[0] >= since]
    tries = sum(attempts for _, _, attempts, _ in went)
    good = sum(state == "delivered" for _, state, _, _ in went)
    under_way = sum(state == "sending" for _, state, _, _ in went)
    took = sorted((at - made).total_seconds() for made, state, _, at in went if state == "delivered" and at)
    return Health(
        received=len(came),
        unreadable=came.count("set_aside") / len(came) if came else None,
        sent=good,
        error_rate=max(0, tries - good - under_way) / tries if tries else None,
        p50=quantile(took, 0.5),
        p95=quantile(took, 0.95),
        next_poll=row.poll_at if polled(row) and row.enabled else None,
        silent_since=row.silent_since,
        capped=len(came) == LOOKED or len(went) == LOOKED,
        **unfinished([row.pk], known)[row.pk],
    )


def unfinished(ids: list[int], known: QuerySet[Delivery] | None = None) -> dict[int, dict[str, int]]:
    """{connection: {"waiting", "dead", "set_aside", "unread"}}: rows that are not finished."""
    found: dict[int, dict[str, int]] = defaultdict(
        lambda: {"waiting": 0, "dead": 0, "set_aside": 0, "unread": 0}
    )
    out = (
        (Delivery.objects.all() if known is None else known)
        .filter(connection__in=ids, state__in=("queued", "sending", "dead"))
        .order_by()
    )
    for number, state, n in out.values_list("connection", "state").annotate(n=Count("id")):
        found[number]["dead" if state == "dead" else "waiting"] += n
    inward = InboxMessage.objects.filter(connection__in=ids, status__in=("new", "set_aside")).order_by()
    for number, status, n in inward.values_list("connection", "status").annotate(n=Count("id")):
        found[number]["unread" if status == "new" else "set_aside"] += n
    return found


def polled(row: Connection) -> bool:
    """Whether the vendor is asked for news, rather than calling by itself."""
    kind = shelf.providers().get(row.provider)
    return kind is not None and kind.polls_every is not None


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that `share` of the ordered values do not exceed (nearest rank); None without any."""
    if not ordered:
        return None
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
