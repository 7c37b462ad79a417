"""Tells workers where to look, from a thread of its own: a request never waits for the broker.

`incidents.wake.wake` hands (kind, id) over after commit. The set removes doubles, the thread publishes. What
cannot be published is given to this process's worker if it has one, else dropped: the sweeper finds the row.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from time import monotonic, sleep

log = logging.getLogger(__name__)

Item = tuple[str, int | None]

#: Seconds between two publishing rounds: a storm of wakes for the same row becomes one message.
GATHER = 0.005
#: Seconds without further attempts after the broker refused.
REST = 2.0


class Waker:
    """`publish` sends one item or raises. `local(item)` is True when this process takes the item itself."""

    def __init__(
        self, publish: Callable[[str, int | None], None], local: Callable[[Item, bool], bool] | None = None
    ) -> None:
        self._publish = publish
        self._local = local or (lambda item, broker_down: False)
        self._lock = threading.Lock()
        self._items: dict[Item, None] = {}
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._rest_until = 0.0
        self.published = 0
        self.dropped = 0

    def __call__(self, kind: str, id: int | None = None) -> None:
        """Never blocks and never raises for a broker that is away."""
        item = (kind, id)
        if self._local(item, False):
            return
        with self._lock:
            self._items[item] = None
            if self._thread is None or self._pid != os.getpid():  # first use, or first use after a fork
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
                self._thread.start()
        self._ready.set()

    def _run(self) -> None:
        while True:
            self._ready.wait()
            self._ready.clear()
            with self._lock:
                items, self._items = self._items, {}
            self._send(items)
            sleep(GATHER)

    def _send(self, items: Iterable[Item]) -> None:
        for item in items:
            if monotonic() >= self._rest_until:
                try:
                    self._publish(*item)
                    self.published += 1
                    continue
                except Exception as error:  # any client library error means: the broker is away
                    self._rest_until = monotonic() + REST
                    log.warning(
                        "broker does not take messages (%s); the sweeper finds the work, more slowly", error
                    )
            if not self._local(item, True):
                self.dropped += 1


def _publish(kind: str, id: int | None) -> None:
    from config.celery import send_look  # late: a web process that never wakes anyone never loads Celery

    send_look(kind, id)


def _local(item: Item, broker_down: bool) -> bool:
    from config import worker

    return worker.take(item, anything=broker_down)


waker = Waker(_publish, _local)
