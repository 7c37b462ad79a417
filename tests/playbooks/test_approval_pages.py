"""The pages of approvals and forms, and the panels: what is shown to whom, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from incidents.models import Evidence
from playbooks.models import Run
from playbooks.pages.panels import incident_panel, now_panel, urgent_panel
from tests.playbooks.page_scenes import HOSTILE, a_run, asked_for_approval, page, published, signed_in
from tests.scenes import incident, person, system

pytestmark = pytest.mark.django_db


# --- approvals -----------------------------------------------------------------------------------
def test_ann_fills_the_form_and_the_run_goes_on() -> None:
    ann = person("ann", "IC")
    run, client = a_run(published(), incident(ann), ann), signed_in(ann)
    form = run.approvals.get()
    wrong = client.post(
        form.get_absolute_url(), {"field-finding": f"Income {HOSTILE}", "field-share": "much"}
    )
    shown = wrong.content.decode()
    assert wrong.status_code == 422
    assert "Write a number." in shown
    assert "Income &lt;script&gt;" in shown
    assert HOSTILE not in shown
    client.post(form.get_absolute_url(), {"field-finding": "Income", "field-share": "0.5"})
    form.refresh_from_db()
    assert (form.decision, form.answer) == ("answered", {"finding": "Income", "share": 0.5})


def test_bo_sees_what_he_decides_and_approves_it() -> None:
    asked = asked_for_approval(person("mia", "MLE"))
    before = Evidence.keep(
        asked.incident, "routes before.json", b'{"version": "9 <b>"}', at=asked.requested_at
    )
    again = Evidence.keep(asked.incident, "routes when it acted.json", b"{}")
    asked.step.evidence = [before.pk, again.pk]
    asked.step.save()
    shown = page(signed_in(person("eva", "IC")), asked.get_absolute_url())
    assert "Changes decisions about people" in shown
    assert "routes before.json" in shown
    assert "routes when it acted.json" not in shown
    assert "9 &lt;b&gt;" in shown
    assert "Business owner" in shown
    bo = signed_in(person("bo", "BO"))
    assert "Waiting for you" in page(bo, reverse("playbooks:approvals"))
    bo.post(asked.get_absolute_url(), {"then": "approve", "seen": asked.input_hash})
    asked.refresh_from_db()
    assert (asked.decision, str(asked.decided_by)) == ("approved", "bo")


def test_a_rejection_needs_a_reason_and_the_page_says_so() -> None:
    asked = asked_for_approval(person("mia", "MLE"))
    bo = signed_in(person("bo", "BO"))
    answer = bo.post(asked.get_absolute_url(), {"then": "reject", "reason": " "})
    assert answer.status_code == 409
    assert "Say why you reject it." in answer.content.decode()
    bo.post(asked.get_absolute_url(), {"then": "reject", "reason": "No fallback exists"})
    asked.refresh_from_db()
    assert (asked.decision, asked.reason) == ("rejected", "No fallback exists")


def test_whoever_started_the_run_reads_why_they_cannot_approve() -> None:
    ann = person("ann", "IC")
    asked = asked_for_approval(ann)
    shown = page(signed_in(ann), asked.get_absolute_url())
    assert "Four eyes" in shown
    assert 'value="approve"' not in shown
    refused = signed_in(ann).post(asked.get_absolute_url(), {"then": "approve"})
    assert refused.status_code == 409
    asked.refresh_from_db()
    assert asked.decision == "pending"


def test_other_parameters_than_those_shown_are_not_approved() -> None:
    asked = asked_for_approval(person("mia", "MLE"))
    answer = signed_in(person("bo", "BO")).post(
        asked.get_absolute_url(), {"then": "approve", "seen": "0" * 64}
    )
    assert answer.status_code == 409
    assert "other parameters" in answer.content.decode()


def test_break_glass_is_offered_to_the_commander_of_a_sev1_only() -> None:
    ann = person("ann", "IC")
    asked = asked_for_approval(ann, severity=1)
    assert "Approve alone" in page(signed_in(ann), asked.get_absolute_url())
    assert "Approve alone" not in page(signed_in(person("bo", "BO")), asked.get_absolute_url())
    signed_in(ann).post(asked.get_absolute_url(), {"then": "break_glass", "reason": "People are harmed now"})
    asked.refresh_from_db()
    assert (asked.decision, asked.break_glass) == ("approved", True)


def test_a_nonsense_vote_decides_nothing() -> None:
    asked = asked_for_approval(person("mia", "MLE"))
    answer = signed_in(person("bo", "BO")).post(asked.get_absolute_url(), {"then": "maybe"})
    assert answer.status_code == 422
    asked.refresh_from_db()
    assert asked.decision == "pending"


def test_the_list_of_approvals_keeps_its_number_of_questions_when_the_past_grows() -> None:
    ann = person("ann", "IC")
    playbook, client = published(), signed_in(ann)

    def decided() -> None:
        run = a_run(playbook, incident(ann), ann)
        run.approvals.update(decision="answered", decided_by=ann)

    decided()
    page(client, reverse("playbooks:approvals"))
    with CaptureQueriesContext(connection) as one:
        page(client, reverse("playbooks:approvals"))
    for _ in range(5):
        decided()
    with CaptureQueriesContext(connection) as many:
        shown = page(client, reverse("playbooks:approvals"))
    assert len(many) == len(one)
    assert shown.count("Answered") == 6


# --- panels --------------------------------------------------------------------------------------
def test_the_incidents_panel_shows_runs_questions_and_what_can_be_started(rf: Any) -> None:
    ann = person("ann", "IC")
    published("pb-other")
    asked = asked_for_approval(person("mia", "MLE"), title=f"Drift {HOSTILE}", system=system())
    request = rf.get("/")
    request.user = ann
    assert asked.get_absolute_url() in urgent_panel(request, asked.incident)
    assert urgent_panel(request, incident(ann)) == ""
    shown = incident_panel(request, asked.incident)
    assert asked.run.get_absolute_url() in shown
    assert f"/playbooks/pb-other/plan/?incident={asked.incident.key}" in shown


def test_the_start_page_shows_what_waits_for_me_and_what_is_stuck(rf: Any) -> None:
    mia, bo = person("mia", "MLE"), person("bo", "BO")
    asked = asked_for_approval(mia)
    failed = a_run(published("pb-two"), incident(mia), mia)
    Run.objects.filter(pk=failed.pk).update(state="failed", reason="Broken")
    request = rf.get("/")
    request.user = bo
    shown = now_panel(request)
    assert asked.get_absolute_url() in shown
    assert failed.get_absolute_url() in shown
    request.user = person("rep", "REP")
    assert now_panel(request) == ""


def test_the_page_says_whose_yes_is_needed_in_words() -> None:
    asked = asked_for_approval(person("mia", "MLE"))
    asked.risk, asked.roles, asked.all_of = "R4", [], ["DPO|LEG", "EXE"]
    asked.save()
    shown = page(signed_in(person("eve", "EXE")), asked.get_absolute_url())
    assert "Still needed: <strong>DPO or LEG, EXE</strong>" in shown
    assert "One of each: DPO or LEG and EXE." in shown
