"""Intake under a race on PostgreSQL: many processes, the same alerts and keys, exact counters, no deadlock."""

from __future__ import annotations

import importlib
import multiprocessing
import random
from collections.abc import Callable

import pytest
from django.apps import apps
from django.db import connections
from django.db.models import Max, Sum

from incidents.intake.signal import Signal
from incidents.models import Alert, Event, Incident
from tests.incidents.intake_scenes import at, counters_are_exact, signal, tell

pytestmark = [pytest.mark.postgresql_only, pytest.mark.django_db(transaction=True)]
PROCESSES = 8


@pytest.fixture(autouse=True)
def _shipped_rules(transactional_db: None) -> None:
    """Tests that commit empty the tables after them, also what the migrations installed."""
    importlib.import_module("incidents.migrations.0002_shipped_defaults").install(apps, None)


def at_once(work: Callable[[int], None]) -> None:
    """Run `work(0)` … `work(7)` in processes that start together; every one must succeed."""
    context = multiprocessing.get_context("fork")
    connections.close_all()  # a connection must not be shared over a fork
    barrier = context.Barrier(PROCESSES)

    def run(number: int) -> None:
        barrier.wait()
        work(number)

    children = [context.Process(target=run, args=(number,)) for number in range(PROCESSES)]
    for child in children:
        child.start()
    for child in children:
        child.join(90)
    assert [child.exitcode for child in children] == [0] * PROCESSES


def send(signals: list[Signal], size: int = 100) -> None:
    for start in range(0, len(signals), size):
        tell(*signals[start : start + size], now=at(60))


def test_two_hundred_keys_open_exactly_two_hundred_incidents() -> None:
    alerts = [signal(f"f{i}", system=f"s{i % 200}", family="PERF") for i in range(2000)]

    def work(number: int) -> None:
        # every alert is reported by two processes, by each in an order of its own
        mine = [a for i, a in enumerate(alerts) if i % PROCESSES in (number, (number + 3) % PROCESSES)]
        random.Random(number).shuffle(mine)
        send(mine)

    at_once(work)
    assert Incident.objects.count() == Incident.objects.exclude(open_key=None).count() == 200
    assert Event.objects.filter(kind="incident.opened").count() == 200
    assert Alert.objects.count() == 2000
    assert not Alert.objects.exclude(count=2).exists()
    assert Incident.objects.aggregate(Sum("alert_count"), Sum("report_count")) == {
        "alert_count__sum": 2000, "report_count__sum": 4000,
    }  # fmt: skip
    assert counters_are_exact()


def test_warnings_of_the_same_key_in_different_processes_find_each_other() -> None:
    def work(number: int) -> None:
        send(
            [
                signal(f"p{number}-{k}", system=f"k{k}", level="warning", metric=f"m{number}")
                for k in range(50)
            ],
            10,
        )

    at_once(work)
    assert Incident.objects.count() == 50
    assert not Alert.objects.filter(incident=None).exists()
    assert counters_are_exact()


def test_firing_and_resolving_at_once_keeps_the_counters() -> None:
    def work(number: int) -> None:
        choose = random.Random(number)
        moments = sorted(choose.uniform(0, 50) for _ in range(400))
        send(
            [
                signal(f"f{choose.randrange(40)}", system=f"s{choose.randrange(8)}", observed_at=at(moment),
                       status=choose.choice(["firing", "resolved"]))
                for moment in moments
            ],
            20,
        )  # fmt: skip

    at_once(work)
    assert Alert.objects.aggregate(Sum("count"))["count__sum"] == PROCESSES * 400
    assert Alert.objects.aggregate(Max("last_seen"))["last_seen__max"] <= at(50)
    assert counters_are_exact()
