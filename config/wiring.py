"""Who listens to what: the one page on which the floors talk to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from integrations.inbox import drain

from incidents import outbox, sweeps
from incidents.models import Event
from integrations.outbox import announce, deliver
from playbooks import engine, triggers

#: prefix of the event kind → listeners, told in this order
LISTENERS: Mapping[str, Sequence[Callable[[Event], None]]] = {
    "incident.": (triggers.on_event,),
    "": (announce.on_event,),
}


def _relay(_: int | None = None) -> int:
    return outbox.relay(LISTENERS)


def _drain(_: int | None = None) -> int:
    return drain.drain()


def _deliver(id: int | None) -> None:
    if id is not None:
        deliver.deliver(id)


def _advance(id: int | None) -> None:
    if id is not None:
        engine.advance(id)


#: kind of a wake-up → who looks
HANDLERS: Mapping[str, Callable[[int | None], Any]] = {
    "inbox": _drain,
    "outbox": _relay,
    "run": _advance,
    "delivery": _deliver,
}

#: what is looked for when nobody was woken; each returns how many rows it found
SWEEPS: Sequence[Callable[[], int]] = (
    partial(deliver.sweep),
    partial(engine.sweep),
    sweeps.release_keys,
    sweeps.end_storms,
    sweeps.end_silences,
)
