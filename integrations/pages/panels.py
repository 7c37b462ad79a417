"""What the roof shows on the core's pages: who was told about an incident, and connections in trouble."""

from __future__ import annotations

from django.db.models import F, Q
from django.http import HttpRequest
from django.template.loader import render_to_string

from incidents.access import can
from incidents.models import AISystem, Incident
from incidents.pages.door import me
from integrations import duty
from integrations.models import InboxMessage
from integrations.pages.connections import light
from integrations.pages.deliveries import of_user

SHOWN = 6


def incident_panel(request: HttpRequest, incident: Incident) -> str:
    """Where the incident lives outside, and the newest messages about it; "" when there are none."""
    links = list(incident.remote_links.select_related("connection").defer("connection__settings"))
    rows = incident.deliveries.select_related("connection").defer(
        "connection__settings", "announcement", "transcript"
    )
    sent = list(rows[: SHOWN + 1])
    if not links and not sent:
        return ""
    context = {
        "links": links, "sent": sent[:SHOWN], "more": len(sent) > SHOWN, "opens": can(me(request), "config.see")
    }  # fmt: skip
    return render_to_string("integrations/parts/incident_panel.html", context, request)


def now_panel(request: HttpRequest) -> str:
    """Failing connections, dead letters and messages set aside; "" when all is well or not theirs."""
    user = me(request)
    if not can(user, "config.see"):
        return ""
    failing = list(
        light()
        .filter(enabled=True)
        .exclude(last_error_at=None)
        .exclude(last_success_at__gt=F("last_error_at"))
        .exclude(Q(last_received_at__isnull=False) & Q(last_received_at__gt=F("last_error_at")))[:SHOWN]
    )
    dead = of_user(user).filter(state="dead").count()
    aside = InboxMessage.objects.filter(status="set_aside").count()
    if not failing and not dead and not aside:
        return ""
    context = {"failing": failing, "dead": dead, "aside": aside}
    return render_to_string("integrations/parts/now_panel.html", context, request)


def system_panel(request: HttpRequest, system: AISystem) -> str:
    """Whom the paging tools that hear of the system would page now; "" when there are none."""
    told = duty.for_system(system)
    return render_to_string("integrations/parts/duty.html", {"told": told}, request) if told else ""
