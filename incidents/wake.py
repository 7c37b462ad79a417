"""How any floor says "there is work for a worker" without knowing who does it.

The top floor registers who is told. Nobody being told is fine: work is a row, and the sweeper finds it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from django.db import transaction

Listener = Callable[[str, int | None], None]

_listener: Listener | None = None

#: Set while the process is stopping: long work looks here between its steps, commits and gives its lease back.
closing = threading.Event()


def register(listener: Listener | None) -> Listener | None:
    """Set who is told, and return who was. The listener must return at once and never raise."""
    global _listener
    before, _listener = _listener, listener
    return before


def wake(kind: str, id: int | None = None) -> None:
    """After the current transaction commits, say that row `id` of `kind` is worth a look.

    `kind` is a key of the top floor's handlers (`inbox`, `outbox`, `run`, `delivery`); without `id`
    whatever is due. A transaction that rolls back wakes nobody.
    """
    transaction.on_commit(partial(_tell, kind, id), robust=True)


def _tell(kind: str, id: int | None) -> None:
    if _listener is not None:
        _listener(kind, id)
