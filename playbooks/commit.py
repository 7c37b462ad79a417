# ruff: noqa: S608 - statements are put together from the column names of models; values are parameters
"""One statement for the commonest commit: the run under its fence, a step's end, the next step, what is told.

On PostgreSQL that is one round trip where statement after statement needs six. Every part takes its row from the
fenced update of the run: when the fence has moved on, that finds none and nothing at all is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from django.db import connection

from incidents.models import Event
from playbooks import raw
from playbooks.models import Run, Step

#: What a step that begins has nothing in yet, and how that is written: psycopg reads a statement with more than
#: 50 parameters anew each time.
EMPTY: dict[str, tuple[Any, str]] = {
    **{name: ({}, "'{}'::jsonb") for name in ("inputs", "outputs", "memory", "verified")},
    **dict.fromkeys(("phase", "verdict", "summary", "error"), ("", "''")),
    **dict.fromkeys(("wake_at", "ended_at", "actor_id"), (None, "NULL")),
    "evidence": ([], "'[]'::jsonb"),
}
TOLD = ("incident", "kind", "at", "recorded_at", "actor", "text", "data")


def write(
    run: Run,
    fence: int,
    fields: Mapping[str, Any],
    *,
    states: Sequence[str],
    settled: tuple[Step, Sequence[str]] | None = None,
    ahead: Step | None = None,
    told: Sequence[Event] = (),
) -> bool:
    """Write the run's `fields`, the named fields of the settled step, the step ahead and the events, all of them
    or nothing. False, and nothing written, when the run's fence or state is another one.

    Raises django.db.DatabaseError. The step ahead is given its id.
    """
    names = tuple(settled[1]) if settled else ()
    values = [*raw.values(Run, tuple(fields), fields.values()), run.pk, fence, list(states)]
    if settled and names:
        row = settled[0]
        values += [
            *raw.values(Step, names, (getattr(row, raw.field(Step, name).attname) for name in names)),
            row.pk,
        ]
    given = None if ahead is None else tuple(name for name in _insertable() if not _is_empty(ahead, name))
    if given is not None:
        values += raw.values(Step, given, (getattr(ahead, name) for name in given))
    for event in told:
        values += raw.values(Event, TOLD, (getattr(event, raw.field(Event, name).attname) for name in TOLD))
    ours, id = raw.fetch_one(_statement(tuple(fields), names, given, len(told)), values) or (
        0,
        None,
    )
    if ahead is not None and ours:
        ahead.pk = id
        ahead._state.adding, ahead._state.db = False, connection.alias
    return bool(ours)


def _is_empty(row: Step, name: str) -> bool:
    return name in EMPTY and getattr(row, name) == EMPTY[name][0]


@lru_cache(maxsize=256)
def _statement(
    fields: tuple[str, ...], settled: tuple[str, ...], given: tuple[str, ...] | None, told: int
) -> str:
    run, step, event = (model._meta.db_table for model in (Run, Step, Event))
    parts = [
        f"run AS (UPDATE {run} SET {raw.assigned(Run, fields)} "
        "WHERE id = %s AND fence = %s AND state = ANY(%s::text[]) RETURNING id)"
    ]
    if settled:
        parts.append(
            f"settled AS (UPDATE {step} SET {raw.assigned(Step, settled)} FROM run "
            f"WHERE {step}.id = %s AND {step}.run_id = run.id)"
        )
    if given is not None:
        empty = tuple(name for name in _insertable() if name not in given)
        names = raw.columns(Step, (*given, *empty))
        found = ", ".join((raw.marks(Step, given), *(EMPTY[name][1] for name in empty)))
        parts.append(f"ahead AS (INSERT INTO {step} ({names}) SELECT {found} FROM run RETURNING id)")
    if told:
        rows = ", ".join(f"({at}, {raw.marks(Event, TOLD)})" for at in range(told))
        columns = raw.columns(Event, TOLD)
        parts.append(
            f"told AS (INSERT INTO {event} ({columns}) SELECT {columns} FROM run, "
            f"(VALUES {rows}) AS said (turn, {columns}) ORDER BY turn)"
        )
    id = "NULL" if given is None else "(SELECT id FROM ahead)"
    return f"WITH {', '.join(parts)} SELECT (SELECT count(*) FROM run), {id}"


@lru_cache(maxsize=1)
def _insertable() -> tuple[str, ...]:
    return tuple(field.attname for field in Step._meta.concrete_fields if not field.primary_key)
