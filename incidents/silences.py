"""Silences: messages about matching alerts wait, state does not; what still fires is told again after."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from incidents import lifecycle
from incidents.access import require
from incidents.intake import store
from incidents.intake.catalogue import Catalogue, Inventory, silences_in_force
from incidents.matchers import any_line_matches
from incidents.models import Alert, Event, Incident, Silence
from incidents.wake import wake

#: Firing alerts looked at in one go when a silence begins.
CHUNK = 2_000


def create(
    *, matchers: str, reason: str, ends_at: datetime, by: Any, starts_at: datetime | None = None, now: datetime | None = None
) -> Silence:  # fmt: skip
    """Mute messages about matching alerts until `ends_at`, also of alerts that fire already.

    Raises NotAllowed, or ValidationError (unreadable or empty matchers, no reason, an end before the start).
    """
    require(by, "silence.create")
    moment = now or timezone.now()
    silence = Silence(
        matchers=matchers, reason=reason, starts_at=starts_at or moment, ends_at=ends_at, created_by=by
    )
    silence.full_clean()
    with transaction.atomic():
        silence.save()
        muted = _cover(silence, moment) if silence.starts_at <= moment else 0
        _tell(
            None, "silence.created", f"{by} silenced {matchers} until {ends_at:%Y-%m-%d %H:%M} UTC: {reason}", moment,
            {"silence": silence.pk, "alerts": muted, "announce": False}, by,
        )  # fmt: skip
    return silence


def expire(silence: Silence, *, by: Any, now: datetime | None = None) -> None:
    """End a silence now. What still fires is told again. Raises NotAllowed."""
    require(by, "silence.create")
    moment = now or timezone.now()
    with transaction.atomic():
        row = Silence.objects.select_for_update(no_key=True).get(pk=silence.pk)
        if row.ended_handled_at is not None:
            return
        if row.starts_at >= moment:  # it never began: there is nothing to tell
            row.delete()
            return
        row.ends_at = min(row.ends_at, moment)
        row.save(update_fields=["ends_at"])
        _end(row, moment, by)
        silence.ends_at, silence.ended_handled_at = row.ends_at, row.ended_handled_at


def expire_due(now: datetime | None = None) -> int:
    """Act on silences that ran out; the sweeper calls it. Returns how many. Safe with many workers."""
    moment = now or timezone.now()
    with transaction.atomic():
        due = Silence.objects.select_for_update(skip_locked=True, no_key=True).filter(
            ended_handled_at=None, ends_at__lte=moment
        )
        rows = list(due.order_by("id")[:50])
        for row in rows:
            _end(row, moment, None)
    return len(rows)


def _cover(silence: Silence, now: datetime) -> int:
    """Put the silence on alerts that fire already; returns how many."""
    covered: list[tuple[str, int]] = []
    incidents: set[int] = set()
    firing = Alert.objects.filter(status="firing").exclude(live_key=None).select_related("system")
    for alert in firing.order_by("pk").iterator(chunk_size=CHUNK):
        if any_line_matches(silence.matchers, labels_of(alert)):
            covered.append((alert.live_key or "", alert.pk))
            if alert.incident_id:
                incidents.add(alert.incident_id)
    covered.sort()
    for start in range(0, len(covered), CHUNK):
        ids = [pk for _, pk in covered[start : start + CHUNK]]
        rows = Alert.objects.select_for_update(no_key=True).filter(pk__in=ids)
        list(rows.order_by(store.lock_order()).values_list("pk"))
        Alert.objects.filter(pk__in=ids).update(silence=silence)
    _mute(incidents, now)
    return len(covered)


def _end(silence: Silence, now: datetime, by: Any) -> None:
    """Clear the silence from its alerts; each incident that is no longer muted is told again."""
    silence.ended_handled_at = now
    silence.save(update_fields=["ended_handled_at"])
    rest = Catalogue(Inventory(()), (), tuple(s for s in silences_in_force(now) if s.id != silence.pk))
    loud: list[Alert] = []
    told: dict[int, list[int]] = defaultdict(list)
    alerts = (
        Alert.objects.select_for_update(of=("self",), no_key=True)
        .filter(silence=silence)
        .select_related("system")
    )
    for alert in alerts.order_by(store.lock_order(), "pk"):
        other = rest.silence_for(labels_of(alert)) if alert.status == "firing" else None
        if other is not None:
            Alert.objects.filter(pk=alert.pk).update(silence=other.id)
            continue
        loud.append(alert)
        if alert.status == "firing" and alert.incident_id:
            told[alert.incident_id].append(alert.pk)
    Alert.objects.filter(pk__in=[a.pk for a in loud]).update(silence=None)
    muted = _mute({a.incident_id for a in loud if a.incident_id}, now)
    open_ones = Incident.objects.filter(pk__in=told, state__in=lifecycle.OPEN).values_list("pk", flat=True)
    for pk in sorted(open_ones):
        if muted.get(pk) is None:
            _tell(
                pk, "silence.ended", f"The silence “{silence.reason}” is over and the incident still fires.", now,
                {"silence": silence.pk, "alerts": len(told[pk]), "alert_ids": told[pk][:20], "announce": True}, by,
            )  # fmt: skip
    _tell(
        None, "silence.over", f"The silence “{silence.reason}” is over.", now,
        {"silence": silence.pk, "incidents": len(told), "announce": False}, by,
    )  # fmt: skip


def _mute(incidents: set[int], now: datetime) -> dict[int, datetime | None]:
    """Set muted_until of the incidents to what their firing alerts give; returns it."""
    if not incidents:
        return {}
    list(
        Incident.objects.select_for_update(no_key=True)
        .filter(pk__in=incidents)
        .order_by("pk")
        .values_list("pk")
    )
    found = store.silenced_until(incidents, now)
    for pk, until in sorted(found.items()):
        Incident.objects.filter(~Q(muted_until=until) if until else ~Q(muted_until=None), pk=pk).update(
            muted_until=until, updated_at=now
        )
    return found


def labels_of(alert: Alert) -> dict[str, str]:
    """What a silence's matchers see of an alert that is kept, the same as intake shows them of a signal."""
    said = {
        "env": alert.env, "source": alert.source, "family": alert.family, "level": alert.level,
        "system": alert.system.slug if alert.system else alert.system_name, "dataset": alert.dataset,
        "metric": alert.metric, "feature": alert.feature, "segment": alert.segment, "version": alert.version,
    }  # fmt: skip
    return {**alert.labels, **{name: value for name, value in said.items() if value}}


def _tell(incident: int | None, kind: str, text: str, at: datetime, data: dict[str, Any], by: Any) -> None:
    Event.objects.create(
        incident_id=incident, kind=kind, text=text, at=at, recorded_at=at, by=by, actor="" if by else "sweeper", data=data
    )  # fmt: skip
    wake("outbox")
