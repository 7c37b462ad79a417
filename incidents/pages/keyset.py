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


def page_of(rows: QuerySet[Any], order: Sequence[str], cursor: str = "", size: int = 30) -> Page:
    """One page of `rows` in `order`: non-null columns (`-` for descending), the last one unique.

    A cursor that cannot be read gives the first page.
    """
    back, at = _read(rows.model, order, cursor)
    wanted = [_turned(o) for o in order] if back else list(order)
    found = rows.order_by(*wanted)
    if at is not None:
        found = found.filter(_beyond(wanted, at))
    taken = list(found[: size + 1])
    more = len(taken) > size
    taken = taken[:size]
    if back:
        taken.reverse()
    if not taken:
        return Page([])
    first, last = _cursor(taken[0], order, "<"), _cursor(taken[-1], order, ">")
    return Page(
        taken, next=last if more or back else "", previous=first if (more if back else at is not None) else ""
    )


def _turned(column: str) -> str:
    return column[1:] if column.startswith("-") else f"-{column}"


def _beyond(order: Sequence[str], at: Sequence[Any]) -> Q:
    """Rows after the values `at`: (a > A) or (a = A and b > B) …"""
    found, equal = Q(), Q()
    for column, value in zip(order, at, strict=True):
        name = column.removeprefix("-")
        sign = "lt" if column.startswith("-") else "gt"
        found |= equal & Q(**{f"{name}__{sign}": value})
        equal &= Q(**{name: value})
    return found


def place_of(row: Model, order: Sequence[str]) -> str:
    """The cursor of the page that begins after `row`."""
    return _cursor(row, order, ">")


def _cursor(row: Model, order: Sequence[str], direction: str) -> str:
    values = [getattr(row, column.removeprefix("-")) for column in order]
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
