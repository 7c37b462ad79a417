"""Who may say yes to what, who may not, until when; and forms."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from incidents.access import NotAllowed
from incidents.lifecycle import Refused
from incidents.models import Incident, ModelVersion, Task, User
from playbooks import approvals, control, forms, triggers
from playbooks.models import Approval, Run, Step
from tests import scenes
from tests.playbooks.scenes import HEAD, World, asked, kinds, published, started, step, steps, world
from tests.playbooks.scenes import advance as look

__all__ = ["world"]
pytestmark = pytest.mark.django_db

RISKY = """
    - id: R
      kind: auto
      title: Serve the fallback
      action: risky
      with: {model: champion, share: 0, version: "{{ incident.subtype? }}"}
      approve: {roles: [IC, BO], expires: 2h}
"""
FORM = """
    - id: F
      kind: human
      title: What happened?
      roles: [MLE]
      deadline: 8h
      form:
        - {name: cause, kind: choice, choices: [world, pipeline]}
        - {name: people, kind: number, min: 0}
        - {name: note, kind: long_text, required: false}
"""


def advance(run: Run, after: timedelta = timedelta()) -> Run:
    return look(run, now=timezone.now(), after=after)


def test_a_risky_step_waits_for_a_yes_and_then_acts(world: World) -> None:
    bob = scenes.person("bob", "BO")
    run = advance(started(RISKY))
    question = asked(run)
    assert (run.state, step(run, "R").state, world.writes) == ("asking", "asking", [])
    assert (question.risk, question.roles, len(step(run, "R").evidence)) == ("R2", ["IC", "BO"], 1)
    approvals.decide(question, bob, True, "Rates look right.")
    run = advance(run)
    assert run.state == "succeeded", run.reason
    assert world.traffic["champion"] == 0
    told = kinds(run.incident)
    assert told.index("approval.requested") < told.index("approval.approved") < told.index("step.done")


def test_a_reason_that_is_a_sentence_gets_no_second_full_stop(world: World) -> None:
    bob = scenes.person("bob", "BO")
    run = advance(started(RISKY))
    approvals.decide(asked(run), bob, False, "It loses churn.")
    assert "Rejected by bob: It loses churn." in (reason := advance(run).reason)
    assert ".." not in reason


def test_a_no_needs_a_reason_and_fails_the_step(world: World) -> None:
    bob = scenes.person("bob", "BO")
    run = advance(started(RISKY))
    with pytest.raises(Refused, match="Say why"):
        approvals.decide(asked(run), bob, False)
    approvals.decide(asked(run), bob, False, "Too early.")
    run = advance(run)
    assert run.state == "failed"
    assert "Rejected by bob: Too early." in run.reason
    assert world.writes == []


def test_the_wrong_role_is_refused_and_that_is_kept_on_the_timeline(world: World) -> None:
    run = advance(started(RISKY))
    with pytest.raises(NotAllowed):
        approvals.decide(asked(run), scenes.person("max", "MLE"), True)
    assert kinds(run.incident)[-1] == "approval.refused"


def test_the_playbook_narrows_who_may_approve(world: World) -> None:
    run = advance(started(RISKY))
    with pytest.raises(Refused, match="BO or IC"):
        approvals.decide(asked(run), scenes.person("eve", "EXE"), True)


def test_whoever_started_the_run_does_not_approve_it(world: World) -> None:
    commander = scenes.person("carl", "IC")
    run = advance(started(RISKY, by=commander))
    with pytest.raises(Refused, match="Four eyes"):
        approvals.decide(asked(run), commander, True)
    assert kinds(run.incident)[-1] == "approval.refused"
    assert asked(run).votes == []


def test_whoever_asked_for_another_attempt_does_not_approve_it(world: World) -> None:
    carl, cleo = scenes.person("carl", "IC"), scenes.person("cleo", "IC")
    run = advance(started(RISKY))
    approvals.decide(asked(run), carl, False, "Not yet.")
    run = advance(run)
    control.retry(step(run, "R"), carl)
    run = advance(run)
    with pytest.raises(Refused, match="Four eyes"):
        approvals.decide(asked(run), carl, True)
    approvals.decide(asked(run), cleo, True)
    assert advance(run).state == "succeeded"


def test_the_author_of_the_model_version_does_not_approve_its_use(world: World) -> None:
    author = scenes.person("dora", "IC")
    system = scenes.system()
    ModelVersion.objects.create(system=system, version="7.3", author=author)
    incident = scenes.incident(system=system)
    Incident.objects.update(subtype="7.3")  # what the parameter “version” refers to
    run = advance(started(RISKY, incident=incident))
    with pytest.raises(Refused, match=r"author of model version 7\.3"):
        approvals.decide(asked(run), author, True)
    assert kinds(run.incident)[-1] == "approval.refused"


def test_a_service_account_never_approves(world: World) -> None:
    run = advance(started(RISKY))
    with pytest.raises(NotAllowed):
        approvals.decide(asked(run), scenes.person("robot", "IC", is_service=True), True)


def test_a_superuser_without_the_role_does_not_approve(world: World) -> None:
    run = advance(started(RISKY))
    with pytest.raises(NotAllowed):
        approvals.decide(asked(run), scenes.person("root", is_superuser=True), True)


def test_deciding_twice_is_refused_with_who_decided(world: World) -> None:
    bob, carl = scenes.person("bob", "BO"), scenes.person("carl", "IC")
    question = asked(advance(started(RISKY)))
    approvals.decide(question, bob, True)
    with pytest.raises(Refused, match="approved by bob already"):
        approvals.decide(question, carl, True)


def test_a_quorum_needs_different_people(world: World) -> None:
    bob, carl = scenes.person("bob", "BO"), scenes.person("carl", "IC")
    run = advance(started(RISKY.replace("expires: 2h", "quorum: 2")))
    question = approvals.decide(asked(run), bob, True)
    assert question.decision == "pending"
    with pytest.raises(Refused, match="voted already"):
        approvals.decide(question, bob, True)
    assert approvals.decide(question, carl, True).decision == "approved"
    assert [vote["name"] for vote in question.votes] == ["bob", "carl"]


def test_parameters_that_change_after_the_yes_are_asked_again(world: World) -> None:
    bob = scenes.person("bob", "BO")
    run = advance(started(RISKY))
    approvals.decide(asked(run), bob, True)
    Incident.objects.update(subtype="7.4")  # what the parameters refer to
    run = advance(run)
    assert (run.state, world.writes) == ("asking", [])
    assert asked(run).step.attempt == 2
    approvals.decide(asked(run), bob, True)
    run = advance(run)
    assert run.state == "succeeded", run.reason
    assert step(run, "R").inputs["version"] == "7.4"


def test_a_step_row_that_was_tampered_with_is_not_approved(world: World) -> None:
    question = asked(advance(started(RISKY)))
    Step.objects.update(inputs={"model": "champion", "share": 100})
    with pytest.raises(Refused, match="no longer those that were shown"):
        approvals.decide(question, scenes.person("bob", "BO"), True)


def test_a_yes_to_parameters_shown_on_an_old_page_is_refused(world: World) -> None:
    question = asked(advance(started(RISKY)))
    with pytest.raises(Refused, match="other parameters"):
        approvals.decide(question, scenes.person("bob", "BO"), True, seen="0" * 64)


def test_nobody_answers_it_escalates_and_is_asked_again_then_fails(world: World) -> None:
    run = advance(started(RISKY))
    first = asked(run)
    assert first.expires_at == run.wake_at
    for round in (1, 2):
        run = advance(run, timedelta(hours=2 * round, minutes=round))
        assert run.state == "asking"
        assert asked(run).step.attempt == round + 1
    first.refresh_from_db()
    assert first.decision == "expired"
    run = advance(run, timedelta(hours=6, minutes=5))
    assert run.state == "failed"
    assert "Nobody answered in time." in run.reason
    assert kinds(run.incident).count("approval.escalated") == 2


def test_silence_may_lead_to_another_step(world: World) -> None:
    run = advance(
        started(
            RISKY.replace("expires: 2h", 'on_timeout: "goto: N"')
            + "\n    - {id: M, kind: notify, title: Done, text: done, next: end}"
            + "\n    - {id: N, kind: notify, title: Nobody, text: nobody answered}"
        )
    )
    run = advance(run, timedelta(hours=4, minutes=1))
    assert (run.state, world.sent) == ("succeeded", ["nobody answered"])


def test_an_expired_request_cannot_be_approved(world: World) -> None:
    question = asked(advance(started(RISKY)))
    Approval.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(Refused, match="expired"):
        approvals.decide(question, scenes.person("bob", "BO"), True)


def test_a_pause_keeps_the_answer_for_later(world: World) -> None:
    run = advance(started(RISKY))
    control.pause(run, scenes.person("carl", "IC"))
    approvals.decide(asked(run), scenes.person("bob", "BO"), True)
    run = advance(run)
    assert (run.state, world.writes) == ("paused", [])
    control.resume(run, scenes.person("cleo", "IC"))
    assert advance(run).state == "succeeded"


# --- break-glass ---------------------------------------------------------------------------------
def test_break_glass_lets_the_commander_go_alone_on_a_sev1_and_is_reviewed(world: World) -> None:
    commander = scenes.person("carl", "IC")
    run = advance(started(RISKY, by=commander, incident=scenes.incident(severity=1)))
    question = approvals.decide(asked(run), commander, True, "Patients wait.", break_glass=True)
    assert (question.decision, question.break_glass) == ("approved", True)
    review = Task.objects.get()
    assert "Review the break-glass approval" in review.title
    assert review.due_at is not None
    assert review.due_at - timezone.now() <= timedelta(hours=24)
    assert advance(run).state == "succeeded"


@pytest.mark.parametrize(
    ("severity", "roles", "reason", "message"),
    [(2, "IC", "Now!", "SEV1 only"), (1, "IC", "", "needs a yes and the reason"), (1, "BO", "Now!", "for the incident commander")],
)  # fmt: skip
def test_break_glass_is_for_nothing_else(
    world: World, severity: int, roles: str, reason: str, message: str
) -> None:
    run = advance(started(RISKY, incident=scenes.incident(severity=severity)))
    with pytest.raises(Refused, match=message):
        approvals.decide(asked(run), scenes.person("x", roles), True, reason, break_glass=True)
    assert asked(run).decision == "pending"


def test_break_glass_does_not_reach_r3(world: World) -> None:
    run = advance(
        started(
            RISKY.replace("action: risky", "action: purge").replace("roles: [IC, BO], ", ""),
            incident=scenes.incident(severity=1),
        )
    )
    with pytest.raises(Refused, match="does not reach R3"):
        approvals.decide(asked(run), scenes.person("carl", "IC"), True, "Now!", break_glass=True)


# --- R1 ------------------------------------------------------------------------------------------
SWITCH = "- {id: S, kind: auto, title: Off, action: switch, with: {model: champion, share: 0}}"


def test_r1_runs_by_itself_on_sev2_and_asks_on_sev3(world: World) -> None:
    assert advance(started(SWITCH, incident=scenes.incident(severity=2))).state == "succeeded"
    world.traffic["champion"] = 100
    run = advance(started(SWITCH, incident=scenes.incident(severity=3)))
    assert (run.state, asked(run).risk) == ("asking", "R1")


def test_r1_does_not_ask_whoever_started_it_and_may_approve_it(world: World) -> None:
    assert advance(started(SWITCH, by=scenes.person("carl", "IC"))).state == "succeeded"


def test_a_step_of_kind_approve_gives_its_answer_to_later_steps(world: World) -> None:
    run = advance(
        started("""
            - {id: A, kind: approve, title: Promote, risk: R3, text: "Promote for {{ incident.key }}?"}
            - {id: N, kind: notify, title: Tell, text: "{{ steps.A.by }}: {{ steps.A.reason }}"}
        """)
    )
    approvals.decide(asked(run), scenes.person("mia", "MRC"), True, "Fair enough")
    assert advance(run).state == "succeeded"
    assert world.sent == ["mia: Fair enough"]


# --- forms ---------------------------------------------------------------------------------------
def test_a_form_is_checked_field_by_field_and_its_answers_are_outputs(world: World) -> None:
    max = scenes.person("max", "MLE")
    run = advance(started(FORM))
    with pytest.raises(forms.InvalidForm) as wrong:
        approvals.answer(asked(run), max, {"cause": "gremlins", "people": "-3", "colour": "red"})
    assert wrong.value.errors == {
        "colour": "There is no such field.", "cause": "Choose one of world, pipeline.", "people": "Write at least 0.",
    }  # fmt: skip
    approvals.answer(asked(run), max, {"cause": "world", "people": "12"})
    run = advance(run)
    assert run.state == "succeeded"
    assert step(run, "F").outputs == {"cause": "world", "people": 12, "note": None}


def test_a_form_is_answered_by_its_roles(world: World) -> None:
    run = advance(started(FORM))
    with pytest.raises(Refused, match="asks for MLE"):
        approvals.answer(asked(run), scenes.person("carl", "IC"), {"cause": "world", "people": 1})
    assert kinds(run.incident)[-1] == "approval.refused"


def test_a_form_that_nobody_fills_fails_its_step(world: World) -> None:
    run = advance(started(FORM))
    run = advance(run, timedelta(hours=8, minutes=1))
    assert (run.state, steps(run)) == ("failed", {"F": "failed"})


def test_a_question_waits_only_for_those_who_may_answer(world: World) -> None:
    bob, max = scenes.person("bob", "BO"), scenes.person("max", "MLE")
    run = advance(started(RISKY))
    assert approvals.waiting_for(bob) == [asked(run)]
    assert approvals.waiting_for(max) == []
    assert "held by the roles" in approvals.objection(asked(run), max)


def test_looking_for_what_waits_asks_as_much_for_four_questions_as_for_one(
    world: World, django_assert_num_queries: Any
) -> None:
    bob = User.objects.get(pk=scenes.person("bob", "BO").pk)
    advance(started(RISKY))
    with CaptureQueriesContext(connection) as one:
        assert len(approvals.waiting_for(bob)) == 1
    for _ in range(3):
        advance(started(RISKY))
    bea = User.objects.get(pk=scenes.person("bea", "BO").pk)
    with django_assert_num_queries(len(one)):
        assert len(approvals.waiting_for(bea)) == 4


def test_an_author_is_not_waited_for(world: World) -> None:
    bob = scenes.person("bob", "BO")
    run = advance(started(RISKY))
    question = asked(run)
    ai = scenes.system("churn")
    Incident.objects.filter(pk=run.incident_id).update(system=ai)
    ModelVersion.objects.create(system=ai, version="champion", author=bob)
    assert "Four eyes" in approvals.objection(Approval.objects.get(pk=question.pk), bob)
    assert approvals.waiting_for(bob) == []


BOTH = """
    - id: S
      kind: approve
      title: Serve the fallback
      action: risky
      with: {model: fallback, share: 100}
      approve: {all_of: [IC, BO]}
"""


def test_one_of_each_role_has_to_agree_and_not_two_of_the_same(world: World) -> None:
    run = advance(started(BOTH))
    carl, cleo = scenes.person("carl", "IC"), scenes.person("cleo", "IC")
    approvals.decide(asked(run), carl, True)
    with pytest.raises(Refused, match="missing is a yes of BO"):
        approvals.decide(asked(run), cleo, True)
    approvals.decide(asked(run), scenes.person("bob", "BO"), True)
    assert advance(run).state == "succeeded"


def test_who_holds_both_roles_stands_for_one_of_them(world: World) -> None:
    run = advance(started(BOTH))
    approvals.decide(asked(run), scenes.person("both", "IC", "BO"), True)
    # the other may be either: the first yes is counted for the role that remains
    approvals.decide(asked(run), scenes.person("carl", "IC"), True)
    assert advance(run).state == "succeeded"


def test_the_yes_of_somebody_who_left_no_longer_counts_and_the_question_is_handed_on(world: World) -> None:
    run = advance(started(BOTH))
    carl, bob = scenes.person("carl", "IC"), scenes.person("bob", "BO")
    eve = scenes.person("eve", "EXE")
    approvals.decide(asked(run), bob, True)
    bob.is_active = False
    bob.save()
    assert approvals.look() == 1
    assert asked(run).handed_to == ["EXE"]
    approvals.decide(asked(run), carl, True)
    assert asked(run).decision == "pending"
    approvals.decide(asked(run), eve, True)
    assert advance(run).state == "succeeded"
    told = kinds(run.incident)
    assert ("approval.vote_dropped" in told, "approval.handed_on" in told) == (True, True)


def test_a_question_that_nobody_answers_is_handed_on_after_half_of_its_time(world: World) -> None:
    now = timezone.now()
    run = advance(started(BOTH))
    scenes.person("carl", "IC")
    scenes.person("bob", "BO")
    approvals.look(now)
    assert asked(run).handed_to == []
    assert approvals.look(now + timedelta(minutes=1)) == 0
    approvals.look(now + timedelta(hours=2, minutes=1))
    assert asked(run).handed_to == ["EXE"]
    event = run.incident.events.filter(kind="approval.handed_on").get()
    assert "nobody else holds a role that may" in event.text
    assert event.data["url"] == asked(run).get_absolute_url()


def test_the_author_of_the_playbooks_version_does_not_approve_what_it_does(world: World) -> None:
    carl = scenes.person("carl", "IC")
    playbook = published(BOTH)
    playbook.versions.update(author=carl)
    run = advance(triggers.start(playbook, scenes.incident()))
    with pytest.raises(Refused, match="author of pb-test v1"):
        approvals.decide(asked(run), carl, True)


# --- who has to agree --------------------------------------------------------------------------------
SERVE = "- {{id: S, kind: approve, title: On, {}, with: {{model: fallback, share: 100}}, approve: {}}}"


def on(incident_class: str, act: str = "action: purge", approve: str = "{}") -> Run:
    head = HEAD.replace("[DRIFT]", f"[{incident_class}]")
    return advance(
        started(
            SERVE.format(act, approve), head=head, incident=scenes.incident(incident_class=incident_class)
        )
    )


def test_r2_takes_the_commander_and_the_business_owner_where_the_playbook_names_nobody(world: World) -> None:
    run = on("DRIFT", "action: risky")
    assert asked(run).all_of == ["IC", "BO"]
    approvals.decide(asked(run), scenes.person("carl", "IC"), True)
    with pytest.raises(Refused, match="missing is a yes of BO"):
        approvals.decide(asked(run), scenes.person("cleo", "IC"), True)
    approvals.decide(asked(run), scenes.person("bob", "BO"), True)
    assert advance(run).state == "succeeded"


def test_r4_takes_legal_or_privacy_and_an_executive(world: World) -> None:
    run = on("DRIFT", "action: risky, risk: R4")
    approvals.decide(asked(run), scenes.person("eve", "EXE"), True)
    with pytest.raises(Refused, match="missing is a yes of DPO or LEG"):
        approvals.decide(asked(run), scenes.person("emil", "EXE"), True)
    approvals.decide(asked(run), scenes.person("dora", "DPO"), True)
    assert advance(run).state == "succeeded"


@pytest.mark.parametrize(("incident_class", "beside"), [("POISON", "SEC"), ("BIAS", "ETH"), ("HARM", "ETH")])
@pytest.mark.parametrize("approve", ["{}", "{roles: [MRC]}"])
def test_r3_takes_a_second_yes_on_some_incidents_whatever_the_playbook_says(
    world: World, incident_class: str, beside: str, approve: str
) -> None:
    run = on(incident_class, approve=approve)
    mia, sam = scenes.person("mia", "MRC"), scenes.person("sam", beside)
    approvals.decide(asked(run), mia, True)
    assert run.approvals.get().decision == "pending"
    with pytest.raises(Refused, match=f"missing is a yes of {beside}"):
        approvals.decide(asked(run), scenes.person("mona", "MRC"), True)
    assert approvals.waiting_for(sam) == [run.approvals.get()]
    approvals.decide(asked(run), sam, True)
    assert advance(run).state == "succeeded"


def test_security_alone_never_lets_a_model_into_production(world: World) -> None:
    run = on("POISON")
    approvals.decide(asked(run), scenes.person("sam", "SEC"), True)
    with pytest.raises(Refused, match="missing is a yes of DPO or ETH or LEG or MRC"):
        approvals.decide(asked(run), scenes.person("sue", "SEC"), True)
    with pytest.raises(NotAllowed):
        approvals.decide(asked(on("DRIFT")), scenes.person("sid", "SEC"), True)


def test_security_agrees_to_r2_on_its_own_incidents_where_the_playbook_asks_it(world: World) -> None:
    run = on("INJECT", "action: risky", "{roles: [SEC, IC]}")
    approvals.decide(asked(run), scenes.person("sam", "SEC"), True)
    assert advance(run).state == "succeeded"


@pytest.mark.parametrize("roles", [("SEC",), ("MRC", "SEC"), ("SYS",)])
def test_an_automation_identity_agrees_to_nothing_also_beside_others(
    world: World, roles: tuple[str, ...]
) -> None:
    run = on("POISON")
    robot = scenes.person("robot", *roles, is_service=True)
    with pytest.raises(NotAllowed):
        approvals.decide(asked(run), robot, True)
    assert approvals.waiting_for(robot) == []


# --- people who leave -------------------------------------------------------------------------------
def test_the_yes_of_somebody_who_lost_the_role_no_longer_counts(world: World) -> None:
    run = advance(started(BOTH))
    bob = scenes.person("bob", "BO")
    approvals.decide(asked(run), bob, True)
    bob.grants.all().delete()
    approvals.look()
    approvals.decide(asked(run), scenes.person("carl", "IC"), True)
    assert run.approvals.get().decision == "pending"
    assert "bob has left or lost the role" in run.incident.events.get(kind="approval.vote_dropped").text
    approvals.decide(asked(run), scenes.person("bea", "BO"), True)
    assert advance(run).state == "succeeded"


def test_a_question_is_handed_on_when_whoever_was_asked_loses_the_role(world: World) -> None:
    run = advance(started(RISKY.replace("[IC, BO]", "[BO]")))
    bob, carl = scenes.person("bob", "BO"), scenes.person("carl", "IC")
    approvals.look()
    assert asked(run).handed_to == []
    bob.grants.all().delete()
    approvals.look(timezone.now() + approvals.LOOK)
    assert asked(run).handed_to == ["EXE", "IC"]
    with pytest.raises(NotAllowed):
        approvals.decide(asked(run), User.objects.get(pk=bob.pk), True)
    approvals.decide(asked(run), carl, True)
    assert advance(run).state == "succeeded"
