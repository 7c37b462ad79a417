"""Walking a playbook on supposed facts: branches, waits, questions and effects, with nothing stored or sent."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from incidents.models import Event
from playbooks import library, publishing, shelf
from playbooks.actions.blast_radius import BlastRadius
from playbooks.definition import parse
from playbooks.models import Approval, PlaybookVersion, Run, Step
from playbooks.simulate import simulate
from playbooks.supposed import Simulation, Unusable
from tests import scenes
from tests.incidents.api import Caller, problem
from tests.playbooks.scenes import HEAD, NOON, World, published, text, world
from tests.playbooks.test_plan import STEPS

__all__ = ["world"]
pytestmark = pytest.mark.django_db

BAD = {"D-1": {"share": 0.4, "verdict": "confirmed"}}


def walked(steps: str, head: str = HEAD, **given: Any) -> Simulation:
    version = published(steps, head).published
    assert version is not None
    definition = parse(version.source)
    return simulate(version, definition, given=given, now=NOON)


def went(found: Simulation) -> list[tuple[str, str]]:
    return [(step.id, step.state) for step in found.steps]


def rows() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Run, Step, Approval, Event))


def test_the_walk_takes_the_branches_that_the_outputs_lead_to(world: World) -> None:
    found = walked(STEPS, outputs=BAD)
    assert went(found) == [
        ("D-1", "done"),
        ("D-2", "skipped"),
        ("D-3", "done"),
        ("D-4", "done"),
        ("D-6", "done"),
    ]
    decided = found.steps[2]
    assert (decided.goto, decided.why) == ("D-4", 'steps["D-1"].share > 0.3')
    calm = walked(STEPS, outputs={"D-1": {"share": 0.1}})
    assert [id for id, _ in went(calm)] == ["D-1", "D-2", "D-3", "D-6"]


def test_nothing_is_stored_and_nothing_is_sent(world: World) -> None:
    incident = scenes.incident(system=scenes.system("credit"))
    version = published(STEPS).published
    assert version is not None
    before = rows()
    found = simulate(version, parse(version.source), incident=incident, given={"outputs": BAD})
    assert rows() == before
    assert (world.looks, world.writes, world.sent) == (0, [], [])
    assert [step.does for step in found.effects] == [
        'Serve the fallback with {"model": "fallback", "share": 100, "version": null}', "message: Share 0.4."
    ]  # fmt: skip


def test_answers_are_those_given_or_the_default_and_a_no_goes_its_way(world: World) -> None:
    found = walked(STEPS, outputs=BAD)
    assert [(step.id, step.asked.given) for step in found.asks if step.asked] == [("D-4", False)]
    refused = walked(STEPS, outputs=BAD, answers={"D-4": {"approved": False, "reason": "Too early"}})
    assert ("D-4", "failed") in went(refused)
    assert [step.id for step in refused.asks] == ["D-4", "D-5"]
    assert "Too early" in next(step.error for step in refused.steps if step.id == "D-4")


def test_nobody_answering_asks_again_until_the_step_fails(world: World) -> None:
    found = walked(STEPS, outputs=BAD, answers={"D-4": {"expired": True}})
    assert [step.state for step in found.steps if step.id == "D-4"] == ["failed"] * 3
    assert found.ended_at - found.started_at == timedelta(hours=12)


def test_waits_pass_on_a_clock_of_their_own(world: World) -> None:
    steps = """
        - {id: W, kind: wait, title: Let it settle, for: 24h}
        - {id: V, kind: wait, title: Until it is quiet, until: "incident.firing_count == 0", every: 10m}
    """
    found = walked(steps)
    assert found.ended_at - found.started_at == timedelta(hours=24)
    noisy = walked(steps, incident={"firing_count": 3})
    assert noisy.ended_at - noisy.started_at == timedelta(hours=24, minutes=10)
    assert [step.id for step in noisy.waits] == ["W", "V"]


def test_a_failing_effect_is_tried_again_and_the_ones_before_are_taken_back(world: World) -> None:
    steps = """
        - {id: A, kind: auto, title: First, action: switch, with: {model: champion, share: 50}}
        - {id: B, kind: auto, title: Second, action: switch, with: {model: champion, share: 0}, on_error: compensate, retry: {count: 1}}
    """
    broken = {"state": "failed", "error": "The gateway is down.", "cause": "retryable"}
    found = walked(steps, outputs={"B": broken})
    assert (found.state, found.undone) == ("failed", ["A"])
    assert [step.state for step in found.steps if step.id == "B"] == ["failed", "failed"]
    better = walked(steps, outputs={"B": [broken, {"model": "champion"}]})
    assert (better.state, better.undone) == ("succeeded", [])


def test_branches_items_and_called_playbooks_are_walked_too(world: World) -> None:
    publishing.apply_text(
        text("- {id: C-1, kind: notify, title: Tell, text: called}", "playbook: pb-called\ntitle: Called\n"),
        publish=True,
    )
    found = walked("""
        - id: P
          kind: parallel
          title: Both
          branches:
            - {name: left, steps: [{id: L, kind: wait, title: Wait, for: 1h}]}
            - {name: right, steps: [{id: R, kind: wait, title: Wait, for: "{{ inputs.long }}"}]}
        - id: F
          kind: for_each
          title: Each
          items: "{{ system.data.regions }}"
          limit: 1
          steps: [{id: T, kind: notify, title: Tell, text: "{{ item }}"}]
        - {id: C, kind: playbook, title: Another, playbook: pb-called}
    """, system={"data": {"regions": ["north", "south"]}}, head=f"{HEAD}inputs: [{{name: long, default: 3h}}]\n")  # fmt: skip
    assert found.state == "succeeded", found.reason
    assert found.ended_at - found.started_at == timedelta(hours=3)
    assert [(step.id, step.inside) for step in found.steps] == [
        ("L", "P left"), ("R", "P right"), ("P", ""), ("T", "F 0"), ("T", "F 1"), ("F", ""), ("C-1", "pb-called"), ("C", ""),
    ]  # fmt: skip
    assert [step.does for step in found.effects] == ["message: north", "message: south", "message: called"]


def test_a_circle_ends(world: World) -> None:
    steps = """
        - {id: W, kind: wait, title: Wait, for: 1m}
        - {id: D, kind: decide, title: Again, branches: [{goto: W}]}
    """
    found = walked(steps)
    assert found.state == "failed"
    assert "circle" in found.reason


def test_words_that_do_not_exist_are_refused_with_the_nearest(world: World) -> None:
    for given, says in (
        ({"output": {}}, "did you mean 'outputs'"),
        ({"incident": {"severty": 1}}, "did you mean 'severity'"),
        ({"answers": {"D-44": {}}}, "did you mean 'D-4'"),
        ({"outputs": {"D-1": 3}}, "must be an object"),
        ({"outputs": {"D-1": {"state": "failed", "cause": "strange"}}}, "cause"),
        ({"outputs": BAD, "answers": {"D-4": {"approved": False}, "D-5": {"wrong": 1}}}, "D-5"),
    ):
        with pytest.raises(Unusable, match=says):
            walked(STEPS, **given)


def test_every_playbook_of_the_library_can_be_walked() -> None:
    library.install()
    for version in PlaybookVersion.objects.filter(published_key=True).select_related("playbook"):
        found = simulate(
            version,
            parse(version.source),
            given={"system": {"slug": "s", "serving": {"fallback_version": "1"}}},
        )
        assert found.steps, version.playbook.slug
        assert all(step.state in ("done", "failed", "skipped") for step in found.steps)


def test_diagnosis_really_runs_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = """
        - {id: B, kind: auto, title: Who else, action: blast_radius}
    """
    monkeypatch.setattr(shelf, "actions", lambda: {"blast_radius": BlastRadius()})
    incident = scenes.incident(system=scenes.system("credit"))
    version = published(steps).published
    assert version is not None
    before = rows()
    found = simulate(version, parse(version.source), incident=incident, for_real=True)
    assert found.steps[0].source == "for real"
    assert found.steps[0].outputs
    assert rows() == before


def test_the_api_simulates_a_draft_and_says_what_is_wrong(world: World) -> None:
    playbook = published(STEPS)
    carl = scenes.person("carl", "IC")
    draft = publishing.save_draft(
        playbook, text("- {id: N, kind: notify, title: Tell, text: draft}"), by=carl
    )
    api = Caller(carl)
    found = api.post("simulations/", {"playbook": "pb-test", "version": draft.number}).json()
    assert (found["state"], found["steps"][0]["does"]) == ("succeeded", "message: draft")
    wrong = {"playbook": "pb-test", "facts": {"incident": {"severty": 1}}}
    assert "severity" in problem(api.post("simulations/", wrong), 422)["errors"]["facts"][0]
    problem(api.post("simulations/", {"playbook": "pb-none"}), 422)
    problem(api.post("simulations/", {"playbook": "pb-test", "incident": "INC-99"}), 404)
    problem(Caller(scenes.person("rep", "REP")).post("simulations/", {"playbook": "pb-test"}), 403)
    PlaybookVersion.objects.filter(pk=draft.pk).update(source="playbook: [")
    problem(api.post("simulations/", {"playbook": "pb-test", "version": draft.number}), 409)


def test_the_command_prints_the_walk(world: World, tmp_path: Path) -> None:
    published(STEPS)
    facts = tmp_path / "facts.json"
    facts.write_text(json.dumps({"outputs": BAD}))
    out = StringIO()
    call_command("simulate", "pb-test", "--facts", str(facts), stdout=out)
    assert "D-4 Serve the fallback: done" in out.getvalue()
    assert "none sent" in out.getvalue()
    out = StringIO()
    call_command("simulate", "pb-test", "--facts", str(facts), "--json", stdout=out)
    assert json.loads(out.getvalue())["state"] == "succeeded"
    for wrong in (
        ["pb-none"],
        ["pb-test", "--incident", "INC-99"],
        ["pb-test", "--facts", str(tmp_path / "none")],
    ):
        with pytest.raises(CommandError):
            call_command("simulate", *wrong, stdout=StringIO())
