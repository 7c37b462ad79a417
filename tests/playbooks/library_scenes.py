"""A row of the tables that say which way a shipped playbook goes, and how it is walked.

Each row walks one playbook on supposed facts, findings and answers. Verifications are not supposed: what was found
is handed to the real check, and a walk whose check fails goes the way of a failed check.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from playbooks import library
from playbooks.actions.check_recovery import CheckRecovery
from playbooks.contract import ActionError, StepContext
from playbooks.definition import freeze, parse
from playbooks.models import Playbook, PlaybookVersion
from playbooks.simulate import simulate
from playbooks.supposed import Simulation

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
SHIPPED = {slug: parse(text) for slug, text in library.texts()}
PARTS = ("pb-closing", "pb-context", "pb-suite")

FAILS = {"state": "failed", "error": "It does not work."}
NO = {"approved": False, "reason": "Not like this."}
YES, LIKELY, REFUTED, UNSURE = (
    {"verdict": word} for word in ("confirmed", "likely", "refuted", "inconclusive")
)
GATEWAY = {"connection": "edge", "fallback_version": "rules-1"}
BY_HAND = {"outcome": "contained_by_hand", "what": "CHG-12"}
WAIT = {"next": "wait_again", "reason": "More data."}
GO_ON = {"next": "go_on_unverified", "reason": "The producer works on it."}
DATA = {"reference": "before.csv", "current": "now.csv"}
SUITE = {**DATA, "evaluation": "suite.csv", "evaluation_reference": "release.csv", "passed_column": "passed"}


def suite(share: float, cases: int = 400, **ratio: float) -> dict[str, Any]:
    """What the evaluation suite measured."""
    return {"EV-03": {"current": share, "n_current": cases, "ratio": ratio.get("ratio", 1.0)}}


def of(platform: str, **more: Any) -> dict[str, Any]:
    """Serving settings of a system without a gateway in front."""
    return {"platform": platform, "fallback_version": "rules-1", **more}


@dataclass(frozen=True)
class Scene:
    """What is supposed, and the way that follows from it: steps in this order, others may lie between."""

    name: str
    slug: str
    way: str
    never: str = ""
    asks: str = ""  #: step:risk:roles, as people are asked
    verified: bool | None = None  #: what the playbook's last verification says; None: it has none here
    severity: int = 2
    data: dict[str, Any] = field(default_factory=dict)
    serving: dict[str, Any] = field(default_factory=lambda: GATEWAY)
    outputs: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    incident: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def library_parts(db: None) -> None:
    """The playbooks that others call, published."""
    for slug in PARTS:
        definition = SHIPPED[slug]
        playbook = Playbook.objects.create(slug=slug, title=definition.title)
        PlaybookVersion.objects.create(
            playbook=playbook, number=1, status="published", published_key=True, frozen=freeze(definition)
        )


def walked(scene: Scene) -> tuple[Simulation, bool | None]:
    """The walk, and what its last verification says. A check that fails on what was found lets its step fail."""
    playbook = Playbook(slug=scene.slug, title=scene.slug)
    version = PlaybookVersion(playbook=playbook, number=1)
    outputs, verified = dict(scene.outputs), None
    for _ in range(4):
        found = simulate(version, SHIPPED[scene.slug], now=NOON, given={
            "incident": {"severity": scene.severity, "serious_incident": "no", "personal_data": "no", **scene.incident},
            "system": {"slug": "watched", "data": scene.data or DATA, "serving": scene.serving},
            "outputs": outputs, "answers": scene.answers,
        })  # fmt: skip
        checked = [step for step in found.steps if step.action == "check_recovery" and step.id not in outputs]
        if not checked:
            return found, verified
        for step in checked:
            wrong = not_recovered(step.inputs)
            verified = not wrong
            outputs[step.id] = {"state": "failed", "error": wrong} if wrong else {"passed": True}
    return found, verified


def not_recovered(inputs: dict[str, Any]) -> str:
    """What the real check says against these figures; empty when they hold."""
    nothing: Any = None
    try:
        CheckRecovery().run(StepContext(inputs, "test", NOON, nothing, nothing, nothing, nothing))
    except ActionError as error:
        return str(error)
    return ""


def goes_as_said(scene: Scene) -> None:
    """Walk the scene and compare it with what the row says."""
    found, verified = walked(scene)
    assert found.state == "succeeded", found.reason
    path = [step.id for step in found.steps if step.state != "skipped"]
    shown = " ".join(path)
    at = 0
    for wanted in scene.way.split():
        assert wanted in path[at:], f"{wanted} is not reached after {path[at - 1]}: {shown}"
        at = path.index(wanted, at) + 1
    assert not set(scene.never.split()) & set(path), shown
    asked = {
        step.id: (step.risk, ",".join(step.asked.roles))
        for step in found.asks
        if step.asked is not None and step.asked.kind == "approve"
    }
    for one in scene.asks.split():
        id, risk, roles = one.split(":")
        assert asked.get(id) == (risk, roles), f"{id}: {asked.get(id)}"
    assert verified is scene.verified, [step.error for step in found.steps if step.error]
