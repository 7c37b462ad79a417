"""The worker: Celery's thread pool, the loops that drain inbox and outbox, the sweeper, the heartbeat.

The same object runs inside the web process (embedded) and alone (`manage.py work`). Who does the work is
written in `config/wiring.py`: `HANDLERS` by kind, and `SWEEPS` that find what nobody was woken for.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from time import monotonic
from typing import Any, Protocol, cast

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection, connections
from django.utils import timezone

from incidents import wake

log = logging.getLogger(__name__)

Item = tuple[str, int | None]

#: Kinds drained by a thread of their own, woken directly inside the process.
STANDING = ("inbox", "outbox")
#: Loops that drain the inbox where the database lets several write: one translates while another waits for it.
INBOX_LOOPS = 2
#: Seconds between two looks of a standing loop that nobody woke.
LOOK = 1.0
#: Seconds a standing loop lets more gather after it found something: fewer, larger transactions under load.
GATHER = 0.01
#: Seconds between two sweeps, and how far the pause grows while nothing is found.
SWEEP, SWEEP_IDLE = 1.0, 2.5
#: Seconds between heartbeats; `config.health` calls a worker silent after six of them.
HEARTBEAT = 5.0
FORGET_HEARTBEATS = timedelta(hours=1)


class Wiring(Protocol):
    """What `config.wiring` offers. A handler is given a row's id, or None for "whatever is due"; a number
    above zero in return asks for another round at once. A sweep returns how many rows it found."""

    HANDLERS: Mapping[str, Callable[[int | None], Any]]
    SWEEPS: Sequence[Callable[[], int]]


def loops_of(kind: str) -> int:
    """How many threads of a worker drain what is kept for `kind`."""
    return INBOX_LOOPS if kind == "inbox" and connection.features.has_select_for_update_skip_locked else 1


class Loop(threading.Thread):
    """Calls `turn` when woken and otherwise every `pause()` seconds. A failing turn is logged and never
    ends the loop. `turn` returns True to be called again at once."""

    def __init__(self, name: str, turn: Callable[[], bool], pause: Callable[[], float]) -> None:
        super().__init__(name=name, daemon=True)
        self._turn = turn
        self._pause = pause
        self._event = threading.Event()
        self._stopping = threading.Event()
        self.turned_at = monotonic()

    def wake(self) -> None:
        self._event.set()

    def stop(self) -> None:
        self._stopping.set()
        self._event.set()

    def run(self) -> None:
        again = True
        while not self._stopping.is_set():
            if not again:
                self._event.wait(self._pause())
            self._event.clear()
            if self._stopping.is_set():
                break
            again = self._one_turn()
            self.turned_at = monotonic()
        connections.close_all()

    def _one_turn(self) -> bool:
        try:
            close_old_connections()
            again = self._turn()
            close_old_connections()
            return again
        except (OperationalError, InterfaceError) as error:  # told in one line: it may last
            log.error("%s: trouble with the database (%s); it tries again", self.name, str(error).strip())
        except Exception:
            log.exception("%s failed; it tries again", self.name)
        connections.close_all()
        return False


class Worker:
    """Everything that works in the background of one process. Start it after fork, once per process."""

    def __init__(
        self, kind: str = "worker", threads: int | None = None, wiring: Wiring | None = None
    ) -> None:
        self.kind = kind
        self.threads = threads or settings.HOLDFAST_WORKER_THREADS
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._wiring = wiring
        self._idle_sweeps = 0
        self._leftover: dict[Item, None] = {}
        self._celery: Any = None
        self._celery_thread: threading.Thread | None = None
        self.loops: dict[str, Loop] = {}

    @property
    def wiring(self) -> Wiring:
        if self._wiring is None:
            # late: it knows every floor
            self._wiring = cast(Wiring, import_module("config.wiring"))
        return self._wiring

    def start(self) -> None:
        """Start all threads; raises RuntimeError when this process already has a worker."""
        global _current
        if _current is not None:
            raise RuntimeError("this process already has a worker; stop it before starting another")
        handlers = self.wiring.HANDLERS
        wake.closing.clear()
        for kind in STANDING:
            for number in range(loops_of(kind) if kind in handlers else 0):
                name = kind if number == 0 else f"{kind}-{number + 1}"
                self.loops[name] = Loop(f"{name}-loop", self._standing(kind), lambda: LOOK)
        self.loops["sweeper"] = Loop("sweeper", self._sweep, self._sweep_pause)
        self.loops["keeper"] = Loop("keeper", self._keep, lambda: HEARTBEAT)
        _current = self
        self._start_celery()
        for loop in self.loops.values():
            loop.start()
        log.info("worker %s started with %d threads", self.name, self.threads)

    def stop(self, timeout: float | None = None) -> bool:
        """Take no new work, finish what is in hand; True when all of it ended within `timeout` seconds."""
        global _current
        deadline = monotonic() + (settings.HOLDFAST_SHUTDOWN_SECONDS if timeout is None else timeout)
        wake.closing.set()
        for loop in self.loops.values():
            loop.stop()
        if self._celery is not None:
            from celery.worker import state

            from config import embedded

            state.should_stop = 0  # the consumer's next look at it ends the blueprint
            embedded.hurry(True)
        threads = [*self.loops.values(), *([self._celery_thread] if self._celery_thread else [])]
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic()))
        left = [thread.name for thread in threads if thread.is_alive()]
        if _current is self:
            _current = None
        self._forget_heartbeat()
        if left:
            log.warning(
                "stopped with work in hand (%s); its leases run out and it is done again", ", ".join(left)
            )
        else:
            log.info("worker %s stopped", self.name)
        return not left

    def take(self, item: Item, *, anything: bool) -> bool:
        """Take an item without the broker: standing kinds always, others only when `anything`."""
        if item[0] in STANDING and item[0] in self.loops:
            for name, loop in self.loops.items():
                if name.partition("-")[0] == item[0]:
                    loop.wake()
            return True
        if anything:
            self._leftover[item] = None
            self.loops["sweeper"].wake()
        return anything

    def perform(self, kind: str, id: int | None) -> None:
        """Run the handler of `kind`. Its failure is logged, not raised: the sweeper finds the row again."""
        handler = self.wiring.HANDLERS.get(kind)
        if handler is None:
            log.error("nothing handles %r; config/wiring.py knows %s", kind, ", ".join(self.wiring.HANDLERS))
            return
        close_old_connections()
        try:
            handler(id)
        except Exception:
            log.exception("work on %s %s failed; the sweeper finds it again", kind, id)
        finally:
            close_old_connections()

    # --- turns of the loops --------------------------------------------------------------------
    def _standing(self, kind: str) -> Callable[[], bool]:
        handler = self.wiring.HANDLERS[kind]

        def turn() -> bool:
            found = bool(handler(None))
            if found:
                wake.closing.wait(GATHER)
            return found

        return turn

    def _sweep(self) -> bool:
        while self._leftover and not wake.closing.is_set():
            self.perform(*self._leftover.popitem()[0])
        found = 0
        for sweep in self.wiring.SWEEPS:
            if wake.closing.is_set():
                break
            try:
                found += sweep() or 0
            except Exception as error:  # one failing sweep must not keep the others from looking
                trace = not isinstance(error, OperationalError | InterfaceError)
                log.error("sweep %s failed: %s", getattr(sweep, "__qualname__", sweep), error, exc_info=trace)
        self._idle_sweeps = 0 if found else self._idle_sweeps + 1
        return False

    def _sweep_pause(self) -> float:
        pause = min(SWEEP * 1.2**self._idle_sweeps, SWEEP_IDLE)
        return pause * random.uniform(0.8, 1.2)  # noqa: S311  spreads many workers, no secret

    def _keep(self) -> bool:
        ended = self._celery_thread is not None and not self._celery_thread.is_alive()
        if ended and not wake.closing.is_set():
            log.error("the Celery consumer ended unexpectedly; starting it again")
            self._start_celery()
        self._heartbeat()
        return False

    def _heartbeat(self) -> None:
        from config.models import WorkerHeartbeat

        now = timezone.now()
        ages = {name: round(monotonic() - loop.turned_at, 1) for name, loop in self.loops.items()}
        WorkerHeartbeat.objects.update_or_create(
            name=self.name,
            defaults={"kind": self.kind, "at": now, "info": {"threads": self.threads, "seconds_since": ages}},
        )
        WorkerHeartbeat.objects.filter(at__lt=now - FORGET_HEARTBEATS).delete()

    def _forget_heartbeat(self) -> None:
        from django.db import Error

        from config.models import WorkerHeartbeat

        try:
            WorkerHeartbeat.objects.filter(name=self.name).delete()
        except Error as error:
            log.warning("the heartbeat of %s stays behind (%s); it is forgotten in an hour", self.name, error)
        finally:
            connections.close_all()

    # --- Celery --------------------------------------------------------------------------------
    def _start_celery(self) -> None:
        from celery.worker import WorkController, state

        from config import embedded
        from config.celery import LOOK, app

        if LOOK not in app.tasks:
            app.task(name=LOOK)(perform)
        embedded.hurry(False)
        state.should_stop = state.should_terminate = None
        # WorkController, not `celery worker`: the latter owns signals and the command line
        self._celery = WorkController(
            app=app,
            hostname=f"holdfast@{self.name}",
            pool="threads",
            concurrency=self.threads,
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
            task_events=False,
        )
        self._celery_thread = threading.Thread(target=self._celery.start, name="celery", daemon=True)
        self._celery_thread.start()


_current: Worker | None = None


def current() -> Worker | None:
    """The worker of this process, if it has one."""
    return _current


def take(item: Item, *, anything: bool) -> bool:
    """Whether this process deals with `item` itself, without the broker.

    Without a worker an embedded installation has nobody to tell: this is a management command beside the
    server, whose sweeper finds the row.
    """
    if _current is None:
        return bool(settings.EMBEDDED)
    return _current.take(item, anything=anything)


def perform(kind: str, id: int | None) -> None:
    """What a Celery message means: wake a standing loop of this process, or run the handler."""
    worker = _current
    if worker is None:
        worker = Worker()
    elif worker.take((kind, id), anything=False):
        return
    worker.perform(kind, id)
