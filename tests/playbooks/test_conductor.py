"""What comes next, as a pure function: tables for the rules, properties for the promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.conductor import (
    ASKS,
    MOST_VISITS,
    Asked,
    AskPerson,
    Compensate,
    Decision,
    Expired,
    Fail,
    Failed,
    Finish,
    Later,
    Outcome,
    Outdated,
    Progress,
    RunStep,
    Succeeded,
    WaitUntil,
    decide,
)
from playbooks.definition import END, ApproveRule, Branch, Definition, ErrorRule, Retry, StepDef

pytestmark = pytest.mark.once
NOON = datetime(2030, 5, 6, 12, tzinfo=UTC)


def playbook(*steps: StepDef) -> Definition:
    return Definition("pb", "Playbook", steps=steps)


def auto(id: str, **fields: Any) -> StepDef:
    return StepDef(id, "auto", id.title(), action="act", **fields)


def next_after(definition: Definition, at: str, outcome: Outcome | None, **progress: Any) -> Decision:
    return decide(definition, Progress(at, **progress), outcome, NOON)[0]


def test_steps_follow_one_another_and_the_last_one_ends_the_run() -> None:
    two = playbook(auto("A"), auto("B"))
    assert next_after(two, "A", None) == RunStep("A")
    assert next_after(two, "A", Succeeded()) == RunStep("B")
    assert next_after(two, "B", Succeeded()) == Finish()
    assert next_after(two, END, None) == Finish()


def test_branches_are_looked_at_in_order_and_the_one_without_condition_is_otherwise() -> None:
    branches = (Branch("C", "steps.A.n > 2"), Branch("B", "steps.A.n > 1"), Branch(END))
    three = playbook(auto("A", branches=branches), auto("B"), auto("C"))
    for n, expected in ((3, RunStep("C")), (2, RunStep("B")), (1, Finish())):
        assert next_after(three, "A", Succeeded(), steps={"A": {"n": n}}) == expected


def test_where_a_done_step_leads_cannot_be_said_so_it_failed() -> None:
    one = playbook(auto("A", branches=(Branch(END, "steps.A.missing > 1"),)))
    decision, wrong = decide(one, Progress("A", steps={"A": {"n": 1}}), Succeeded(), NOON)
    assert isinstance(decision, Fail)
    assert "missing" in wrong


@pytest.mark.parametrize(
    ("cause", "on", "again"),
    [
        ("retryable", ("retryable",), True), ("permanent", ("retryable",), False), ("permanent", ("any",), True),
        ("timeout", ("retryable",), False), ("timeout", ("timeout",), True), ("unverified", ("unverified",), True),
    ],
)  # fmt: skip
def test_the_retry_rule_says_which_failures_are_repeated(
    cause: Any, on: tuple[str, ...], again: bool
) -> None:
    one = playbook(auto("A", retry=Retry(2, 10, on)))
    decision = next_after(one, "A", Failed("no", cause, tries=1))
    assert isinstance(decision, WaitUntil) is again
    assert isinstance(next_after(one, "A", Failed("no", cause, tries=3)), Fail)


def test_the_pause_doubles_up_to_an_hour_and_respects_what_the_other_side_asks() -> None:
    one = playbook(auto("A", retry=Retry(20, 10)))
    pauses = []
    for tries in (1, 2, 3, 15):
        decision = next_after(one, "A", Failed("busy", "retryable", tries=tries))
        assert isinstance(decision, WaitUntil)
        pauses.append((decision.at - NOON).total_seconds())
    assert pauses == [10, 20, 40, 3600]
    asked = next_after(one, "A", Failed("busy", "retryable", tries=1, after=7200))
    assert isinstance(asked, WaitUntil)
    assert asked.at == NOON + timedelta(hours=2)


def test_there_is_no_try_after_the_deadline() -> None:
    one = playbook(auto("A", retry=Retry(3, 60)))
    late = Failed("busy", "retryable", deadline=NOON + timedelta(seconds=59))
    assert isinstance(next_after(one, "A", late), Fail)


def test_a_failure_ends_the_run_goes_on_jumps_or_takes_effects_back_newest_first() -> None:
    def rule(how: str, goto: str = "") -> Definition:
        return playbook(auto("A", on_error=ErrorRule(how, goto)), auto("B"), auto("C"))

    assert isinstance(next_after(rule("fail"), "A", Failed("no")), Fail)
    assert next_after(rule("continue"), "A", Failed("no")) == RunStep("B")
    assert next_after(rule("goto", "C"), "A", Failed("no")) == RunStep("C")
    undone = next_after(rule("compensate"), "A", Failed("no"), effects=("X", "Y"))
    assert isinstance(undone, Compensate)
    assert undone.steps == ("Y", "X")
    assert isinstance(next_after(rule("compensate"), "A", Failed("no")), Fail)  # nothing to take back


def test_silence_escalates_a_few_times_then_fails_or_leads_elsewhere() -> None:
    ask = auto("A", approve=ApproveRule())
    one = playbook(ask, auto("B"))
    assert next_after(one, "A", Expired(ASKS - 1)) == RunStep("A")
    assert isinstance(next_after(one, "A", Expired(ASKS)), Fail)
    jump = playbook(replace(ask, approve=ApproveRule(on_timeout="goto", goto="B")), auto("B"))
    assert next_after(jump, "A", Expired(1)) == RunStep("B")


def test_what_was_approved_and_changed_is_asked_again() -> None:
    assert next_after(playbook(auto("A")), "A", Outdated("other")) == RunStep("A")


# --- promises ------------------------------------------------------------------------------------
IDS = [f"S{n}" for n in range(6)]
targets = st.sampled_from([*IDS, END])
conditions = st.sampled_from(["", "inputs.yes", "!inputs.yes", "steps.S0.n > 1", "inputs.nothing"])
rules = st.one_of(
    st.builds(ErrorRule, st.sampled_from(["fail", "continue", "compensate"])),
    st.builds(lambda target: ErrorRule("goto", target), targets),
)


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Any playbook, also those that the checker would refuse (ways back that never wait)."""
    return playbook(
        *(
            auto(
                id,
                when=draw(conditions),
                next=draw(st.one_of(st.just(""), targets)),
                branches=tuple(draw(st.lists(st.builds(Branch, targets, conditions), max_size=2))),
                on_error=draw(rules),
                retry=Retry(draw(st.integers(0, 3)), 1, ("any",)),
                approve=draw(st.sampled_from([None, ApproveRule()])),
            )
            for id in IDS
        )
    )


outcomes = st.sampled_from(["done", "later", "ask", "expire", "fail", "outdated"])


@given(definitions(), st.lists(outcomes, min_size=0, max_size=40), st.booleans())
def test_every_run_ends_whatever_the_playbook_says_and_happens(
    definition: Definition, happens: list[str], yes: bool
) -> None:
    facts = {"inputs": {"yes": yes}}
    seen: dict[str, dict[str, Any]] = {}
    visits, tries, at = 0, 0, "S0"
    script = iter(happens)
    outcome: Outcome | None = None
    now = NOON
    for _ in range(MOST_VISITS * 3 + 200):
        decision, _ = decide(definition, Progress(at, facts, seen, visits), outcome, now)
        match decision:
            case Finish() | Fail() | Compensate():
                assert visits <= MOST_VISITS
                return
            case RunStep(id, passed):
                visits += 1 + len(passed)
                at, tries = id, 1
                seen[id] = {"n": visits, "state": "running"}
            case WaitUntil(until):
                assert until > now or isinstance(outcome, Later)
                now, tries = max(now, until), tries + 1
            case AskPerson():
                pass
        match next(script, "done"):
            case "done":
                outcome = Succeeded()
                seen[at]["state"] = "done"
            case "later":
                outcome = Later(now + timedelta(minutes=1))
            case "ask":
                outcome = Asked(None)
            case "expire":
                outcome = Expired(tries)
            case "outdated":
                outcome = Outdated("other")
            case _:
                outcome = Failed("no", "retryable", tries)
                seen[at]["state"] = "failed"
    pytest.fail("the run did not end")


@given(st.integers(1, 6), st.data())
def test_in_a_straight_playbook_no_step_runs_again_after_it_is_done(length: int, data: st.DataObject) -> None:
    definition = playbook(
        *(auto(id, retry=Retry(20, 1, ("any",)), on_error=ErrorRule("continue")) for id in IDS[:length])
    )
    at, tries, outcome, ran = "S0", 0, None, []
    while True:
        decision, _ = decide(definition, Progress(at), outcome, NOON)
        match decision:
            case Finish():
                break
            case RunStep(id):
                ran.append(id)
                at, tries = id, 1
            case WaitUntil():
                tries += 1
        again = tries < 5 and data.draw(st.booleans())
        outcome = Failed("busy", "retryable", tries) if again else Succeeded()
    assert ran == IDS[:length]


@given(definitions(), st.booleans())
def test_the_same_question_has_the_same_answer(definition: Definition, yes: bool) -> None:
    progress = Progress("S0", {"inputs": {"yes": yes}}, {"S0": {"n": 2, "state": "done"}}, 3, effects=("S0",))
    for outcome in (None, Succeeded(), Failed("no", "retryable"), Expired(1)):
        assert decide(definition, progress, outcome, NOON) == decide(definition, progress, outcome, NOON)
