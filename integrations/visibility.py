"""What a person may know of what went to outside systems and came back (incidents: `incidents.access.visible`)."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from incidents.access import seeing
from incidents.models import User
from integrations.models import Connection, Delivery


def visible_deliveries(user: User) -> QuerySet[Delivery]:
    """Deliveries that the user may know of: none about restricted incidents that they may not see."""
    rows = Delivery.objects.all()
    rule = seeing(user, "incident__")
    if rule is None:
        return rows
    return rows.filter(Q(incident=None) | Q(incident__restricted=False) | rule)


def visible_acts(user: User, row: Connection) -> QuerySet[Any]:
    """What was done at the connection's tool, the same way."""
    rows = row.acts.select_related("incident")
    rule = seeing(user, "incident__")
    if rule is None:
        return rows
    return rows.filter(Q(incident=None) | Q(incident__restricted=False) | rule)
