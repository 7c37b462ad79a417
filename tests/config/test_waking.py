"""Being woken: after commit, off the request's thread, once per row, and without a broker if need be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import transaction

from config.waker import Item, Waker
from incidents import wake
from tests.processes import wait_until


@contextmanager
def listening() -> Iterator[list[Item]]:
    heard: list[Item] = []
    before = wake.register(lambda kind, id: heard.append((kind, id)))
    try:
        yield heard
    finally:
        wake.register(before)


@pytest.mark.django_db(transaction=True)
def test_a_wake_is_told_after_the_commit_and_not_before() -> None:
    with listening() as heard:
        with transaction.atomic():
            wake.wake("run", 7)
            assert heard == []
        assert heard == [("run", 7)]


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_change_wakes_nobody() -> None:
    with listening() as heard:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            wake.wake("run", 7)
            raise ZeroDivisionError
        assert heard == []


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_a_wake_is_told_at_once() -> None:
    with listening() as heard:
        wake.wake("outbox")
        assert heard == [("outbox", None)]


def test_a_wake_is_published_from_another_thread() -> None:
    sent: list[tuple[Item, str]] = []
    waker = Waker(lambda kind, id: sent.append(((kind, id), threading.current_thread().name)))
    waker("run", 7)
    wait_until(lambda: sent, what="the wake is published")
    assert sent == [(("run", 7), "waker")]


def test_a_storm_of_wakes_for_one_row_becomes_few_messages() -> None:
    sent: list[Item] = []
    waker = Waker(lambda kind, id: sent.append((kind, id)))
    for _ in range(1000):
        waker("run", 7)
    waker("run", 8)
    wait_until(lambda: ("run", 8) in sent, what="the last wake is published")
    assert set(sent) == {("run", 7), ("run", 8)}
    assert len(sent) < 100


def test_a_hanging_broker_does_not_hold_up_who_wakes() -> None:
    hanging = threading.Event()

    def hang(kind: str, id: int | None) -> None:
        hanging.wait(10)

    def storm() -> None:
        for number in range(100):
            waker("run", number)

    waker = Waker(hang)
    waker("run", 1)
    busy = threading.Thread(target=storm)
    busy.start()
    busy.join(1)
    assert not busy.is_alive()
    hanging.set()


def test_with_the_broker_down_wakes_are_dropped_and_counted() -> None:
    tried: list[Item] = []

    def refuse(kind: str, id: int | None) -> None:
        tried.append((kind, id))
        raise ConnectionError("refused")

    waker = Waker(refuse)
    for number in range(5):
        waker("run", number)
    wait_until(lambda: waker.dropped == 5, what="all five are given up")
    assert len(tried) == 1  # the others did not knock at a door just found shut


def test_with_the_broker_down_the_worker_of_this_process_takes_the_work() -> None:
    taken: list[Item] = []

    def refuse(kind: str, id: int | None) -> None:
        raise ConnectionError("refused")

    def take(item: Item, broker_down: bool) -> bool:
        if broker_down:
            taken.append(item)
        return broker_down

    waker = Waker(refuse, take)
    waker("run", 7)
    wait_until(lambda: taken, what="the work is taken")
    assert (taken, waker.dropped) == ([("run", 7)], 0)


def test_what_this_process_takes_itself_never_reaches_the_broker() -> None:
    sent: list[Item] = []
    waker = Waker(lambda kind, id: sent.append((kind, id)), lambda item, broker_down: item[0] == "inbox")
    waker("inbox")
    waker("run", 7)
    wait_until(lambda: sent, what="the run is published")
    assert sent == [("run", 7)]
