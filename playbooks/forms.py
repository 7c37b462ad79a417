"""Typed values that people give: forms of steps and inputs of playbooks, checked field by field."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from playbooks.definition import Field

LONGEST = {"text": 1_000, "long_text": 20_000}


class InvalidForm(ValueError):
    """Some fields are wrong; `errors` maps field name → what to do."""

    def __init__(self, errors: Mapping[str, str]):
        super().__init__(" ".join(f"{name}: {say}" for name, say in errors.items()))
        self.errors = dict(errors)


def fill(fields: Sequence[Field], data: Mapping[str, Any]) -> dict[str, Any]:
    """The values by field name, typed as declared; missing optional ones are their default or null.

    Texts of HTML forms are understood ("3", "true", "on"). Raises InvalidForm with a message per field.
    """
    errors = dict.fromkeys(data.keys() - {field.name for field in fields}, "There is no such field.")
    clean: dict[str, Any] = {}
    for field in fields:
        value = data.get(field.name)
        if isinstance(value, str):
            value = value.strip()
        if value is None or value == "":
            clean[field.name] = field.default
            if field.required and field.default is None:
                errors[field.name] = "Please fill this in."
            continue
        try:
            clean[field.name] = _typed(field, value)
        except ValueError as error:
            errors[field.name] = str(error)
    if errors:
        raise InvalidForm(errors)
    return clean


def blank(fields: Sequence[Field]) -> dict[str, Any]:
    """Defaults, or the emptiest value of each kind."""
    empty: dict[str, Any] = {"number": 0, "bool": False}
    return {
        field.name: field.default
        if field.default is not None
        else (field.choices[0] if field.choices else empty.get(field.kind, ""))
        for field in fields
    }


def as_json(fields: Sequence[Field]) -> list[dict[str, Any]]:
    return [{**asdict(field), "choices": list(field.choices)} for field in fields]


def from_json(data: Sequence[Mapping[str, Any]]) -> tuple[Field, ...]:
    return tuple(Field(**{**item, "choices": tuple(item.get("choices", ()))}) for item in data)


def _typed(field: Field, value: Any) -> Any:
    match field.kind:
        case "number":
            return _number(field, value)
        case "bool":
            if isinstance(value, bool):
                return value
            if str(value).lower() in ("true", "on", "yes", "1"):
                return True
            if str(value).lower() in ("false", "off", "no", "0"):
                return False
            raise ValueError("Answer yes or no.")
        case "choice":
            if value not in field.choices:
                raise ValueError(f"Choose one of {', '.join(field.choices)}.")
            return value
        case "date":
            try:
                return date.fromisoformat(str(value)).isoformat()
            except ValueError:
                raise ValueError("Write a date as 2026-01-31.") from None
        case _:
            if not isinstance(value, str):
                raise ValueError("Write a text.")
            longest = LONGEST.get(field.kind, 1_000)
            if len(value) > longest:
                raise ValueError(f"Write at most {longest} characters.")
            return value.replace("\x00", "")


def _number(field: Field, value: Any) -> float | int:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError("Write a number.") from None
    if not math.isfinite(number):
        raise ValueError("Write a number.")
    if field.minimum is not None and number < field.minimum:
        raise ValueError(f"Write at least {field.minimum:g}.")
    if field.maximum is not None and number > field.maximum:
        raise ValueError(f"Write at most {field.maximum:g}.")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
