"""The pages of playbooks and runs: what people see, start, change and are refused."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from incidents.models import Evidence, RoleGrant
from playbooks import publishing
from playbooks.definition import parse
from playbooks.models import Playbook, PlaybookVersion, Run
from playbooks.pages.flow import draw
from tests.playbooks.page_scenes import HOSTILE, TEXT, a_run, page, published, signed_in
from tests.scenes import incident, person, system

pytestmark = pytest.mark.django_db


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


def test_a_role_on_one_system_opens_the_playbooks_and_the_menu_leads_there() -> None:
    playbook, sam = published(), person("sam")
    RoleGrant.objects.create(user=sam, role="MLE", system=system("churn"))
    client = signed_in(sam)
    shown = page(client, reverse("playbooks:playbooks"))
    assert f'href="{playbook.get_absolute_url()}"' in shown
    assert 'href="/playbooks/"' in shown
    assert 'href="/connections/"' not in shown, "connections serve all systems"
    assert page(client, playbook.get_absolute_url())


def test_whoever_publishes_playbooks_reads_them() -> None:
    published()
    assert page(signed_in(person("ada", "ADM")), reverse("playbooks:playbooks"))


def test_hostile_text_in_a_playbook_stays_text() -> None:
    text = TEXT.replace("title: Serve the fallback", f'title: "{HOSTILE}"').replace(
        "summary: Ask", f"summary: {HOSTILE} Ask"
    )
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
    answer = client.post(
        address, {"source": broken.replace("\n", "\r\n"), "note": "Guess instead"}, follow=True
    )
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
    assert (
        "No problems"
        in client.post(reverse("playbooks:check"), {"source": TEXT.format(slug="x")}).content.decode()
    )


def test_two_people_do_not_overwrite_each_others_draft_unseen() -> None:
    playbook, mia, lee = published(), person("mia", "MLE"), person("lee", "DSC")
    address = reverse("playbooks:edit", args=[playbook.slug])
    seen = publishing.save_draft(playbook, TEXT.format(slug="pb-drift") + "# a\n", by=mia).sha256
    publishing.save_draft(playbook, TEXT.format(slug="pb-drift") + "# by mia\n", by=mia)
    answer = signed_in(lee).post(
        address, {"source": TEXT.format(slug="pb-drift") + "# by lee\n", "seen": seen}
    )
    assert answer.status_code == 409
    shown = answer.content.decode()
    assert "mia saved this draft while you wrote" in shown
    assert "# by lee\n</textarea>" in shown or "# by lee</textarea>" in shown
    assert "<del>mia</del>" in shown
    assert "<ins>lee</ins>" in shown
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
    publishing.save_draft(
        playbook, TEXT.format(slug="pb-drift").replace("default: 0.2", "default: 0.3"), by=mia
    )
    shown = page(signed_in(mia), reverse("playbooks:version", args=[playbook.slug, 2]))
    assert "default: 0.<del>2</del>, min: 0" in shown
    assert "default: 0.<ins>3</ins>, min: 0" in shown


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
    answer = signed_in(mia).post(
        reverse("playbooks:start", args=[playbook.slug]), {"incident": found.key, "field-limit": "7"}
    )
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
    Run.objects.filter(pk=failed.pk).update(
        state="failed", reason="The gateway does not answer. Start it, then retry."
    )
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
    Run.objects.bulk_create(
        Run(version=version, playbook=playbook, incident=found, state="succeeded") for _ in range(45)
    )
    first = signed_in(ann).get(reverse("playbooks:runs"))
    following = first.context["page"].next
    second = signed_in(ann).get(reverse("playbooks:runs"), {"after": following})
    ids = [run.pk for answer in (first, second) for run in answer.context["page"].rows]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 45
