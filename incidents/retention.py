"""How long content is kept: kinds, what of them may go, and the sweep that removes it in batches.

Truth stays: incidents, their timelines, assessments, decisions about runs and the hashes of what was kept are never
removed. What an open incident or an evidence hold needs stays whatever the days say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from incidents import lifecycle
from incidents.models import Alert, Event, Evidence, Incident, Retention

#: Rows per transaction; batches per kind and call. The next call takes the rest.
BATCH, BATCHES = 500, 4
#: How long a kind rests once nothing of it is left to remove.
PAUSE = timedelta(hours=1)
#: The AI Act's least for logs of high-risk systems (Art. 19 and 26(6)): six months.
SIX_MONTHS = 183


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that is kept for some time. `due(before)` are the rows that may go, `remove(ids)` removes them in
    the caller's transaction; `least` days are kept in any case."""

    slug: str
    title: str
    says: str
    due: Callable[[datetime], QuerySet[Any]]
    remove: Callable[[Sequence[int]], None]
    least: int = 1


KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Make a kind known; upper floors register theirs. The same slug replaces."""
    KINDS[kind.slug] = kind


def rows() -> list[Retention]:
    """One row per known kind, made where it is missing."""
    there = {row.kind: row for row in Retention.objects.filter(kind__in=KINDS)}
    for slug in KINDS:
        if slug not in there:
            there[slug] = Retention.objects.get_or_create(kind=slug)[0]
    return [there[slug] for slug in KINDS]


def due_count(kind: Kind, days: int) -> int:
    """How many rows may go now if this kind is kept for `days`."""
    return kind.due(timezone.now() - timedelta(days=max(days, kind.least))).count()


def sweep(now: datetime | None = None) -> int:
    """Remove what is older than its days; how many rows. Safe with many workers: a kind is claimed before it is
    looked through, and a batch is a transaction of its own."""
    moment = now or timezone.now()
    removed = 0
    rested = Q(swept_at=None) | Q(swept_at__lte=moment - PAUSE)
    for row in Retention.objects.exclude(days=None).filter(rested, kind__in=KINDS):
        claimed = Retention.objects.filter(pk=row.pk, swept_at=row.swept_at).update(swept_at=moment)
        if claimed:
            removed += _sweep(row, moment)
    return removed


def _sweep(row: Retention, moment: datetime) -> int:
    kind, count = KINDS[row.kind], 0
    before = moment - timedelta(days=max(row.days or 0, kind.least))
    for _ in range(BATCHES):
        with transaction.atomic():
            locked = kind.due(before).order_by("pk").select_for_update(skip_locked=True, of=("self",))
            ids = list(locked.values_list("pk", flat=True)[:BATCH])
            if ids:
                kind.remove(ids)
                count += len(ids)
                Retention.objects.filter(pk=row.pk).update(removed=F("removed") + len(ids))
        if len(ids) < BATCH:
            break
    else:
        Retention.objects.filter(pk=row.pk).update(swept_at=row.swept_at)  # more is left: come again at once
    if count:
        Event.objects.create(
            kind="retention.removed", at=moment, actor="sweeper",
            text=f"{kind.title}: {count:,} older than {row.days} days removed.",
            data={"kind": row.kind, "count": count, "before": before.isoformat()},
        )  # fmt: skip
    return count


def finished(before: datetime) -> Q:
    """Of rows with an `incident`: it is over since before then, and no evidence hold lies on it."""
    over = Q(incident__closed_at__lt=before) | Q(incident__updated_at__lt=before, incident__closed_at=None)
    open_ones = Q(incident__state__in=lifecycle.OPEN)
    return ~open_ones & over & Q(incident__evidence_hold=False)


def _alerts(before: datetime) -> QuerySet[Alert]:
    resting = Alert.objects.filter(status="resolved", last_seen__lt=before)
    over = Incident.objects.exclude(state__in=lifecycle.OPEN).filter(
        evidence_hold=False, updated_at__lt=before
    )
    return resting.filter(Q(incident=None) | Q(incident__in=over.order_by().values("pk")))


def _remove_alerts(ids: Sequence[int]) -> None:
    Alert.objects.filter(pk__in=ids).delete()


def _evidence(before: datetime) -> QuerySet[Evidence]:
    return Evidence.objects.filter(finished(before), at__lt=before)


def _remove_evidence(ids: Sequence[int]) -> None:
    """Their incidents' timelines keep what each was: name and hash."""
    kept: dict[int, list[dict[str, str]]] = defaultdict(list)
    for pk, name, sha256 in Evidence.objects.filter(pk__in=ids).values_list("incident", "name", "sha256"):
        kept[pk].append({"name": name, "sha256": sha256})
    for incident in Incident.objects.filter(pk__in=kept):
        gone = kept[incident.pk]
        incident.record(
            "evidence.removed", text=f"{len(gone)} pieces of evidence removed: their time of retention is over.",
            actor="sweeper", data={"removed": gone},
        )  # fmt: skip
    # the model's own delete() refuses: only retention removes evidence
    Evidence.objects.filter(pk__in=ids).delete()


register(Kind(
    "alerts", "Resolved alerts",
    "Alerts that are resolved, and whose incident (if any) is over. Their incident, its counts and its timeline stay.",
    _alerts, _remove_alerts, least=30,
))  # fmt: skip
register(Kind(
    "evidence", "Evidence",
    "Files, plots and snapshots of incidents that are over. Names and hashes stay on the timeline; nothing under an "
    f"evidence hold goes. At least {SIX_MONTHS} days, as the AI Act asks for logs of high-risk systems.",
    _evidence, _remove_evidence, least=SIX_MONTHS,
))  # fmt: skip
