"""Links to dashboards of Grafana, with the time of an incident filled in.

https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/create-dashboard-url-variables/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from integrations.context.settings import setting_of
from integrations.context.window import onset_of
from integrations.models import Connection

#: What is shown beside the incident's own time.
MARGIN = timedelta(hours=1)
#: Links shown, and alerts looked at for them.
LINKS, ALERTS = 8, 20
#: A dashboard's address: /d/<uid>/…, or of one panel (/d-solo/), below whatever path Grafana is served at.
_DASHBOARD = re.compile(r"/d(?:-solo)?/[\w-]{1,80}(?:/|$)")
_UID = re.compile(r"[\w-]{1,80}")


def links(incident: Any, base: str = "") -> list[tuple[str, str]]:
    """(title, address) of the dashboards of the incident's system and alerts, each once.

    `grafana_dashboard` of the serving settings (a uid, or a list of them) leads to the Grafana at `base`.
    """
    since, until = span(incident)
    found: dict[str, str] = {}
    for title, url in _known(incident, base):
        aimed = at_time(url, since, until)
        if aimed:
            found.setdefault(aimed, title)
    return [(title, url) for url, title in list(found.items())[:LINKS]]


def grafana_of(incident: Any) -> str:
    """The address of Grafana: of the system's connection, else of the only one."""
    rows = {row.name: row for row in Connection.objects.filter(provider="grafana", enabled=True)}
    serving = incident.system.serving if incident.system and isinstance(incident.system.serving, dict) else {}
    row = rows.get(str(serving.get("grafana_connection") or ""))
    if row is None and len(rows) == 1:
        row = next(iter(rows.values()))
    return str(row.settings.get("base_url") or "") if row is not None else ""


def span(incident: Any) -> tuple[datetime, datetime | None]:
    """From an hour before the onset to an hour after the end; None while it goes on."""
    ended = incident.mitigated_at or incident.closed_at
    return onset_of(incident) - MARGIN, ended + MARGIN if ended else None


def at_time(url: str, since: datetime, until: datetime | None) -> str:
    """The address with `from` and `to` (epoch milliseconds, or now); empty where it is no dashboard's."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _DASHBOARD.search(parts.path):
        return ""
    kept = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name not in ("from", "to")
    ]
    window = [("from", _milliseconds(since)), ("to", _milliseconds(until) if until else "now")]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode([*kept, *window]), ""))


def _known(incident: Any, base: str) -> Iterator[tuple[str, str]]:
    system = incident.system
    if system is not None:
        named = setting_of(system, "grafana_dashboard") or []
        for uid in named if isinstance(named, list) else [named]:
            if base and _UID.fullmatch(str(uid)):
                yield f"Dashboard of {system.name}", f"{base.rstrip('/')}/d/{quote(str(uid))}"
        for link in system.links.filter(kind="dashboard"):
            yield link.title, link.url
    for alert in incident.alerts.order_by("-last_seen")[:ALERTS]:
        for link in alert.links if isinstance(alert.links, list) else ():
            if isinstance(link, list) and len(link) == 2 and link[0] in ("Panel", "Dashboard"):
                yield f"{link[0]} of {alert.title}"[:120], str(link[1])


def _milliseconds(moment: datetime) -> str:
    return str(int(moment.timestamp() * 1000))
