"""SQLite with many threads: writers take turns, nobody starves, nobody sees "database is locked"."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from config.models import WorkerHeartbeat
from config.sqlite.base import TurnLock

pytestmark = pytest.mark.sqlite_only


def together(*works: Callable[[], object]) -> list[BaseException]:
    """Run each in a thread of its own; the errors they ended with."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        start.wait()
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def heartbeat(name: str, count: int = 0) -> WorkerHeartbeat:
    return WorkerHeartbeat.objects.create(name=name, kind="worker", at=timezone.now(), info={"count": count})


@pytest.mark.django_db(transaction=True)
def test_forty_threads_write_in_transactions_and_nothing_is_locked_or_lost() -> None:
    heartbeat("counter")

    def count_up() -> None:
        for _ in range(10):
            with transaction.atomic():
                row = WorkerHeartbeat.objects.get(pk="counter")
                row.info = {"count": row.info["count"] + 1}
                row.save()

    assert together(*[count_up] * 40) == []
    assert WorkerHeartbeat.objects.get(pk="counter").info == {"count": 400}


@pytest.mark.django_db(transaction=True)
def test_single_statements_take_their_turn_between_transactions() -> None:
    def single(name: str) -> Callable[[], object]:
        return lambda: [heartbeat(f"{name}-{n}") for n in range(10)]

    def slow_transactions() -> None:
        for _ in range(5):
            with transaction.atomic():
                WorkerHeartbeat.objects.update(kind="worker")
                time.sleep(0.02)

    assert together(*[single(f"ann{n}") for n in range(10)], *[slow_transactions] * 3) == []
    assert WorkerHeartbeat.objects.count() == 100


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_transaction_gives_its_turn_back() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        heartbeat("gone")
        raise ZeroDivisionError
    assert connection.write_lock.owner is None  # type: ignore[attr-defined]
    assert together(lambda: heartbeat("kept")) == []
    assert list(WorkerHeartbeat.objects.values_list("name", flat=True)) == ["kept"]


@pytest.mark.django_db(transaction=True)
def test_a_connection_closed_in_the_middle_gives_its_turn_back() -> None:
    def vanish() -> None:
        with pytest.raises(Exception, match=r"."), transaction.atomic():
            heartbeat("gone")
            connection.close()
            heartbeat("refused")

    assert together(vanish) == []
    assert together(lambda: heartbeat("kept")) == []
    assert WorkerHeartbeat.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_failing_statement_gives_its_turn_back() -> None:
    heartbeat("ann")
    with pytest.raises(Exception, match="UNIQUE"):
        WorkerHeartbeat.objects.bulk_create([WorkerHeartbeat(name="ann", kind="worker", at=timezone.now())])
    assert connection.write_lock.owner is None  # type: ignore[attr-defined]


@pytest.mark.django_db(transaction=True)
def test_readers_do_not_wait_for_a_writer() -> None:
    heartbeat("ann")
    writing, done = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            WorkerHeartbeat.objects.update(kind="changed")
            writing.set()
            done.wait(5)

    def read() -> None:
        writing.wait(5)
        assert WorkerHeartbeat.objects.get().kind == "worker"
        done.set()

    assert together(write, read) == []


@pytest.mark.django_db(transaction=True)
def test_who_waits_too_long_is_told_what_to_do() -> None:
    held, waited = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            held.set()
            waited.wait(10)

    def wait() -> None:
        held.wait(5)
        options = connection.settings_dict["OPTIONS"]
        connection.settings_dict["OPTIONS"] = {**options, "timeout": 0.05}
        try:
            with pytest.raises(OperationalError, match="Keep transactions short"):
                heartbeat("late")
        finally:
            connection.settings_dict["OPTIONS"] = options
            waited.set()

    assert together(hold, wait) == []
    assert not WorkerHeartbeat.objects.exists()


def test_turns_come_in_the_order_of_asking() -> None:
    lock, order = TurnLock(), []
    assert lock.acquire("first", 1)
    threads = []
    for number in range(5):

        def take(number: int = number) -> None:
            assert lock.acquire(number, 5)
            order.append(number)
            lock.release(number)

        threads.append(threading.Thread(target=take))
        threads[-1].start()
        while len(lock._waiting) <= number:
            time.sleep(0.001)
    lock.release("first")
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]
    assert lock.owner is None


def test_who_gives_up_waiting_leaves_the_line() -> None:
    lock = TurnLock()
    assert lock.acquire("holder", 1)
    assert not lock.acquire("impatient", 0.01)
    lock.release("holder")
    assert lock.owner is None
    assert lock.acquire("next", 0.01)


def test_only_the_owner_can_release() -> None:
    lock = TurnLock()
    assert lock.acquire("ann", 1)
    lock.release("bob")
    assert lock.owner == "ann"


@pytest.mark.django_db
def test_every_commit_reaches_the_disk_before_it_is_answered() -> None:
    from config import settings

    commands = settings.DATABASES["default"]["OPTIONS"]["init_command"]
    assert "synchronous=FULL" in commands
    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert cursor.execute("PRAGMA foreign_keys").fetchone() == (1,)
