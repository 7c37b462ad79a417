"""What people do with a run that is under way or has failed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from incidents.access import NotAllowed
from incidents.lifecycle import Refused
from playbooks import control, shelf
from playbooks.contract import ActionError
from tests import scenes
from tests.playbooks.scenes import World, advance, asked, kinds, started, step, steps, world

__all__ = ["world"]
pytestmark = pytest.mark.django_db

SWITCH = """
    - {id: S, kind: auto, title: Off, action: switch, with: {model: champion, share: 0}}
    - {id: N, kind: notify, title: Tell, text: off}
"""
LATER = timedelta(minutes=10)


def test_a_failed_step_is_retried_as_a_new_attempt_of_the_same_effect(world: World) -> None:
    carl = scenes.person("carl", "IC")
    world.fails = [ActionError("The gateway is down.")]
    run = advance(started(SWITCH, by=carl))
    assert run.state == "failed"
    control.retry(step(run, "S"), carl)
    run = advance(run, after=LATER)
    assert run.state == "succeeded", run.reason
    assert [row.attempt for row in run.steps.filter(key="S")] == [1, 2]
    assert len({row.idempotency_key for row in run.steps.filter(key="S")}) == 1
    assert "step.retried" in kinds(run.incident)


def test_a_failed_step_is_skipped_with_a_reason(world: World) -> None:
    carl = scenes.person("carl", "IC")
    world.fails = [ActionError("The gateway is down.")]
    run = advance(started(SWITCH, by=carl))
    with pytest.raises(Refused, match="reason"):
        control.skip(step(run, "S"), carl, " ")
    control.skip(step(run, "S"), carl, "Done by hand.")
    run = advance(run, after=LATER)
    assert (run.state, steps(run), world.sent) == ("succeeded", {"S": "skipped", "N": "done"}, ["off"])


def test_skipping_a_question_withdraws_it(world: World) -> None:
    run = advance(started(SWITCH))  # SEV3: asks
    question = asked(run)
    control.skip(step(run, "S"), scenes.person("carl", "IC"), "Not needed.")
    question.refresh_from_db()
    assert question.decision == "cancelled"
    assert advance(run, after=LATER).state == "succeeded"
    assert world.writes == []


def test_cancelling_ends_the_run_and_a_worker_in_the_middle_writes_nothing_more(world: World) -> None:
    carl = scenes.person("carl", "IC")
    run = started(SWITCH, by=carl)
    real = world.write

    def cancelled_meanwhile(what: str, key: str) -> None:
        control.cancel(run, carl, "Wrong incident.")
        real(what, key)

    world.write = cancelled_meanwhile  # type: ignore[method-assign]
    run = advance(run)
    assert (run.state, steps(run), world.sent) == ("cancelled", {"S": "cancelled"}, [])
    assert "look whether its effect happened" in step(run, "S").summary
    with pytest.raises(Refused):
        control.resume(run, carl)


def test_a_pause_lets_the_step_in_hand_finish(world: World) -> None:
    carl = scenes.person("carl", "IC")
    run = started(SWITCH, by=carl)
    real = world.write

    def paused_meanwhile(what: str, key: str) -> None:
        control.pause(run, carl)
        real(what, key)

    world.write = paused_meanwhile  # type: ignore[method-assign]
    run = advance(run)
    assert (run.state, steps(run)) == ("paused", {"S": "done"})
    world.write = real  # type: ignore[method-assign]
    assert advance(run, after=LATER).state == "paused"
    control.resume(run, carl)
    run = advance(run, after=LATER)
    assert (run.state, steps(run)) == ("succeeded", {"S": "done", "N": "done"})
    assert len(world.writes) == 1


def test_a_run_paused_and_resumed_during_one_step_goes_on(world: World) -> None:
    carl = scenes.person("carl", "IC")
    run = started(SWITCH, by=carl)
    real = world.write

    def there_and_back(what: str, key: str) -> None:
        control.pause(run, carl)
        control.resume(run, carl)
        real(what, key)

    world.write = there_and_back  # type: ignore[method-assign]
    assert advance(run).state == "succeeded"
    assert len(world.writes) == 1


def test_only_who_controls_runs_may_stop_them(world: World) -> None:
    run = started(SWITCH)
    with pytest.raises(NotAllowed):
        control.pause(run, scenes.person("rep", "REP"))


def test_only_the_step_at_which_the_run_stands_is_retried(world: World) -> None:
    carl = scenes.person("carl", "IC")
    run = started(SWITCH, by=carl)
    notify = shelf.actions()["notify"]
    type(notify).run = lambda self, ctx: (_ for _ in ()).throw(ActionError("No channel."))  # type: ignore[method-assign]
    run = advance(run)
    with pytest.raises(Refused, match="stands at N"):
        control.retry(step(run, "S"), carl)
