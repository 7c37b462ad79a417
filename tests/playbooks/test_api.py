"""The REST API of the playbook floor: texts, runs and answers."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks import engine, publishing
from playbooks.models import Approval, Run
from tests.incidents.api import Caller, problem
from tests.scenes import incident, person

pytestmark = pytest.mark.django_db

LOOK = """\
playbook: pb-look
title: Look at it
inputs:
  - {name: window, kind: number, default: 7}
steps:
  - id: LOOK
    kind: human
    title: Look
    form:
      - {name: seen, kind: bool}
  - id: SIGN
    kind: approve
    title: Go on?
    risk: R1
"""


def started() -> tuple[Any, Caller, Run]:
    """Ann's incident with a run of LOOK that stands at its form."""
    ann = person("ann", "IC")
    publishing.apply_text(LOOK, publish=True)
    found, caller = incident(ann), Caller(ann)
    made = caller.post("runs/", {"playbook": "pb-look", "incident": found.key})
    assert made.status_code == 201, made.content
    run = Run.objects.get(pk=made.json()["id"])
    engine.advance(run.pk)
    return ann, caller, run


def test_a_text_is_checked_drafted_published_and_read_back() -> None:
    writer = Caller(person("mia", "MLE", "MRC"))
    verdict = writer.post(
        "playbooks/validation/", {"source": LOOK.replace("kind: approve", "kind: dance")}
    ).json()
    assert not verdict["valid"]
    assert {k: verdict["problems"][0][k] for k in ("line", "column")} == {"line": 12, "column": 11}
    assert writer.post("playbooks/validation/", {"source": LOOK}).json() == {
        "valid": True,
        "problems": [],
        "warnings": [],
    }
    made = writer.post("playbooks/", {"source": LOOK})
    assert (made.status_code, made.json()["status"]) == (201, "draft")
    assert writer.post("playbooks/", {"source": LOOK}).status_code == 200
    published = writer.post("playbooks/pb-look/publications/", {"number": 1}).json()
    assert (published["status"], published["published_by"]) == ("published", "mia")
    assert writer.get("playbooks/pb-look/").json()["published"] == 1
    assert writer.get("playbooks/pb-look/versions/1/").json()["source"] == LOOK
    problem(writer.post("playbooks/pb-look/publications/", {"number": 1}), 409)
    problem(writer.post("playbooks/pb-look/publications/", {"number": 9}), 422)
    problem(writer.get("playbooks/pb-look/versions/9/"), 404)


def test_a_text_that_cannot_run_is_refused_with_line_and_column_but_kept_as_draft() -> None:
    writer = Caller(person("mia", "MLE", "MRC"))
    broken = LOOK.replace("kind: approve", "kind: dance")
    refused = problem(writer.post("playbooks/", {"source": broken, "publish": True}), 422)
    assert refused["problems"][0]["line"] == 12
    writer.post("playbooks/", {"source": LOOK})
    assert writer.put("playbooks/pb-look/draft/", {"source": broken}).json()["source"] == broken
    problem(writer.post("playbooks/pb-look/publications/", {"number": 1}), 422)
    assert writer("DELETE", "playbooks/pb-look/draft/").status_code == 204
    problem(writer("DELETE", "playbooks/pb-look/draft/"), 404)


def test_drafting_and_publishing_are_different_rights() -> None:
    sam = Caller(person("sam", "SRE"))
    assert sam.post("playbooks/", {"source": LOOK}).status_code == 201
    problem(sam.post("playbooks/pb-look/publications/", {"number": 1}), 403)
    problem(sam.post("playbooks/", {"source": LOOK, "publish": True}), 403)


def test_a_run_is_started_once_shown_with_its_steps_and_steered() -> None:
    _, caller, run = started()
    path = f"runs/{run.pk}/"
    shown = caller.get(path).json()
    assert (shown["state"], shown["version"], shown["inputs"]) == ("asking", 1, {"window": 7})
    assert [step["key"] for step in shown["steps"]] == ["LOOK"]
    problem(caller.post("runs/", {"playbook": "pb-look", "incident": shown["incident"]}), 409)
    assert caller.get("runs/?state=live").json()["results"][0]["id"] == run.pk
    assert caller.get("runs/?state=failed").json()["results"] == []
    assert caller.post(f"{path}pause/", {}).json()["state"] == "paused"
    problem(caller.post(f"{path}pause/", {}), 409)
    assert caller.post(f"{path}resume/").json()["state"] == "queued"
    problem(caller.post(f"{path}cancel/", {}), 422)
    cancelled = caller.post(f"{path}cancel/", {"reason": "Wrong one."}).json()
    assert cancelled["state"] == "cancelled"
    assert "Wrong one." in cancelled["reason"]


def test_a_step_is_skipped_with_a_reason() -> None:
    _, caller, run = started()
    step = run.steps.get()
    shown = caller.post(f"runs/{run.pk}/steps/{step.pk}/skip/", {"reason": "Seen already."}).json()
    assert shown["steps"][0]["state"] == "skipped"
    problem(caller.post(f"runs/{run.pk}/steps/{step.pk + 99}/skip/", {"reason": "x"}), 404)


def test_inputs_are_checked_by_name_when_a_run_is_started() -> None:
    ann = person("ann", "IC")
    publishing.apply_text(LOOK, publish=True)
    body = {"playbook": "pb-look", "incident": incident(ann).key, "inputs": {"window": "wide", "colour": 1}}
    errors = problem(Caller(ann).post("runs/", body), 422)["errors"]["inputs"]
    assert set(errors) == {"window", "colour"}
    assert "playbook" in problem(Caller(ann).post("runs/", {**body, "playbook": "none"}), 422)["errors"]


def test_a_form_is_answered_and_an_approval_decided_and_the_run_succeeds() -> None:
    _, caller, run = started()
    form = caller.get(f"approvals/?run={run.pk}&decision=pending").json()["results"][0]
    assert form["kind"] == "form"
    answer = f"approvals/{form['id']}/answer/"
    assert "seen" in problem(caller.post(answer, {"answer": {"seen": "perhaps"}}), 422)["errors"]["answer"]
    problem(caller.post(f"approvals/{form['id']}/decision/", {"yes": True}), 409)
    assert caller.post(answer, {"answer": {"seen": True}}).json()["decision"] == "answered"
    engine.advance(run.pk)
    asked = Approval.objects.get(decision="pending")
    assert caller.get(f"approvals/{asked.pk}/").json()["objection"] == ""
    decision = f"approvals/{asked.pk}/decision/"
    problem(caller.post(decision, {"yes": False}), 409)
    problem(caller.post(decision, {"yes": True, "input_hash": "0" * 64}), 409)
    bot = Caller(person("bot", "IC", is_service=True))
    problem(bot.post(decision, {"yes": True}), 403)
    assert caller.post(decision, {"yes": True}, Idempotency_Key="k").json()["decision"] == "approved"
    assert caller.post(decision, {"yes": True}, Idempotency_Key="k").json()["decision"] == "approved"
    problem(caller.post(decision, {"yes": True}), 409)
    engine.advance(run.pk)
    run.refresh_from_db()
    assert run.state == "succeeded"
