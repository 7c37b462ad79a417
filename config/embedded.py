"""Celery transport inside one process: kombu's memory transport, woken by an event instead of polling.

Stock `memory://` sleeps a second between looks into its queues. Here a consumer sleeps until something is put
or acknowledged. Messages live in memory only, which is enough: they merely say "look at row N", and the
sweeper finds the rows again after a restart.
"""

from __future__ import annotations

import threading
from queue import Empty
from time import monotonic
from typing import Any

from kombu.transport import memory


class _Bell:
    """Counts changes; waiting for a change after the count one has seen cannot miss one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.count = 0
        self.closing = False

    def ring(self) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def wait_past(self, seen: int, timeout: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.count != seen, timeout)


_bell = _Bell()


def hurry(closing: bool) -> None:
    """While `closing`, consumers do not wait for messages, so that a worker sees at once that it should stop."""
    _bell.closing = closing
    _bell.ring()


class Channel(memory.Channel):
    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        super()._put(queue, message, **kwargs)
        _bell.ring()

    def _put_fanout(self, exchange: str, message: Any, routing_key: str | None = None, **kwargs: Any) -> None:
        super()._put_fanout(exchange, message, routing_key, **kwargs)
        _bell.ring()

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        super().basic_ack(delivery_tag, multiple)
        _bell.ring()  # a consumer at its prefetch limit may take the next message

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        super().basic_reject(delivery_tag, requeue)
        _bell.ring()


class Transport(memory.Transport):
    Channel = Channel
    driver_type = "embedded"
    driver_name = "embedded"

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """Deliver one message; raises TimeoutError when none came within `timeout` seconds, or in a hurry."""
        deadline = None if timeout is None else monotonic() + timeout
        assert self.cycle is not None  # kombu sets it when it makes the transport
        while True:
            seen = _bell.count
            try:
                self.cycle.get(self._deliver, timeout=timeout)
                return
            except Empty:
                left = None if deadline is None else deadline - monotonic()
                if _bell.closing or (left is not None and left <= 0) or not _bell.wait_past(seen, left):
                    raise TimeoutError from None
