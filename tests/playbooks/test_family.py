"""Branches, items and called playbooks are runs of their own: they go on at the same time, and the step above judges."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from incidents.models import Incident
from playbooks import engine
from playbooks.contract import ActionError
from playbooks.definition import freeze, parse
from playbooks.models import Playbook, PlaybookVersion, Run
from tests import scenes
from tests.playbooks.scenes import NOON, World, advance, kinds, published, started, step, steps, text, world

__all__ = ["world"]
pytestmark = pytest.mark.django_db

BOTH = """
    - {id: A, kind: auto, title: Measure, action: measure}
    - id: P
      kind: parallel
      title: At once
      branches:
        - name: off
          steps:
            - {id: P-1, kind: auto, title: Off, action: switch, with: {model: champion, share: 0}}
        - name: on
          steps:
            - {id: P-2, kind: auto, title: On, action: switch, when: steps.A.share > 0.1, with: {model: fallback, share: 100}}
            - {id: P-3, kind: notify, title: Tell, text: "On at {{ steps.A.share }}"}
    - {id: Z, kind: notify, title: Tell, text: "{{ steps.P.branches.on.steps.P-2.model? }} {{ steps.P.succeeded.0 }}"}
"""
EACH = """
    - id: F
      kind: for_each
      title: Each
      items: [champion, fallback, "{{ incident.key }}"]
      as: model
      limit: 2
      steps:
        - {id: F-1, kind: auto, title: Off, action: switch, retry: {count: 0}, with: {model: "{{ items.model }}", share: 7}}
    - {id: Z, kind: notify, title: Tell, text: "{{ steps.F.count }} items"}
"""


def sev2(**fields: object) -> Incident:
    return scenes.incident(severity=2, **fields)


def drain(run: Run, *, after: timedelta = timedelta(), rounds: int = 40) -> Run:
    """Let a worker look at every run that is due, until none is."""
    moment = NOON + after
    Run.objects.filter(started_at=None).update(wake_at=NOON)
    for _ in range(rounds):
        due = Run.objects.filter(state__in=("queued", "running", "waiting", "asking"), wake_at__lte=moment)
        ids = list(due.order_by("id").values_list("pk", flat=True))
        if not ids:
            break
        for id in ids:
            engine.advance(id, now=moment)
    run.refresh_from_db()
    return run


def below(run: Run) -> dict[str, str]:
    return dict(run.children.order_by("id").values_list("branch", "state"))


def test_branches_run_at_the_same_time_and_see_what_was_found_before(world: World) -> None:
    run = advance(started(BOTH, incident=sev2()))
    assert (run.state, steps(run)) == ("waiting", {"A": "done", "P": "waiting"})
    assert below(run) == {"off": "queued", "on": "queued"}
    drain(run)
    assert run.state == "succeeded", run.reason
    assert world.traffic == {"champion": 0, "fallback": 100}
    assert world.sent == ["On at 0.4", "fallback off"]
    outputs = step(run, "P").outputs
    assert outputs["succeeded"] == ["off", "on"]
    assert outputs["branches"]["off"]["steps"]["P-1"]["model"] == "champion"


def test_a_branch_is_told_of_by_its_steps_not_as_a_playbook(world: World) -> None:
    incident = sev2()
    drain(started(BOTH, incident=incident))
    told = [kind for kind in kinds(incident) if kind.startswith("run.")]
    assert told == ["run.attached", "run.started", "run.succeeded"]


def test_the_step_above_fails_when_a_branch_fails_and_names_why_and_what_stays_in_force(world: World) -> None:
    run = drain(started(BOTH.replace("model: fallback", "model: nobody"), incident=sev2()))
    assert run.state == "failed"
    assert "on failed: P-2 On: There is no model nobody." in run.reason
    assert "Still in force: P-1 Off" in run.reason
    assert below(run) == {"off": "succeeded", "on": "failed"}


def test_any_branch_is_enough_and_the_others_are_cancelled(world: World) -> None:
    slow = BOTH.replace("title: At once", "title: At once\n      join: any").replace(
        "- {id: P-1,", "- {id: P-0, kind: wait, title: Long, for: 1h}\n            - {id: P-1,"
    )
    run = drain(started(slow, incident=sev2()))
    assert run.state == "succeeded", run.reason
    assert below(run) == {"off": "cancelled", "on": "succeeded"}
    assert world.traffic["champion"] == 100
    assert step(run.children.get(branch="off"), "P-0").state == "cancelled"


def test_when_too_few_can_succeed_any_more_the_rest_is_cancelled(world: World) -> None:
    slow = BOTH.replace("title: At once", "title: At once\n      join: 2").replace(
        "- {id: P-1,", "- {id: P-0, kind: wait, title: Long, for: 1h}\n            - {id: P-1,"
    )
    run = drain(started(slow.replace("model: fallback", "model: nobody"), incident=sev2()))
    assert run.state == "failed"
    assert below(run) == {"off": "cancelled", "on": "failed"}


def test_items_are_done_a_few_at_a_time_and_their_failures_are_collected(world: World) -> None:
    incident = sev2()
    run = advance(started(EACH, incident=incident))
    assert below(run) == {"0": "queued", "1": "queued"}
    drain(run)
    assert run.state == "failed"
    assert below(run) == {"0": "succeeded", "1": "succeeded", "2": "failed"}
    outputs = step(run, "F").outputs
    assert (outputs["succeeded"], outputs["failed"], outputs["count"]) == (["0", "1"], ["2"], 3)
    assert [one["item"] for one in outputs["results"]] == ["champion", "fallback", incident.key]
    assert f"There is no model {incident.key}." in outputs["results"][2]["reason"]
    assert world.traffic == {"champion": 7, "fallback": 7}


def test_a_for_each_that_may_fail_goes_on_with_what_it_collected(world: World) -> None:
    run = drain(started(EACH.replace("limit: 2", "limit: 2\n      on_error: continue"), incident=sev2()))
    assert (run.state, steps(run), world.sent) == ("succeeded", {"F": "failed", "Z": "done"}, ["3 items"])


def test_items_come_from_a_path_or_from_cel_and_may_be_none(world: World) -> None:
    system = scenes.system(data={"models": ["champion", "fallback", "other"]})
    for items, count in (
        ('"{{ system.data.models }}"', 3),
        ("""'system.data.models.filter(m, m != "other")'""", 2),
        ("[]", 0),
    ):
        body = EACH.replace('[champion, fallback, "{{ incident.key }}"]', items).replace(
            "limit: 2", "on_error: continue"
        )
        run = drain(started(body, incident=sev2(system=system)))
        assert (run.state, step(run, "F").outputs["count"]) == ("succeeded", count), run.reason
        Run.objects.all().delete()


def test_more_items_than_the_playbook_allows_are_refused(world: World) -> None:
    run = drain(started(EACH.replace("limit: 2", "most: 2"), incident=sev2()))
    assert run.state == "failed"
    assert "There are 3 items, more than the 2" in run.reason
    assert world.writes == []


def test_loops_inside_branches_see_both_their_items(world: World) -> None:
    run = started(
        """
        - id: F
          kind: for_each
          title: Outer
          items: [a, b]
          as: outer
          steps:
            - id: G
              kind: for_each
              title: Inner
              items: [1, 2]
              steps: [{id: G-1, kind: notify, title: Tell, text: "{{ items.outer }}{{ item }}"}]
        """,
        incident=sev2(),
    )
    assert drain(run).state == "succeeded", run.reason
    assert sorted(world.sent) == ["a1", "a2", "b1", "b2"]


CALLED = """
playbook: pb-called
title: Called
inputs: [{name: model}]
"""


def called(body: str) -> None:
    published(body, head=CALLED)


def test_a_called_playbook_runs_pinned_to_the_version_published_when_it_begins(world: World) -> None:
    called("- {id: A, kind: auto, title: Off, action: switch, with: {model: '{{ inputs.model }}', share: 1}}")
    incident = sev2()
    run = drain(
        started(
            "- {id: C, kind: playbook, title: Call, playbook: pb-called, with: {model: champion}}",
            incident=incident,
        )
    )
    assert run.state == "succeeded", run.reason
    child = run.children.get()
    assert (child.playbook.slug, child.version.number, child.incident_id) == ("pb-called", 1, incident.pk)
    assert step(run, "C").outputs["results"][0]["steps"]["A"]["model"] == "champion"
    assert world.traffic["champion"] == 1


def test_a_playbook_that_was_withdrawn_meanwhile_is_not_called(world: World) -> None:
    called("- {id: A, kind: auto, title: Measure, action: measure}")
    run = started(
        "- {id: C, kind: playbook, title: Call, playbook: pb-called, with: {model: x}}", incident=sev2()
    )
    Playbook.objects.filter(slug="pb-called").update(active=False)
    drain(run)
    assert run.state == "failed"
    assert "There is no published playbook “pb-called”" in run.reason


def test_an_input_that_the_called_playbook_needs_is_named(world: World) -> None:
    called("- {id: A, kind: auto, title: Measure, action: measure}")
    run = started(
        "- {id: C, kind: playbook, title: Call, playbook: pb-called, with: {model: '{{ incident.owner }}'}}",
        incident=sev2(),
    )
    drain(run)
    assert run.state == "failed"
    assert "model: " in run.reason


def test_a_circle_that_publishing_did_not_see_ends_where_it_closes(world: World) -> None:
    called("- {id: A, kind: auto, title: Measure, action: measure}")
    run = started(
        "- {id: C, kind: playbook, title: Call, playbook: pb-called, with: {model: x}}", incident=sev2()
    )
    back = parse(text("- {id: A, kind: playbook, title: Back, playbook: pb-test}", CALLED))
    PlaybookVersion.objects.filter(playbook__slug="pb-called").update(frozen=freeze(back), sha256="other")
    drain(run)
    assert run.state == "failed"
    assert "“pb-test” runs already, around this step" in run.reason


def test_taking_effects_back_reaches_into_branches_the_newest_first(world: World) -> None:
    failing = BOTH.replace(
        "- {id: Z,",
        "- {id: X, kind: gate, title: Never, checks: [{when: 'false', title: no}], on_error: compensate}\n    - {id: Z,",
    )
    run = drain(started(failing, incident=sev2()))
    assert run.state == "failed"
    assert world.traffic == {"champion": 100, "fallback": 0}
    assert [what for what, _ in world.writes] == ["champion=0", "fallback=100", "fallback=0", "champion=100"]
    assert "Undone: P-2, P-1." in run.reason


def test_a_branch_may_take_back_its_own_effects(world: World) -> None:
    failing = BOTH.replace(
        "- {id: P-3,",
        "- {id: P-4, kind: gate, title: Never, checks: [{when: 'false', title: no}], on_error: compensate}\n            - {id: P-3,",
    )
    run = drain(started(failing, incident=sev2()))
    assert run.state == "failed"
    assert world.traffic == {"champion": 0, "fallback": 0}


def test_a_retried_step_keeps_what_succeeded_and_goes_on_where_the_rest_stood(world: World) -> None:
    from playbooks import control

    carl = scenes.person("carl", "IC")
    run = advance(started(BOTH, incident=sev2()))
    world.fails = [ActionError("The gateway is broken.")]
    run = drain(run)
    assert (run.state, below(run)) == ("failed", {"off": "failed", "on": "succeeded"})
    key = step(run.children.get(branch="off"), "P-1").idempotency_key
    control.retry(step(run, "P"), carl)
    Run.objects.filter(pk=run.pk).update(wake_at=NOON)
    drain(run)
    assert run.state == "succeeded", run.reason
    assert below(run) == {"off": "succeeded", "on": "succeeded"}
    assert [k for what, k in world.writes if what == "champion=0"] == [key]
    assert len(world.writes) == 2


def test_a_step_with_branches_that_takes_too_long_ends_with_all_of_them(world: World) -> None:
    slow = BOTH.replace("title: At once", "title: At once\n      deadline: 10m").replace(
        "- {id: P-1,", "- {id: P-0, kind: wait, title: Long, for: 1h}\n            - {id: P-1,"
    )
    run = drain(started(slow, incident=sev2()))
    run = drain(run, after=timedelta(minutes=11))
    assert run.state == "failed"
    assert "Not finished within 10 min" in run.reason
    assert below(run)["off"] == "cancelled"


def test_a_dry_run_goes_through_branches_and_changes_nothing(world: World) -> None:
    run = drain(started(BOTH, incident=sev2(), dry_run=True))
    assert (run.state, world.writes, world.sent) == ("succeeded", [], [])
    assert all(child.dry_run for child in run.children.all())


def test_the_row_of_a_branch_is_written_once(world: World) -> None:
    from django.db import IntegrityError, transaction

    run = advance(started(BOTH, incident=sev2()))
    child: Any = run.children.first()
    child.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        child.save()
