"""A worker dies at every boundary of every kind of step, another goes on: the run ends as if nothing had been.

A boundary is the moment before and after each thing that counts: the claim, each commit and what happens inside it,
the action and its effect, the question, the undoing, the start and the end of runs below. Each test lets the worker
die once at each of them.
"""

from __future__ import annotations

import ast
import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections

from incidents.models import Event
from playbooks import approvals, compensation, engine, family, holds, shelf
from playbooks.contract import Action
from playbooks.models import Approval, Hold, Run, Step
from playbooks.session import LEASE, Working
from tests import scenes
from tests.playbooks.scenes import HEAD, NOON, World, published, started, world

__all__ = ["world"]
pytestmark = pytest.mark.django_db

#: Boundaries at which one test may let the worker die, so that a loop without end is noticed.
MOST = 400
ROUNDS = 300


class Killed(BaseException):
    """What a dying worker feels: nothing catches it."""


@dataclass
class Reaper:
    """Counts boundaries, and kills at the chosen one, once."""

    at: int = 0
    passed: list[str] = field(default_factory=list)

    def boundary(self, name: str) -> None:
        self.passed.append(name)
        if len(self.passed) == self.at:
            raise Killed(name)


@pytest.fixture
def reaper(world: World, monkeypatch: pytest.MonkeyPatch) -> Reaper:
    death = Reaper()

    def around(owner: Any, name: str, *, before: bool = False) -> None:
        done = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            if before:
                death.boundary(f"before {name}")
            answer = done(*args, **kwargs)
            death.boundary(f"after {name}")
            return answer

        monkeypatch.setattr(owner, name, watched)

    around(engine, "_claim", before=True)
    for name in ("settle", "checkpoint"):  # the end of a transaction
        around(Working, name, before=True)
    for owner, name in (  # inside transactions: what was written before is not kept
        (Working, "fenced"), (Working, "_ask"), (Working, "publish"), (holds, "take"), (holds, "release"),
        (family, "begin"), (family, "tell_above"),
    ):  # fmt: skip
        around(owner, name)
    around(compensation, "_one")
    for action in shelf.actions().values():
        for name in ("run", "verify", "undo"):
            if getattr(type(action), name) is not getattr(Action, name):
                around(action, name, before=name != "verify")
    around(world, "write")
    return death


def drive(run: Run, person: Any, *, at: datetime = NOON) -> list[float]:
    """Work on whatever is due, answer what is asked and move the clock on when nothing is; seconds on the clock
    between a death and the next look at the run."""
    clock, resumed, died = at, list[float](), dict[int, datetime]()
    Run.objects.filter(started_at=None, wake_at__gt=clock).update(wake_at=clock)
    Run.objects.filter(started_at=None, wake_at__lt=clock).update(wake_at=clock)
    for _ in range(ROUNDS):
        live = Run.objects.filter(state__in=("queued", "running", "waiting", "asking"))
        due = list(live.filter(wake_at__lte=clock).order_by("pk").values_list("pk", flat=True))
        if not due:
            if not live.exists():
                return resumed
            asked = Approval.objects.filter(decision="pending", run__state="asking").first()
            if asked is not None:
                approvals.answer(
                    asked, person, {"why": "Because."}
                ) if asked.kind == "form" else approvals.decide(asked, person, True)
                continue
            clock = min(live.values_list("wake_at", flat=True))
        for pk in due:
            if pk in died:
                resumed.append((clock - died.pop(pk)).total_seconds())
            try:
                engine.advance(pk, owner=f"worker-{len(resumed)}", now=clock)
            except Killed:
                if Run.objects.filter(pk=pk, state="running").exists():
                    died[pk] = clock
    raise AssertionError(f"not over: {list(Run.objects.values_list('pk', 'state', 'reason', 'cursor'))}")


def end_of(run: Run) -> dict[str, Any]:
    """How it all ended, without numbers that differ from run to run."""
    names, level = {run.pk: ""}, [run.pk]
    while level:
        children = list(Run.objects.filter(parent__in=level))
        names |= {one.pk: f"{names[one.parent_id or 0]}/{one.branch}" for one in children}
        level = [one.pk for one in children]
    rows = Step.objects.filter(run__in=names)
    ended = Run.objects.filter(pk__in=names)
    return {
        "runs": {names[one.pk]: one.state for one in ended},
        "steps": {f"{names[row.run_id]}:{row.key}#{row.attempt}": row.state for row in rows},
        "told": Counter(Event.objects.filter(incident=run.incident_id).values_list("kind", flat=True)),
        "holds": Hold.objects.count(),
        "asked": Counter(Approval.objects.filter(run__in=names).values_list("decision", flat=True)),
    }


LINE = """
- {id: A, kind: auto, title: Measure, action: measure}
- {id: B, kind: auto, title: Poll, action: poll}
- {id: C, kind: decide, title: Much, branches: [{when: steps.A.share > 0.1, goto: D}, {goto: end}]}
- {id: D, kind: gate, title: Open, checks: [{when: steps.A.share < 1.0, title: below one}]}
- {id: E, kind: auto, title: Off, action: switch, with: {model: champion, share: 0}, mark: contained}
"""
PEOPLE = """
- {id: F, kind: human, title: Why, form: [{name: why}]}
- {id: G, kind: approve, title: On, action: risky, with: {model: fallback, share: 100}, approve: {roles: [IC, BO]}}
- {id: H, kind: wait, title: Watch, for: 1h}
- {id: I, kind: notify, title: Tell, text: "{{ steps.F.why }}"}
"""
BRANCHES = """
- id: P
  kind: parallel
  title: Both
  branches:
    - name: off
      steps: [{id: P-1, kind: auto, title: Off, action: switch, with: {model: champion, share: 0}}]
    - name: on
      steps: [{id: P-2, kind: auto, title: On, action: switch, with: {model: fallback, share: 100}}]
"""
ITEMS = """
- id: Q
  kind: for_each
  title: Each
  items: [champion, fallback]
  limit: 1
  steps: [{id: Q-1, kind: auto, title: Half, action: switch, with: {model: "{{ item }}", share: 50}}]
"""
UNDONE = """
- {id: R, kind: auto, title: Off, action: switch, with: {model: champion, share: 0}}
- {id: S, kind: playbook, title: Call, playbook: pb-in, concurrency: {key: calls}}
- {id: T, kind: gate, title: Never, checks: [{when: "false", title: no}], on_error: compensate}
"""
INNER = "- {id: N, kind: auto, title: On, action: switch, with: {model: fallback, share: 100}}"
CASES = {
    "a line of steps": (LINE, HEAD, {"champion": 0, "fallback": 0}),
    "people and waiting": (PEOPLE, HEAD + 'concurrency: {key: "c:{{ incident.key }}"}\n', {"champion": 100, "fallback": 100}),
    "branches": (BRANCHES, HEAD, {"champion": 0, "fallback": 100}),
    "items": (ITEMS, HEAD, {"champion": 50, "fallback": 50}),
    "taking back": (UNDONE, HEAD, {"champion": 100, "fallback": 0}),
}  # fmt: skip


def scene(body: str, head: str) -> Run:
    published(INNER, "playbook: pb-in\ntitle: In\n")
    return started(body, head=head, incident=scenes.incident(severity=2, title="Killed"))


@pytest.mark.parametrize("name", CASES)
def test_a_worker_may_die_anywhere(
    world: World, reaper: Reaper, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    body, head, traffic = CASES[name]
    carl = scenes.person("carl", "IC", "MO")
    drive(run := scene(body, head), carl)
    expected, boundaries = end_of(run), len(reaper.passed)
    assert (world.traffic, world.sent[:1]) == (
        traffic,
        ["Because."] if "notify" in body and "F," in body else [],
    )
    assert 20 < boundaries < MOST
    places = list(reaper.passed)
    waited: list[float] = []
    begin = time.monotonic()
    for at in range(1, boundaries + 1):
        world.__init__()  # type: ignore[misc]
        reaper.at, reaper.passed = at, []
        run = scene(body, head)
        waited += drive(run, carl)
        where = f"killed {places[at - 1]} ({at} of {boundaries})"
        assert end_of(run) == expected, where
        assert world.traffic == traffic, where
        sends = Counter(key for _, key in world.writes)
        assert max(sends.values(), default=1) <= 2, where
        assert len(sends) == len({what for what, _ in world.writes}), (
            f"{where}: one key per effect, {world.writes}"
        )
    with capsys.disabled():
        print(
            f"\n{name}: {boundaries} deaths; taken up again after {max(waited):.0f} s at most "
            f"(lease {LEASE:.0f} s) on the clock; {time.monotonic() - begin:.1f} s to try them all"
        )
    assert max(waited) <= LEASE


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "place", ["after _claim", "after write", "after checkpoint", "after settle", "after begin"]
)
def test_a_process_that_is_gone_leaves_nothing_half_done(world: World, reaper: Reaper, place: str) -> None:
    """A real process, which ends without any clean-up; what it did outside is told through a pipe."""
    run = scene(BRANCHES + ITEMS, HEAD)
    reader, writer = os.pipe()
    connections.close_all()  # nothing open is shared with the child
    if (child := os.fork()) == 0:
        with contextlib.suppress(BaseException):
            _until(reaper, place, lambda: os.write(writer, repr(world.writes).encode()))
            drive(run, None)
        os._exit(1)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with os.fdopen(reader) as told:
        for what, key in ast.literal_eval(told.read()):
            world.write(what, key)
    drive(run, None, at=NOON + timedelta(seconds=LEASE))
    run.refresh_from_db()
    assert run.state == "succeeded", run.reason
    assert world.traffic == {"champion": 50, "fallback": 50}
    sends = Counter(key for _, key in world.writes)
    assert (len(sends), max(sends.values())) == (4, 2 if place == "after write" else 1)


def _until(reaper: Reaper, place: str, tell: Callable[[], object]) -> None:
    passed = reaper.boundary

    def end(name: str) -> None:
        passed(name)
        if name == place:
            tell()
            os._exit(9)

    reaper.boundary = end  # type: ignore[method-assign]
