"""Ann commands, Mo owns the model: what each move asks, what it refuses, and what it writes down."""

from datetime import datetime, timedelta

import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_fsm import TransitionNotAllowed

from incidents import comms, lifecycle
from incidents.access import NotAllowed
from incidents.lifecycle import Refused
from incidents.models import (
    ActionItem,
    ContributingFactor,
    Event,
    Evidence,
    Incident,
    PostMortem,
    Review,
    Task,
)
from incidents.models.event import AppendOnly
from tests.scenes import ALL_ONES, CALM, incident, person, system, triaged

pytestmark = pytest.mark.django_db

TRIAGE = {"assessment": {"impact": {**ALL_ONES, "OP": 3}, "urgency": {**CALM, "harm": 2, "velocity": 1}}}
CHECKS = [{"name": "prediction PSI", "value": 0.04, "ok": True}]


def mitigated(ann):
    found = triaged(ann)
    found.attach_run("run:1", "Model drift")
    found.verified(passed=True, source="run:1", checks=CHECKS)
    Evidence.keep(found, "before.json", b"{}")
    found.move("mitigated", by=ann, serious_incident="no", personal_data="no")
    return found


def in_post_mortem(ann):
    found = mitigated(ann)
    found.move(
        "post_mortem",
        by=ann,
        harm_stopped=True,
        affected_frozen=True,
        no_remediation_reason="No decision was wrong.",
        measures_planned=True,
    )
    return found


def written(found, ann):
    pm = PostMortem.objects.create(
        incident=found, sections={"summary": "s", "impact": "i", "root_cause": "r"}
    )
    factor = ContributingFactor.objects.create(
        postmortem=pm, code="CF-DATA-SHIFT", statement="The season changed."
    )
    ActionItem.objects.create(
        incident=found,
        factor=factor,
        title="Run the drift job daily",
        kind="detect",
        owner=ann,
        due_at=timezone.now().date(),
        done_when="Job runs each day for 14 days.",
    )
    return pm


def test_the_whole_path_from_detected_to_closed():
    ann = person("ann", "IC")
    found = in_post_mortem(ann)
    written(found, ann)
    found.move("closed", by=ann)
    found.refresh_from_db()
    assert found.state == "closed"
    assert (
        found.detected_at
        <= found.acked_at
        <= found.triaged_at
        <= found.mitigated_at
        <= found.postmortem_at
        <= found.closed_at
    )
    kinds = list(found.events.values_list("kind", flat=True))
    for kind in (
        "incident.opened",
        "incident.acknowledged",
        "incident.triaged",
        "incident.mitigated",
        "incident.post_mortem",
        "incident.closed",
    ):
        assert kind in kinds


def test_triage_is_refused_with_everything_that_is_missing():
    ann = person("ann", "IC")
    found = incident(ann, incident_class="")
    with pytest.raises(Refused) as refusal:
        found.move("triaged", by=ann)
    said = " ".join(refusal.value.reasons)
    for word in ("owner", "system", "class", "severity"):
        assert word in said
    assert Incident.objects.get(pk=found.pk).state == "detected"
    assert not found.events.filter(kind="incident.triaged").exists()


def test_unknown_system_may_be_chosen_on_purpose():
    ann = person("ann", "IC")
    found = incident(ann)
    found.move("triaged", by=ann, owner=ann, system_unknown=True, **TRIAGE)
    assert found.state == "triaged"
    assert found.comms_plan


def test_no_short_cut_from_detected_to_mitigated_but_containment_is_noted():
    ann = person("ann", "IC")
    found = incident(ann)
    found.contain(actor="run:1")
    with pytest.raises(Refused, match="no move to mitigated"):
        found.move("mitigated", by=ann)
    found.refresh_from_db()
    assert found.state == "detected"
    assert found.contained_at is not None


def test_mitigated_needs_verification_or_two_attestations():
    ann, mo = person("ann", "IC"), person("mo", "MO")
    found = triaged(ann)
    ready = {
        "serious_incident": "no",
        "personal_data": "unknown",
        "no_playbook_reason": "Fixed by the producer.",
    }
    Evidence.keep(found, "profile.json", b"{}")
    found.verified(passed=False, source="run:1", checks=CHECKS)
    with pytest.raises(Refused, match="Mitigated needs proof"):
        found.move("mitigated", by=ann, **ready)
    found.attest(by=ann, role="IC", statement="The batch is back.")
    with pytest.raises(Refused, match="Mitigated needs proof"):
        found.move("mitigated", by=ann, **ready)
    found.attest(by=mo, role="MO", statement="Scores are back to normal.")
    found.move("mitigated", by=ann, **ready)
    assert found.state == "mitigated"


def test_one_person_cannot_attest_in_both_roles():
    ann = person("ann", "IC", "MO")
    found = triaged(ann)
    Evidence.keep(found, "profile.json", b"{}")
    found.attest(by=ann, role="IC", statement="Fine.")
    found.attest(by=ann, role="MO", statement="Fine.")
    assert not found.is_verified()


def test_an_open_statutory_clock_keeps_it_from_closing():
    ann, leg = person("ann", "IC"), person("leg", "LEG")
    found = in_post_mortem(ann)
    written(found, ann)
    clock = found.clocks.create(
        regime="GDPR", article="33", anchor_at=timezone.now(), due_at=timezone.now() + timedelta(days=30)
    )
    with pytest.raises(Refused, match="statutory clock"):
        found.move("closed", by=ann)
    with pytest.raises(NotAllowed):
        clock.settle(by=ann, reason="No breach.")
    clock.settle(by=leg, reason="No breach.")
    found.move("closed", by=ann)
    assert found.state == "closed"


def test_a_sev1_closes_only_after_model_risk_and_the_business_owner_signed():
    ann, mrc, bo = person("ann", "IC"), person("mrc", "MRC"), person("bo", "BO")
    found = in_post_mortem(ann)
    found.assess(
        impact={**ALL_ONES, "SA": 5},
        urgency={"harm": 2, "velocity": 3, "reversibility": 2, "workaround": 2},
        by=ann,
    )
    pm = written(found, ann)
    with pytest.raises(Refused, match="model risk"):
        found.move("closed", by=ann)
    for who, role in ((mrc, "MRC"), (bo, "BO")):
        Review.objects.create(postmortem=pm, role=role, by=who, approved=True)
    found.move("closed", by=ann)
    assert found.state == "closed"


def test_reopening_starts_the_verification_anew():
    ann = person("ann", "IC")
    found = mitigated(ann)
    found.move("triaged", by=ann, note="CTR falls again.")
    assert (found.state, found.reopened_count, found.mitigated_at) == ("triaged", 1, None)
    with pytest.raises(Refused, match="proof"):
        found.move("mitigated", by=ann)


@pytest.mark.parametrize("target", ["false_positive", "duplicate", "merged"])
def test_side_states_free_the_grouping_key(target):
    ann = person("ann", "IC")
    other = incident(ann, title="The first report")
    found = incident(ann)
    Incident.objects.filter(pk=found.pk).update(open_key="prod|x|DRIFT")
    found.move(target, by=ann, **({} if target == "false_positive" else {"into": other}))
    found.refresh_from_db()
    assert (found.state, found.open_key) == (target, None)
    assert not found.is_open


def test_every_pair_of_states_is_either_in_the_table_or_refused_with_what_is_possible():
    for source, _ in lifecycle.STATES:
        for target, _ in lifecycle.STATES:
            listed = any(source in m.sources and m.target == target for m in lifecycle.MOVES.values())
            if listed:
                assert lifecycle.move_to(source, target).target == target
            else:
                with pytest.raises(Refused, match="possible"):
                    lifecycle.move_to(source, target)


def test_the_state_machine_and_the_table_agree():
    for move in lifecycle.MOVES.values():
        method = getattr(Incident, f"_{move.name}")
        transitions = method._django_fsm.transitions
        assert set(transitions) == set(move.sources)
        assert {t.target for t in transitions.values()} == {move.target}


def test_the_state_cannot_be_written_past_the_machine():
    found = incident()
    with pytest.raises(AttributeError):
        found.state = "closed"
    with pytest.raises(TransitionNotAllowed):
        found._close()


def test_a_reporter_may_declare_but_not_triage():
    rep, ann = person("rep", "REP"), person("ann", "IC")
    found = incident(rep)
    with pytest.raises(NotAllowed, match=r"incident\.change_state"):
        found.move("triaged", by=rep, **TRIAGE)
    found.acknowledge(by=ann)
    assert found.owner == ann


def test_the_first_acknowledgement_counts():
    ann, bob = person("ann", "IC"), person("bob", "SRE")
    found = incident(ann)
    assert found.acknowledge(by=ann) is not None
    assert found.acknowledge(by=bob) is None
    assert found.events.filter(kind="incident.acknowledged").count() == 1
    assert found.owner == ann


def test_choosing_another_severity_needs_a_reason_and_keeps_both():
    ann = person("ann", "IC")
    found = incident(ann)
    with pytest.raises(Refused, match="write the reason"):
        found.assess(impact=ALL_ONES, urgency=CALM, chosen=2, by=ann)
    found.assess(impact=ALL_ONES, urgency=CALM, chosen=2, reason="The board watches this.", by=ann)
    found.refresh_from_db()
    assert (found.severity, found.computed_severity) == (2, 5)


def test_due_times_follow_the_severity_and_are_met_by_moves():
    ann = person("ann", "IC")
    found = triaged(ann)
    dues = {d.kind: d for d in found.dues.all()}
    assert dues["ack"].met_at is not None
    assert dues["triage"].met_at is not None
    assert dues["mitigate"].met_at is None
    found.assess(
        impact={**ALL_ONES, "SA": 5},
        urgency={"harm": 2, "velocity": 3, "reversibility": 2, "workaround": 2},
        by=ann,
    )
    assert found.dues.get(kind="mitigate").due_at == found.detected_at + timedelta(hours=24)
    assert found.dues.get(kind="ack").met_at


def test_an_unknown_field_of_a_move_is_named_and_nothing_changes():
    ann = person("ann", "IC")
    found = triaged(ann)
    with pytest.raises(ValueError, match="harm_stoped"):
        found.move("mitigated", by=ann, harm_stoped=True)
    assert Incident.objects.get(pk=found.pk).state == "triaged"


def test_history_is_only_ever_added_to():
    ann = person("ann", "IC")
    found = incident(ann)
    entry = found.note("It began on **Monday**.", by=ann)
    with pytest.raises(AppendOnly):
        entry.save()
    with pytest.raises(AppendOnly):
        entry.delete()
    correction = found.note("It began on Tuesday.", by=ann, corrects=entry)
    assert correction.corrects == entry
    piece = Evidence.keep(found, "a.json", b"{}")
    with pytest.raises(AppendOnly):
        piece.save()
    assert piece.is_intact()


def test_two_open_incidents_with_one_grouping_key_are_impossible():
    ann = person("ann", "IC")
    first, second = incident(ann), incident(ann)
    Incident.objects.filter(pk=first.pk).update(open_key="k")
    with pytest.raises(IntegrityError), transaction.atomic():
        Incident.objects.filter(pk=second.pk).update(open_key="k")


def test_an_incident_remembers_what_served_when_it_was_detected():
    ann = person("ann", "IC")
    credit = system("credit")
    version = credit.versions.create(version="7.2")
    credit.deployments.create(
        version=version, endpoint="https://gw.example/credit", started_at=timezone.now() - timedelta(days=3)
    )
    found = incident(ann, system=credit)
    assert found.serving == [
        {"version": "7.2", "endpoint": "https://gw.example/credit", "traffic": 100.0, "platform": "gateway"}
    ]


def test_a_task_is_completed_on_the_record():
    ann = person("ann", "IC")
    found = incident(ann)
    task = Task.objects.create(incident=found, kind="link_system", title="Link the AI system")
    task.complete(by=ann)
    assert task.done_by == ann
    assert Event.objects.filter(incident=found, kind="task.done").exists()


def test_fillable_names_are_fields_of_the_incident():
    from incidents.models.incident import FILLABLE

    for name in FILLABLE:
        try:
            Incident._meta.get_field(name)
        except FieldDoesNotExist:
            pytest.fail(f"{name} is not a field of Incident")


def test_nobody_attests_in_a_role_that_they_do_not_hold():
    ann, sec = person("ann", "IC"), person("sec", "SEC")
    found = triaged(ann)
    with pytest.raises(Refused, match="role that you hold"):
        found.attest(by=sec, role="MO", statement="Fine.")
    found.system.owner = sec
    found.system.save()
    assert found.attest(by=sec, role="MO", statement="Fine.")


def test_a_role_is_granted_once_everywhere():
    ann = person("ann", "IC")
    with pytest.raises(IntegrityError), transaction.atomic():
        ann.grants.create(role="IC")
    credit = system("credit")
    ann.grants.create(role="IC", system=credit)
    with pytest.raises(IntegrityError), transaction.atomic():
        ann.grants.create(role="IC", system=credit)


def test_the_timeline_names_states_as_people_do():
    ann = person("ann", "IC")
    event = incident(ann).move("false_positive", by=ann, note="A test alert.")
    assert event.text == "Mark as false positive: Detected → False positive. A test alert."
    assert (event.data["from"], event.data["to"]) == ("detected", "false_positive")


def test_a_cap_is_applied_by_a_commander_and_stays_on_the_record_with_their_name():
    ann = person("ann", "IC")
    found = incident(ann)
    shadow = {
        "impact": {**ALL_ONES, "OP": 4},
        "urgency": {**CALM, "harm": 2},
        "facts": {"shadow_model": True},
    }
    assert found.assess(by=ann, **shadow).computed == 3
    row = found.assess(by=ann, cap_approved=True, **shadow)
    assert (row.computed, row.chosen, row.result["caps"]) == (4, 4, ["C3"])
    assert (row.by, row.answers["cap_approved"]) == (ann, True)
    assert found.severity == 4
    assert found.events.get(kind="incident.severity_changed").data["caps"] == ["C3"]


def test_nobody_without_the_right_and_no_automation_applies_a_cap():
    found = incident()
    shadow = {"impact": ALL_ONES, "urgency": CALM, "facts": {"shadow_model": True}, "cap_approved": True}
    with pytest.raises(NotAllowed):
        found.assess(by=person("dan", "DSC"), **shadow)
    with pytest.raises(Refused, match="named approver"):
        found.assess(**shadow)
    assert not found.assessments.exists()


@pytest.mark.parametrize(("severity", "minutes"), [(1, 5), (2, 15), (3, 60)])
def test_those_who_are_paged_have_heard_once_the_page_is_due_to_be_acknowledged(severity, minutes):
    start = timezone.now()
    paged = next(
        row for row in comms.plan(severity, "DRIFT", start) if row["audience"].startswith("Model owner,")
    )
    assert datetime.fromisoformat(paged["due_at"]) == start + timedelta(minutes=minutes)


def test_an_audience_is_told_once_and_only_by_those_who_work_on_it():
    ann = person("ann", "IC")
    found = incident(ann, severity=1)
    found.plan_communications(by=ann)
    with pytest.raises(NotAllowed):
        found.tell_audience(0, by=person("rep", "REP"))
    assert found.tell_audience(0, by=ann).data["audience"] == found.comms_plan[0]["audience"]
    assert found.tell_audience(0, by=ann) is None
    assert (found.comms_plan[0]["done_by"], found.comms_plan[1]["done_at"]) == ("ann", None)
    assert found.events.filter(kind="comms.told").count() == 1
    with pytest.raises(IndexError):
        found.tell_audience(99, by=ann)
    with pytest.raises(NotAllowed):
        found.plan_communications(by=person("rita", "REP"))


def test_nobody_owes_updates_once_it_is_mitigated():
    ann = person("ann", "IC")
    found = mitigated(ann)
    assert not found.dues.filter(kind="update").exists()
    assert found.dues.filter(kind="review", met_at=None).exists()
