"""What a simulation is given, and what it tells: supposed facts, outputs and answers; steps, waits, questions, effects."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from django.utils import timezone

from incidents.models import AISystem, Incident
from playbooks import facts
from playbooks.definition import Definition

#: Words of a given output that say how the step ends; the others are its outputs.
SAID = ("state", "error", "cause", "verdict", "summary", "wait")


class Unusable(ValueError):
    """The given facts, outputs or answers cannot be used; the message says what to correct."""


@dataclass(slots=True)
class Said:
    """A question, and the answer that the walk went on with."""

    kind: str  #: approve, form
    prompt: str
    roles: tuple[str, ...]
    risk: str
    answer: dict[str, Any]
    given: bool  #: false: nobody said, the default was taken


@dataclass(slots=True)
class SimulatedStep:
    """One look at a step. `source` says where its outputs come from: given, for real, default."""

    id: str
    kind: str
    title: str
    action: str
    at: datetime
    inside: str = ""  #: branch or item, from above to below, with “ / ” between
    state: str = "done"
    until: datetime | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    verdict: str = ""
    summary: str = ""
    error: str = ""
    source: str = ""
    does: str = ""  #: the effect or message that was not sent, in words
    risk: str = ""
    asked: Said | None = None
    why: str = ""  #: the condition that led on from here
    goto: str = ""

    @property
    def seconds(self) -> float:
        return ((self.until or self.at) - self.at).total_seconds()


@dataclass(slots=True)
class Simulation:
    """How the walk went."""

    playbook: str
    version: int
    state: str = "succeeded"
    reason: str = ""
    started_at: datetime = field(default_factory=timezone.now)
    ended_at: datetime = field(default_factory=timezone.now)
    steps: list[SimulatedStep] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def asks(self) -> list[SimulatedStep]:
        return [step for step in self.steps if step.asked is not None]

    @property
    def effects(self) -> list[SimulatedStep]:
        return [step for step in self.steps if step.does]

    @property
    def waits(self) -> list[SimulatedStep]:
        return [step for step in self.steps if step.seconds > 0]

    @property
    def visited(self) -> dict[str, str]:
        """Step id → how its newest visit ended; for the drawing."""
        return {step.id: step.state for step in self.steps}


def checked(given: Mapping[str, Any], definition: Definition) -> dict[str, dict[str, Any]]:
    """Every part that may be given, as a mapping. Raises Unusable."""
    parts = ("incident", "system", "inputs", "outputs", "answers")
    for name in given:
        if name not in parts:
            raise Unusable(f"There is no {name!r}{_near(name, parts)}; there are {', '.join(parts)}.")
    told = {name: given.get(name) or {} for name in parts}
    for name, value in told.items():
        if not isinstance(value, Mapping):
            raise Unusable(f"“{name}” must be an object.")
    for part in ("incident", "system"):
        for name in told[part]:
            if name not in facts.NAMES[part]:
                raise Unusable(f"{part} has no {name!r}{_near(name, facts.NAMES[part])}.")
    ids = {step.id for step in definition.every_step()}
    called = any(step.kind == "playbook" for step in definition.every_step())
    for part in ("outputs", "answers"):
        for id in told[part]:
            if id not in ids and not called:
                raise Unusable(
                    f"“{part}” names the step {id!r}, which the playbook does not have{_near(id, ids)}."
                )
    return told


def _near(word: str, known: Collection[str]) -> str:
    close = get_close_matches(str(word), list(known), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def invented(told: Mapping[str, Mapping[str, Any]]) -> Incident:
    """An incident that exists nowhere: for actions that really run, and for the defaults of its facts."""
    given, about = told["incident"], told["system"]
    system = None
    if about or given.get("system"):
        slug = str(about.get("slug") or given.get("system") or "invented")
        names = {"environment": "environment", "tier": "risk_tier", "decision_type": "decision_type", "purpose": "purpose",
                 "data": "data", "serving": "serving"}  # fmt: skip
        fields = {column: about[name] for name, column in names.items() if name in about}
        system = AISystem(slug=slug, name=str(about.get("name") or slug), **fields)
    names = {
        "title": "title",
        "summary": "summary",
        "state": "state",
        "class": "incident_class",
        "severity": "severity",
    }
    fields = {column: given[name] for name, column in names.items() if name in given}
    return Incident(
        **{"title": "Invented", "severity": 3, **fields}, system=system, detected_at=timezone.now()
    )
