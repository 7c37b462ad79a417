"""What was changed on purpose: kept once per teller's key, found again as "what changed before"."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from incidents.models import AISystem, Change, Dataset

#: How far before an incident's onset "what changed" looks.
BEFORE = timedelta(hours=24)


def keep(
    origin: str, key: str, *, kind: str, title: str, at: datetime, system: str = "", **more: Any
) -> bool:
    """Keep one change, once per origin and key; True when it is new.

    `system` is what the teller calls the AI system: a slug or name of the inventory, or unknown. `more` takes
    `version`, `by`, `url`, `labels`, `extra`.
    """
    fields: Mapping[str, Any] = {
        "kind": kind if kind in dict(Change.KINDS) else "other",
        "title": title[:300] or "A change",
        "at": at,
        "system_name": system[:200],
        "version": str(more.get("version", ""))[:120],
        "by": str(more.get("by", ""))[:200],
        "url": str(more.get("url", ""))[:1000],
        "labels": dict(more.get("labels") or {}),
        "extra": dict(more.get("extra") or {}),
    }
    # a short look-up at most once: the same key told again must not cost a failed insert
    _, new = Change.objects.get_or_create(
        origin=origin, key=key[:255], defaults={**fields, "system": system_named(system)}
    )
    return new


def system_named(name: str) -> AISystem | None:
    """The system of the inventory that goes by this slug or name."""
    name = name.strip()
    if not name:
        return None
    return (
        AISystem.objects.filter(Q(slug__iexact=name) | Q(name__iexact=name))
        .order_by("retired_at", "pk")
        .first()
    )


def before(incident: Any, span: timedelta = BEFORE) -> QuerySet[Change]:
    """Changes from `span` before the onset (else the detection) until now that may have to do with the incident:
    of its system, of systems that share its upstream data, and those that name no known system; newest first."""
    onset = incident.onset_at or incident.detected_at
    about = Q(system=None)
    if incident.system_id:
        shared = Dataset.objects.filter(consumers=incident.system_id)
        about |= Q(system=incident.system_id) | Q(system__upstream__in=shared)
    else:
        about = Q()
    until = incident.mitigated_at or incident.closed_at
    found = Change.objects.filter(about, at__gte=onset - span).select_related("system").distinct()
    return found.filter(at__lte=until) if until else found
