"""What a person may see of what hangs on incidents, of alerts and of systems (incidents: `access.visible`)."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet

from incidents.access import RIGHTS, can, seeing, visible
from incidents.models import AISystem, Alert, Incident

Row = TypeVar("Row", bound=Model)


def seen_incidents(user: Any) -> QuerySet[Any, Any]:
    """Ids of the incidents that the user may see, as a subquery for what hangs on them."""
    return visible(user, Incident.objects.all()).order_by().values("pk")


def about_seen(rows: QuerySet[Row], user: Any, *, or_none: bool = False) -> QuerySet[Row]:
    """Those of `rows` whose `incident` the user may see; with `or_none` also those about none."""
    rule = seeing(user, "incident__")
    if rule is not None:
        return rows.filter(rule | Q(incident=None) if or_none else rule)
    return rows if or_none else rows.filter(incident__isnull=False)


def visible_alerts(user: Any) -> QuerySet[Alert]:
    """Alerts of incidents that the user sees, and unattached ones for those who see incidents."""
    if can(user, "incident.see"):
        return about_seen(Alert.objects.all(), user, or_none=True)
    loose = Q(incident=None, system__in=_granted(user))
    rule = seeing(user, "incident__")
    return Alert.objects.all() if rule is None else Alert.objects.filter(rule | loose)


def visible_systems(user: Any) -> QuerySet[AISystem]:
    """The whole inventory, or the systems on which the user holds a role that sees incidents."""
    if can(user, "incident.see") or can(user, "system.edit"):
        return AISystem.objects.all()
    return AISystem.objects.filter(pk__in=_granted(user))


def _granted(user: Any) -> QuerySet[Any, Any]:
    grants = user.grants.filter(role__in=RIGHTS["incident.see"]).exclude(system=None)
    return grants.values("system_id")
