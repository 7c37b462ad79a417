# ruff: noqa: S608 - statements are put together from the column names of models; values are parameters
"""Takes a run under a lease, and reads it with all that its steps need to know."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db import models
from django.db.models import F, Q

from incidents.models import AISystem, Incident, User
from playbooks import raw
from playbooks.models import Playbook, PlaybookVersion, Run

WORKABLE = ("queued", "running", "waiting", "asking")
#: What is read beside the run, by the name it has in the statement; a version's text is read by who needs it.
BESIDE: dict[str, type[models.Model]] = {
    "version": PlaybookVersion, "playbook": Playbook, "incident": Incident, "system": AISystem, "owner": User,
}  # fmt: skip
UNREAD = {"source", "frozen"}


def claim(run_id: int, owner: str, now: datetime, until: datetime) -> Run | None:
    """The run, when it was free and is now leased to `owner` until then; its fence has grown. None otherwise.

    A lease that ends later than anybody would take one says that the clock went back: it counts as run out.
    """
    absurd = now + 2 * (until - now)
    if raw.possible():
        return _at_once(run_id, owner, now, until, absurd)
    claimed = (
        Run.objects.filter(pk=run_id, state__in=WORKABLE)
        .filter(Q(lease_until=None) | Q(lease_until__lte=now) | Q(lease_until__gt=absurd))
        .update(lease_owner=owner, lease_until=until, wake_at=until, fence=F("fence") + 1, state="running")
    )
    if not claimed:
        return None
    mine = (
        Run.objects.select_related("version__playbook", "incident__system", "incident__owner")
        .defer("version__source", "version__frozen")
        .filter(pk=run_id, lease_owner=owner)
        .order_by()  # sorting one row costs a fifth of putting the statement together
    )
    return next(iter(mine), None)


def _at_once(run_id: int, owner: str, now: datetime, until: datetime, absurd: datetime) -> Run | None:
    row = raw.fetch_one(_statement(), [owner, until, until, run_id, list(WORKABLE), now, absurd])
    if row is None:
        return None
    found: dict[str, Any] = {}
    at = 0
    models_read: dict[str, type[models.Model]] = {"run": Run, **BESIDE}
    for name, model in models_read.items():
        names = _read(model)
        values = row[at : at + len(names)]
        at += len(names)
        found[name] = raw.build(model, names, values) if values[0] is not None else None
    run: Run = found["run"]
    run.version, run.incident = found["version"], found["incident"]
    run.version.playbook = found["playbook"]
    run.incident.system, run.incident.owner = found["system"], found["owner"]
    return run


@lru_cache(maxsize=1)
def _statement() -> str:
    tables = {name: model._meta.db_table for name, model in BESIDE.items()}
    columns = [raw.columns(Run, _read(Run), "run")]
    columns += [raw.columns(model, _read(model), name) for name, model in BESIDE.items()]
    return (
        f"WITH run AS (UPDATE {Run._meta.db_table} SET lease_owner = %s, lease_until = %s, wake_at = %s, "
        "fence = fence + 1, state = 'running' WHERE id = %s AND state = ANY(%s::text[]) "
        "AND (lease_until IS NULL OR lease_until <= %s OR lease_until > %s) RETURNING *) "
        f"SELECT {', '.join(columns)} FROM run "
        f"JOIN {tables['version']} version ON version.id = run.version_id "
        f"JOIN {tables['playbook']} playbook ON playbook.id = version.playbook_id "
        f"JOIN {tables['incident']} incident ON incident.id = run.incident_id "
        f"LEFT JOIN {tables['system']} system ON system.id = incident.system_id "
        f'LEFT JOIN {tables["owner"]} "owner" ON "owner".id = incident.owner_id'
    )


@lru_cache(maxsize=16)
def _read(model: type[models.Model]) -> tuple[str, ...]:
    """The attributes read of a model, its key first."""
    fields = [one for one in model._meta.concrete_fields if one.name not in UNREAD]
    return tuple(one.attname for one in sorted(fields, key=lambda one: not one.primary_key))
