# ruff: noqa: S608 - statements are put together from the column names of models; values are parameters
"""One statement for the commonest commit: the run under its fence, a step's end, the next step, what is told.

On PostgreSQL that is one round trip where statement after statement needs six. Every part takes its row from the
fenced update of the run: when the fence has moved on, that finds none and nothing at all is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from django.db import connection, models

from incidents.models import Event
from playbooks.models import Run, Step

TOLD = ("incident", "kind", "at", "recorded_at", "actor", "text", "data")


def possible() -> bool:
    """Whether this database changes several tables in one statement."""
    return connection.vendor == "postgresql"


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
    values = [*_values(Run, tuple(fields), fields.values()), run.pk, fence, list(states)]
    if settled:
        row = settled[0]
        values += [
            *_values(Step, names, (getattr(row, _field(Step, name).attname) for name in names)),
            row.pk,
        ]
    if ahead is not None:
        values += _values(Step, _insertable(), (getattr(ahead, name) for name in _insertable()))
    for event in told:
        values += _values(Event, TOLD, (getattr(event, _field(Event, name).attname) for name in TOLD))
    with connection.cursor() as cursor:
        cursor.execute(_statement(tuple(fields), names, ahead is not None, len(told)), values)
        ours, id = cursor.fetchone()
    if ahead is not None and ours:
        ahead.pk = id
        ahead._state.adding, ahead._state.db = False, connection.alias
    return bool(ours)


@lru_cache(maxsize=256)
def _statement(fields: tuple[str, ...], settled: tuple[str, ...], ahead: bool, told: int) -> str:
    run, step, event = (model._meta.db_table for model in (Run, Step, Event))
    parts = [
        f"run AS (UPDATE {run} SET {_assigned(Run, fields)} "
        "WHERE id = %s AND fence = %s AND state = ANY(%s) RETURNING id)"
    ]
    if settled:
        parts.append(
            f"settled AS (UPDATE {step} SET {_assigned(Step, settled)} FROM run "
            f"WHERE {step}.id = %s AND {step}.run_id = run.id)"
        )
    if ahead:
        names = _insertable()
        parts.append(
            f"ahead AS (INSERT INTO {step} ({_columns(Step, names)}) SELECT {_marks(len(names))} FROM run RETURNING id)"
        )
    if told:
        rows = ", ".join(f"({at}, {_marks(len(TOLD))})" for at in range(told))
        columns = _columns(Event, TOLD)
        parts.append(
            f"told AS (INSERT INTO {event} ({columns}) SELECT {columns} FROM run, "
            f"(VALUES {rows}) AS said (turn, {columns}) ORDER BY turn)"
        )
    found = "(SELECT id FROM ahead)" if ahead else "NULL"
    return f"WITH {', '.join(parts)} SELECT (SELECT count(*) FROM run), {found}"


def _values(model: type[models.Model], names: Sequence[str], values: Any) -> list[Any]:
    return [
        _field(model, name).get_db_prep_save(value, connection)
        for name, value in zip(names, values, strict=True)
    ]


@lru_cache(maxsize=256)
def _field(model: type[models.Model], name: str) -> Any:
    return next(field for field in model._meta.concrete_fields if name in (field.name, field.attname))


@lru_cache(maxsize=1)
def _insertable() -> tuple[str, ...]:
    return tuple(field.attname for field in Step._meta.concrete_fields if not field.primary_key)


def _columns(model: type[models.Model], names: Sequence[str]) -> str:
    return ", ".join(f'"{_field(model, name).column}"' for name in names)


def _assigned(model: type[models.Model], names: Sequence[str]) -> str:
    return ", ".join(f'"{_field(model, name).column}" = %s' for name in names)


def _marks(count: int) -> str:
    return ", ".join(["%s"] * count)
