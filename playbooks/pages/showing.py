"""JSON values as people read them; templates escape what comes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

#: Characters of one value; a page is read, not downloaded.
LONGEST = 6_000


def pretty(value: Any) -> str:
    """The value as indented JSON, cut where it would fill the page."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n… {len(text) - LONGEST} more characters"


def pairs(values: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """A mapping as (name, text) lines."""
    return [(str(name), pretty(value)) for name, value in (values or {}).items()]
