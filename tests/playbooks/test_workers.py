"""Several workers with connections of their own, at the same rows at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, transaction

from incidents import wake
from incidents.models import AISystem
from playbooks import control, engine, shelf, timebox, triggers
from playbooks.conductor import RunStep, Succeeded
from playbooks.contract import Action, Done, Outcome, StepContext
from playbooks.models import Run
from playbooks.result import Result, Superseded
from playbooks.session import Working
from tests import scenes
from tests.playbooks.scenes import NOON, World, published, started, steps, world

__all__ = ["world"]
pytestmark = pytest.mark.django_db(transaction=True)

STEPS = """
    - {id: A, kind: auto, title: Measure, action: measure}
    - {id: B, kind: auto, title: Off, action: switch, with: {model: champion, share: 0}}
    - {id: C, kind: auto, title: On, action: switch, with: {model: fallback, share: 100}}
"""


def at_once(count: int, work: Callable[[], Any]) -> list[BaseException]:
    """Do `work` in `count` threads that start together; what they raised."""
    start, raised = threading.Barrier(count), list[BaseException]()

    def one() -> None:
        try:
            start.wait()
            work()
        except BaseException as error:
            raised.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return raised


def test_many_workers_at_one_run_have_one_effect_each_step(world: World) -> None:
    run = started(STEPS, incident=scenes.incident(severity=2))
    assert at_once(6, lambda: engine.advance(run.pk, now=NOON)) == []
    run.refresh_from_db()
    assert run.state == "succeeded", run.reason
    assert [what for what, _ in world.writes] == ["champion=0", "fallback=100"]
    assert run.fence == 1


def test_sweepers_share_the_due_runs_and_wake_each_once(world: World) -> None:
    playbook = published(STEPS)
    for number in range(5):
        triggers.start(playbook, scenes.incident(title=f"Incident {number}", severity=2))
    Run.objects.update(wake_at=NOON)
    woken: list[tuple[str, int | None]] = []
    before = wake.register(lambda kind, id: woken.append((kind, id)))
    try:
        assert at_once(4, lambda: engine.sweep(NOON)) == []
    finally:
        wake.register(before)
    assert sorted(woken) == sorted(("run", pk) for pk in Run.objects.values_list("pk", flat=True))


def test_two_people_who_start_the_same_playbook_at_once_get_one_run(world: World) -> None:
    playbook, incident = published(STEPS), scenes.incident()
    carl = scenes.person("carl", "IC")
    refused = at_once(4, lambda: triggers.start(playbook, incident, by=carl))
    assert Run.objects.count() == 1
    assert ["already at work" in str(error) for error in refused] == [True] * 3


def test_an_action_reads_the_database_from_its_helper_thread_outside_any_transaction(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    class Reading(Action):
        title = "Read"
        outputs = ("systems",)

        def run(self, ctx: StepContext) -> Outcome:
            seen.append((threading.current_thread().name, transaction.get_connection().in_atomic_block))
            return Done({"systems": AISystem.objects.count()})

    found = {**shelf.actions(), "reading": Reading()}
    monkeypatch.setattr(shelf, "actions", lambda: found)
    scenes.system()
    run = started("- {id: R, kind: auto, title: Read, action: reading}")

    def work() -> None:
        engine.advance(run.pk, now=NOON)

    assert at_once(1, work) == []
    run.refresh_from_db()
    assert run.state == "succeeded", run.reason
    assert run.steps.get().outputs == {"systems": 1}
    assert seen == [("playbook-step", False)]


def test_a_helper_thread_ends_with_its_worker() -> None:
    helpers: list[threading.Thread] = []
    assert at_once(1, lambda: helpers.append(timebox.within(5, threading.current_thread))) == []
    helpers[0].join(5)
    assert not helpers[0].is_alive()


def test_a_run_whose_worker_never_came_back_is_taken_over_when_its_lease_has_run_out(world: World) -> None:
    run = started(STEPS, incident=scenes.incident(severity=2))
    Run.objects.update(state="running", lease_owner="gone", lease_until=NOON, wake_at=NOON, fence=3)
    engine.advance(run.pk, now=NOON - timedelta(seconds=1))
    run.refresh_from_db()
    assert (run.state, run.fence) == ("running", 3)
    assert engine.sweep(NOON) == 1
    engine.advance(run.pk, now=NOON)
    run.refresh_from_db()
    assert (run.state, run.fence) == ("succeeded", 4)
    assert set(steps(run).values()) == {"done"}


def test_while_a_call_takes_long_the_lease_is_renewed() -> None:
    renewed: list[float] = []
    done = timebox.within(
        5, lambda: time.sleep(0.35) or "done", every=0.1, meanwhile=lambda: renewed.append(time.monotonic())
    )
    assert done == "done"
    assert 2 <= len(renewed) <= 4


def test_who_lost_the_lease_stops_waiting_for_the_call() -> None:
    def lost() -> None:
        raise RuntimeError("somebody else carries it on")

    with pytest.raises(RuntimeError, match="somebody else"):
        timebox.within(5, lambda: time.sleep(1), every=0.05, meanwhile=lost)


@pytest.mark.parametrize("verb", ["cancel", "pause"])
def test_a_person_who_is_at_the_run_when_a_step_ends_is_waited_for_and_obeyed(
    world: World, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    run = started(STEPS, incident=scenes.incident(severity=2))
    carl = scenes.person("carl", "IC")
    holds = threading.Event()

    def person() -> None:
        with transaction.atomic():
            do = {"cancel": control.cancel, "pause": control.pause}[verb]
            do(mine, carl, "Wrong model.")
            holds.set()
            time.sleep(0.3)  # the step's end is to come meanwhile
        connections.close_all()

    class Meanwhile(Action):
        title = "Meanwhile"

        def run(self, ctx: StepContext) -> Outcome:
            threading.Thread(target=person).start()
            assert holds.wait(5)
            return Done()

    found = {**shelf.actions(), "measure": Meanwhile()}
    monkeypatch.setattr(shelf, "actions", lambda: found)
    mine = Run.objects.get(pk=run.pk)
    assert at_once(1, lambda: engine.advance(run.pk, now=NOON)) == []
    run.refresh_from_db()
    told = list(run.incident.events.filter(kind="step.done"))
    if verb == "cancel":
        assert (run.state, steps(run), told) == ("cancelled", {"A": "cancelled"}, [])
    else:
        assert (run.state, steps(run), len(told)) == ("paused", {"A": "done"}, 1)
    assert world.writes == []


def test_what_comes_of_a_step_is_written_whole_or_not_at_all(world: World) -> None:
    run = started("- {id: A, kind: auto, title: Measure, action: measure}", incident=scenes.incident())

    def settle_under_an_old_fence() -> None:
        work = Working(Run.objects.get(pk=run.pk), NOON)
        Run.objects.filter(pk=run.pk).update(state="running", fence=work.run.fence)
        row = work.go(RunStep("A"))
        assert row is not None
        Run.objects.filter(pk=run.pk).update(fence=work.run.fence + 1)
        with pytest.raises(Superseded):
            work.checkpoint(row, tries=7)
        with pytest.raises(Superseded):
            work.settle(row, Result(Succeeded()))

    assert at_once(1, settle_under_an_old_fence) == []
    run.refresh_from_db()
    row = run.steps.get()
    assert (run.state, run.cursor, row.state, row.tries) == ("running", {"next": "A"}, "running", 1)
    assert not run.incident.events.filter(kind__in=("step.done", "run.succeeded")).exists()


def test_branches_are_at_work_at_the_same_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2)

    class Meet(Action):
        title = "Meet"
        timeout = 0

        def run(self, ctx: StepContext) -> Outcome:
            together.wait(10)  # each waits for the other
            return Done()

    found = {**shelf.actions(), "meet": Meet()}
    monkeypatch.setattr(shelf, "actions", lambda: found)
    run = started(
        """
        - id: P
          kind: parallel
          title: Both
          branches:
            - {name: one, steps: [{id: A, kind: auto, title: Meet, action: meet}]}
            - {name: two, steps: [{id: B, kind: auto, title: Meet, action: meet}]}
        """,
        incident=scenes.incident(severity=2),
    )
    assert at_once(1, lambda: engine.advance(run.pk, now=NOON)) == []
    ids = iter(run.children.values_list("pk", flat=True))
    assert at_once(2, lambda: engine.advance(next(ids), now=NOON)) == []
    assert at_once(1, lambda: engine.advance(run.pk, now=NOON)) == []
    run.refresh_from_db()
    assert run.state == "succeeded", run.reason


def test_many_workers_at_many_items_miss_no_end_and_lock_nobody_out(world: World) -> None:
    run = started(
        """
        - id: F
          kind: for_each
          title: Each
          items: [1, 2, 3, 4, 5, 6, 7, 8]
          limit: 3
          steps: [{id: F-1, kind: auto, title: Off, action: switch, with: {model: champion, share: 5}}]
        """,
        incident=scenes.incident(severity=2),
    )
    Run.objects.update(wake_at=NOON)

    def work() -> None:
        end = time.monotonic() + 40
        while time.monotonic() < end and Run.objects.filter(state__in=Run.LIVE).exists():
            due = Run.objects.filter(state__in=("queued", "running", "waiting"), wake_at__lte=NOON)
            for pk in due.order_by("?").values_list("pk", flat=True):
                engine.advance(pk, now=NOON)

    assert at_once(4, work) == []
    run.refresh_from_db()
    assert run.state == "succeeded", run.reason
    assert run.children.filter(state="succeeded").count() == 8
    assert len({key for _, key in world.writes}) == 8
