"""A run is carried on by any number of workers, any of which may die: effects happen once, truth is in rows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from incidents.models import Evidence, Incident
from playbooks import engine, shelf
from playbooks.contract import Action, ActionError, Done, Outcome, StepContext
from playbooks.models import Run
from tests import scenes
from tests.playbooks.scenes import NOON, World, advance, kinds, started, step, steps, world

__all__ = ["world"]
pytestmark = pytest.mark.django_db

MEASURE_THEN_SWITCH = """
    - {id: A-1, kind: auto, title: Measure, action: measure}
    - id: A-2
      kind: auto
      title: Fall back
      action: switch
      with: {model: champion, share: 0}
      mark: contained
    - {id: A-3, kind: notify, title: Tell, text: "{{ incident.key }}: {{ steps.A-1.share }}"}
"""
LATER = timedelta(minutes=10)


def sev2(**fields: object) -> Incident:
    return scenes.incident(severity=2, **fields)


class Killed(BaseException):
    """What a dying worker feels."""


def test_a_run_does_its_steps_in_order_and_tells_the_timeline(world: World) -> None:
    incident = sev2()
    run = advance(started(MEASURE_THEN_SWITCH, incident=incident))
    assert run.state == "succeeded", run.reason
    assert steps(run) == {"A-1": "done", "A-2": "done", "A-3": "done"}
    assert world.traffic["champion"] == 0
    assert world.sent == [f"{incident.key}: 0.4"]
    told = [kind for kind in kinds(incident) if kind.startswith(("run.", "step."))]
    assert told == [
        "run.attached", "run.started", "step.done", "step.done", "step.done", "run.succeeded",
    ]  # fmt: skip
    incident.refresh_from_db()
    assert incident.contained_at == NOON


def test_the_state_before_is_kept_as_evidence_with_its_hash_before_anything_changes(world: World) -> None:
    run = advance(started(MEASURE_THEN_SWITCH, incident=sev2()))
    kept = Evidence.objects.get(pk=step(run, "A-2").evidence[0])
    assert bytes(kept.content) == b"{'champion': 100, 'fallback': 0}"
    assert kept.is_intact()
    assert kept.run_ref == f"run:{run.pk}/A-2"


def test_an_effect_that_cannot_be_read_back_fails_the_step_and_unverifies_the_incident(world: World) -> None:
    world.lies = True
    incident = sev2()
    run = started(MEASURE_THEN_SWITCH.replace("mark: contained", "retry: {count: 0}"), incident=incident)
    run = advance(run)
    assert run.state == "failed"
    assert "could not be read back" in run.reason
    assert "Still in force: A-2" in run.reason
    incident.refresh_from_db()
    assert incident.verification["passed"] is False
    assert world.sent == []


def test_after_unverified_only_the_reading_back_is_repeated(world: World) -> None:
    world.lies = True
    run = advance(started(MEASURE_THEN_SWITCH, incident=sev2()))
    assert (run.state, step(run, "A-2").state, step(run, "A-2").phase) == ("waiting", "waiting", "executed")
    world.traffic["champion"] = 0  # it took its time
    run = advance(run, after=LATER)
    assert run.state == "succeeded", run.reason
    assert len(world.writes) == 1


def test_a_retryable_failure_is_tried_again_with_the_same_key_after_a_pause_kept_in_the_row(
    world: World,
) -> None:
    world.fails = [ActionError("The gateway is busy.", retryable=True)]
    polls = MEASURE_THEN_SWITCH.replace("measure}", "poll}").replace("A-1.share", "A-1.rounds")
    run = started(polls, incident=sev2())
    run = advance(run)  # the poll waits first
    for minutes in (6, 12):
        run = advance(run, after=timedelta(minutes=minutes))
    row = step(run, "A-2")
    assert (run.state, row.error) == ("waiting", "The gateway is busy.")
    assert row.wake_at == run.wake_at == NOON + timedelta(minutes=12, seconds=10)
    run = advance(run, after=timedelta(minutes=13))
    assert run.state == "succeeded", run.reason
    assert [key for _, key in world.writes] == [row.idempotency_key]


def test_a_permanent_failure_ends_the_run_and_says_what_to_do(world: World) -> None:
    run = advance(started(MEASURE_THEN_SWITCH.replace("champion", "nobody"), incident=sev2()))
    assert run.state == "failed"
    assert "There is no model nobody." in run.reason
    assert "Retry the step or skip it" in run.reason
    assert world.writes == []


def test_an_action_that_waits_is_asked_again_when_its_time_has_come_and_remembers(world: World) -> None:
    run = advance(started("- {id: P, kind: auto, title: Poll, action: poll}"))
    assert (run.state, run.wake_at) == ("waiting", NOON + timedelta(minutes=5))
    run = advance(run, after=timedelta(minutes=1))  # woken too early
    assert step(run, "P").memory == {"rounds": 1}
    run = advance(run, after=timedelta(minutes=5))
    run = advance(run, after=timedelta(minutes=10))
    assert (run.state, step(run, "P").outputs) == ("succeeded", {"rounds": 3})


def test_a_fault_in_an_action_fails_the_step_not_the_worker(world: World) -> None:
    world.fails = [KeyError("surprise")]
    run = advance(started(MEASURE_THEN_SWITCH, incident=sev2()))
    assert run.state == "failed"
    assert "KeyError" in run.reason


def test_a_step_that_takes_too_long_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    stuck = threading.Event()

    class Slow(Action):
        title = "Slow"

        def run(self, ctx: StepContext) -> Outcome:
            stuck.wait(5)
            return Done()

    found = {**shelf.actions(), "slow": Slow()}
    monkeypatch.setattr(shelf, "actions", lambda: found)
    run = advance(started("- {id: S, kind: auto, title: Slow, action: slow, timeout: 0.05}"))
    stuck.set()
    assert run.state == "failed"
    assert "No answer within 0.05 seconds" in run.reason


def test_a_step_costs_one_statement_or_four_and_one_commit(world: World) -> None:
    def statements(length: int) -> int:
        lines = [
            f"- {{id: A-{n}, kind: decide, title: Go on, branches: [{{goto: A-{n + 1}}}]}}"
            for n in range(length)
        ]
        run = started("\n".join([*lines, f"- {{id: A-{length}, kind: notify, title: Tell, text: x}}"]))
        with CaptureQueriesContext(connection) as seen:
            assert advance(run).state == "succeeded"
        return sum(not query["sql"].startswith(("SAVEPOINT", "RELEASE")) for query in seen.captured_queries)

    # a decision reads the incident once more, so that it decides on what is true now
    own = 1 if connection.vendor == "postgresql" else 4
    assert (statements(20) - statements(10)) / 10 == own + 1


# --- dying workers -------------------------------------------------------------------------------
@pytest.mark.parametrize("moment", range(1, 12))
def test_a_worker_that_dies_at_any_commit_leaves_a_run_that_another_one_finishes_with_the_same_effects(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    from playbooks.session import Working

    run = started(MEASURE_THEN_SWITCH, incident=sev2())
    left = [moment]

    def dying(method: str) -> None:
        real = getattr(Working, method)

        def write(self: Working, *args: object, **kwargs: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                raise Killed  # before the commit: nothing of it is written
            answer = real(self, *args, **kwargs)
            left[0] -= 1
            if left[0] == 0:
                raise Killed  # after the commit
            return answer

        monkeypatch.setattr(Working, method, write)

    for method in ("settle", "checkpoint", "go"):
        dying(method)
    with pytest.raises(Killed):
        engine.advance(run.pk, now=NOON)
    engine.advance(run.pk, now=NOON + timedelta(seconds=1))
    run.refresh_from_db()
    assert run.state != "succeeded"  # the dead worker's lease still stands
    assert engine.sweep(NOON + LATER) == 1
    run = advance(run, after=LATER)
    assert run.state == "succeeded", run.reason
    assert set(steps(run).values()) == {"done"}
    assert run.steps.count() == 3
    assert list(world.done) == [f"holdfast-run-{run.pk}-A-2-1"]
    assert world.traffic["champion"] == 0


def test_a_worker_that_dies_inside_the_action_is_followed_by_one_that_uses_the_same_key(world: World) -> None:
    run = started(MEASURE_THEN_SWITCH, incident=sev2())
    world.fails = []
    real = world.write

    def write_then_die(what: str, key: str) -> None:
        real(what, key)
        world.write = real  # type: ignore[method-assign]
        raise SystemExit

    world.write = write_then_die  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        engine.advance(run.pk, now=NOON)
    run = advance(run, after=LATER)
    assert run.state == "succeeded", run.reason
    assert len(world.writes) == 2
    assert len(world.done) == 1


def test_a_step_that_always_kills_its_worker_is_given_up(world: World) -> None:
    run = started("- {id: K, kind: auto, title: Killer, action: measure}")
    for round in range(8):
        world.fails = [Killed()]
        try:
            advance(run, after=round * LATER)
        except Killed:
            continue
    run.refresh_from_db()
    assert run.state == "failed"
    assert "Started 5 times without coming back" in run.reason


def test_of_two_workers_only_one_works(world: World) -> None:
    run = started(MEASURE_THEN_SWITCH, incident=sev2())
    real = world.write

    def second_worker_looks(what: str, key: str) -> None:
        engine.advance(run.pk, now=NOON)
        real(what, key)

    world.write = second_worker_looks  # type: ignore[method-assign]
    run = advance(run)
    assert run.state == "succeeded", run.reason
    assert len(world.writes) == 1


def test_a_worker_whose_lease_was_taken_over_writes_nothing_more(world: World) -> None:
    run = started(MEASURE_THEN_SWITCH, incident=sev2())
    real = world.write

    def overtaken(what: str, key: str) -> None:
        world.write = real  # type: ignore[method-assign]
        engine.advance(run.pk, now=NOON + timedelta(hours=1))  # believes the first one dead
        real(what, key)

    world.write = overtaken  # type: ignore[method-assign]
    run = advance(run)
    assert run.state == "succeeded", run.reason
    assert len(world.done) == 1
    assert run.steps.count() == 3
    assert kinds(run.incident).count("run.succeeded") == 1


# --- timers --------------------------------------------------------------------------------------
def test_the_sweeper_finds_what_is_due_and_stamps_it(world: World) -> None:
    run = started("- {id: W, kind: wait, title: Watch, for: 1h}")
    Run.objects.update(wake_at=NOON)
    assert engine.sweep(NOON) == 1
    assert engine.sweep(NOON) == 0  # woken already
    run = advance(run)
    assert engine.sweep(NOON + timedelta(minutes=59)) == 0
    assert engine.sweep(NOON + timedelta(minutes=60)) == 1
    run = advance(run, after=timedelta(minutes=60))
    assert (run.state, step(run, "W").outputs) == ("succeeded", {"waited_seconds": 3600})


def test_waiting_for_a_condition_looks_again_and_fails_at_its_deadline(world: World) -> None:
    incident = sev2()
    waits = (
        "- {id: W, kind: wait, title: Quiet, until: incident.firing_count == 0, every: 10m, deadline: 25m}"
    )
    Incident.objects.filter(pk=incident.pk).update(firing_count=2)
    run = advance(started(waits, incident=incident))
    assert run.wake_at == NOON + timedelta(minutes=10)
    run = advance(run, after=timedelta(minutes=10))
    run = advance(run, after=timedelta(minutes=20))
    assert run.wake_at == NOON + timedelta(minutes=25)
    run = advance(run, after=timedelta(minutes=25))
    assert run.state == "failed"
    assert "still does not hold" in run.reason


def test_waiting_ends_when_the_condition_holds(world: World) -> None:
    incident = sev2()
    Incident.objects.filter(pk=incident.pk).update(firing_count=2)
    run = advance(
        started("- {id: W, kind: wait, title: Quiet, until: incident.firing_count == 0}", incident=incident)
    )
    assert run.state == "waiting"
    Incident.objects.filter(pk=incident.pk).update(firing_count=0)
    assert advance(run, after=LATER).state == "succeeded"


# --- deciding, gates, skipping -------------------------------------------------------------------
BRANCH = """
    - {id: A-1, kind: auto, title: Measure, action: measure}
    - id: A-2
      kind: decide
      title: Bad?
      branches:
        - {when: 'steps["A-1"].share > 0.3', goto: BAD}
        - {goto: end}
    - {id: BAD, kind: notify, title: Tell, text: bad}
"""


@pytest.mark.parametrize(("share", "sent"), [(0.4, ["bad"]), (0.1, [])])
def test_a_decision_takes_the_first_branch_that_holds(world: World, share: float, sent: list[str]) -> None:
    world.share = share
    run = advance(started(BRANCH))
    assert (run.state, world.sent) == ("succeeded", sent)


def test_where_a_decision_led_is_known_to_later_steps(world: World) -> None:
    run = advance(started(BRANCH.replace("text: bad", 'text: "{{ steps.A-2.goto }}"')))
    assert (run.state, world.sent) == ("succeeded", ["BAD"])


def test_a_condition_that_cannot_be_evaluated_is_never_true_and_never_false(world: World) -> None:
    run = advance(started(BRANCH.replace("].share", "].big")))
    assert (run.state, world.sent) == ("failed", [])
    assert "cannot be evaluated" in run.reason


def test_a_step_whose_condition_does_not_hold_is_skipped_and_said_so(world: World) -> None:
    run = advance(started(BRANCH.replace("title: Bad?", "title: Bad?\n      when: incident.severity == 1")))
    assert steps(run) == {"A-1": "done", "A-2": "skipped"}, "its branch without condition leads to the end"
    assert "step.skipped" in kinds(run.incident)
    without = BRANCH.replace("        - {goto: end}\n", "").replace(
        "title: Bad?", "title: Bad?\n      when: incident.severity == 1"
    )
    assert steps(advance(started(without))) == {"A-1": "done", "A-2": "skipped", "BAD": "done"}


GATE = """
    - id: G
      kind: gate
      title: Is it over?
      checks:
        - {when: incident.firing_count == 0, title: No monitor fires}
        - {when: incident.severity > 0, title: It has a severity}
      mark: verified
"""


def test_a_gate_that_holds_verifies_the_incident(world: World) -> None:
    incident = sev2()
    run = advance(started(GATE, incident=incident))
    incident.refresh_from_db()
    assert run.state == "succeeded"
    assert incident.verification["passed"] is True
    assert incident.verification["by"] == run.ref
    assert [check["name"] for check in incident.verification["checks"]] == [
        "No monitor fires",
        "It has a severity",
    ]


def test_a_gate_that_does_not_hold_says_what_is_missing(world: World) -> None:
    incident = sev2()
    Incident.objects.filter(pk=incident.pk).update(firing_count=3)
    run = advance(started(GATE, incident=incident))
    incident.refresh_from_db()
    assert "Not met: No monitor fires" in run.reason
    assert incident.verification["passed"] is False


def test_a_gate_judges_the_incident_as_it_is_now(world: World) -> None:
    incident = sev2()
    measure = shelf.actions()["measure"]

    def fires_meanwhile(self: Action, ctx: StepContext) -> Outcome:
        Incident.objects.filter(pk=incident.pk).update(firing_count=1)
        return Done({"share": 0.1})

    type(measure).run = fires_meanwhile  # type: ignore[method-assign]
    type(measure).timeout = 0  # without a helper thread: its connection does not see this test's transaction
    gate = "    - {id: M, kind: auto, title: Measure, action: measure}" + GATE
    run = advance(started(gate, incident=incident))
    assert "Not met: No monitor fires" in run.reason


# --- failure and taking back ---------------------------------------------------------------------
TWO_EFFECTS = """
    - {id: E-1, kind: auto, title: Champion off, action: switch, with: {model: champion, share: 0}}
    - {id: E-2, kind: auto, title: Fallback on, action: switch, with: {model: fallback, share: 100}}
    - {id: E-3, kind: auto, title: Measure, action: measure, on_error: compensate}
"""


def test_compensation_takes_effects_back_the_newest_first(world: World) -> None:
    run = started(TWO_EFFECTS, incident=sev2())
    world.fails = []
    measure = shelf.actions()["measure"]
    type(measure).run = lambda self, ctx: (_ for _ in ()).throw(ActionError("Worse than before."))  # type: ignore[method-assign]
    run = advance(run)
    assert run.state == "failed"
    assert [what for what, _ in world.writes[2:]] == ["fallback=0", "champion=100"]
    assert steps(run) == {"E-1": "undone", "E-2": "undone", "E-3": "failed"}
    assert "Undone: E-2, E-1." in run.reason
    assert world.traffic == {"champion": 100, "fallback": 0}


def test_what_cannot_be_taken_back_is_named_and_the_rest_is_taken_back(world: World) -> None:
    run = started(TWO_EFFECTS, incident=sev2())
    measure = shelf.actions()["measure"]

    def fail(self: Action, ctx: StepContext) -> Outcome:
        world.fails = [ActionError("Locked.")]
        raise ActionError("Worse than before.")

    type(measure).run = fail  # type: ignore[method-assign]
    run = advance(run)
    assert "Could NOT be undone, do it by hand: E-2 Fallback on" in run.reason
    assert world.traffic == {"champion": 100, "fallback": 100}


def test_a_worker_that_dies_while_taking_back_is_followed_by_one_that_goes_on(world: World) -> None:
    run = started(TWO_EFFECTS, incident=sev2())
    measure = shelf.actions()["measure"]

    def fail(self: Action, ctx: StepContext) -> Outcome:
        world.fails = [Killed()]
        raise ActionError("Worse than before.")

    type(measure).run = fail  # type: ignore[method-assign]
    with pytest.raises(Killed):
        advance(run)
    run = advance(run, after=LATER)
    assert run.state == "failed"
    assert world.traffic == {"champion": 100, "fallback": 0}


def test_an_error_may_be_passed_over_or_lead_elsewhere(world: World) -> None:
    world.fails = [ActionError("No data."), ActionError("No data.")]
    run = advance(
        started("""
            - {id: A, kind: auto, title: Measure, action: measure, on_error: continue}
            - {id: B, kind: auto, title: Measure again, action: measure, on_error: "goto: D"}
            - {id: C, kind: notify, title: Tell, text: c}
            - {id: D, kind: notify, title: Tell, text: d}
        """)
    )  # fmt: skip
    assert run.state == "succeeded"
    assert steps(run) == {"A": "failed", "B": "failed", "D": "done"}


# --- evidence ------------------------------------------------------------------------------------
def test_an_evidence_hold_blocks_what_would_destroy_evidence(world: World) -> None:
    from playbooks import approvals

    incident = sev2()
    run = started(
        "- {id: P, kind: auto, title: Purge, action: purge, with: {model: champion, share: 0}, approve: {}}",
        incident=incident,
    )
    run = advance(run)
    approvals.decide(run.approvals.get(), scenes.person("mia", "MRC"), True)
    Incident.objects.filter(pk=incident.pk).update(evidence_hold=True)
    run = advance(run, after=LATER)
    assert run.state == "failed"
    assert "evidence hold" in run.reason
    assert world.writes == []


def test_a_step_may_need_evidence_first(world: World) -> None:
    switch = "- {id: S, kind: auto, title: Off, action: switch, with: {model: champion, share: 0}, needs_evidence: true}"
    run = advance(started(switch, incident=sev2()))
    assert "no evidence yet" in run.reason
    assert world.writes == []


def test_outputs_too_large_for_the_row_become_evidence(world: World) -> None:
    measure = shelf.actions()["measure"]
    type(measure).run = lambda self, ctx: Done({"share": 0.1, "big": "x" * 300_000})  # type: ignore[method-assign]
    run = advance(started("- {id: A, kind: auto, title: Measure, action: measure}"))
    row = step(run, "A")
    assert row.outputs["share"] == 0.1
    assert "big" not in row.outputs
    assert Evidence.objects.get(pk=row.evidence[0]).size > 300_000


def test_outputs_that_json_cannot_carry_fail_the_step(world: World) -> None:
    measure = shelf.actions()["measure"]
    type(measure).run = lambda self, ctx: Done({"share": float("nan")})  # type: ignore[method-assign]
    run = advance(started("- {id: A, kind: auto, title: Measure, action: measure}"))
    assert run.state == "failed"
    assert "JSON" in run.reason


# --- dry run and stopping ------------------------------------------------------------------------
def test_a_dry_run_changes_nothing_and_lists_what_it_would_do(world: World) -> None:
    run = started(MEASURE_THEN_SWITCH, incident=sev2(), dry_run=True)
    run = advance(run)
    assert run.state == "succeeded", run.reason
    assert (world.writes, world.sent, world.looks) == ([], [], 1)
    assert 'would run switch with {"model": "champion", "share": 0}' in run.reason
    run.incident.refresh_from_db()
    assert run.incident.contained_at is None


def test_a_dry_run_goes_round_once(world: World) -> None:
    run = started(
        """
            - {id: M, kind: auto, title: Measure, action: measure}
            - {id: W, kind: wait, title: Watch, for: 1h, next: M}
        """,
        dry_run=True,
    )
    run = advance(run)
    assert (run.state, world.looks) == ("succeeded", 1)


def test_a_worker_that_is_told_to_stop_gives_the_lease_back_between_steps(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from incidents import wake

    closing = threading.Event()
    monkeypatch.setattr(wake, "closing", closing)
    run = started(MEASURE_THEN_SWITCH, incident=sev2())
    real = world.write

    def stop_now(what: str, key: str) -> None:
        closing.set()
        real(what, key)

    world.write = stop_now  # type: ignore[method-assign]
    run = advance(run)
    assert (run.state, run.lease_until, run.cursor) == ("queued", None, {"next": "A-3"})
    closing.clear()
    run = advance(run)  # at once: no lease has to run out
    assert run.state == "succeeded"


def test_a_run_stays_with_the_version_it_started_with(world: World) -> None:
    from tests.playbooks.scenes import published

    run = started(MEASURE_THEN_SWITCH, incident=sev2())
    published("- {id: X, kind: notify, title: Other, text: other}")
    run = advance(run)
    assert set(steps(run)) == {"A-1", "A-2", "A-3"}


def test_what_a_database_cannot_store_does_not_stop_the_run(world: World) -> None:
    measure = shelf.actions()["measure"]

    def odd(self: Action, ctx: StepContext) -> Outcome:
        if world.looks:
            raise ActionError("No\x00 \ud800.")
        world.looks += 1
        return Done({"share": 0.1, "big": "a\x00b\ud800\\u0000"}, summary="a\x00b")

    type(measure).run = odd  # type: ignore[method-assign]
    run = advance(
        started("""
            - {id: A, kind: auto, title: Measure, action: measure}
            - {id: B, kind: auto, title: Measure, action: measure}
        """)
    )
    assert step(run, "A").outputs["big"] == "ab?\\u0000"
    assert step(run, "B").error == "No ?."


def test_who_answered_is_kept_with_the_step(world: World) -> None:
    from playbooks import approvals

    bob = scenes.person("bob", "BO")
    risky = "- {id: R, kind: approve, title: On, action: risky, approve: {roles: [BO]}, with: {model: fallback, share: 100}}"
    run = advance(started(risky))
    approvals.decide(run.approvals.get(), bob, True, "Go.")
    run = advance(run)
    row = step(run, "R")
    assert (row.state, row.actor) == ("done", bob)
    assert row.outputs == {"approved": True, "by": "bob", "reason": "Go.", "model": "fallback", "before": 0}
