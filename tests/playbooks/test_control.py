"""What people do with a run that is under way or has failed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents.access import NotAllowed
from incidents.lifecycle import Refused
from playbooks import approvals, control, shelf
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


AGAIN = """
    - {id: M, kind: auto, title: Look, action: measure}
    - {id: S, kind: auto, title: Off, action: switch, with: {model: champion, share: 0}}
    - {id: N, kind: notify, title: Tell, text: "share {{ steps.M.share }}"}
"""


def test_a_run_goes_on_from_any_step_as_a_new_attempt(world: World) -> None:
    carl = scenes.person("carl", "IC")
    run = advance(started(AGAIN, by=carl))
    assert run.state == "succeeded"
    world.share = 0.1
    with pytest.raises(Refused, match="reason"):
        control.rerun(run, "M", carl, "")
    control.rerun(run, "M", carl, "The data were late.")
    run = advance(run, after=LATER)
    assert run.state == "succeeded", run.reason
    assert world.sent == ["share 0.4", "share 0.1"]
    assert [row.attempt for row in run.steps.filter(key="M")] == [1, 2]
    event = run.incident.events.get(kind="step.rerun")
    assert (event.by, event.text) == (carl, "carl goes on from M: The data were late.")


def test_a_step_is_done_again_with_edited_or_stored_parameters(world: World) -> None:
    carl = scenes.person("carl", "IC")
    run = advance(started(AGAIN, by=carl))
    control.rerun(run, "S", carl, "Half is enough.", inputs={"model": "champion", "share": 50})
    run = advance(run, after=LATER)
    assert (run.state, world.traffic["champion"]) == ("succeeded", 50)
    assert step(run, "S").inputs == {"model": "champion", "share": 50}
    control.rerun(run, "S", carl, "Once more.", stored=True)
    run = advance(run, after=2 * LATER)
    assert step(run, "S").inputs == {"model": "champion", "share": 50}
    assert len({row.idempotency_key for row in run.steps.filter(key="S")}) == 3


def test_other_parameters_after_a_failure_are_another_effect(world: World) -> None:
    carl = scenes.person("carl", "IC")
    world.fails = [ActionError("The gateway is down.")]
    run = advance(started(SWITCH, by=carl))
    assert run.state == "failed"
    control.rerun(run, "S", carl, "Elsewhere.", inputs={"model": "champion", "share": 10})
    run = advance(run, after=LATER)
    assert run.state == "succeeded"
    assert len({row.idempotency_key for row in run.steps.filter(key="S")}) == 2


def test_parameters_that_do_not_fit_and_steps_that_do_not_exist_are_refused(world: World) -> None:
    carl = scenes.person("carl", "IC")
    run = advance(started(AGAIN, by=carl))
    for key, inputs, says in (
        ("X", None, "has no step 'X'"),
        ("S", {"model": "champion", "share": "all"}, "must be a number"),
        ("S", {"model": "champion", "share": 1, "colour": "red"}, "no parameter 'colour'"),
        ("S", {"model": "champion"}, "'share' is needed"),
    ):
        with pytest.raises(Refused, match=says):
            control.rerun(run, key, carl, "Try.", inputs=inputs)
    with pytest.raises(NotAllowed):
        control.rerun(run, "S", scenes.person("rep", "REP"), "Try.")
    other = started(AGAIN, by=carl, incident=run.incident)
    with pytest.raises(Refused, match=f"Run {other.pk}"):
        control.rerun(run, "S", carl, "Try.")


def test_whoever_asks_for_a_step_again_does_not_approve_it(world: World) -> None:
    carl, cleo = scenes.person("carl", "IC"), scenes.person("cleo", "IC")
    risky = "- {id: R, kind: auto, title: Fall back, action: risky, approve: {roles: [IC]}, with: {model: champion, share: 0}}"
    run = advance(started(risky), now=timezone.now())
    control.rerun(run, "R", carl, "Less.", inputs={"model": "champion", "share": 20})
    run = advance(run, now=timezone.now())
    question = asked(run)
    assert question.step.inputs["share"] == 20
    with pytest.raises(Refused, match="Four eyes"):
        approvals.decide(question, carl, True)
    approvals.decide(question, cleo, True)
    assert advance(run, now=timezone.now()).state == "succeeded"
    assert world.traffic["champion"] == 20


BRANCHES = """
    - id: P
      kind: parallel
      title: Both
      branches:
        - {name: one, steps: [{id: A, kind: human, title: Ask, form: [{name: what}]}]}
        - {name: two, steps: [{id: B, kind: wait, title: Wait, for: 1h}]}
"""


def test_what_is_done_to_a_run_is_done_to_the_runs_below_it(world: World) -> None:
    carl = scenes.person("carl", "IC")
    run = advance(started(BRANCHES, by=carl))
    for child in run.children.all():
        advance(child)
    assert sorted(run.children.values_list("state", flat=True)) == ["asking", "waiting"]
    control.pause(run, carl)
    assert set(run.children.values_list("state", flat=True)) == {"paused"}
    with pytest.raises(Refused, match="Resume that one"):
        control.resume(run.children.get(branch="one"), carl)
    control.resume(run, carl)
    assert set(run.children.values_list("state", flat=True)) == {"queued"}
    control.cancel(run, carl, "Wrong incident.")
    assert set(run.children.values_list("state", flat=True)) == {"cancelled"}
    assert not run.incident.approvals.filter(decision="pending").exists()
    with pytest.raises(Refused, match="no longer waits"):
        control.rerun(run.children.get(branch="two"), "B", carl, "Again.")


def test_a_decision_that_cannot_be_made_is_skipped_to_its_otherwise_and_not_into_the_next_step(
    world: World,
) -> None:
    body = """
    - {id: M, kind: auto, title: Measure, action: measure}
    - id: D
      kind: decide
      title: Bad?
      branches: [{when: steps.M.big > 0.3, goto: OFF}, {goto: TELL}]
    - {id: OFF, kind: auto, title: Off, action: switch, with: {model: champion, share: 0}, next: end}
    - {id: TELL, kind: notify, title: Tell, text: Nothing was changed.}
    """
    run = advance(started(body))
    assert (run.state, steps(run)["D"]) == ("failed", "failed")
    control.skip(step(run, "D"), scenes.person("carl", "IC"), "The figure is missing today.")
    assert advance(run).state == "succeeded"
    assert (world.writes, world.sent) == ([], ["Nothing was changed."])
