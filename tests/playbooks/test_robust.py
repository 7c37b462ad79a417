"""What a playbook, an action or the clock does wrong stays where it is: the run says so, and the others go on."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from incidents.models import Evidence
from playbooks import approvals, engine, shelf
from playbooks.contract import Action, ActionError, Done, Outcome, StepContext
from playbooks.models import Run
from tests import scenes
from tests.playbooks.scenes import NOON, World, advance, started, step, steps, world
from tests.playbooks.test_family import drain, sev2

__all__ = ["world"]
pytestmark = pytest.mark.django_db

BIG = "x" * (2 * 1024 * 1024)


def shelve(monkeypatch: pytest.MonkeyPatch, **more: Action) -> None:
    found = {**shelf.actions(), **more}
    monkeypatch.setattr(shelf, "actions", lambda: found)


def test_a_condition_that_loops_for_ever_fails_its_step_within_seconds(world: World) -> None:
    system = scenes.system(data={"many": list(range(3000))})
    looping = "system.data.many.all(a, system.data.many.all(b, system.data.many.all(c, a + b + c >= 0)))"
    run = started(
        f"- {{id: G, kind: gate, title: Loop, checks: [{{when: '{looping}', title: never}}]}}",
        incident=sev2(system=system),
    )
    begin = time.monotonic()
    advance(run)
    assert time.monotonic() - begin < 20
    run.refresh_from_db()
    assert run.state == "failed"
    assert "cannot be evaluated" in run.reason


def test_an_output_of_two_megabytes_becomes_evidence_in_a_branch_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Large(Action):
        title = "Large"
        outputs = ("text", "size")
        timeout = 0

        def run(self, ctx: StepContext) -> Outcome:
            return Done({"text": BIG, "size": len(BIG)})

    shelve(monkeypatch, large=Large())
    run = drain(
        started(
            """
            - id: F
              kind: for_each
              title: Each
              items: [1, 2]
              steps: [{id: F-1, kind: auto, title: Large, action: large}]
            """,
            incident=sev2(),
        )
    )
    assert run.state == "succeeded", run.reason
    kept = step(run, "F").outputs["results"][0]["steps"]["F-1"]
    assert kept["kept_as_evidence"] == "F-1-outputs.json"
    assert "text" not in kept
    assert Evidence.objects.filter(name="F-1-outputs.json").count() == 2
    assert len(str(step(run, "F").outputs)) < 10_000


def test_a_branch_that_hangs_does_not_hold_up_the_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hang(Action):
        title = "Hang"

        def run(self, ctx: StepContext) -> Outcome:
            time.sleep(1.5)
            return Done()

    shelve(monkeypatch, hang=Hang())
    run = drain(
        started(
            """
            - id: P
              kind: parallel
              title: Both
              join: any
              branches:
                - {name: hangs, steps: [{id: H, kind: auto, title: Hang, action: hang, timeout: 0.05, retry: {count: 0}}]}
                - {name: works, steps: [{id: W, kind: auto, title: Off, action: switch, with: {model: champion, share: 3}}]}
            """,
            incident=sev2(),
        )
    )
    assert run.state == "succeeded", run.reason
    assert world.traffic["champion"] == 3
    hung = run.children.get(branch="hangs")
    assert "No answer within 0.05 seconds" in step(hung, "H").error


def test_a_lease_that_the_clock_left_behind_in_the_future_is_taken_over(world: World) -> None:
    run = started("- {id: A, kind: auto, title: Measure, action: measure}", incident=sev2())
    Run.objects.update(
        state="running",
        lease_owner="gone",
        lease_until=NOON + timedelta(hours=3),
        fence=4,
        wake_at=NOON + timedelta(hours=3),
    )
    assert engine.sweep(NOON) == 1
    assert advance(run).state == "succeeded"
    assert run.fence == 5


def test_a_clock_that_jumps_ahead_ends_waiting_and_loses_nothing(world: World) -> None:
    body = """
    - {id: W, kind: wait, title: Long, for: 1h}
    - {id: A, kind: auto, title: Off, action: switch, with: {model: champion, share: 0}}
    - {id: V, kind: wait, title: Again, for: 1h}
    """
    run = advance(started(body, incident=sev2()))
    run = advance(run, after=timedelta(days=400))
    assert steps(run) == {"W": "done", "A": "done", "V": "waiting"}
    run = advance(run, after=timedelta(hours=2))  # and back again
    assert (run.state, len(world.writes)) == ("waiting", 1)
    assert advance(run, after=timedelta(days=401)).state == "succeeded"


@pytest.mark.parametrize(
    ("retry", "tries"),
    [
        ("{count: 0}", 1),
        ("{count: 2, backoff: 5s}", 3),
        ("{count: 3, on: [timeout]}", 1),
        ("{count: 1, on: [any]}", 2),
    ],
)
def test_a_retry_rule_says_how_often_and_after_what(world: World, retry: str, tries: int) -> None:
    world.fails = [ActionError("Busy.", retryable=True) for _ in range(9)]
    run = drain(
        started(f"- {{id: A, kind: auto, title: Measure, action: measure, retry: {retry}}}", incident=sev2())
    )
    run = drain(run, after=timedelta(seconds=30))
    run = drain(run, after=timedelta(seconds=120))
    assert run.state == "failed"
    assert 9 - len(world.fails) == tries


@pytest.mark.parametrize(
    ("risk", "asks"), [("R0", False), ("R1", False), ("R2", True), ("R3", True), ("R4", True)]
)
def test_a_risk_raised_by_the_playbook_decides_whether_somebody_is_asked(
    world: World, risk: str, asks: bool
) -> None:
    carl = scenes.person("carl", "IC")
    body = f"- {{id: A, kind: auto, title: Off, action: switch, risk: {risk}, approve: {{}}, with: {{model: champion, share: 0}}}}"
    without = body.replace(" approve: {},", "")
    run = advance(started(body if asks else without, incident=sev2(), by=carl))
    assert (run.state == "asking") is asks
    assert run.approvals.filter(risk=risk).exists() is asks


FALL_BACK = """
- {id: A, kind: approve, title: Fall back, action: risky, with: {model: fallback, share: 100}, approve: {roles: [BO]},
   on_error: {goto: H}, next: end}
- {id: H, kind: human, title: By hand, roles: [IC], form: [{name: how, kind: text}]}
"""


def test_a_target_that_went_away_after_the_yes_leads_to_people_and_nothing_is_written(world: World) -> None:
    run = advance(started(FALL_BACK, incident=sev2()), now=timezone.now())
    approvals.decide(run.approvals.get(), scenes.person("bob", "BO"), True)
    del world.traffic["fallback"]
    run = advance(run, now=timezone.now())
    assert (run.state, steps(run)) == ("asking", {"A": "failed", "H": "asking"})
    assert "There is no model fallback." in step(run, "A").error
    assert world.writes == []


def test_a_clock_that_jumps_past_the_end_of_a_question_asks_again_and_never_acts(world: World) -> None:
    run = advance(started(FALL_BACK, incident=sev2()), now=timezone.now())
    bob = scenes.person("bob", "BO")
    run = advance(run, now=timezone.now() + timedelta(hours=6))
    assert [one.decision for one in run.approvals.order_by("pk")] == ["expired", "pending"]
    # the clock is right again: the question that was asked in the future is open, and its yes counts
    run = advance(run, now=timezone.now())
    assert (run.state, world.writes) == ("asking", [])
    approvals.decide(run.approvals.get(decision="pending"), bob, True)
    assert advance(run, now=timezone.now()).state == "succeeded"
    assert len(world.writes) == 1


def test_a_clock_that_jumps_back_before_a_step_began_still_ends_it(world: World) -> None:
    body = """
    - {id: A, kind: auto, title: Off, action: switch, with: {model: champion, share: 0}}
    - {id: V, kind: wait, title: Again, for: 1h, deadline: 2h}
    - {id: B, kind: auto, title: Measure, action: measure, deadline: 1h}
    """
    run = advance(started(body, incident=sev2()))
    run = advance(run, after=timedelta(days=-30))
    assert (run.state, steps(run)) == ("waiting", {"A": "done", "V": "waiting"})
    run = advance(run, after=timedelta(hours=1))
    assert (run.state, len(world.writes)) == ("succeeded", 1)
