"""One containment per model at a time: a key is held by one run, across runs and over a worker's death."""

from __future__ import annotations

from datetime import timedelta

import pytest

from incidents.models import AISystem
from playbooks import control, engine, triggers
from playbooks.models import Hold, Playbook, Run
from tests import scenes
from tests.playbooks.scenes import HEAD, NOON, World, advance, published, step, world
from tests.playbooks.test_family import drain, sev2

__all__ = ["world"]
pytestmark = pytest.mark.django_db

KEY = 'concurrency: {key: "containment:{{ system.slug }}"}\n'
HOUR = "- {id: W, kind: wait, title: Long, for: 1h}\n- {id: S, kind: auto, title: Off, action: switch, with: {model: champion, share: 0}}"
ONE_STEP = """
- {id: S, kind: auto, title: Poll, action: poll, concurrency: {key: "c:{{ system.slug }}"%s}}
- {id: W, kind: wait, title: Long, for: 1h}
"""


def shop() -> AISystem:
    return AISystem.objects.filter(slug="shop").first() or scenes.system(slug="shop")


def on(playbook: Playbook, system: AISystem | None = None) -> Run:
    return triggers.start(playbook, sev2(system=system or shop()))


def test_a_second_run_queues_says_what_for_and_goes_on_when_the_first_has_ended(world: World) -> None:
    playbook = published(HOUR, HEAD + KEY)
    first, second = advance(on(playbook)), advance(on(playbook))
    assert (first.state, second.state) == ("waiting", "waiting")
    assert second.reason == (
        f"Queues: “containment:shop” is held by run {first.pk} (“Test” on {first.incident.key})."
    )
    assert not second.steps.exists()
    drain(first, after=timedelta(hours=1))
    second.refresh_from_db()
    assert (first.state, Hold.objects.get().run_id) == ("succeeded", second.pk)
    assert step(second, "W").state == "waiting"
    drain(second, after=timedelta(hours=3))
    assert second.state == "succeeded"
    assert not Hold.objects.exists()


def test_other_systems_do_not_wait(world: World) -> None:
    playbook = published(HOUR, HEAD + KEY)
    advance(on(playbook))
    other = advance(on(playbook, scenes.system(slug="bank")))
    assert step(other, "W").state == "waiting"


def test_a_second_run_is_cancelled_where_the_playbook_says_so(world: World) -> None:
    playbook = published(HOUR, HEAD + KEY.replace("}\n", ", on_conflict: cancel_new}\n"))
    first, second = advance(on(playbook)), advance(on(playbook))
    assert second.state == "cancelled"
    assert f"held by run {first.pk}" in second.reason


def test_a_hold_goes_with_a_cancelled_run_and_with_one_that_ended_unseen(world: World) -> None:
    playbook = published(HOUR, HEAD + KEY)
    first, second, third = (advance(on(playbook)) for _ in range(3))
    control.cancel(first, scenes.person("carl", "IC"), "Not needed.")
    advance(second, after=timedelta(minutes=1))
    assert Hold.objects.get().run_id == second.pk
    Run.objects.filter(pk=second.pk).update(state="cancelled")  # by a release that knows nothing of holds
    advance(third, after=timedelta(minutes=2))
    assert Hold.objects.get().run_id == third.pk


def test_who_queued_first_goes_first(world: World) -> None:
    playbook = published(HOUR, HEAD + KEY)
    first, second, third = (advance(on(playbook)) for _ in range(3))
    Run.objects.filter(pk=first.pk).update(state="cancelled")
    third = advance(third, after=timedelta(minutes=1))
    assert third.reason.endswith(f"run {second.pk}, which queued earlier.")
    advance(second, after=timedelta(minutes=1))
    assert Hold.objects.get().run_id == second.pk


def test_a_hold_outlives_the_worker(world: World) -> None:
    playbook = published(HOUR, HEAD + KEY)
    first, second = advance(on(playbook)), on(playbook)
    Run.objects.filter(pk=first.pk).update(state="running", lease_until=NOON, wake_at=NOON)  # its worker died
    assert advance(second).state == "waiting"
    engine.advance(first.pk, now=NOON + timedelta(minutes=1))
    assert Hold.objects.get().run_id == first.pk


def test_one_step_holds_its_key_only_while_it_is_under_way(world: World) -> None:
    playbook = published(ONE_STEP % "")
    first, second = advance(on(playbook)), advance(on(playbook))
    assert (first.state, step(first, "S").state) == ("waiting", "waiting")
    assert "Queues: “c:shop” is held by run" in step(second, "S").summary
    for minutes in (6, 12):
        advance(first, after=timedelta(minutes=minutes))
    assert step(first, "S").state == "done"
    second = advance(second, after=timedelta(minutes=12))
    assert Hold.objects.get().run_id == second.pk


def test_one_step_fails_where_it_may_not_queue(world: World) -> None:
    playbook = published(ONE_STEP % ", on_conflict: cancel_new")
    first, second = advance(on(playbook)), advance(on(playbook))
    assert second.state == "failed"
    assert f"held by run {first.pk}" in second.reason


def test_runs_below_share_what_the_run_above_holds(world: World) -> None:
    published(
        "- {id: A, kind: auto, title: Off, action: switch, with: {model: champion, share: 1}}",
        "playbook: pb-in\ntitle: In\n" + KEY,
    )
    playbook = published("- {id: C, kind: playbook, title: Call, playbook: pb-in}", HEAD + KEY)
    assert drain(on(playbook)).state == "succeeded"


def test_a_dry_run_holds_nothing_and_waits_for_nobody(world: World) -> None:
    playbook = published(HOUR, HEAD + KEY)
    advance(on(playbook))
    run = drain(triggers.start(playbook, sev2(system=shop()), dry_run=True))
    assert run.state == "succeeded"
    assert Hold.objects.count() == 1
