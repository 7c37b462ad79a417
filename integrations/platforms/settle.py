"""Looks a few times until a change shows: platforms take a moment to do what they accepted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from playbooks.contract import StepContext

T = TypeVar("T")
PAUSES = (0.0, 0.3, 0.7, 1.5, 2.5)  #: seconds before each look


def settled(ctx: StepContext, look: Callable[[], T], right: Callable[[T], bool]) -> tuple[T, bool]:
    """What was seen last, and whether it was right."""
    seen = look()
    for pause in PAUSES[1:]:
        if right(seen):
            break
        time.sleep(pause)
        ctx.renew()
        seen = look()
    return seen, right(seen)
