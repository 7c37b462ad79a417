"""A small outside world with actions that change it, and playbooks about it."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from incidents.models import Evidence, Incident, User
from playbooks import engine, publishing, shelf, triggers
from playbooks.contract import (
    Action,
    ActionError,
    Done,
    Exhibit,
    Outcome,
    Param,
    StepContext,
    Unverified,
    Wait,
)
from playbooks.models import Approval, Playbook, Run, Step
from tests import scenes

NOON = datetime(2030, 5, 6, 12, 0, tzinfo=UTC)


@dataclass
class World:
    """What is outside: traffic per model, and every write that reached it, by idempotency key."""

    traffic: dict[str, int] = field(default_factory=lambda: {"champion": 100, "fallback": 0})
    writes: list[tuple[str, str]] = field(default_factory=list)  #: (what, key), repeats included
    done: dict[str, str] = field(default_factory=dict)  #: key → what, as a vendor with such keys keeps it
    fails: list[BaseException] = field(default_factory=list)  #: raised by the next calls, one each
    lies: bool = False  #: accepts writes without doing them
    share: float = 0.4
    looks: int = 0
    sent: list[str] = field(default_factory=list)

    def write(self, what: str, key: str) -> None:
        if self.fails:
            raise self.fails.pop(0)
        self.writes.append((what, key))
        if key not in self.done and not self.lies:
            self.done[key] = what
            name, _, value = what.partition("=")
            self.traffic[name] = int(value)


def actions(world: World) -> dict[str, Action]:
    """The shelf: one reads, two change the world, one polls, one sends."""

    class Measure(Action):
        title = "Measure drift"
        params = (Param("reference", required=False), Param("limit", "number", required=False))
        outputs = ("share", "big")

        def run(self, ctx: StepContext) -> Outcome:
            world.looks += 1
            if world.fails:
                raise world.fails.pop(0)
            exhibit = Exhibit("drift.json", b"{}", source="measure")
            return Done({"share": world.share}, [exhibit], "confirmed", f"Share {world.share}.")

    class Switch(Action):
        title = "Set traffic"
        params = (Param("model"), Param("share", "number"), Param("version", required=False))
        outputs = ("model", "before")
        risk = "R1"
        changes_world = True
        timeout = 0

        def precheck(self, ctx: StepContext) -> None:
            if ctx.params["model"] not in world.traffic:
                raise ActionError(f"There is no model {ctx.params['model']}.")

        def before(self, ctx: StepContext) -> list[Exhibit]:
            if ctx.step.evidence:  # a later try finds its own effect, which is no state before
                return []
            return [Exhibit("before.json", str(world.traffic).encode(), source="gateway")]

        def run(self, ctx: StepContext) -> Outcome:
            kept = Evidence.objects.get(pk=ctx.step.evidence[0]).content
            before = ast.literal_eval(bytes(kept).decode())[ctx.params["model"]]
            world.write(f"{ctx.params['model']}={ctx.params['share']}", ctx.idempotency_key)
            return Done({"model": ctx.params["model"], "before": before}, summary="Traffic set.")

        def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
            found = world.traffic[ctx.params["model"]]
            if found != ctx.params["share"]:
                raise Unverified(f"{ctx.params['model']} still has {found} %.")
            return {"share": found}

        def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
            world.write(f"{outputs['model']}={outputs['before']}", ctx.idempotency_key)
            return Done(summary="Traffic restored.")

    class Purge(Switch):
        title = "Purge the index"
        risk = "R3"
        destroys_evidence = True

    class Risky(Switch):
        title = "Serve the fallback"
        risk = "R2"

    class Poll(Action):
        title = "Wait for the job"
        outputs = ("rounds",)

        def run(self, ctx: StepContext) -> Outcome:
            rounds = ctx.memory.get("rounds", 0) + 1
            if rounds < 3:
                return Wait(ctx.now + timedelta(minutes=5), "The job runs.", {"rounds": rounds})
            return Done({"rounds": rounds})

    class Notify(Action):
        title = "Send"
        params = (Param("text"),)

        def run(self, ctx: StepContext) -> Outcome:
            world.sent.append(ctx.params["text"])
            return Done(summary="Sent.")

    found = {
        "measure": Measure(), "switch": Switch(), "purge": Purge(), "risky": Risky(), "poll": Poll(), "notify": Notify(),
    }  # fmt: skip
    for slug, action in found.items():
        type(action).slug = slug
    return found


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    outside = World()
    found = actions(outside)
    monkeypatch.setattr(shelf, "actions", lambda: found)
    return outside


HEAD = """
playbook: pb-test
title: Test
applies_to: {classes: [DRIFT]}
trigger: {on: [incident.opened, incident.reopened, incident.triaged], mode: auto}
"""


def text(steps: str, head: str = HEAD) -> str:
    """A playbook whose steps are given as YAML list items."""
    return head.strip() + "\nsteps:\n" + textwrap.indent(textwrap.dedent(steps).strip("\n"), "  ") + "\n"


def published(steps: str, head: str = HEAD) -> Playbook:
    version, _ = publishing.apply_text(text(steps, head), publish=True)
    return version.playbook


def started(
    steps: str, *, incident: Incident | None = None, by: User | None = None, head: str = HEAD, **more: Any
) -> Run:
    """A run of a playbook with these steps; nobody has worked on it yet."""
    return triggers.start(published(steps, head), incident or scenes.incident(), by=by, **more)


def advance(run: Run, *, after: timedelta = timedelta(), now: datetime | None = None) -> Run:
    """Let a worker look at the run, `after` some time; the run as it is then."""
    engine.advance(run.pk, now=(now or NOON) + after)
    run.refresh_from_db()
    return run


def steps(run: Run) -> dict[str, str]:
    """Step id → state, the newest attempt of each."""
    return {row.key: row.state for row in run.steps.order_by("position", "attempt")}


def step(run: Run, key: str) -> Step:
    return run.steps.filter(key=key).latest("attempt")


def asked(run: Run) -> Approval:
    return run.approvals.get(decision="pending")


def kinds(incident: Incident) -> list[str]:
    return list(incident.events.order_by("id").values_list("kind", flat=True))
