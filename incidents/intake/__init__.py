"""Intake: signal in, incident out. The walk is `batch`; each other file holds one thought of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from .signal import Signal

if TYPE_CHECKING:
    from .batch import Result

__all__ = ["ingest"]


def ingest(signals: Sequence[Signal], now: datetime | None = None) -> Result:
    """Take in reports: alerts, incidents and timeline are written in one transaction (the caller's, if
    there is one). Any number of processes may do so at once. Returns what became of them.

    Raises django.db.Error when the database fails; nothing is kept then, and the batch can be tried again.
    """
    # the models name the families of `signal`, so the machinery that needs models is loaded at first use
    from .batch import ingest as run

    return run(signals, now)
