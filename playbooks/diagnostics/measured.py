"""A figure with its uncertainty: bootstrap and DeLong intervals, one-sided tests of a change."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Z = NormalDist().inv_cdf(0.975)
RESAMPLES = 200
SEED = 20_240_501


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure from `n` rows with its 95 % interval and standard error."""

    value: float
    low: float
    high: float
    error: float
    n: int


def around(
    value: float, error: float, n: int, floor: float = -math.inf, ceiling: float = math.inf
) -> Measured:
    """A normal interval, cut at the ends of what the figure can be."""
    return Measured(value, max(floor, value - Z * error), min(ceiling, value + Z * error), error, n)


def bootstrap(
    statistic: Callable[[np.ndarray], float], n: int, floor: float = -math.inf, ceiling: float = math.inf
) -> Measured:
    """A figure of `n` rows, its error from 200 resamples (Efron & Tibshirani 1993, ch. 6).

    `statistic` is given how often each row counts: ones for the figure itself, the draws with replacement for
    the resamples, so that it can sort its rows once. The interval is the normal one around the figure, which,
    unlike percentiles, does not move with the statistic's own bias.
    """
    import numpy as np

    chance = np.random.default_rng(SEED)
    drawn = [
        statistic(np.bincount(chance.integers(0, n, n), minlength=n).astype(float)) for _ in range(RESAMPLES)
    ]
    values = np.asarray(drawn)
    values = values[np.isfinite(values)]
    error = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return around(float(statistic(np.ones(n))), error, n, floor, ceiling)


def mean(values: np.ndarray, floor: float = -math.inf, ceiling: float = math.inf) -> Measured:
    """The mean with its normal interval."""
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return around(float(values.mean()), error, len(values), floor, ceiling)


def median(values: np.ndarray) -> Measured:
    """The median with its bootstrap error."""
    import numpy as np

    ordered = np.sort(values)

    def middle(weights: np.ndarray) -> float:
        heap = np.cumsum(weights)
        low, high = np.searchsorted(heap, [heap[-1] / 2, heap[-1] / 2 + 1e-9], side="left")
        return float((ordered[low] + ordered[min(high, len(ordered) - 1)]) / 2)

    return bootstrap(middle, len(values))


def auc(positive: np.ndarray, scores: np.ndarray) -> Measured:
    """Area under the ROC curve with DeLong's variance, by midranks (DeLong 1988, Biometrics 44:837; Sun & Xu
    2014, IEEE SPL 21:1389). `positive` is a boolean per row; both classes must be there."""
    import numpy as np
    from scipy.stats import rankdata

    hits, others = scores[positive], scores[~positive]
    m, k = len(hits), len(others)
    together = rankdata(np.concatenate([hits, others]))
    of_hits = (together[:m] - rankdata(hits)) / k  # share of others that each hit is ranked above
    of_others = 1 - (together[m:] - rankdata(others)) / m
    value = float(of_hits.mean())
    variance = 0.0
    if min(m, k) > 1:
        variance = float(of_hits.var(ddof=1) / m + of_others.var(ddof=1) / k)
    return around(value, math.sqrt(variance), m + k, 0.0, 1.0)


def worse(before: Measured, now: Measured, *, higher_is_better: bool = True) -> float:
    """One-sided p-value that the figure of two independent samples got worse (normal approximation)."""
    spread = math.hypot(before.error, now.error)
    change = now.value - before.value if higher_is_better else before.value - now.value
    if spread == 0:
        return 0.0 if change < 0 else 1.0
    return NormalDist().cdf(change / spread)


def holm(p_values: list[float]) -> list[float]:
    """Adjusted p-values that bound the chance of any false alarm (Holm 1979, Scand. J. Stat. 6:65)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
