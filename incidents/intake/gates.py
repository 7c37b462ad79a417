"""Significance gates: is a reported value more than noise, or more than a trifle?"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import re2

from .signal import Signal

#: 95 % quantiles of the chi-square distribution with 1 … 30 degrees of freedom.
CHI2_95 = (
    3.841, 5.991, 7.815, 9.488, 11.070, 12.592, 14.067, 15.507, 16.919, 18.307,
    19.675, 21.026, 22.362, 23.685, 24.996, 26.296, 27.587, 28.869, 30.144, 31.410,
    32.671, 33.924, 35.172, 36.415, 37.652, 38.885, 40.113, 41.337, 42.557, 43.773,
)  # fmt: skip
#: Below this a population stability index is no shift, however large the samples.
PSI_LEAST = 0.10
#: Where sources put the size of the reference sample.
_BASELINE_SIZES = ("baseline_n", "baseline_size", "reference_n", "reference_size")


def chi2_95(freedom: int) -> float:
    """95 % quantile of chi-square; above 30 degrees by Wilson and Hilferty (1931), within 0.1 %."""
    if freedom < 1:
        raise ValueError(
            "A chi-square distribution needs at least one degree of freedom: use two bins or more."
        )
    if freedom <= len(CHI2_95):
        return CHI2_95[freedom - 1]
    spread = 2 / (9 * freedom)
    return float(freedom * (1 - spread + 1.6448536 * math.sqrt(spread)) ** 3)


def noise_floor(n: int, m: int, bins: int = 10) -> float:
    """PSI that two samples of one distribution (sizes n, m) stay below 19 times in 20: without a shift
    the index is distributed about as chi-square with bins − 1 degrees of freedom times (1/n + 1/m)."""
    return chi2_95(bins - 1) * (1 / n + 1 / m)


def judge(gates: Sequence[Mapping[str, Any]], signal: Signal) -> dict[str, Any] | None:
    """What the first gate that speaks about the signal's metric says, or None when none does.

    {"gate", "passed", "reason", "code", "value", "needed", …}; `code` is "low_n" (too few samples to tell)
    or "small_effect" when it did not pass. A gate that cannot be applied lets the signal pass and says so.
    """
    if not gates or not signal.metric:
        return None
    for gate in gates:
        if _speaks(str(gate.get("metric", ".*")), signal.metric.lower()):
            break
    else:
        return None
    name = str(gate.get("gate", ""))
    try:
        match name:
            case "noise_floor":
                verdict = _noise_floor(gate, signal)
            case "min_effect":
                verdict = _min_effect(gate, signal)
            case "min_n":
                verdict = _min_n(gate, signal)
            case _:
                verdict = _pass(
                    f"The rule names an unknown gate {name!r}: use noise_floor, min_effect or min_n."
                )
    except (KeyError, TypeError, ValueError) as error:
        verdict = _pass(f"The gate cannot be applied: {error!r}.")
    return {"gate": name, **verdict}


def _noise_floor(gate: Mapping[str, Any], signal: Signal) -> dict[str, Any]:
    value = signal.value
    if value is None:
        return _pass("The source sends no value.")
    n = signal.sample_size
    least = float(gate.get("least", PSI_LEAST))
    if n is None or n <= 0:
        if value > least:
            return _pass(
                "The source sends no sample size, so the noise floor is unknown.", value=value, needed=least
            )
        return _fail("small_effect", f"PSI {value:g} is not above {least:g}.", value=value, needed=least)
    m = _baseline_size(signal) or n
    bins = int(signal.extra.get("bins") or gate.get("bins", 10))
    floor = noise_floor(n, m, bins)
    needed = max(least, floor)
    facts = {
        "value": value,
        "needed": round(needed, 4),
        "floor": round(floor, 4),
        "n": n,
        "m": m,
        "bins": bins,
    }
    if value > needed:
        return _pass(f"PSI {value:g} is above {needed:.3f}.", **facts)
    if value > least:
        return _fail(
            "low_n", f"PSI {value:g} with n = {n} is within noise: up to {floor:.3f} is chance.", **facts
        )
    return _fail("small_effect", f"PSI {value:g} is not above {least:g}.", **facts)


def _min_effect(gate: Mapping[str, Any], signal: Signal) -> dict[str, Any]:
    effect = signal.extra.get("effect", signal.value)
    if effect is None:
        return _pass("The source sends no effect size.")
    effect, least = abs(float(effect)), float(gate["least"])
    facts = {"value": effect, "needed": least}
    if effect >= least:
        return _pass(f"The effect {effect:g} reaches {least:g}.", **facts)
    return _fail(
        "small_effect", f"The effect {effect:g} is below {least:g}, however small its p-value.", **facts
    )


def _min_n(gate: Mapping[str, Any], signal: Signal) -> dict[str, Any]:
    least = int(gate["least"])
    if signal.sample_size is None:
        return _pass("The source sends no sample size.")
    facts = {"value": signal.sample_size, "needed": least}
    if signal.sample_size >= least:
        return _pass(f"{signal.sample_size} samples reach {least}.", **facts)
    return _fail("low_n", f"{signal.sample_size} samples are fewer than {least}.", **facts)


def _pass(reason: str, **facts: Any) -> dict[str, Any]:
    return {"passed": True, "reason": reason, **facts}


def _fail(code: str, reason: str, **facts: Any) -> dict[str, Any]:
    return {"passed": False, "code": code, "reason": reason, **facts}


def _baseline_size(signal: Signal) -> int | None:
    for name in _BASELINE_SIZES:
        given = signal.extra.get(name, signal.labels.get(name))
        if given not in (None, ""):
            size = int(float(given))
            if size > 0:
                return size
    return None


@functools.lru_cache(maxsize=4096)
def _speaks(pattern: str, metric: str) -> bool:
    """Whether a gate's pattern means the metric; one that cannot be read means none."""
    try:
        return re2.fullmatch(pattern, metric) is not None
    except re2.error:
        return False
