"""Times of rows: do as many come as in the same hours before, and are they recent?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from playbooks.contract import Verdict
from playbooks.diagnostics.columns import json_safe, storage_kind
from playbooks.diagnostics.dataset import DataProblem

if TYPE_CHECKING:
    import pandas as pd


class Volume(NamedTuple):
    rows: int
    hours: int
    expected: float
    z: float


def instants(column: pd.Series) -> pd.Series:
    """Times in UTC; unreadable ones are left out. Numbers are seconds since 1970."""
    import pandas as pd

    unit = "s" if storage_kind(column) == "numeric" else None
    return pd.to_datetime(column, errors="coerce", utc=True, unit=unit).dropna()


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`volume_*` are robust z values, `fresh_*` ages in expected intervals between rows."""

    volume_warn: float = 4.0
    volume_crit: float = 8.0
    fresh_warn: float = 1.5
    fresh_crit: float = 3.0
    min_hours: int = 3  #: whole hours of the current window below which volume is not judged


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the current window, in UTC."""

    at: str  #: ISO 8601
    rows: int
    expected: float  #: median of the same hours before
    spread: float  #: scaled MAD of them, at least the root of the median


@dataclass(frozen=True, slots=True)
class TimelinessReport:
    verdict: Verdict
    summary: str
    reason: str
    n_reference: int
    n_current: int
    newest: str  #: ISO 8601
    age_minutes: float
    interval_minutes: float  #: between rows, as declared or the reference's 99th percentile
    interval_declared: bool
    rows: int | None  #: in the whole hours of the current window
    expected: float | None
    ratio: float | None  #: rows over expected, with the interval that chance leaves it
    ratio_low: float | None
    ratio_high: float | None
    z: float | None
    p_value: float | None  #: two-sided, of z
    empty_hours: int  #: hours without rows of those that had some before
    hours: tuple[Hour, ...]
    thresholds: Thresholds

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        figures: dict[str, Any] = json_safe(self)
        return figures


def assess(
    reference: pd.Series,
    current: pd.Series,
    *,
    now: datetime,
    expected_interval_minutes: float | None = None,
    sampled: bool = False,
    thresholds: Thresholds = Thresholds(),
) -> TimelinessReport:
    """Judge the times of the rows of two windows (`instants`): volume hour by hour, and the newest row's age.

    Without `expected_interval_minutes` the 99th percentile of the reference's gaps between rows is expected.
    `sampled`: rows were left out, so that volume cannot be judged. Raises DataProblem without any time.
    """
    if not len(current) or len(reference) < 2:
        raise DataProblem(
            "The time column holds no readable time in one of the windows: check its name and format."
        )
    declared = expected_interval_minutes is not None
    interval = expected_interval_minutes if declared else _usual_gap(reference)
    if not interval or interval <= 0:
        raise DataProblem(
            "All rows of the reference have the same time, so no interval can be learned from it: "
            "set expected_interval_minutes."
        )
    age = age_of(current, now)
    hours = () if sampled else _hours(reference, current)
    found = _together(hours)
    verdict, reason = _decide(found, hours, age / interval, interval, thresholds, sampled)
    spread = None if found is None or not found.expected else _root(hours) / found.expected
    ratio = None if found is None or not found.expected else found.rows / found.expected
    return TimelinessReport(
        verdict=verdict,
        summary=_summary(verdict, reason, found, age),
        reason=reason,
        n_reference=len(reference),
        n_current=len(current),
        newest=current.max().isoformat(),
        age_minutes=age,
        interval_minutes=interval,
        interval_declared=declared,
        rows=None if found is None else found.rows,
        expected=None if found is None else found.expected,
        ratio=ratio,
        ratio_low=None if ratio is None or spread is None else max(0.0, ratio - 1.96 * spread),
        ratio_high=None if ratio is None or spread is None else ratio + 1.96 * spread,
        z=None if found is None else found.z,
        p_value=None if found is None else math.erfc(abs(found.z) / math.sqrt(2)),
        empty_hours=sum(hour.rows == 0 and hour.expected >= 1 for hour in hours),
        hours=hours,
        thresholds=thresholds,
    )


def age_of(times: pd.Series, now: datetime) -> float:
    """Minutes from the newest of `times` (UTC) to `now`."""
    import pandas as pd

    return float((pd.Timestamp(now).tz_convert(UTC) - times.max()).total_seconds() / 60)


def volume(reference: pd.Series, current: pd.Series) -> Volume | None:
    """Rows of the current window against the same hours of the week (of the day, where weeks are too few),
    over its whole hours: z = (rows - sum of medians) / root of summed squared scaled MADs, where a spread is
    never below the root of its median (Poisson).

    None when the reference has less than a day or the current window no whole hour.
    """
    return _together(_hours(reference, current))


def _together(hours: tuple[Hour, ...]) -> Volume | None:
    if not hours:
        return None
    rows, expected = sum(hour.rows for hour in hours), sum(hour.expected for hour in hours)
    return Volume(rows, len(hours), expected, (rows - expected) / _root(hours))


def _root(hours: tuple[Hour, ...]) -> float:
    return math.sqrt(sum(hour.spread**2 for hour in hours))


def _hours(reference: pd.Series, current: pd.Series) -> tuple[Hour, ...]:
    import pandas as pd

    per_hour = reference.dt.floor("h").value_counts()
    span = pd.date_range(reference.min().floor("h"), reference.max().floor("h"), freq="h")
    before = per_hour.reindex(span, fill_value=0).iloc[1:-1]  # the first and last hour may be cut off
    moments = pd.date_range(current.min().floor("h"), current.max().floor("h"), freq="h")[1:-1]
    if len(before) < 24:
        return ()
    counts = current.dt.floor("h").value_counts()
    found = []
    for moment in moments:
        same = before[(before.index.hour == moment.hour) & (before.index.dayofweek == moment.dayofweek)]
        if len(same) < 3:
            same = before[before.index.hour == moment.hour]
        if len(same) < 3:
            same = before
        middle = float(same.median())
        spread = max(1.4826 * float((same - middle).abs().median()), math.sqrt(max(middle, 1.0)))
        found.append(Hour(moment.isoformat(), int(counts.get(moment, 0)), middle, spread))
    return tuple(found)


def _usual_gap(reference: pd.Series) -> float:
    gaps = reference.sort_values().diff().dropna().dt.total_seconds() / 60
    return float(gaps.quantile(0.99))


def _decide(
    found: Volume | None,
    hours: tuple[Hour, ...],
    age: float,
    interval: float,
    limits: Thresholds,
    sampled: bool,
) -> tuple[Verdict, str]:
    old = f"the newest row is {age * interval:,.0f} minutes old, {age:.1f} times the expected interval"
    judged = found is not None and found.hours >= limits.min_hours
    moved = abs(found.z) if found is not None and judged else 0.0
    text = ""
    if found is not None:
        text = (
            f"{found.rows:,} rows came in {found.hours} whole hours where {found.expected:,.0f} were expected"
        )
    if age > limits.fresh_crit:
        return "confirmed", old
    if moved > limits.volume_crit:
        return "confirmed", text
    if age > limits.fresh_warn:
        return "likely", old
    if moved > limits.volume_warn:
        return "likely", text
    if not judged:
        why = (
            "the window is a sample" if sampled else "less than a day to compare with or too few whole hours"
        )
        return "inconclusive", f"the newest row is recent, but volume cannot be judged ({why})"
    return "refuted", "rows come as often and as recently as before"


def _summary(verdict: Verdict, reason: str, found: Volume | None, age: float) -> str:
    head = {
        "confirmed": "Stale or missing data are confirmed",
        "likely": "Stale or missing data are likely",
        "inconclusive": "Timeliness is undecided",
        "refuted": "The data are timely",
    }[verdict]
    parts = [f"{head}: {reason}.", f"The newest row is {age:,.0f} minutes old."]
    if found is not None:
        parts.append(f"Volume: robust z {found.z:+.1f} over {found.hours} whole hours.")
    return " ".join(parts)
