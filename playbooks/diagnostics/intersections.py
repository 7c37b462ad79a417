"""Fairness of combinations: every attribute alone and every pair and triple of them, corrected together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

from playbooks.contract import Verdict
from playbooks.diagnostics import fairness
from playbooks.diagnostics.columns import json_safe
from playbooks.diagnostics.dataset import DataProblem
from playbooks.diagnostics.measured import holm

if TYPE_CHECKING:
    import pandas as pd

Correction = Literal["bh", "holm"]
CORRECTIONS: tuple[Correction, ...] = ("bh", "holm")
DEPTH = 3  #: attributes in a combination
MAX_COLUMNS = 6


@dataclass(frozen=True, slots=True)
class Cell:
    """One group of one combination of attributes against the best group of that combination."""

    attributes: tuple[str, ...]
    reference_group: str
    group: fairness.GroupRate  #: `p_adjusted` is over all cells of all combinations


@dataclass(frozen=True, slots=True)
class IntersectionReport:
    verdict: Verdict
    summary: str
    reason: str
    correction: Correction
    tests: int  #: how many comparisons were corrected together
    cells: tuple[Cell, ...]  #: judged ones, the lowest ratio first
    insufficient: tuple[str, ...]  #: groups too small to judge, with their rows
    thresholds: fairness.Thresholds

    @property
    def worst(self) -> Cell | None:
        return self.cells[0] if self.cells else None

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        figures: dict[str, Any] = json_safe(self)
        return figures


def assess(
    frame: pd.DataFrame,
    *,
    attributes: Sequence[str],
    prediction: str,
    positive: object = None,
    threshold: float | None = None,
    correction: Correction = "bh",
    thresholds: fairness.Thresholds = fairness.Thresholds(),
) -> IntersectionReport:
    """Compare selection rates of the groups of every attribute and of every combination of two and three.

    A disparity can hide where no attribute alone shows it (Crenshaw 1989; Kearns et al. 2018, ICML). Groups
    below `thresholds.min_rows` are not judged. All comparisons are corrected together: "bh" bounds the share of
    false findings (Benjamini & Hochberg 1995), "holm" the chance of any. Raises DataProblem.
    """
    from scipy.stats import false_discovery_control

    if not 1 <= len(attributes) <= MAX_COLUMNS:
        raise DataProblem(
            f"{len(attributes)} attributes were given: name 1 to {MAX_COLUMNS} in group_column."
        )
    found: list[Cell] = []
    small: list[str] = []
    for depth in range(1, min(DEPTH, len(attributes)) + 1):
        for chosen in combinations(attributes, depth):
            report = fairness.assess(
                frame,
                group=list(chosen),
                prediction=prediction,
                positive=positive,
                threshold=threshold,
                thresholds=thresholds,
            )
            small += [
                f"{row.group} ({row.n})" for row in report.groups if row.status in ("low_n", "insufficient")
            ]
            found += [
                Cell(chosen, str(report.reference_group), row)
                for row in report.groups
                if row.status == "judged" and row.p_value is not None and row.ratio is not None
            ]
    p_values = [cell.group.p_value or 0.0 for cell in found]
    adjusted = (
        holm(p_values)
        if correction == "holm"
        else ([float(p) for p in false_discovery_control(p_values)] if p_values else [])
    )
    cells = sorted(
        (
            replace(cell, group=replace(cell.group, p_adjusted=p))
            for cell, p in zip(found, adjusted, strict=True)
        ),
        key=lambda cell: cell.group.ratio if cell.group.ratio is not None else 1.0,
    )
    verdict, reason = _decide(cells, small, thresholds)
    return IntersectionReport(
        verdict,
        _summary(verdict, reason, cells, correction),
        reason,
        correction,
        len(cells),
        tuple(cells),
        tuple(small),
        thresholds,
    )


def _decide(cells: Sequence[Cell], small: Sequence[str], limits: fairness.Thresholds) -> tuple[Verdict, str]:
    note = f"; too small to judge: {', '.join(small[:5])}" if small else ""
    if not cells:
        return "inconclusive", f"no two groups are large enough to compare{note}"
    real = [
        cell for cell in cells if cell.group.p_adjusted is not None and cell.group.p_adjusted < limits.alpha
    ]
    verdicts: tuple[tuple[Verdict, float], ...] = (
        ("confirmed", limits.ratio_crit),
        ("likely", limits.ratio_warn),
    )
    for verdict, limit in verdicts:
        low = [cell for cell in real if cell.group.ratio is not None and cell.group.ratio < limit]
        if low:
            names = ", ".join(cell.group.group for cell in low[:3])
            return verdict, f"{names} is selected at less than {limit:g} of the best group's rate{note}"
    worst = cells[0].group
    if worst.ratio is not None and worst.ratio < limits.ratio_crit:
        return (
            "inconclusive",
            f"the ratio of {worst.group} is low, but chance explains it with {worst.n} rows{note}",
        )
    return "refuted", f"no combination falls behind by an amount that matters{note}"


def _summary(verdict: Verdict, reason: str, cells: Sequence[Cell], correction: Correction) -> str:
    head = {
        "confirmed": "A disparity of combinations is confirmed",
        "likely": "A disparity of combinations is likely",
        "inconclusive": "The disparity of combinations is undecided",
        "refuted": "No disparity of combinations",
    }[verdict]
    parts = [f"{head}: {reason}."]
    if cells:
        worst = cells[0]
        method = "Holm" if correction == "holm" else "Benjamini-Hochberg"
        parts.append(
            f"Lowest ratio {worst.group.ratio:.3f} for {worst.group.group} against {worst.reference_group} "
            f"(n = {worst.group.n:,}, adjusted p {worst.group.p_adjusted:.2g}; {method} over {len(cells)} comparisons)."
        )
    return " ".join(parts)
