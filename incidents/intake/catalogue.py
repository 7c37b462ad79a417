"""What decides about alerts, read once per batch: AI systems, grouping rules, silences, response data.

The rows are read afresh every time (a few light statements, exact in every process at once); only
the compiled form is kept between batches, as long as the rows are the same.
"""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from incidents.matchers import Matcher, MatcherError, parse
from incidents.models import AISystem, GroupingRule, Silence

from .signal import Signal

#: Labels that name the model or the system at common sources, the most telling first.
NAME_LABELS = (
    "system", "ai_system", "model", "model_name", "model_id", "modelName", "mlmodel", "deployment", "endpoint",
    "service", "job", "app",
)  # fmt: skip
#: These name many things that are no AI system: they find one that is known, but never a new one.
_VAGUE = frozenset({"deployment", "endpoint", "service", "job", "app"})

#: Combinations of label values whose systems are remembered.
REMEMBERED = 10_000

Line = tuple[Matcher, ...]


@dataclass(frozen=True, slots=True)
class System:
    id: int
    slug: str
    name: str
    matchers: str
    retired: bool


@dataclass(frozen=True, slots=True)
class Rule:
    id: int
    name: str
    version: int
    position: int
    matchers: str
    family: str
    level: str
    system_id: int | None
    key_fields: tuple[str, ...]
    window_seconds: int
    reopen_seconds: int
    warning_signals: int
    warning_windows: int
    gates: tuple[dict[str, Any], ...]
    title: str


@dataclass(frozen=True, slots=True)
class Muting:
    """A silence that is in force."""

    id: int
    matchers: str
    reason: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """Which system a signal belongs to: `system` is None when it is not in the inventory, `name` is what the
    source calls it; `by` says what decided, `candidates` which systems also matched."""

    system: System | None
    name: str
    by: str
    candidates: tuple[str, ...] = ()


class Inventory:
    """AI systems with their matchers compiled: a line is filed under one of its equalities, so that a
    signal only meets lines that share a label value with it."""

    def __init__(self, systems: Iterable[System]) -> None:
        self.systems = tuple(systems)
        self.by_id = {s.id: s for s in self.systems}
        self._names: dict[str, System] = {}
        self._filed: dict[tuple[str, str], list[tuple[System, Line]]] = defaultdict(list)
        self._unfiled: list[tuple[System, Line]] = []
        for system in sorted(self.systems, key=lambda s: (s.retired, s.slug)):
            for name in (system.slug, system.name):
                self._names.setdefault(name.lower(), system)
            for line in lines_of(system.matchers):
                equal = next((m for m in line if m.op == "=" and m.value), None)
                if equal is None:
                    self._unfiled.append((system, line))
                else:
                    self._filed[equal.name, equal.value].append((system, line))
        self._asked = _asked(s.matchers for s in self.systems)
        self._known: dict[tuple[str, ...], tuple[System, ...]] = {}

    def find(self, signal: Signal, labels: Mapping[str, str]) -> Found:
        """By matchers first (the line with the most conditions wins), then by name."""
        ranked = self._matching(labels)
        given = signal.system.strip()
        if ranked:
            return Found(ranked[0], given or ranked[0].slug, "matchers", tuple(s.slug for s in ranked[1:5]))
        names = [("name", given)] if given else []
        names += [
            (f"label {label}", signal.labels[label]) for label in NAME_LABELS if signal.labels.get(label)
        ]
        for by, name in names:
            known = self._names.get(name.lower()) or self._names.get(name.partition(":")[0].lower())
            if known is not None:
                return Found(known, name, by)
        telling = (name for by, name in names if by.removeprefix("label ") not in _VAGUE)
        return Found(None, next(telling, ""), "nobody knows it")

    def _matching(self, labels: Mapping[str, str]) -> tuple[System, ...]:
        """Systems with a matching line, the best first; remembered by the labels that matchers look at."""
        seen = tuple([labels.get(name, "") for name in self._asked])
        known = self._known.get(seen)
        if known is None:
            hits: dict[System, int] = {}
            filed = (pair for item in labels.items() for pair in self._filed.get(item, ()))
            for system, line in itertools.chain(filed, self._unfiled):
                if all(m.matches(labels) for m in line):
                    hits[system] = max(hits.get(system, 0), len(line))
            known = tuple(sorted(hits, key=lambda s: (s.retired, -hits[s], s.slug)))
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[seen] = known
        return known


@dataclass(frozen=True, slots=True)
class Catalogue:
    inventory: Inventory
    rules: tuple[Rule, ...]
    silences: tuple[Muting, ...]
    asked: tuple[str, ...] = field(init=False)
    _chosen: dict[tuple[str, ...], tuple[Rule, list[str]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "asked", _asked(rule.matchers for rule in self.rules))

    def rule_for(self, labels: Mapping[str, str]) -> tuple[Rule, list[str]]:
        """The first rule that matches, and the names of those passed over."""
        seen = tuple([labels.get(name, "") for name in self.asked])
        if seen not in self._chosen:
            self._chosen[seen] = self._choose(labels)
        return self._chosen[seen]

    def _choose(self, labels: Mapping[str, str]) -> tuple[Rule, list[str]]:
        passed: list[str] = []
        for rule in self.rules:
            if not rule.matchers.strip() or any(
                all(m.matches(labels) for m in line) for line in lines_of(rule.matchers)
            ):
                return rule, passed
            passed.append(rule.name)
        return _CATCH_ALL, passed

    def silence_for(self, labels: Mapping[str, str]) -> Muting | None:
        """The matching silence that lasts longest."""
        for silence in self.silences:
            if any(all(m.matches(labels) for m in line) for line in lines_of(silence.matchers)):
                return silence
        return None


#: What holds when an administrator left no rule that matches: nothing may fall through. It has no row (id 0).
_CATCH_ALL = Rule(0, "Built-in: by system and class", 1, 10**6, "", "", "", None, ("env", "system", "family"),
                  86_400, 7 * 86_400, 2, 3, (), "")  # fmt: skip


@functools.lru_cache(maxsize=4096)
def lines_of(text: str) -> tuple[Line, ...]:
    """The lines of a matcher text. One that cannot be read (it got past the form's validation) matches nothing."""
    try:
        return parse(text)
    except MatcherError:
        return ()


def _asked(texts: Iterable[str]) -> tuple[str, ...]:
    """The labels that these matcher texts look at."""
    return tuple(sorted({m.name for text in texts for line in lines_of(text) for m in line}))


@functools.lru_cache(maxsize=4)
def _inventory(rows: tuple[tuple[Any, ...], ...]) -> Inventory:
    return Inventory(System(pk, slug, name, text, at is not None) for pk, slug, name, text, at in rows)


def load(now: datetime) -> Catalogue:
    """Read what is in force now: three statements."""
    systems = tuple(
        AISystem.objects.order_by("id").values_list("id", "slug", "name", "matchers", "retired_at")
    )
    return Catalogue(_inventory(systems), rules_in_force(), silences_in_force(now))


def rules_in_force() -> tuple[Rule, ...]:
    newest: dict[str, Rule] = {}
    rows = GroupingRule.objects.filter(active=True).order_by("version").values_list(
        "id", "name", "version", "position", "matchers", "family", "level", "system_id", "key_fields",
        "window_seconds", "reopen_seconds", "warning_signals", "warning_windows", "gates", "title",
    )  # fmt: skip
    for row in rows:
        rule = Rule(*row[:8], tuple(row[8]), *row[9:13], tuple(row[13] or ()), row[14])
        newest[rule.name] = rule
    return tuple(sorted(newest.values(), key=lambda r: (r.position, r.name)))


def silences_in_force(now: datetime) -> tuple[Muting, ...]:
    rows = Silence.objects.filter(starts_at__lte=now, ends_at__gt=now).order_by("-ends_at", "id")
    return tuple(Muting(*row) for row in rows.values_list("id", "matchers", "reason", "ends_at"))
