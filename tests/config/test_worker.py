"""The worker: does what it is woken for, finds what nobody woke it for, survives failures, stops in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import OperationalError

from config import worker as workers
from config.models import WorkerHeartbeat
from config.worker import Loop, Worker
from incidents.wake import closing, wake
from tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class House:
    """A wiring of our own: remembers what it was asked to look at."""

    HANDLERS: Mapping[str, Callable[[int | None], Any]] = field(default_factory=dict)
    SWEEPS: Sequence[Callable[[], int]] = ()


@contextmanager
def working(
    handlers: Mapping[str, Callable[[int | None], Any]], sweeps: Sequence[Callable[[], int]] = ()
) -> Iterator[Worker]:
    worker = Worker(threads=2, wiring=House(handlers, sweeps))
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(10)
        closing.clear()


def test_a_woken_row_is_looked_at_through_celery_within_milliseconds() -> None:
    seen: dict[int | None, float] = {}
    with working({"run": lambda id: seen.setdefault(id, time.monotonic())}):
        wake("run", 0)
        wait_until(lambda: 0 in seen, what="the worker is up")
        woken = time.monotonic()
        wake("run", 7)
        wait_until(lambda: 7 in seen, what="the run is looked at")
    assert seen[7] - woken < 0.5


def test_a_thousand_wakes_are_all_looked_at() -> None:
    seen: set[int | None] = set()
    with working({"run": seen.add}):
        for number in range(1000):
            wake("run", number)
        wait_until(lambda: len(seen) == 1000, what="all thousand are looked at")


def test_the_inbox_is_drained_by_a_thread_of_its_own_without_celery() -> None:
    names: list[str] = []
    with working({"inbox": lambda id: names.append(threading.current_thread().name)}):
        wake("inbox")
        wait_until(lambda: len(names) >= 2, timeout=0.9, what="a first look and the woken one")
    assert all(name.startswith("inbox-") for name in names)


def test_a_drain_that_found_something_is_called_again_at_once() -> None:
    left, calls = [5], []

    def drain(id: int | None) -> int:
        calls.append(time.monotonic())
        left[0] -= 1
        return max(left[0], 0)

    with working({"inbox": drain}):
        wait_until(lambda: left[0] <= 0, timeout=0.9, what="five rounds without the pause between looks")
    assert len(calls) >= 5


def test_the_inbox_is_looked_at_every_second_when_nobody_wakes_the_worker() -> None:
    calls: list[float] = []
    with working({"inbox": lambda id: calls.append(time.monotonic())}):
        wait_until(lambda: len(calls) >= 3, timeout=5, what="three looks")
    assert 0.8 < calls[2] - calls[1] < 2.0


def test_a_failing_handler_harms_neither_the_others_nor_the_next_try(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[int | None] = []

    def handle(id: int | None) -> None:
        seen.append(id)
        if id == 1:
            raise ValueError("poison")

    with working({"run": handle}):
        wake("run", 1)
        wait_until(lambda: 1 in seen, what="the poison is tasted")
        wake("run", 2)
        wake("run", 1)
        wait_until(lambda: seen.count(1) == 2 and 2 in seen, what="work goes on")
    assert "work on run 1 failed" in caplog.text


def test_a_failing_sweep_does_not_keep_the_next_one_from_looking() -> None:
    found: list[int] = []

    def broken() -> int:
        raise ValueError("broken sweep")

    def sound() -> int:
        found.append(1)
        return 0

    with working({}, [broken, sound]):
        wait_until(lambda: len(found) >= 2, timeout=6, what="the sound sweep looks twice")


def test_the_sweeper_looks_less_often_while_there_is_nothing_to_find() -> None:
    worker = Worker(wiring=House({}, [lambda: 0]))
    busy = worker._sweep_pause()
    for _ in range(20):
        worker._sweep()
    assert 0.8 <= busy <= 1.2
    assert 2.0 <= worker._sweep_pause() <= 3.0
    worker._wiring = House({}, [lambda: 3])
    worker._sweep()
    assert worker._sweep_pause() <= 1.2


def test_with_the_broker_down_this_worker_does_the_work_itself() -> None:
    seen: list[int | None] = []
    with working({"run": seen.append}):
        assert workers.take(("run", 7), anything=True)
        wait_until(lambda: 7 in seen, timeout=1, what="the sweeper does it")


def test_a_kind_nobody_handles_is_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    Worker(wiring=House({"run": lambda id: None})).perform("rum", 1)
    assert "nothing handles 'rum'; config/wiring.py knows run" in caplog.text


def test_stopping_finishes_the_work_in_hand_and_says_so_to_it() -> None:
    started, finished = threading.Event(), []

    def slow(id: int | None) -> None:
        started.set()
        finished.append(closing.wait(5))

    with working({"run": slow}) as worker:
        wake("run", 1)
        assert started.wait(5)
        assert worker.stop(5)
    assert finished == [True]


def test_stopping_does_not_wait_longer_than_allowed(caplog: pytest.LogCaptureFixture) -> None:
    started, let_go = threading.Event(), threading.Event()

    def stuck(id: int | None) -> None:
        started.set()
        let_go.wait(10)

    with working({"run": stuck}) as worker:
        wake("run", 1)
        assert started.wait(5)
        asked = time.monotonic()
        assert not worker.stop(0.5)
        assert time.monotonic() - asked < 2
        let_go.set()
    assert "its leases run out" in caplog.text


def test_an_idle_worker_stops_at_once() -> None:
    with working({"inbox": lambda id: 0}) as worker:
        wait_until(WorkerHeartbeat.objects.exists, what="the worker is up")
        asked = time.monotonic()
        assert worker.stop(10)
    assert time.monotonic() - asked < 1


def test_a_running_worker_has_a_heartbeat_and_a_stopped_one_has_none() -> None:
    with working({"inbox": lambda id: 0}) as worker:
        wait_until(WorkerHeartbeat.objects.exists, what="the first heartbeat")
        row = WorkerHeartbeat.objects.get()
        assert (row.name, row.kind) == (worker.name, "worker")
        assert "inbox" in row.info["seconds_since"]
    assert not WorkerHeartbeat.objects.exists()


def test_a_process_has_one_worker() -> None:
    with working({}), pytest.raises(RuntimeError, match="already has a worker"):
        Worker(wiring=House()).start()


def test_a_celery_consumer_that_ends_is_started_again() -> None:
    seen: list[int | None] = []
    with working({"run": seen.append}) as worker:
        wake("run", 1)
        wait_until(lambda: 1 in seen, what="the worker is up")
        ended = worker._celery_thread
        assert ended is not None
        worker._celery.stop()
        wait_until(lambda: not ended.is_alive(), what="the consumer has ended")
        worker._keep()
        wake("run", 2)
        wait_until(lambda: 2 in seen, what="the new consumer takes messages")


def test_without_a_worker_an_embedded_installation_leaves_the_row_to_the_sweeper() -> None:
    assert workers.current() is None
    assert workers.take(("run", 1), anything=False)


def test_a_loop_goes_on_after_a_failure() -> None:
    turns: list[int] = []

    def turn() -> bool:
        turns.append(1)
        raise ValueError("bad turn")

    loop = Loop("test", turn, lambda: 0.01)
    loop.start()
    wait_until(lambda: len(turns) >= 3, what="three turns")
    loop.stop()
    loop.join(2)
    assert not loop.is_alive()


def test_a_database_that_is_away_is_told_in_one_line_and_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    turns: list[int] = []

    def turn() -> bool:
        turns.append(1)
        if len(turns) < 3:
            raise OperationalError("connection refused")
        return False

    loop = Loop("inbox-loop", turn, lambda: 0.01)
    loop.start()
    wait_until(lambda: len(turns) >= 4, what="the database is back")
    loop.stop()
    loop.join(2)
    told = [record for record in caplog.records if "connection refused" in record.getMessage()]
    assert len(told) == 2
    assert all(record.exc_info is None for record in told)
