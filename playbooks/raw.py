"""Statements that PostgreSQL keeps prepared: what every step needs is parsed and planned once per connection.

Parameters are bound by the server, so each has to say its type where a bare one would be taken for text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from time import monotonic
from typing import Any

from django.db import connection, models

#: Executions after which a statement is prepared; OPTIONS of the database may say another number, or None for never
#: (a pooler between that does not know prepared statements).
PREPARED_AFTER = 5


def possible() -> bool:
    """Whether this database changes several tables in one statement."""
    return connection.vendor == "postgresql"


def fetch_one(sql: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
    """The first row of what the statement answers. Raises django.db.DatabaseError."""
    found = fetch_all(sql, values)
    return found[0] if found else None


def fetch_all(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """All rows of what the statement answers. Raises django.db.DatabaseError."""
    from psycopg import Cursor  # only where PostgreSQL is used

    connection.close_if_health_check_failed()  # as Django does before a cursor: a restarted database costs nothing
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    raw: Any = connection.connection
    with connection.wrap_database_errors:
        if raw.prepare_threshold is None:
            raw.prepare_threshold = connection.settings_dict["OPTIONS"].get(
                "prepare_threshold", PREPARED_AFTER
            )
        with Cursor(raw) as cursor:
            begin = monotonic()
            cursor.execute(sql, values)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            if connection.queries_logged:  # as a cursor of Django does it
                connection.queries_log.append({"sql": sql, "time": f"{monotonic() - begin:.3f}"})
            return found


@lru_cache(maxsize=512)
def field(model: type[models.Model], name: str) -> Any:
    """The column's field by its name or attribute."""
    return next(one for one in model._meta.concrete_fields if name in (one.name, one.attname))


def values(model: type[models.Model], names: Sequence[str], given: Any) -> list[Any]:
    """What the database keeps for each of the model's fields."""
    return [
        field(model, name).get_db_prep_save(value, connection)
        for name, value in zip(names, given, strict=True)
    ]


def columns(model: type[models.Model], names: Sequence[str], table: str = "") -> str:
    prefix = f"{table}." if table else ""
    return ", ".join(f"{prefix}{field(model, name).column}" for name in names)


def marks(model: type[models.Model], names: Sequence[str]) -> str:
    """A parameter for each field, with its type; a text's length is not cut but refused by the column."""
    return ", ".join(_mark(model, name) for name in names)


@lru_cache(maxsize=512)
def _mark(model: type[models.Model], name: str) -> str:
    kind = field(model, name).db_type(connection)
    short = {"timestamp with time zone": "timestamptz"}.get(kind, kind)
    return "%s::text" if kind.startswith("varchar") else f"%s::{short}"


def assigned(model: type[models.Model], names: Sequence[str]) -> str:
    return ", ".join(f"{field(model, name).column} = %s" for name in names)


def build(model: type[models.Model], names: Sequence[str], row: Sequence[Any]) -> Any:
    """An instance of the model from what was read; what was not is read when it is asked for."""
    converted = [
        one.from_db_value(value, None, connection) if hasattr(one, "from_db_value") else value
        for one, value in zip((field(model, name) for name in names), row, strict=True)
    ]
    return model.from_db(connection.alias, [field(model, name).attname for name in names], converted)
