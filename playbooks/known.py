"""What is known about a run: its definition, its steps so far, and what conditions and parameters see."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

from django.utils import timezone

from incidents.models import Incident
from playbooks import facts
from playbooks.conductor import Progress
from playbooks.definition import END, Definition, StepDef, thaw
from playbooks.expressions import substitute
from playbooks.models import PlaybookVersion, Run, Step

UNDER_WAY = ("running", "waiting", "asking")


class Known:
    """A run, read once."""

    def __init__(self, run: Run, clock: datetime | None) -> None:
        self.run = run
        self.incident = run.incident
        self._clock = clock
        # the commit that stamps the start makes the first step
        self._rows: list[Step] = list(run.steps.order_by("position", "attempt")) if run.started_at else []
        self._facts: dict[str, Any] | None = None

    @property
    def now(self) -> datetime:
        return self._clock or timezone.now()

    @cached_property
    def definition(self) -> Definition:
        return definition_of(self.run)

    @property
    def at(self) -> str:
        return str(self.run.cursor.get("next") or self.definition.steps[0].id)

    def newest(self, key: str) -> Step | None:
        return next((row for row in reversed(self._rows) if row.key == key), None)

    def under_way(self) -> Step | None:
        row = self.newest(self.at) if self.at != END else None
        return row if row is not None and row.state in UNDER_WAY else None

    def progress(self) -> Progress:
        if self._facts is None:
            self._facts = {
                "incident": facts.of_incident(self.incident),
                "system": facts.of_system(self.incident.system),
                "inputs": self.run.inputs,
                "run": facts.of_run(self.run),
            }
        seen = {
            row.key: {**row.outputs, "state": row.state, "verdict": row.verdict, "summary": row.summary}
            for row in self._rows
        }
        effects = tuple(row.key for row in self.effects())
        return Progress(self.at, self._facts, seen, len(self._rows), self.run.dry_run, effects)

    def scope(self) -> dict[str, Any]:
        return self.progress().scope(self.definition)

    def look_again(self) -> None:
        """Read the incident as it is now."""
        self.incident = Incident.objects.select_related("system", "owner").get(pk=self.incident.pk)
        self._facts = None

    def inputs_of(self, step: StepDef) -> dict[str, Any]:
        """The step's parameters with their paths looked up, or what a person gave instead. Raises ExpressionError."""
        given = self.run.again.get(step.id, {}).get("inputs")
        if given is not None:
            return dict(given)
        found: dict[str, Any] = substitute(dict(step.params), self.scope()) if step.params else {}
        return found

    def effects(self) -> list[Step]:
        """Effects in place that may be undone, oldest first, one row per step."""
        found: dict[str, Step] = {}
        for row in self._rows:
            if row.phase in ("executed", "verified"):
                found.pop(row.key, None)
                if row.state != "undone" and self.definition.step(row.key).undo:
                    found[row.key] = row
        return list(found.values())


def definition_of(run: Run) -> Definition:
    """The definition that the run is pinned to."""
    return definition_of_version(run.version)


def definition_of_version(version: PlaybookVersion) -> Definition:
    """The definition of a published version. Raises ValueError when this release cannot read it."""
    return _definition(version.pk, version.sha256)


@lru_cache(maxsize=256)
def _definition(version: int, sha256: str) -> Definition:
    # a published version never changes, so each process reads it once
    return thaw(PlaybookVersion.objects.values_list("frozen", flat=True).get(pk=version, sha256=sha256))
