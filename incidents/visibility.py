"""What a person may see of what hangs on incidents, of alerts and of systems (incidents: `access.visible`)."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from incidents.access import RIGHTS, can, visible
from incidents.models import AISystem, Alert, Incident


def seen_incidents(user: Any) -> QuerySet[Any, Any]:
    """Ids of the incidents that the user may see, as a subquery for what hangs on them."""
    return visible(user, Incident.objects.all()).order_by().values("pk")


def visible_alerts(user: Any) -> QuerySet[Alert]:
    """Alerts of incidents that the user sees, and unattached ones for those who see incidents."""
    seen = seen_incidents(user)
    attached = Q(incident__in=seen)
    if can(user, "incident.see"):
        return Alert.objects.filter(attached | Q(incident=None))
    return Alert.objects.filter(attached | Q(incident=None, system__in=_granted(user)))


def visible_systems(user: Any) -> QuerySet[AISystem]:
    """The whole inventory, or the systems on which the user holds a role that sees incidents."""
    if can(user, "incident.see") or can(user, "system.edit"):
        return AISystem.objects.all()
    return AISystem.objects.filter(pk__in=_granted(user))


def _granted(user: Any) -> QuerySet[Any, Any]:
    grants = user.grants.filter(role__in=RIGHTS["incident.see"]).exclude(system=None)
    return grants.values("system_id")
