"""The demo's connections and routes: three doors in, and recorders outside that answer like the vendors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.demo import gateway
from config.demo.world import GATEWAY
from incidents.models import User
from integrations.connecting import connect
from integrations.models import Connection, RemoteLink, Route

#: connection → provider, settings with {base} and {token}
OUTSIDE: dict[str, tuple[str, dict[str, Any]]] = {
    GATEWAY: ("gateway", {"base_url": "{base}/demo/gateway", "token": "{token}"}),
    "Demo Slack (recorder)": (
        "slack", {"bot_token": "{token}", "channel": "ai-incidents", "base_url": "{base}/demo/slack/api"},
    ),
    "Demo Slack of the former team (recorder)": (
        "slack", {"bot_token": "{token}", "channel": "moved-away", "base_url": "{base}/demo/slack/api"},
    ),
    "Demo PagerDuty (recorder)": ("pagerduty", {"routing_key": "{token}", "base_url": "{base}/demo/pagerduty"}),
    "Demo PagerDuty in maintenance (recorder)": ("pagerduty", {"routing_key": "{token}", "base_url": "{base}/demo/busy"}),
    "Demo Jira (recorder)": (
        "jira",
        {"site": "{base}/demo/jira", "email": "holdfast@example.org", "api_token": "{token}", "project": "ML",
         "priorities": {"1": "Highest", "2": "High", "3": "Medium"}},
    ),
}  # fmt: skip
#: name → connection, kinds, matchers
ROUTES: dict[str, tuple[str, list[str], str]] = {
    "Channel of all AI incidents": ("Demo Slack (recorder)", [], ""),
    "Page for SEV1 and SEV2": ("Demo PagerDuty (recorder)", [], 'severity=~"[12]"'),
    "Restricted SEV1 pages security": ("Demo PagerDuty (recorder)", [], 'severity="1",restricted="true"'),
    "Issue for SEV1 to SEV3": ("Demo Jira (recorder)", [], 'severity=~"[123]"'),
}
LATE_ROUTES: dict[str, tuple[str, list[str], str]] = {
    "Former team, support assistant": (
        "Demo Slack of the former team (recorder)",
        ["opened"],
        'system="support-bot"',
    ),
    "Vendor in maintenance": (
        "Demo PagerDuty in maintenance (recorder)",
        ["opened"],
        'system="demand-forecast"',
    ),
}


@dataclass(frozen=True)
class Doors:
    """Inbound paths by provider."""

    alertmanager: str
    generic: str
    cloudevents: str


def open_all(base: str, token: str, by: User) -> Doors:
    """Make all connections and the routes to them."""
    for name, (provider, raw) in OUTSIDE.items():
        connect(provider, name, _filled(raw, base, token), by=by)
    add_routes(ROUTES)
    doors = {}
    for provider, name in (
        ("alertmanager", "Prometheus Alertmanager"), ("generic", "Model monitors (JSON)"), ("cloudevents", "Pipelines (CloudEvents)"),
    ):  # fmt: skip
        made = connect(provider, name, {}, by=by)
        assert made.url is not None  # it was made just now
        doors[provider] = made.url[made.url.index("/inbound/") :]
    return Doors(**doors)


def add_routes(routes: dict[str, tuple[str, list[str], str]]) -> None:
    for position, (name, (connection, kinds, matchers)) in enumerate(routes.items(), start=1):
        Route.objects.create(
            name=name,
            connection=Connection.objects.get(name=connection),
            kinds=kinds,
            matchers=matchers,
            position=10 * position,
        )


def move_to(base: str, former: str) -> None:
    """The server that hosts the recorders has another address now: connections and links follow it."""
    if base == former:
        return
    for row in Connection.objects.filter(name__in=OUTSIDE):
        row.settings = {
            name: value.replace(former, base, 1)
            if isinstance(value, str) and value.startswith(f"{former}/demo/")
            else value
            for name, value in row.settings.items()
        }
        row.save(update_fields=["settings"])
    for link in RemoteLink.objects.filter(url__startswith=f"{former}/demo/"):
        link.url = link.url.replace(former, base, 1)
        link.save(update_fields=["url"])


def follow(folder: Path, base: str) -> None:
    """The demo's server listens at `base` from now on: its connections to itself follow."""
    known = gateway.marker(folder)
    if known is not None and known["base"] != base:
        move_to(base, known["base"])
        gateway.mark(folder, {**known, "base": base})


def _filled(raw: dict[str, Any], base: str, token: str) -> dict[str, Any]:
    return {
        name: value.replace("{base}", base).replace("{token}", token) if isinstance(value, str) else value
        for name, value in raw.items()
    }
