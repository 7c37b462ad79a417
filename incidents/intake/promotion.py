"""When alerts become an incident: critical at once, warnings by independent signals or windows, info never."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from .catalogue import Rule


@dataclass(frozen=True, slots=True)
class Voice:
    """One alert as the promotion sees it. `detector` tells independent signals apart: two alerts of the
    same source, metric and feature (two replicas, say) are one."""

    level: str
    firing: bool
    detector: tuple[str, str, str]
    windows: int


def promote(rule: Rule, voices: Collection[Voice]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """(what promoted the key or None, what is there and what is needed).

    A critical alert counts although it has resolved in the meantime; warnings count while they fire.
    """
    warnings = [v for v in voices if v.level == "warning" and v.firing]
    have = {
        "signals": len({v.detector for v in warnings}),
        "windows": max((v.windows for v in warnings), default=0),
    }
    need = {"signals": max(rule.warning_signals, 1), "windows": rule.warning_windows}
    state = {"have": have, "need": need}
    if any(v.level == "critical" for v in voices):
        return {"by": "critical"}, state
    if warnings and have["signals"] >= need["signals"]:
        return {"by": "signals", **state}, state
    if warnings and 0 < need["windows"] <= have["windows"]:
        return {"by": "windows", **state}, state
    return None, state


def detector_of(source: str, metric: str, feature: str, title: str) -> tuple[str, str, str]:
    return source, metric or title, feature
