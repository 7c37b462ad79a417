"""Runs a call in a helper thread and stops waiting for it after a while.

A thread cannot be killed: a call that does not come back keeps its helper, which is left behind and ends
with the call. What it does late is harmless to the run, whose row is fenced.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from django.db import close_old_connections, connections

T = TypeVar("T")
_mine = threading.local()


class TookTooLong(Exception):
    """The call was still going when its time was over."""


class _Answer:
    __slots__ = ("error", "ready", "value")

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None


_Calls = queue.SimpleQueue[tuple[Callable[[], Any], _Answer] | None]


class _Helper:
    """One thread that serves one caller, and ends with it; its database connections live as long."""

    def __init__(self) -> None:
        self.calls: _Calls = queue.SimpleQueue()
        # the thread knows the queue only, so that this object goes away with the caller's thread
        self.thread = threading.Thread(target=_serve, args=(self.calls,), name="playbook-step", daemon=True)
        self.thread.start()

    def __del__(self) -> None:
        self.calls.put(None)


def _serve(calls: _Calls) -> None:
    try:
        while (item := calls.get()) is not None:
            call, answer = item
            try:
                close_old_connections()
                answer.value = call()
            except BaseException as error:  # handed to the caller, which raises it
                answer.error = error
            finally:
                answer.ready.set()
            del item, call, answer
    finally:
        connections.close_all()


def within(
    seconds: float, call: Callable[[], T], *, every: float = 0.0, meanwhile: Callable[[], None] | None = None
) -> T:
    """The result of `call()`. Raises TookTooLong after `seconds`; 0 means here and without a limit.

    `meanwhile` is called each `every` seconds as long as it takes; what it raises ends the waiting.
    """
    if seconds <= 0:
        return call()
    helper: _Helper | None = getattr(_mine, "helper", None)
    if helper is None or not helper.thread.is_alive():
        helper = _mine.helper = _Helper()
    answer = _Answer()
    helper.calls.put((call, answer))
    end = monotonic() + seconds
    while not answer.ready.wait(min(every, end - monotonic()) if meanwhile else end - monotonic()):
        if monotonic() >= end:
            _mine.helper = None  # its thread ends when the call does
            raise TookTooLong(f"No answer within {seconds:g} seconds.")
        if meanwhile:
            try:
                meanwhile()
            except BaseException:
                _mine.helper = None
                raise
    if answer.error is not None:
        raise answer.error
    return answer.value
