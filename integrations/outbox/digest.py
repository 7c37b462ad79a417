"""A backlog told as one message: many small news to one place under a storm become a list."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from integrations import shelf
from integrations.models import Delivery

#: Waiting for one place, from which a list is better reading than a flood, and how many a list takes in.
FROM, MOST = 10, 100
#: What may be told in a list. Approvals, escalations and pages are always told alone.
KINDS = ("opened", "updated", "acknowledged", "mitigated", "resolved", "closed", "notice", "comment")
#: The most severe that may be told in a list.
SEVERITY = 3


def gather(delivery: Delivery, now: datetime) -> None:
    """Take into `delivery`, which is claimed in the caller's transaction, what waits for the same place and may
    be told with it. Those are cancelled, saying where they were told."""
    if (
        not _may(delivery.kind, delivery.announcement)
        or not shelf.provider(delivery.connection.provider).digests
    ):
        return
    waiting = Delivery.objects.filter(
        connection=delivery.connection, place=delivery.place, state="queued", attempts=0, kind__in=KINDS
    ).exclude(pk=delivery.pk)
    others = [one for one in waiting.order_by("id")[:MOST] if _may(one.kind, one.announcement)]
    if len(others) < FROM:
        return
    delivery.announcement = _list([delivery, *others])
    Delivery.objects.filter(pk=delivery.pk).update(announcement=delivery.announcement)
    Delivery.objects.filter(pk__in=[one.pk for one in others], state="queued").update(
        state="cancelled", last_error=f"Told in one list with others: delivery {delivery.pk}."
    )


def _may(kind: str, told: dict[str, Any]) -> bool:
    return kind in KINDS and int(told.get("severity", 5)) >= SEVERITY


def _list(deliveries: list[Delivery]) -> dict[str, Any]:
    """One notice about them all, in the form of a stored announcement."""
    first = deliveries[0].announcement
    incidents = {one.announcement.get("incident_key") for one in deliveries} - {""}
    lines = [
        f"{told.get('incident_key') or '–'} SEV{told.get('severity')} {one.kind}: {told.get('title', '')}"
        for one in deliveries
        for told in (one.announcement,)
    ]
    return {
        **first, "kind": "notice", "title": f"{len(deliveries)} news of {len(incidents)} incidents",
        "text": "\n".join(lines), "incident_key": "", "state": "", "system": "", "version": "", "owner": "",
        "severity": min(int(one.announcement.get("severity", 5)) for one in deliveries),
        "facts": [], "links": [], "actions": [], "url": first.get("url", "").split("/incidents/")[0] + "/incidents/",
    }  # fmt: skip
