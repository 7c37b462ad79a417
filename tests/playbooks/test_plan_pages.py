"""Pages before and around a run: the plan, the simulation, what is stuck and one click to go on, doing a step again."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from incidents.models import Incident, ModelVersion
from playbooks import approvals, control, engine, publishing, stuck
from playbooks.models import Approval, Run, Step
from tests import scenes
from tests.incidents.api import Caller, problem
from tests.playbooks.page_scenes import HOSTILE, TEXT, a_run, asked_for_approval, page, published, signed_in

pytestmark = pytest.mark.django_db

WAITS = "playbook: {slug}\ntitle: Waits\nsteps:\n  - {{id: W, kind: wait, title: Wait, for: 1h}}\n"


def plan_address(incident: Incident) -> str:
    return f"{reverse('playbooks:plan', args=['pb-drift'])}?incident={incident.key}"


def test_the_plan_is_shown_and_exactly_it_is_started() -> None:
    ann = scenes.person("ann", "IC")
    incident = scenes.incident(ann, title=f"Drift {HOSTILE}")
    published()
    client = signed_in(ann)
    shown = page(client, plan_address(incident))
    assert "Decided by" in shown or "decided by" in shown
    assert "Serve the fallback" in shown
    assert HOSTILE not in shown
    order = {"incident": incident.key, "then": "start", "plan_hash": "0" * 64, "field-limit": "0.2"}
    refused = client.post(plan_address(incident), order)
    assert (refused.status_code, "no longer the one" in refused.content.decode()) == (409, True)
    found = client.get(plan_address(incident)).context["plan"]
    started = client.post(plan_address(incident), {**order, "plan_hash": found.hash})
    assert started.status_code == 302
    assert Run.objects.get().inputs == {"limit": 0.2}


def test_the_plan_says_who_would_have_to_agree_and_what_nobody_can() -> None:
    ann = scenes.person("ann", "IC")
    published()
    shown = page(signed_in(ann), plan_address(scenes.incident(ann)))
    assert "Four eyes" in shown
    assert "Nobody can answer now" in shown
    rep = scenes.person("rep", "REP")
    assert signed_in(rep).get(plan_address(Incident.objects.get())).status_code == 404


def test_a_version_is_simulated_from_its_page() -> None:
    ann = scenes.person("ann", "IC")
    playbook = published()
    publishing.save_draft(
        playbook, TEXT.format(slug="pb-drift").replace("Does it matter?", "Is it bad?"), by=ann
    )
    address = reverse("playbooks:simulation", args=["pb-drift", 2])
    client = signed_in(ann)
    assert "Choose what to suppose" in page(client, address)
    facts = {
        "answers": {
            "DR-01": {"finding": "Income", "share": 0.5},
            "DR-03": {"approved": False, "reason": HOSTILE},
        }
    }
    shown = client.post(address, {"facts": json.dumps(facts), "incident": ""}).content.decode()
    assert "Is it bad?" in shown
    assert "because" in shown
    assert 'class="went failed" href="#step-DR-03"' in shown
    assert HOSTILE not in shown
    wrong = client.post(address, {"facts": '{"incidnt": {}}'})
    assert (wrong.status_code, "did you mean &#x27;incident&#x27;" in wrong.content.decode()) == (422, True)
    assert client.post(address, {"facts": "{"}).status_code == 422
    assert Run.objects.count() == 0


def test_what_is_stuck_is_told_with_one_click_to_go_on() -> None:
    ann = scenes.person("ann", "IC")
    run = a_run(published("pb-waits", WAITS), scenes.incident(ann), ann)
    client = signed_in(ann)
    assert "Stuck" not in page(client, "/runs/?stuck=1").partition("<main")[2].partition("Filter")[2]
    Run.objects.filter(pk=run.pk).update(state="paused", reason="Lunch.")
    shown = page(client, "/runs/?stuck=1")
    assert "Lunch." in shown
    assert "Resume" in page(client, "/")
    answer = client.post(run.get_absolute_url(), {"then": "resume", "back": "/runs/?stuck=1"})
    assert answer["Location"] == "/runs/?stuck=1"
    Run.objects.filter(pk=run.pk).update(state="paused")
    away = client.post(run.get_absolute_url(), {"then": "resume", "back": "//elsewhere.example/"})
    assert away["Location"] == run.get_absolute_url()


def test_questions_nobody_answers_and_steps_that_never_succeed_are_stuck() -> None:
    asked = asked_for_approval(scenes.person("mia", "MLE"))
    everything = Run.objects.all()
    assert list(stuck.stuck(everything)) == []
    Approval.objects.filter(pk=asked.pk).update(handed_to=["EXE"])
    assert list(stuck.stuck(everything)) == [asked.run]
    told = stuck.explain(Run.objects.get(pk=asked.run_id))
    assert "EXE may answer as well" in told.why
    assert told.verbs == ("skip", "cancel")
    long_ago = timezone.now() - timedelta(hours=1)
    Run.objects.filter(pk=asked.run_id).update(state="waiting", wake_at=timezone.now())
    Step.objects.filter(pk=asked.step_id).update(
        state="waiting", error="No route.", started_at=long_ago, tries=7
    )
    assert [stuck.explain(run).why for run in stuck.stuck(everything)] == [
        "DR-03 is tried again and again (7 times): No route."
    ]


def test_a_run_goes_on_from_a_step_of_its_page_and_of_the_api() -> None:
    ann = scenes.person("ann", "IC")
    run = a_run(published("pb-waits", WAITS), scenes.incident(ann), ann)
    client = signed_in(ann)
    assert "Go on from a step" in page(client, run.get_absolute_url())
    order = {"then": "rerun", "from": "W", "with": "", "reason": ""}
    assert client.post(run.get_absolute_url(), order).status_code == 409
    assert client.post(run.get_absolute_url(), {**order, "with": "edited", "inputs": "["}).status_code == 422
    assert client.post(run.get_absolute_url(), {**order, "reason": "Once more."}).status_code == 302
    engine.advance(run.pk)
    assert run.steps.filter(key="W").count() == 2
    api = Caller(ann)
    again = api.post(f"runs/{run.pk}/reruns/", {"step": "W", "reason": "And again."}).json()
    assert again["again"]["W"]["reason"] == "And again."
    problem(api.post(f"runs/{run.pk}/reruns/", {"step": "X", "reason": "x"}), 409)
    problem(api.post(f"runs/{run.pk}/reruns/", {"step": "W"}), 422)
    problem(Caller(ann, ("read",)).post(f"runs/{run.pk}/reruns/", {"step": "W", "reason": "x"}), 403)


def test_the_api_tells_what_is_stuck_and_what_is_still_ahead() -> None:
    ann = scenes.person("ann", "IC")
    run = a_run(published("pb-waits", WAITS), scenes.incident(ann), ann)
    api = Caller(ann)
    assert api.get("runs/?stuck=true").json()["results"] == []
    assert api.get(f"runs/{run.pk}/").json()["stuck"] == ""
    assert [step["id"] for step in api.get(f"runs/{run.pk}/plan/").json()["steps"]] == ["W"]
    control.pause(run, ann, "Lunch.")
    assert [one["id"] for one in api.get("runs/?stuck=true").json()["results"]] == [run.pk]
    assert api.get(f"runs/{run.pk}/").json()["stuck"] == "Lunch."


def test_the_question_tells_who_may_answer_and_what_is_missing() -> None:
    asked = asked_for_approval(scenes.person("mia", "MLE"))
    bo, eva = scenes.person("bo", "BO"), scenes.person("eva", "EXE")
    Approval.objects.filter(pk=asked.pk).update(all_of=["BO", "IC"])
    ModelVersion.objects.create(system=scenes.system(), version="9", author=eva)
    shown = Caller(bo).get(f"approvals/{asked.pk}/").json()
    assert (shown["people"], shown["missing"]) == (["bo"], ["BO", "IC"])
    text = page(signed_in(bo), asked.get_absolute_url())
    assert "One of each: BO and IC" in text
    assert "The plan from here" in text
    approvals.decide(Approval.objects.get(pk=asked.pk), bo, True)
    assert Caller(bo).get(f"approvals/{asked.pk}/").json()["missing"] == ["IC"]
    assert "Still needed: IC" in page(signed_in(bo), asked.get_absolute_url())
