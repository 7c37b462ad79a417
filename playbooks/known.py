"""What is known about a run: its definition, its steps so far, and what conditions and parameters see."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

from django.utils import timezone

from incidents.models import Incident
from playbooks import facts
from playbooks.conductor import Progress
from playbooks.definition import END, FAMILY, Definition, StepDef, thaw
from playbooks.expressions import substitute
from playbooks.models import PlaybookVersion, Run, Step

UNDER_WAY = ("running", "waiting", "asking")
#: columns of a run that nobody works on
FREE: dict[str, Any] = {"lease_until": None, "lease_owner": ""}


class Known:
    """A run, read once."""

    def __init__(self, run: Run, clock: datetime | None) -> None:
        self.run = run
        self.incident = run.incident
        self._clock = clock
        # the commit that stamps the start makes the first step
        self._rows: list[Step] = list(run.steps.order_by("position", "attempt")) if run.started_at else []
        self._facts: dict[str, Any] | None = None
        self._below: dict[int, list[Step]] | None = None

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
                **self.run.loop,
            }
        effects = tuple(self.effects())
        return Progress(
            self.at, self._facts, seen(self._rows), len(self._rows), self.run.dry_run, effects, self._around
        )

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

    def effects(self) -> dict[str, Step]:
        """Effects in place that may be undone, oldest first: the newest row of each step, those of runs below where
        their step stands. A step of this run goes by its key, one of a run below by `key@run`."""
        found: dict[str, Step] = {}
        for row in self._rows:
            if row.kind in FAMILY:
                self._note(found, self._effects_below().get(row.pk, ()))
            else:
                self._note(found, (row,))
        return found

    def _note(self, found: dict[str, Step], rows: Iterable[Step]) -> None:
        for row in rows:
            if row.phase in ("executed", "verified"):
                mine = row.run_id == self.run.pk
                name = row.key if mine else f"{row.key}@{row.run_id}"
                found.pop(name, None)
                definition = self.definition if mine else definition_of(row.run)
                if row.state != "undone" and definition.step(row.key).undo:
                    found[name] = row

    def _effects_below(self) -> dict[int, list[Step]]:
        """Effects of the runs below this one in the order in which they began, by the step of ours they are below."""
        if self._below is None:
            ours = dict(self.run.children.values_list("pk", "parent_step_id"))  # run → our step
            level = list(ours)
            while level:
                deeper = dict(Run.objects.filter(parent__in=level).values_list("pk", "parent_id"))
                ours |= {run: ours[parent] for run, parent in deeper.items()}
                level = list(deeper)
            self._below = {}
            rows = Step.objects.filter(run__in=ours, phase__in=("executed", "verified"))
            rows = rows.select_related("run__version__playbook").defer(
                "run__version__source", "run__version__frozen"
            )
            for row in rows.order_by("started_at", "id"):
                self._below.setdefault(ours[row.run_id], []).append(row)
        return self._below

    @cached_property
    def _around(self) -> dict[str, dict[str, Any]]:
        """Steps of the runs around this one that do other parts of the same text."""
        if not self.run.part:
            return {}
        found: dict[str, dict[str, Any]] = {
            step.id: {"state": ""} for step in definition_of_version(self.run.version).every_step()
        }
        above = self.run
        while above.part and above.parent_id is not None:
            above = Run.objects.only("parent", "part").get(pk=above.parent_id)
            found |= seen(above.steps.order_by("position", "attempt"))
        return found


def seen(rows: Iterable[Step]) -> dict[str, dict[str, Any]]:
    """What conditions see of each step, by its id; of several attempts the newest."""
    return {
        row.key: {**row.outputs, "state": row.state, "verdict": row.verdict, "summary": row.summary}
        for row in rows
    }


def definition_of(run: Run) -> Definition:
    """The definition that the run is pinned to, or the part of it that the run does."""
    return definition_of_version(run.version, run.part)


def definition_of_version(version: PlaybookVersion, part: str = "") -> Definition:
    """The definition of a published version. Raises ValueError when this release cannot read it."""
    return _definition(version.pk, version.sha256, part)


@lru_cache(maxsize=512)
def _definition(version: int, sha256: str, part: str) -> Definition:
    # a published version never changes, so each process reads it once
    if part:
        return _definition(version, sha256, "").part(part)
    return thaw(PlaybookVersion.objects.values_list("frozen", flat=True).get(pk=version, sha256=sha256))


def ancestors(run: Run) -> list[Run]:
    """The runs above, the nearest first."""
    found: list[Run] = []
    while run.parent_id is not None:
        run = Run.objects.select_related("playbook").get(pk=run.parent_id)
        found.append(run)
    return found
