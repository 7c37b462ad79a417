"""Shares and their uncertainty: Wilson and Katz intervals, the two-proportion test."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

_NORMAL = NormalDist()


class Interval(NamedTuple):
    low: float
    high: float


class ZTest(NamedTuple):
    z: float
    p_value: float  #: two-sided


def wilson(hits: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of the share hits/n (Wilson 1927, JASA 22:209)."""
    if n <= 0:
        raise ValueError("a share needs at least one row")
    z = _NORMAL.inv_cdf(0.5 + confidence / 2)
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def katz(hits: int, n: int, base_hits: int, base_n: int, confidence: float = 0.95) -> Interval | None:
    """Interval of the ratio (hits/n) / (base_hits/base_n) on the log scale (Katz et al. 1978, Biometrics 34:469).

    None where either count is zero: the logarithm has no variance then.
    """
    if min(hits, base_hits) <= 0:
        return None
    z = _NORMAL.inv_cdf(0.5 + confidence / 2)
    ratio = (hits / n) / (base_hits / base_n)
    half = z * math.sqrt(1 / hits - 1 / n + 1 / base_hits - 1 / base_n)
    return Interval(ratio * math.exp(-half), ratio * math.exp(half))


def two_proportions(hits: int, n: int, base_hits: int, base_n: int) -> ZTest:
    """Pooled two-proportion z-test, two-sided. Positive z: the first share is the larger one."""
    pooled = (hits + base_hits) / (n + base_n)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / base_n))
    if spread == 0:
        return ZTest(0.0, 1.0)
    z = (hits / n - base_hits / base_n) / spread
    return ZTest(z, math.erfc(abs(z) / math.sqrt(2)))
