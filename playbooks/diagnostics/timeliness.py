"""Times of rows: reading them, and whether as many rows came as in the same hours before."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from playbooks.diagnostics.columns import storage_kind

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


def volume(reference: pd.Series, current: pd.Series) -> Volume | None:
    """Rows of the current window against the same hours of the week (of the day, where weeks are too few),
    over its whole hours: z = (rows - sum of medians) / root of summed squared scaled MADs, where a spread is
    never below the root of its median (Poisson).

    None when the reference has less than a day or the current window no whole hour.
    """
    import pandas as pd

    per_hour = reference.dt.floor("h").value_counts()
    span = pd.date_range(reference.min().floor("h"), reference.max().floor("h"), freq="h")
    before = per_hour.reindex(span, fill_value=0).iloc[1:-1]  # the first and last hour may be cut off
    hours = pd.date_range(current.min().floor("h"), current.max().floor("h"), freq="h")[1:-1]
    if len(before) < 24 or len(hours) == 0:
        return None
    rows = int(current.dt.floor("h").isin(hours).sum())
    expected = variance = 0.0
    for hour in hours:
        same = before[(before.index.hour == hour.hour) & (before.index.dayofweek == hour.dayofweek)]
        if len(same) < 3:
            same = before[before.index.hour == hour.hour]
        if len(same) < 3:
            same = before
        middle = float(same.median())
        spread = max(1.4826 * float((same - middle).abs().median()), math.sqrt(max(middle, 1.0)))
        expected += middle
        variance += spread**2
    z = (rows - expected) / math.sqrt(variance)
    return Volume(rows, len(hours), expected, z)
