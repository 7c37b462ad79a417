"""Pulling in context on demand: a run of the shipped playbook for it, so that it is durable, retried and on record."""

from __future__ import annotations

from typing import Any

from incidents.access import require
from playbooks import library, triggers
from playbooks.models import Run

PLAYBOOK = "pb-context"


def pull(incident: Any, *, by: Any) -> Run:
    """Ask everything that is connected about the incident; what is answered becomes evidence.

    Raises NotAllowed, and Refused while it is under way already or where its playbook was taken out of use.
    """
    require(by, "run.start", incident)
    return triggers.start(library.ensure(PLAYBOOK), incident, by=by)


def under_way(incident: Any) -> Run | None:
    """The run that is pulling now."""
    live = incident.runs.filter(playbook__slug=PLAYBOOK, state__in=Run.LIVE, part="", dry_run=False)
    found: Run | None = live.order_by("-pk").first()
    return found
