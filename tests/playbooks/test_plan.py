"""The plan of a playbook: what it would do, with which parameters, and who would have to agree."""

from __future__ import annotations

import pytest

from incidents.lifecycle import Refused
from incidents.models import Incident, ModelVersion, User
from playbooks import plan, publishing
from playbooks.models import Playbook, Run
from playbooks.plan import Plan, PlannedStep
from tests import scenes
from tests.incidents.api import Caller, problem
from tests.playbooks.scenes import HEAD, World, advance, asked, published, started, text, world

__all__ = ["world"]
pytestmark = pytest.mark.django_db

STEPS = """
    - {id: D-1, kind: auto, title: Look, action: measure}
    - id: D-2
      kind: auto
      title: Look at the season
      when: '"season" in system.data'
      action: measure
    - id: D-3
      kind: decide
      title: Bad?
      branches:
        - {when: 'steps["D-1"].share > 0.3', goto: D-4}
        - {goto: D-6}
    - id: D-4
      kind: approve
      title: Serve the fallback
      action: risky
      with: {model: fallback, share: 100, version: "{{ system.serving.fallback? }}"}
      approve: {roles: [IC, BO], quorum: 2}
      on_error: {goto: D-5}
      next: D-6
    - id: D-5
      kind: human
      title: By hand
      roles: [SRE]
      form: [{name: what}]
    - {id: D-6, kind: notify, title: Tell, text: "Share {{ steps.D-1.share }}."}
"""


def on_credit(**fields: object) -> Incident:
    return scenes.incident(system=scenes.system("credit", serving={"fallback": "v6"}, **fields))


def planned(incident: Incident, by: User | None = None, playbook: Playbook | None = None) -> Plan:
    version = (playbook or published(STEPS)).published
    assert version is not None
    return plan.plan_of(version, incident, by=by)


def step(found: Plan, id: str) -> PlannedStep:
    return next(one for one in found.steps if one.id == id)


def test_the_plan_names_every_step_that_could_run_and_what_decides_about_it(world: World) -> None:
    found = planned(on_credit())
    assert [(one.id, one.does, one.applies) for one in found.steps] == [
        ("D-1", "reads", "yes"), ("D-2", "reads", "no"), ("D-3", "decides", "yes"), ("D-4", "changes", "yes"),
        ("D-5", "asks", "yes"), ("D-6", "sends", "yes"),
    ]  # fmt: skip
    assert [(lead.goto, lead.holds, lead.decided_by) for lead in step(found, "D-3").leads] == [
        ("D-4", "open", ("D-1",)), ("D-6", "yes", ()),
    ]  # fmt: skip
    assert [one.id for one in found.steps if one.only_if_failed] == ["D-5"]
    assert (Run.objects.count(), world.looks, world.writes) == (0, 0, [])


def test_parameters_that_are_known_are_looked_up(world: World) -> None:
    effect = step(planned(on_credit()), "D-4")
    assert {one.name: one.value for one in effect.parameters} == {
        "model": "fallback", "share": 100, "version": "v6"
    }  # fmt: skip
    assert (effect.risk, effect.verification) == ("R2", "The effect is read back.")
    assert "Taken back" in effect.undo


def test_parameters_that_a_step_will_find_out_name_that_step(world: World) -> None:
    steps = """
        - {id: D-1, kind: auto, title: Look, action: measure}
        - {id: D-2, kind: auto, title: Off, action: switch, with: {model: champion, share: "{{ steps.D-1.share }}"}}
    """
    effect = step(planned(on_credit(), playbook=published(steps)), "D-2")
    share = {one.name: one for one in effect.parameters}["share"]
    assert (share.value, share.decided_by) == ("{{ steps.D-1.share }}", ("D-1",))


def test_the_plan_names_who_may_agree_and_why_others_may_not(world: World) -> None:
    carl, bob = scenes.person("carl", "IC"), scenes.person("bob", "BO")
    scenes.person("gone", "IC", is_active=False)
    incident = on_credit()
    eve = scenes.person("eve", "BO")
    ModelVersion.objects.create(system=incident.system, version="v6", author=eve)
    consent = step(planned(incident, by=carl), "D-4").consent
    assert consent is not None
    assert set(consent.people) == {"ann", str(bob)}
    refused = dict(consent.not_these)
    assert "Four eyes: whoever asked" in refused["carl"]
    assert "author of model version v6" in refused["eve"]
    assert (consent.quorum, consent.hours) == (2, 4.0)


def test_a_role_that_nobody_holds_is_said_before_the_run(world: World) -> None:
    consent = step(planned(on_credit()), "D-5").consent
    assert consent is not None
    assert consent.missing == ("SRE",)


def test_the_hash_changes_with_an_effect_and_not_with_what_is_only_read(world: World) -> None:
    incident, playbook = on_credit(), published(STEPS)
    before = planned(incident, playbook=playbook)
    incident.alert_count += 7
    assert planned(incident, playbook=playbook).hash == before.hash
    assert incident.system is not None
    incident.system.serving = {"fallback": "v5"}
    assert planned(incident, playbook=playbook).hash != before.hash


def test_a_run_starts_with_the_hash_of_its_plan_and_not_with_that_of_another(world: World) -> None:
    carl = scenes.person("carl", "IC")
    incident, playbook = on_credit(), published(STEPS)
    shown = planned(incident, carl, playbook).hash
    assert incident.system is not None
    incident.system.serving = {"fallback": "v5"}
    incident.system.save()
    with pytest.raises(Refused, match="no longer the one you were shown"):
        plan.start(playbook, incident, by=carl, plan_hash=shown)
    assert not Run.objects.exists()
    fresh = Incident.objects.get(pk=incident.pk)
    run = plan.start(playbook, fresh, by=carl, plan_hash=planned(fresh, carl, playbook).hash)
    assert run.state == "queued"


def test_the_plan_of_a_run_under_way_knows_what_its_steps_found_out(world: World) -> None:
    run = advance(started(STEPS, incident=on_credit()))
    assert asked(run).step.key == "D-4"
    ahead = plan.plan_ahead(run)
    assert [one.id for one in ahead.steps] == ["D-4", "D-5", "D-6"]
    assert step(ahead, "D-6").text == "Share {{ steps.D-1.share }}."


def test_the_api_tells_the_plan_and_refuses_to_start_another(world: World) -> None:
    carl = scenes.person("carl", "IC")
    incident, playbook = on_credit(), published(STEPS)
    api = Caller(carl)
    found = api.get(f"incidents/{incident.key}/plan/?playbook=pb-test").json()
    assert found["version"] == 1
    assert [one["id"] for one in found["steps"]] == ["D-1", "D-2", "D-3", "D-4", "D-5", "D-6"]
    order = {"playbook": "pb-test", "incident": incident.key}
    refused = problem(api.post("runs/", {**order, "plan_hash": "0" * 64}), 409)
    assert "no longer the one" in refused["detail"]
    assert api.post("runs/", {**order, "plan_hash": found["hash"]}).status_code == 201
    version = publishing.save_draft(playbook, text(STEPS, HEAD.replace("Test", "Second")), by=carl)
    draft = api.get(f"incidents/{incident.key}/plan/?playbook=pb-test&version={version.number}").json()
    assert (draft["version"], draft["hash"] != found["hash"]) == (2, True)


def test_the_api_keeps_the_plan_from_who_may_not_see_the_incident(world: World) -> None:
    incident = on_credit()
    published(STEPS)
    problem(Caller(scenes.person("rep", "REP")).get(f"incidents/{incident.key}/plan/?playbook=pb-test"), 404)
    api = Caller(scenes.person("carl", "IC"))
    problem(api.get(f"incidents/{incident.key}/plan/?playbook=none"), 422)
    problem(api.get(f"incidents/{incident.key}/plan/?playbook=pb-test&version=9"), 422)
    problem(api.get(f"incidents/{incident.key}/plan/"), 422)
    problem(api.get(f'incidents/{incident.key}/plan/?playbook=pb-test&inputs={{"strange":1}}'), 422)
    problem(api.get(f"incidents/{incident.key}/plan/?playbook=pb-test&inputs=[1]"), 422)
