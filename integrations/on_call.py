"""What on-call tools report back: which incident is meant, and whose act it is.

An incident of ours carries its key (INC-7) where the tool keeps the key of the sender; every other incident of the
tool is foreign, and is an alert here.
"""

from __future__ import annotations

import re

from integrations.normalise import text

_OURS = re.compile(r"(?:holdfast[-:/ ])?(INC-\d{1,17})", re.I)


def own_key(*candidates: object) -> str:
    """The key of our incident among what a tool calls its own, or ""."""
    for one in candidates:
        if found := _OURS.fullmatch(text(one)):
            return found[1].upper()
    return ""


def rank(priority: object) -> str:
    """`P1` to `P5`, `1`, `SEV-2`, `Priority 3 (high)` as a severity from "1" to "5"; "" where none is named."""
    found = re.search(r"(?<!\d)([1-5])(?!\d)", text(priority, 40))
    return found[1] if found else ""
