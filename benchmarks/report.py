"""Tables and expectations out of measured numbers; nothing is measured here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

Cell = str | int | float | None


@dataclass(slots=True)
class Table:
    """One table of the report; None is printed as a dash."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        shown = [list(self.columns), *([shape(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[at]) for row in shown) for at in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in shown
        ]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join(["", self.title, rule, lines[0], rule, *lines[1:], *(f"* {n}" for n in self.notes)])


@dataclass(frozen=True, slots=True)
class Expectation:
    """A measured figure and where it should be."""

    what: str
    measured: float
    sign: Literal["≥", "≤"]
    bound: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.measured >= self.bound if self.sign == "≥" else self.measured <= self.bound

    def text(self) -> str:
        word = "met  " if self.met else "UNMET"
        return f"{word}  {self.what}: {shape(self.measured)}{self.unit} (expected {self.sign} {shape(self.bound)}{self.unit})"


@dataclass(slots=True)
class Part:
    """What one part of the benchmark found."""

    tables: list[Table] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)  #: every single measurement


def shape(value: Cell) -> str:
    """A number with three significant digits, thousands separated; text as it is."""
    match value:
        case None:
            return "–"
        case str():
            return value
        case int():
            return f"{value:,}"
        case _ if abs(value) >= 100:
            return f"{value:,.0f}"
        case _ if abs(value) >= 10:
            return f"{value:.1f}"
        case _:
            return f"{value:.2f}"


def ratio_of_pairs(ours: Sequence[float], reference: Sequence[float]) -> float:
    """Median of the pairwise ratios ours/reference: pairs share the state of the machine, so its moods cancel."""
    return median(mine / theirs for mine, theirs in zip(ours, reference, strict=True))


def verdict(expectations: Sequence[Expectation]) -> str:
    """The last lines of the run: every expectation, and how many are met."""
    met = sum(one.met for one in expectations)
    return "\n".join(
        ["", *(one.text() for one in expectations), f"{met} of {len(expectations)} expectations met"]
    )
