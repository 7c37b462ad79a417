"""Keyset pages: the next rows after the last one seen, as fast on page 400 as on page 1."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and the cursors of the neighbouring pages ("" at an end)."""

    rows: list[Any]
    next: str = ""
    previous: str = ""
    looked: int = 0  #: how many rows were looked through for these, when it were not all


def page_of(
    rows: QuerySet[Any], order: Sequence[str], cursor: str = "", size: int = 30, *, look: int = 0
) -> Page:
    """One page of `rows` in `order`: non-null columns (`-` for descending), the last one unique.

    A cursor that cannot be read gives the first page. With `look`, for conditions that no index serves, only so many
    rows of the table are looked through, from the cursor on: the page may be short or empty, and the next one goes on
    where this one ended.
    """
    back, at = _read(rows.model, order, cursor)
    wanted = [_turned(o) for o in order] if back else list(order)
    found = rows.order_by(*wanted)
    if at is not None:
        found = found.filter(_after(wanted, at))
    edge = _edge(rows.model, wanted, at, look)
    if edge is not None:
        found = found.filter(_until(wanted, edge))
    taken = list(found[: size + 1])
    more = len(taken) > size
    taken = taken[:size]
    onward, home = ("<", ">") if back else (">", "<")
    far = _cursor(taken[-1], order, onward) if more else _written(edge, onward) if edge is not None else ""
    near = _cursor(taken[0], order, home) if taken and at is not None else ""
    looked = look if edge is not None and not more else 0
    if back:
        return Page(taken[::-1], next=near, previous=far, looked=looked)
    return Page(taken, next=far, previous=near, looked=looked)


def _edge(model: type[Model], order: Sequence[str], at: Sequence[Any] | None, look: int) -> list[Any] | None:
    """Where `look` rows of the table end, counted from `at`; None when there are not so many."""
    if not look:
        return None
    every = model._default_manager.order_by(*order)
    if at is not None:
        every = every.filter(_after(order, at))
    columns = [column.removeprefix("-") for column in order]
    last = list(every.values_list(*columns)[look - 1 : look])
    return list(last[0]) if last else None


def _turned(column: str) -> str:
    return column[1:] if column.startswith("-") else f"-{column}"


def _after(order: Sequence[str], at: Sequence[Any], *, itself: bool = False) -> Q:
    """Rows after the values `at` (with `itself`, also the row that has them): a ≥ A, and (a > A) or (a = A and b > B) …

    The first condition says nothing new; it is what lets a database begin in the midst of an index.
    """
    first = order[0].removeprefix("-")
    within = Q(**{f"{first}__{'lte' if order[0].startswith('-') else 'gte'}": at[0]})
    found, equal = Q(), Q()
    for column, value in zip(order, at, strict=True):
        name = column.removeprefix("-")
        sign = "lt" if column.startswith("-") else "gt"
        found |= equal & Q(**{f"{name}__{sign}": value})
        equal &= Q(**{name: value})
    return within & (found | equal if itself else found)


def _until(order: Sequence[str], at: Sequence[Any]) -> Q:
    """Rows up to the values `at`."""
    return _after([_turned(column) for column in order], at, itself=True)


def place_of(row: Model, order: Sequence[str]) -> str:
    """The cursor of the page that begins after `row`."""
    return _cursor(row, order, ">")


def _cursor(row: Model, order: Sequence[str], direction: str) -> str:
    return _written([getattr(row, column.removeprefix("-")) for column in order], direction)


def _written(values: Sequence[Any], direction: str) -> str:
    said = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps([direction, *said]).encode()).decode().rstrip("=")


def _read(model: type[Model], order: Sequence[str], cursor: str) -> tuple[bool, list[Any] | None]:
    if not cursor:
        return False, None
    try:
        direction, *said = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if len(said) != len(order) or any(value is None for value in said):
            return False, None
        fields: list[Any] = [model._meta.get_field(column.removeprefix("-")) for column in order]
        return direction == "<", [f.to_python(value) for f, value in zip(fields, said, strict=True)]
    except (ValueError, TypeError, binascii.Error, ValidationError):
        # an address that was cut or is older than the order of this list: the first page is the answer
        return False, None
