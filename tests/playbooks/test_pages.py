"""The pages of playbooks, runs and approvals: what people see, decide and are refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from incidents.models import Evidence, Incident, User
from playbooks import engine, publishing, triggers
from playbooks.definition import parse
from playbooks.models import Approval, Playbook, PlaybookVersion, Run
from playbooks.pages.flow import draw
from playbooks.pages.panels import incident_panel, now_panel
from tests.scenes import incident, person, system

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>"
TEXT = """playbook: {slug}
title: Model drift
summary: Ask, then decide.
trigger: {{mode: manual}}
inputs:
  - {{name: limit, kind: number, default: 0.2, min: 0, max: 1}}
steps:
  - id: DR-01
    kind: human
    title: What do the dashboards show?
    form:
      - {{name: finding, kind: long_text}}
      - {{name: share, kind: number, min: 0, max: 1}}
  - id: DR-02
    kind: decide
    title: Does it matter?
    branches:
      - {{when: 'steps["DR-01"].share > inputs.limit', goto: DR-03}}
      - {{goto: end}}
  - id: DR-03
    kind: approve
    title: Serve the fallback
    text: Serve the fallback?
    risk: R2
"""


def published(slug: str = "pb-drift", text: str = TEXT) -> Playbook:
    version, _ = publishing.apply_text(text.format(slug=slug), publish=True, note="First")
    return version.playbook


def a_run(playbook: Playbook, on: Incident, by: User) -> Run:
    """A run that has asked its first question."""
    run = triggers.start(playbook, on, by=by)
    engine.advance(run.pk)
    run.refresh_from_db()
    return run


def asked_for_approval(by: User, **fields: Any) -> Approval:
    """A run that `by` started and answered, and that waits for a yes."""
    run = a_run(published(), incident(by, **fields), by)
    form = run.approvals.get()
    signed_in(by).post(form.get_absolute_url(), {"field-finding": "Income is off", "field-share": "0.5"})
    engine.advance(run.pk)
    return run.approvals.get(decision="pending")


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, answer.content[:500]
    return answer.content.decode()


def test_strangers_are_sent_to_sign_in() -> None:
    for name in ("playbooks", "runs", "approvals", "new"):
        answer = Client().get(reverse(f"playbooks:{name}"))
        assert answer.status_code == 302
        assert answer["Location"].startswith("/login/")


# --- playbooks -----------------------------------------------------------------------------------
def test_a_playbook_is_drawn_and_told_in_words() -> None:
    playbook = published()
    shown = page(signed_in(person("mia", "MLE")), playbook.get_absolute_url())
    assert '<svg class="flow"' in shown
    assert "What do the dashboards show?" in shown
    assert 'href="#step-DR-03"' in shown
    assert "risk R2" in shown


def test_the_drawing_leads_a_branch_to_the_end_past_the_steps_between() -> None:
    drawing = draw(parse(TEXT.format(slug="pb-drift")))
    assert drawing.count('class="line branch"') == 1
    assert drawing.count('class="line next"') == 3  # DR-01 to 02, 02 to 03, 03 to the end
    assert "style=" not in drawing


def test_a_reporter_does_not_read_playbooks() -> None:
    published()
    assert "incident.see" in page(signed_in(person("rep", "REP")), reverse("playbooks:playbooks"), 403)


def test_hostile_text_in_a_playbook_stays_text() -> None:
    text = TEXT.replace("title: Serve the fallback", f'title: "{HOSTILE}"').replace("summary: Ask", f"summary: {HOSTILE} Ask")
    playbook = published(text=text)
    client = signed_in(person("mia", "MLE"))
    addresses = (playbook.get_absolute_url(), reverse("playbooks:version", args=[playbook.slug, 1]), reverse("playbooks:playbooks"),
                 reverse("playbooks:edit", args=[playbook.slug]))  # fmt: skip
    for address in addresses:
        shown = page(client, address)
        assert HOSTILE not in shown
        assert "&lt;script&gt;" in shown


def test_the_list_asks_the_same_number_of_questions_for_one_and_for_many() -> None:
    client = signed_in(person("mia", "MLE"))
    published("pb-0")
    page(client, reverse("playbooks:playbooks"))
    with CaptureQueriesContext(connection) as one:
        page(client, reverse("playbooks:playbooks"))
    for n in range(1, 9):
        published(f"pb-{n}")
    with CaptureQueriesContext(connection) as many:
        page(client, reverse("playbooks:playbooks"))
    assert len(many) == len(one)


# --- editing -------------------------------------------------------------------------------------
def test_mia_saves_a_draft_with_problems_and_is_told_the_lines() -> None:
    playbook, client = published(), signed_in(person("mia", "MLE"))
    broken = TEXT.format(slug="pb-drift").replace("kind: decide", "kind: guess")
    address = reverse("playbooks:edit", args=[playbook.slug])
    answer = client.post(address, {"source": broken.replace("\n", "\r\n"), "note": "Guess instead"}, follow=True)
    shown = answer.content.decode()
    assert "line 15, column 11" in shown
    draft = playbook.versions.get(status="draft")
    assert draft.source == broken
    assert playbook.published is not None
    assert playbook.published.number == 1


def test_problems_are_told_while_typing() -> None:
    client = signed_in(person("mia", "MLE"))
    shown = client.post(reverse("playbooks:check"), {"source": "playbook: x\nsteps: {}"}).content.decode()
    assert "line 2" in shown
    assert "<html" not in shown
    assert "No problems" in client.post(reverse("playbooks:check"), {"source": TEXT.format(slug="x")}).content.decode()


def test_two_people_do_not_overwrite_each_others_draft_unseen() -> None:
    playbook, mia, lee = published(), person("mia", "MLE"), person("lee", "DSC")
    address = reverse("playbooks:edit", args=[playbook.slug])
    seen = publishing.save_draft(playbook, TEXT.format(slug="pb-drift") + "# a\n", by=mia).sha256
    publishing.save_draft(playbook, TEXT.format(slug="pb-drift") + "# by mia\n", by=mia)
    answer = signed_in(lee).post(address, {"source": TEXT.format(slug="pb-drift") + "# by lee\n", "seen": seen})
    assert answer.status_code == 409
    assert "# by lee" in answer.content.decode()
    assert playbook.versions.get(status="draft").source.endswith("# by mia\n")


def test_a_new_playbook_with_problems_is_not_kept_and_the_text_stays() -> None:
    client = signed_in(person("mia", "MLE"))
    answer = client.post(reverse("playbooks:new"), {"source": "title: Mine & only mine"})
    assert answer.status_code == 422
    assert "Mine &amp; only mine" in answer.content.decode()
    assert not Playbook.objects.exists()
    answer = client.post(reverse("playbooks:new"), {"source": TEXT.format(slug="pb-new"), "note": "New"})
    assert answer.status_code == 302
    assert Playbook.objects.get().versions.get().status == "draft"


def test_drafting_and_publishing_are_different_rights() -> None:
    playbook, mia, rita = published(), person("mia", "MLE"), person("rita", "MRC")
    draft = publishing.save_draft(playbook, TEXT.format(slug="pb-drift") + "# more\n", by=mia)
    address = reverse("playbooks:version", args=[playbook.slug, draft.number])
    refused = signed_in(mia).post(address, {"then": "publish", "note": "More"})
    assert refused.status_code == 403
    assert "playbook.publish" in refused.content.decode()
    assert signed_in(rita).get(reverse("playbooks:edit", args=[playbook.slug])).status_code == 403
    without_note = signed_in(rita).post(address, {"then": "publish", "note": " "})
    assert without_note.status_code == 422
    assert signed_in(rita).post(address, {"then": "publish", "note": "More"}).status_code == 302
    assert playbook.published is not None
    assert playbook.published.number == draft.number


def test_a_version_shows_what_changed() -> None:
    playbook, mia = published(), person("mia", "MLE")
    publishing.save_draft(playbook, TEXT.format(slug="pb-drift").replace("default: 0.2", "default: 0.3"), by=mia)
    shown = page(signed_in(mia), reverse("playbooks:version", args=[playbook.slug, 2]))
    assert '<span class="added">+  - {name: limit, kind: number, default: 0.3' in shown
    assert '<span class="removed">-  - {name: limit, kind: number, default: 0.2' in shown


def test_a_draft_is_thrown_away() -> None:
    playbook, mia = published(), person("mia", "MLE")
    draft = publishing.save_draft(playbook, "x", by=mia)
    signed_in(mia).post(reverse("playbooks:version", args=[playbook.slug, draft.number]), {"then": "discard"})
    assert [v.status for v in playbook.versions.all()] == ["published"]


# --- runs ----------------------------------------------------------------------------------------
def test_mia_starts_a_playbook_on_an_incident() -> None:
    mia, playbook = person("mia", "MLE"), published()
    found = incident(person("ann", "IC"))
    address = reverse("playbooks:start", args=[playbook.slug])
    shown = page(signed_in(mia), f"{address}?incident={found.key}")
    assert found.title in shown
    assert 'value="0.2"' in shown
    answer = signed_in(mia).post(address, {"incident": found.key, "field-limit": "0.4"})
    run = Run.objects.get()
    assert answer["Location"] == run.get_absolute_url()
    assert (run.inputs, run.started_by, run.dry_run) == ({"limit": 0.4}, mia, False)
    again = signed_in(mia).post(address, {"incident": found.key, "field-limit": "0.4"})
    assert again.status_code == 409
    assert "already at work" in again.content.decode()


def test_wrong_inputs_are_told_beside_the_field_and_kept() -> None:
    mia, playbook, found = person("mia", "MLE"), published(), incident()
    answer = signed_in(mia).post(reverse("playbooks:start", args=[playbook.slug]), {"incident": found.key, "field-limit": "7"})
    shown = answer.content.decode()
    assert answer.status_code == 422
    assert "Write at most 1." in shown
    assert 'value="7"' in shown
    assert not Run.objects.exists()


def test_a_run_shows_its_steps_what_it_waits_for_and_what_is_ahead() -> None:
    ann = person("ann", "IC")
    run = a_run(published(), incident(ann), ann)
    shown = page(signed_in(ann), run.get_absolute_url())
    assert "Waiting for a person" in shown
    assert "Fill the form" in shown
    assert "Does it matter?" in shown
    assert f'hx-get="/runs/{run.pk}/part/?seen=' in shown


def test_the_live_part_says_nothing_new_until_something_is() -> None:
    ann = person("ann", "IC")
    run, client = a_run(published(), incident(ann), ann), signed_in(ann)
    address = reverse("playbooks:run_part", args=[run.pk])
    first = client.get(address)
    assert client.get(address, headers={"If-None-Match": first["ETag"]}).status_code == 304
    client.post(run.get_absolute_url(), {"then": "pause"})
    assert client.get(address, headers={"If-None-Match": first["ETag"]}).status_code == 200


def test_plots_and_evidence_of_a_step_are_shown_to_those_who_may_see_evidence() -> None:
    ann = person("ann", "IC")
    run = a_run(published(), incident(ann), ann)
    plot = Evidence.keep(run.incident, "PSI by feature", b"<svg/>", media_type="image/svg+xml")
    step = run.steps.get()
    step.evidence, step.verified = [plot.pk], {"fallback": 100}
    step.save()
    shown = page(signed_in(ann), run.get_absolute_url())
    assert f'<img src="/incidents/{run.incident.key}/evidence/{plot.pk}/"' in shown
    assert "Read back" in shown
    assert "PSI by feature" not in page(signed_in(person("com", "COM")), run.get_absolute_url())


def test_ann_pauses_resumes_and_cancels_with_a_reason() -> None:
    ann = person("ann", "IC")
    run, client = a_run(published(), incident(ann), ann), signed_in(ann)
    client.post(run.get_absolute_url(), {"then": "pause", "reason": "Lunch"})
    run.refresh_from_db()
    assert (run.state, run.reason) == ("paused", "Lunch")
    client.post(run.get_absolute_url(), {"then": "resume"})
    run.refresh_from_db()
    assert run.state == "queued"
    refused = client.post(run.get_absolute_url(), {"then": "cancel", "reason": ""})
    assert refused.status_code == 409
    assert "Give the reason" in refused.content.decode()
    client.post(run.get_absolute_url(), {"then": "cancel", "reason": "Wrong playbook"})
    run.refresh_from_db()
    assert run.state == "cancelled"


def test_a_step_is_skipped_with_a_reason() -> None:
    ann = person("ann", "IC")
    run = a_run(published(), incident(ann), ann)
    signed_in(ann).post(run.get_absolute_url(), {"then": "skip", "step": "DR-01", "reason": "Known already"})
    assert run.steps.get(key="DR-01").state == "skipped"
    nothing = signed_in(ann).post(run.get_absolute_url(), {"then": "skip", "step": "DR-99", "reason": "x"})
    assert nothing.status_code == 422


def test_who_may_not_control_a_run_sees_no_buttons_and_is_refused() -> None:
    ann = person("ann", "IC")
    run, com = a_run(published(), incident(ann), ann), signed_in(person("com", "COM"))
    assert 'value="pause"' not in page(com, run.get_absolute_url())
    answer = com.post(run.get_absolute_url(), {"then": "pause"})
    assert answer.status_code == 403
    run.refresh_from_db()
    assert run.state == "asking"


def test_failed_runs_of_open_incidents_come_first_with_the_reason() -> None:
    ann = person("ann", "IC")
    playbook = published()
    failed = a_run(playbook, incident(ann), ann)
    Run.objects.filter(pk=failed.pk).update(state="failed", reason="The gateway does not answer. Start it, then retry.")
    fine = a_run(playbook, incident(ann), ann)
    shown = page(signed_in(ann), reverse("playbooks:runs"))
    assert shown.index("The gateway does not answer") < shown.index(f"run {fine.pk}")
    assert "Stuck" in shown
    only = page(signed_in(ann), reverse("playbooks:runs") + "?state=asking")
    assert f"run {fine.pk}" in only
    assert f"run {failed.pk}" not in only


def test_runs_on_restricted_incidents_are_absent_for_others() -> None:
    ann, mia = person("ann", "IC"), person("mia", "MLE")
    run = a_run(published(), incident(ann, restricted=True), ann)
    question = run.approvals.get()
    assert f"run {run.pk}" not in page(signed_in(mia), reverse("playbooks:runs"))
    assert signed_in(mia).get(run.get_absolute_url()).status_code == 404
    assert signed_in(mia).get(reverse("playbooks:run_part", args=[run.pk])).status_code == 404
    assert signed_in(mia).get(question.get_absolute_url()).status_code == 404
    assert signed_in(mia).post(question.get_absolute_url(), {"then": "approve"}).status_code == 404
    assert "Nothing waits for you" in page(signed_in(mia), reverse("playbooks:approvals"))
    assert f"run {run.pk}" in page(signed_in(ann), reverse("playbooks:runs"))


def test_the_list_of_runs_asks_the_same_number_of_questions_for_one_and_for_many() -> None:
    ann, playbook = person("ann", "IC"), published()
    client = signed_in(ann)
    a_run(playbook, incident(ann), ann)
    page(client, reverse("playbooks:runs"))
    with CaptureQueriesContext(connection) as one:
        page(client, reverse("playbooks:runs"))
    for _ in range(6):
        a_run(playbook, incident(ann), ann)
    with CaptureQueriesContext(connection) as many:
        page(client, reverse("playbooks:runs"))
    assert len(many) == len(one)


def test_older_runs_are_on_the_next_page() -> None:
    ann, playbook = person("ann", "IC"), published()
    found = incident(ann)
    version = PlaybookVersion.objects.get()
    Run.objects.bulk_create(Run(version=version, playbook=playbook, incident=found, state="succeeded") for _ in range(45))
    first = signed_in(ann).get(reverse("playbooks:runs"))
    following = first.context["page"].next
    second = signed_in(ann).get(reverse("playbooks:runs"), {"after": following})
    ids = [run.pk for answer in (first, second) for run in answer.context["page"].rows]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 45


# --- approvals -----------------------------------------------------------------------------------
def test_ann_fills_the_form_and_the_run_goes_on() -> None:
    ann = person("ann", "IC")
    run, client = a_run(published(), incident(ann), ann), signed_in(ann)
    form = run.approvals.get()
    wrong = client.post(form.get_absolute_url(), {"field-finding": f"Income {HOSTILE}", "field-share": "much"})
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
    before = Evidence.keep(asked.incident, "routes before.json", b'{"version": "9 <b>"}')
    asked.step.evidence = [before.pk]
    asked.step.save()
    shown = page(signed_in(person("eva", "IC")), asked.get_absolute_url())
    assert "Changes decisions about people" in shown
    assert "routes before.json" in shown
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
    answer = signed_in(person("bo", "BO")).post(asked.get_absolute_url(), {"then": "approve", "seen": "0" * 64})
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
    shown = incident_panel(request, asked.incident)
    assert asked.get_absolute_url() in shown
    assert asked.run.get_absolute_url() in shown
    assert f"/playbooks/pb-other/runs/?incident={asked.incident.key}" in shown


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
