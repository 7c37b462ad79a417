"""From report to classified report: system, rule, class, level, grouping key, significance, silence.

No database: everything it needs is in the catalogue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from . import families, gates
from .catalogue import Catalogue, Found, Muting, Rule, System
from .fold import Report, clean, window_of
from .signal import FAMILIES, Signal

#: A value that is not there is its own bucket; the sign keeps it apart from any name.
MISSING = "∅"
KEY_LIMIT = 400
LEVELS = ("critical", "warning", "info")


@dataclass(slots=True)
class Classified:
    """A report with everything decided that needs no look at other alerts."""

    report: Report
    found: Found
    rule: Rule
    env: str
    family: str
    level: str
    parts: dict[str, str]
    key: str
    #: firing at least once and more than noise
    significant: bool
    gate: dict[str, Any] | None
    windows: list[str]
    silence: Muting | None
    why: dict[str, Any]

    @property
    def system(self) -> System | None:
        return self.found.system


def classify(report: Report, catalogue: Catalogue, now: datetime) -> Classified:
    """Decide system, rule, class, level and key of a report, and whether it is more than noise."""
    signal = report.signal
    given = signal.family if signal.family in FAMILIES else None
    guessed = given or families.guess(signal)
    labels = labels_of(signal, guessed or "", signal.system)
    found = catalogue.inventory.find(signal, labels)
    if found.system is not None:
        labels["system"] = found.system.slug
    rule, passed = catalogue.rule_for(labels)
    if found.system is None and rule.system_id in catalogue.inventory.by_id:
        system = catalogue.inventory.by_id[rule.system_id]
        found = Found(system, found.name, "rule")
        labels["system"] = system.slug
    family = given or rule.family or guessed or families.DEFAULT
    labels["family"] = family

    firings = report.firings
    verdicts = [gates.judge(rule.gates, s) for s in firings] if rule.gates else []
    passing = (
        [s for s, v in zip(firings, verdicts, strict=True) if v is None or v["passed"]]
        if verdicts
        else firings
    )
    gate = next((v for v in reversed(verdicts) if v is not None and v["passed"] == bool(passing)), None)
    judged = passing or firings or [report.newest]
    level = min((_level(s, rule) for s in judged), key=LEVELS.index)
    labels["level"] = level
    parts = {name: _part(name, found, labels) for name in rule.key_fields}
    silence = catalogue.silence_for(labels) if catalogue.silences else None

    why: dict[str, Any] = {
        "rule": {"name": rule.name, "version": rule.version, "passed_over": passed},
        "key": parts,
        "window_seconds": rule.window_seconds,
        "system": {"by": found.by, "name": found.name},
        "family": {"is": family, "by": "source" if given else "rule" if rule.family else "words" if guessed else "default"},
    }  # fmt: skip
    if found.candidates:
        why["system"]["also"] = list(found.candidates)
    if gate is not None:
        why["gate"] = gate
    if silence is not None:
        why["silence"] = {"id": silence.id, "reason": silence.reason, "until": silence.ends_at.isoformat()}
    return Classified(
        report=report, found=found, rule=rule, env=signal.env, family=family, level=level, parts=parts,
        key=key_of(parts or {"rule": escape(rule.name)}), significant=bool(passing), gate=gate,
        windows=list(dict.fromkeys(window_of(s, now) for s in sorted(passing, key=lambda s: s.observed_at))),
        silence=silence, why=why,
    )  # fmt: skip


def _level(signal: Signal, rule: Rule) -> str:
    if signal.level in LEVELS:
        return str(signal.level)
    return rule.level or "warning"


def labels_of(signal: Signal, family: str, system: str) -> dict[str, str]:
    """What matchers see: the source's labels, and over them what the signal says by itself."""
    said = {
        "env": signal.env, "source": signal.source, "family": family, "system": system, "level": signal.level or "",
        "dataset": signal.dataset, "metric": signal.metric, "feature": signal.feature, "segment": signal.segment,
        "version": signal.version,
    }  # fmt: skip
    return {**signal.labels, **{name: value for name, value in said.items() if value}}


def key_of(parts: Mapping[str, str]) -> str:
    """`env=prod|system=recs-home|family=DRIFT`; one that is too long keeps its beginning and gets a hash."""
    key = "|".join(f"{name}={value}" for name, value in parts.items())
    if len(key) <= KEY_LIMIT:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: KEY_LIMIT - 65]}:{digest}"


def _part(name: str, found: Found, labels: Mapping[str, str]) -> str:
    if name == "system" and found.system is None:
        return MISSING + escape(found.name)
    value = labels.get(name, "")
    return escape(value) if value else MISSING


def escape(value: str) -> str:
    """A value that cannot be mistaken for the key's own signs."""
    value = clean(value)
    for sign in ("\\", "|", MISSING):
        value = value.replace(sign, "\\" + sign)
    return value
