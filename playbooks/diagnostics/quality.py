"""Is the batch fit for use? Schema, ranges, nulls, categories, units, volume, freshness, duplicates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from playbooks.contract import Verdict
from playbooks.diagnostics.columns import json_safe, kind_of, labels, numbers, storage_kind
from playbooks.diagnostics.dataset import DataProblem
from playbooks.diagnostics.proportions import two_proportions, wilson
from playbooks.diagnostics.timeliness import age_of, instants, volume
from playbooks.diagnostics.units import same_shape, unit_change

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Level = Literal["warn", "crit"]

CAUSES = {
    "renamed_column": "renamed_column",
    "unit_change": "unit_or_encoding_change",
    "encoding": "unit_or_encoding_change",
    "missing_column": "schema_change",
    "type": "schema_change",
    "constant": "stuck_value",
    "volume": "stale_or_missing_data",
    "freshness": "stale_or_missing_data",
    "null_rate": "missing_values",
    "required_null": "missing_values",
    "range": "out_of_range_values",
    "unseen_category": "new_categories",
    "duplicates": "duplicate_records",
    "extra_column": "schema_change",
}
#: Which failure explains the others: a renamed column also looks missing, a new unit also out of range.
_PRECEDENCE = tuple(CAUSES.values())


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Shares of rows, except freshness (expected intervals) and volume (robust z)."""

    null_warn: float = 0.02
    null_crit: float = 0.10
    rows_warn: float = 0.005  #: out of range or unseen category
    rows_crit: float = 0.05
    duplicates_warn: float = 0.001
    duplicates_crit: float = 0.01
    fresh_warn: float = 1.5
    fresh_crit: float = 3.0
    volume_warn: float = 4.0
    volume_crit: float = 8.0
    min_rows: int = 30


@dataclass(frozen=True, slots=True)
class Failure:
    """One rule that does not hold. `measured` and `limit` are in `unit`."""

    check: str
    column: str | None
    level: Level
    text: str
    measured: float | None = None
    limit: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """One column in both windows; rates are shares of rows."""

    column: str
    kind: str
    null_reference: float
    null_current: float
    distinct_reference: int
    distinct_current: int
    median_reference: float | None = None
    median_current: float | None = None


@dataclass(frozen=True, slots=True)
class QualityReport:
    verdict: Verdict
    summary: str
    cause: str  #: one of CAUSES' values, or "none"
    n_reference: int
    n_current: int
    failures: tuple[Failure, ...]  #: critical ones first
    profiles: tuple[Profile, ...]
    checks: int  #: rules that were looked at
    thresholds: Thresholds

    @property
    def critical(self) -> int:
        return sum(item.level == "crit" for item in self.failures)

    @property
    def ok(self) -> bool:
        """No critical rule is broken."""
        return self.critical == 0

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {**json_safe(self), "critical": self.critical, "ok": self.ok}


def check(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    *,
    required: Sequence[str] = (),
    ranges: Mapping[str, Sequence[float | None]] | None = None,
    key_columns: Sequence[str] = (),
    time_column: str | None = None,
    expected_interval_minutes: float | None = None,
    now: datetime | None = None,
    sampled: bool = False,
    thresholds: Thresholds = Thresholds(),
) -> QualityReport:
    """Check `current` against `reference` and the declared contract.

    `required` columns must be there and never null; `ranges` gives {column: [low, high]} (None: open);
    `key_columns` together identify a row; freshness needs `time_column`, `expected_interval_minutes` and
    `now`. Undeclared ranges and categories are learned from a reference of at least 1,000 rows. Where a
    window is `sampled`, duplicates and volume are not judged: rows that were left out belong to both.
    """
    if len(reference) < thresholds.min_rows:
        raise DataProblem(
            f"The reference has only {len(reference)} rows; {thresholds.min_rows} are needed to compare with. "
            "Give a longer reference window."
        )
    ranges = dict(ranges or {})
    shared = [str(name) for name in reference.columns if name in current.columns]
    failures = _schema(reference, current, required)
    failures += _contract(current, required, ranges, thresholds)
    if len(current):
        for name in shared:
            if name not in key_columns:
                failures += _column(
                    name, reference[name], current[name], required, name in ranges, thresholds
                )
        failures += _times(current, time_column, expected_interval_minutes, now, thresholds)
        if not sampled:
            failures += _duplicates(current, key_columns, thresholds)
            failures += _volume(reference, current, time_column, thresholds)
    else:
        failures.append(Failure("volume", None, "crit", "the current window has no rows", 0, 1, "rows"))
    failures.sort(key=lambda item: (item.level != "crit", _PRECEDENCE.index(CAUSES[item.check])))
    cause = _cause(failures)
    verdict: Verdict = "refuted"
    if any(item.level == "crit" for item in failures):
        verdict = "confirmed"
    elif failures:
        verdict = "likely"
    elif len(current) < thresholds.min_rows:
        verdict = "inconclusive"
    checks = 4 * len(shared) + len(required) + len(ranges) + bool(key_columns) + 2 * bool(time_column) + 1
    return QualityReport(
        verdict=verdict,
        summary=_summary(failures, cause, len(current), verdict),
        cause=cause,
        n_reference=len(reference),
        n_current=len(current),
        failures=tuple(failures),
        profiles=tuple(_profile(name, reference[name], current[name]) for name in shared),
        checks=checks,
        thresholds=thresholds,
    )


def _schema(reference: pd.DataFrame, current: pd.DataFrame, required: Sequence[str]) -> list[Failure]:
    failures = []
    there = {str(name) for name in current.columns}
    missing = sorted(({str(name) for name in reference.columns} | set(required)) - there)
    extra = sorted(there - {str(name) for name in reference.columns} - set(required))
    for name in missing:
        level: Level = "crit" if not required or name in required else "warn"
        heir = _heir(name, extra, reference, current)
        if heir:
            failures.append(
                Failure(
                    "renamed_column", name, level, f"{name} is missing and {heir} looks like it: renamed?"
                )
            )
            extra.remove(heir)
        else:
            failures.append(Failure("missing_column", name, level, f"{name} is missing"))
    failures += [Failure("extra_column", name, "warn", f"{name} is new") for name in extra]
    for name in there & {str(name) for name in reference.columns}:
        before, after = storage_kind(reference[name]), storage_kind(current[name])
        if before != after and "empty" not in (before, after):
            level = "crit" if not required or name in required else "warn"
            failures.append(Failure("type", name, level, f"{name} was {before} and is now {after}"))
    return failures


def _heir(name: str, extra: Sequence[str], reference: pd.DataFrame, current: pd.DataFrame) -> str | None:
    """The new column that a missing one was probably renamed to: same kind, alike by name or by values."""
    if name not in reference.columns:
        return None
    alike = []
    for candidate in extra:
        kind = kind_of(reference[name], current[candidate])
        if kind in ("numeric", "categorical", "time"):
            near_name = bool(get_close_matches(name.lower(), [candidate.lower()], cutoff=0.75))
            near_values = kind == "numeric" and same_shape(
                numbers(reference[name]), numbers(current[candidate])
            )
            if near_name or near_values:
                alike.append((not near_values, candidate))
    return min(alike)[1] if alike else None


def _contract(
    current: pd.DataFrame,
    required: Sequence[str],
    ranges: Mapping[str, Sequence[float | None]],
    limits: Thresholds,
) -> list[Failure]:
    """The declared rules, validated by pandera: required columns without nulls, numbers within ranges."""
    import pandera.pandas as pa

    columns = {}
    for name in sorted({*required, *ranges} & {str(name) for name in current.columns}):
        rules = []
        if name in ranges and storage_kind(current[name]) == "numeric":
            low, high = _bounds(name, ranges[name])
            rules.append(pa.Check.in_range(low, high, name="range", ignore_na=True))
        columns[name] = pa.Column(nullable=name not in required, checks=rules, required=False)
    if not columns or not len(current):
        return []
    try:
        pa.DataFrameSchema(columns).validate(current, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
    else:
        return []
    failures = []
    for (name, rule), group in cases.groupby(["column", "check"]):
        rows = len(group)
        share = rows / len(current)
        if rule == "not_nullable":
            failures.append(
                Failure(
                    "required_null",
                    name,
                    "crit",
                    f"{name} is required and null in {rows:,} rows",
                    share,
                    0.0,
                    "of rows",
                )
            )
        else:
            floor, ceiling = ranges[name]
            level: Level = "crit" if share > limits.rows_crit else "warn"
            text = f"{name} is outside of {_open(floor)} to {_open(ceiling)} in {rows:,} rows ({share:.2%})"
            failures.append(Failure("range", name, level, text, share, 0.0, "of rows"))
    return failures


def _bounds(name: str, pair: Sequence[float | None]) -> tuple[float, float]:
    if len(pair) != 2:
        raise DataProblem(
            f"The range of {name} must be [low, high], with null for an open end; it is {list(pair)}."
        )
    low, high = pair
    return (-math.inf if low is None else float(low), math.inf if high is None else float(high))


def _open(bound: float | None) -> str:
    return "any" if bound is None else f"{bound:g}"


def _column(
    name: str,
    reference: pd.Series,
    current: pd.Series,
    required: Sequence[str],
    range_declared: bool,
    limits: Thresholds,
) -> list[Failure]:
    failures = []
    nulls = _nulls(name, reference, current, limits)
    if nulls and not (name in required and current.isna().any()):
        failures.append(nulls)
    kind = kind_of(reference, current)
    if reference.nunique() > 5 and current.nunique() == 1 and len(current) >= limits.min_rows:
        text = f"{name} has one value only ({current.dropna().iloc[0]!s:.40}) and had {reference.nunique():,}"
        return [*failures, Failure("constant", name, "crit", text, 1, 2, "distinct values")]
    if kind == "numeric":
        unit = unit_change(numbers(reference), numbers(current))
        if unit:
            text = f"{name} is {unit[0]:g} times what it was ({unit[1]}), with the same shape"
            failures.append(Failure("unit_change", name, "crit", text, unit[0], 1.0, "ratio of medians"))
        elif not range_declared:
            failures += _learned_range(name, numbers(reference), numbers(current), limits)
    elif kind == "categorical":
        failures += _categories(name, reference, current, limits)
    return failures


def _nulls(name: str, reference: pd.Series, current: pd.Series, limits: Thresholds) -> Failure | None:
    n, m = len(reference), len(current)
    before, after = int(reference.isna().sum()), int(current.isna().sum())
    rise = after / m - before / n
    test = two_proportions(after, m, before, n)
    # Every column is tested: 0.001 keeps false alarms rare in wide tables.
    if rise <= 0 or test.p_value >= 0.001:
        return None
    text = f"{name} is null in {after / m:.1%} of the rows, was {before / n:.1%}"
    if rise > limits.null_crit:
        return Failure("null_rate", name, "crit", text, after / m, before / n + limits.null_crit, "of rows")
    if rise > limits.null_warn or (before and after / m > 2 * before / n and rise > limits.null_warn / 4):
        return Failure("null_rate", name, "warn", text, after / m, before / n + limits.null_warn, "of rows")
    return None


def _learned_range(
    name: str, reference: np.ndarray, current: np.ndarray, limits: Thresholds
) -> list[Failure]:
    import numpy as np

    if len(reference) < 1_000 or not len(current):
        return []
    if len(np.unique(reference)) == len(reference) and np.all(reference == np.round(reference)):
        return []  # whole numbers that never repeat are identifiers or counters, which grow
    # One interquartile range of air on both sides: the extremes of a sample are not its limits.
    low, high = float(reference.min()), float(reference.max())
    air = float(np.subtract(*np.percentile(reference, [75, 25])))
    share = float(np.mean((current < low - air) | (current > high + air)))
    if not _exceeds(share, len(current), limits.rows_warn):
        return []
    level: Level = "crit" if share > limits.rows_crit else "warn"
    text = f"{name} leaves the range seen before ({low:g} to {high:g}) in {share:.2%} of the rows"
    return [Failure("range", name, level, text, share, limits.rows_warn, "of rows")]


def _exceeds(share: float, n: int, limit: float) -> bool:
    """Whether a share of n rows is above the limit by more than chance (95 % Wilson interval)."""
    return wilson(round(share * n), n).low > limit


def _categories(name: str, reference: pd.Series, current: pd.Series, limits: Thresholds) -> list[Failure]:
    before, after = labels(reference.dropna()), labels(current.dropna())
    failures = []
    garbled = float(after.str.contains("\ufffd|Ã.|â€", regex=True).mean()) if len(after) else 0.0
    known_garbled = float(before.str.contains("\ufffd|Ã.|â€", regex=True).mean()) if len(before) else 0.0
    if garbled > known_garbled + limits.rows_warn:
        text = f"{name} holds wrongly decoded text in {garbled:.1%} of the rows"
        failures.append(Failure("encoding", name, "crit", text, garbled, limits.rows_warn, "of rows"))
    known = set(before.unique())
    if len(before) < 1_000 or len(known) > len(before) / 10 or not len(after):
        return failures
    unseen = ~after.isin(known)
    share = float(unseen.mean())
    if _exceeds(share, len(after), limits.rows_warn):
        names = ", ".join(f"{value:.40}" for value in after[unseen].value_counts().index[:3])
        level: Level = "crit" if share > limits.rows_crit else "warn"
        text = f"{name} has values never seen before in {share:.2%} of the rows ({names})"
        failures.append(Failure("unseen_category", name, level, text, share, limits.rows_warn, "of rows"))
    return failures


def _duplicates(current: pd.DataFrame, key_columns: Sequence[str], limits: Thresholds) -> list[Failure]:
    keys = [name for name in key_columns if name in current.columns]
    if not keys or len(keys) < len(key_columns):
        return []
    share = float(current.duplicated(subset=keys).mean())
    if share <= limits.duplicates_warn:
        return []
    level: Level = "crit" if share > limits.duplicates_crit else "warn"
    text = f"{share:.2%} of the rows repeat a key ({', '.join(keys)})"
    return [Failure("duplicates", ", ".join(keys), level, text, share, limits.duplicates_warn, "of rows")]


def _times(
    current: pd.DataFrame,
    time_column: str | None,
    interval: float | None,
    now: datetime | None,
    limits: Thresholds,
) -> list[Failure]:
    if not time_column or time_column not in current.columns:
        return []
    times = instants(current[time_column])
    if times.empty:
        text = f"{time_column} holds no readable time"
        return [Failure("freshness", time_column, "crit", text)]
    if not interval or now is None:
        return []
    age = age_of(times, now)
    if age <= limits.fresh_warn * interval:
        return []
    level: Level = "crit" if age > limits.fresh_crit * interval else "warn"
    text = f"the newest row is {age:,.0f} minutes old; one is expected every {interval:g} minutes"
    return [Failure("freshness", time_column, level, text, age, limits.fresh_warn * interval, "minutes")]


def _volume(
    reference: pd.DataFrame, current: pd.DataFrame, time_column: str | None, limits: Thresholds
) -> list[Failure]:
    if not time_column or not {time_column} <= {*reference.columns} & {*current.columns}:
        return []
    before, times = instants(reference[time_column]), instants(current[time_column])
    found = volume(before, times) if len(before) and len(times) else None
    if found is None or abs(found.z) <= limits.volume_warn:
        return []
    level: Level = "crit" if abs(found.z) > limits.volume_crit else "warn"
    text = f"{found.rows:,} rows in {found.hours} whole hours, {found.expected:,.0f} expected (robust z {found.z:+.1f})"
    return [Failure("volume", None, level, text, abs(found.z), limits.volume_warn, "robust z")]


def _profile(name: str, reference: pd.Series, current: pd.Series) -> Profile:
    import numpy as np

    kind = kind_of(reference, current)
    medians: tuple[float | None, float | None] = (None, None)
    if kind == "numeric":
        left, right = numbers(reference), numbers(current)
        medians = (
            float(np.median(left)) if len(left) else None,
            float(np.median(right)) if len(right) else None,
        )
    return Profile(
        column=name,
        kind=kind,
        null_reference=float(reference.isna().mean()),
        null_current=float(current.isna().mean()) if len(current) else 0.0,
        distinct_reference=int(reference.nunique()),
        distinct_current=int(current.nunique()),
        median_reference=medians[0],
        median_current=medians[1],
    )


def _cause(failures: Sequence[Failure]) -> str:
    """The cause that explains most: the first by precedence among the failures of the worst level."""
    found = [CAUSES[item.check] for item in failures if item.level == failures[0].level]
    return min(found, key=_PRECEDENCE.index, default="none")


def _summary(failures: Sequence[Failure], cause: str, n: int, verdict: Verdict) -> str:
    if not failures:
        if verdict == "inconclusive":
            return f"No rule is broken, but {n} rows are too few to be sure."
        return f"The batch is fit for use: no rule is broken in {n:,} rows."
    critical = sum(item.level == "crit" for item in failures)
    head = f"{critical} critical and {len(failures) - critical} minor rules are broken in {n:,} rows"
    first = "; ".join(item.text for item in failures[:3])
    return f"{head}; probable cause: {cause.replace('_', ' ')}. Found: {first}."
