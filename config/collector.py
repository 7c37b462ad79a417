"""The garbage collector of a long-running process, told what need not be looked at again and again."""

from __future__ import annotations

import gc

#: New container objects between two looks at the youngest. A batch of alerts makes some hundred thousand,
#: nearly all freed by reference count; Python's 700 spends a third of the drain's time on looking at them.
THRESHOLD = 50_000


def settle() -> None:
    """Call once per process when everything is loaded: what is there now stays and is not traced any more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD, 10, 10)
