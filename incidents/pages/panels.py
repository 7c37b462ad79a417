"""Panels: what upper floors show on the core's pages without the core knowing them.

`register` adds a panel to every incident's page, `register_urgent` one at its head, `register_now` one to the
start page, `register_settings` one to a person's settings, `register_system` one to a system's. A panel
returns HTML (escaped by its own template) or "" when it has nothing to say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString

from incidents.models import AISystem, Incident

log = logging.getLogger(__name__)

IncidentPanel = Callable[[HttpRequest, Incident], str]
NowPanel = Callable[[HttpRequest], str]
SystemPanel = Callable[[HttpRequest, AISystem], str]


@dataclass(frozen=True, slots=True)
class Panel:
    """A registered panel; lower `order` stands higher."""

    name: str
    render: Callable[..., str]
    order: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A rendered panel; `failed` when it could not be shown."""

    name: str
    html: SafeString
    failed: bool = False


_incident: dict[str, Panel] = {}
_urgent: dict[str, Panel] = {}
_now: dict[str, Panel] = {}
_settings: dict[str, Panel] = {}
_system: dict[str, Panel] = {}


def register(name: str, render: IncidentPanel, order: int = 50) -> None:
    """Show `render(request, incident)` on each incident's page. The same name replaces."""
    _incident[name] = Panel(name, render, order)


def register_urgent(name: str, render: IncidentPanel, order: int = 50) -> None:
    """Show `render(request, incident)` at the head of each incident's page: what somebody has to answer."""
    _urgent[name] = Panel(name, render, order)


def register_now(name: str, render: NowPanel, order: int = 50) -> None:
    """Show `render(request)` on the start page. The same name replaces."""
    _now[name] = Panel(name, render, order)


def register_settings(name: str, render: NowPanel, order: int = 50) -> None:
    """Show `render(request)` among a person's own settings. The same name replaces."""
    _settings[name] = Panel(name, render, order)


def register_system(name: str, render: SystemPanel, order: int = 50) -> None:
    """Show `render(request, system)` among who is responsible on each system's page. The same name replaces."""
    _system[name] = Panel(name, render, order)


def of_system(request: HttpRequest, system: AISystem) -> list[Shown]:
    """What upper floors say about who is responsible for a system."""
    return _shown(_system, request, system)


def of_incident(request: HttpRequest, incident: Incident) -> list[Shown]:
    """The panels of one incident's page that have something to say."""
    return _shown(_incident, request, incident)


def urgent_of(request: HttpRequest, incident: Incident) -> list[Shown]:
    """What somebody has to answer on one incident."""
    return _shown(_urgent, request, incident)


def of_now(request: HttpRequest) -> list[Shown]:
    """The panels of the start page that have something to say."""
    return _shown(_now, request)


def of_settings(request: HttpRequest) -> list[Shown]:
    """The panels of a person's settings."""
    return _shown(_settings, request)


def _shown(panels: dict[str, Panel], *given: Any) -> list[Shown]:
    found = []
    for panel in sorted(panels.values(), key=lambda p: (p.order, p.name)):
        try:
            with transaction.atomic():
                html = conditional_escape(panel.render(*given))
        except Exception:
            log.exception("The panel %s could not be shown", panel.name)
            found.append(Shown(panel.name, SafeString(""), failed=True))
            continue
        if html.strip():
            found.append(Shown(panel.name, html))
    return found
