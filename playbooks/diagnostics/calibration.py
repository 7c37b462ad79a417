"""Do predicted probabilities come true? Expected calibration error, Brier score, reliability by bins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from playbooks.contract import Verdict
from playbooks.diagnostics.columns import json_safe, numbers
from playbooks.diagnostics.dataset import DataProblem
from playbooks.diagnostics.fairness import favourable
from playbooks.diagnostics.measured import SEED, Measured, bootstrap, mean
from playbooks.diagnostics.proportions import Interval, wilson

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SIMULATIONS = 500


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`ece_*` are mean distances between predicted probability and observed share (0.05 = 5 points)."""

    ece_warn: float = 0.05
    ece_crit: float = 0.10
    alpha: float = 0.05
    min_rows: int = 1_000
    bins: int = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows with similar predictions: mean prediction against the share that came true."""

    low: float
    high: float
    n: int
    predicted: float
    observed: float
    interval: Interval  #: Wilson's, of the observed share


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    verdict: Verdict
    summary: str
    reason: str
    n: int
    positives: int
    ece: Measured
    ece_expected: float  #: what a perfectly calibrated model would show with these predictions (mean)
    p_value: float  #: share of perfectly calibrated outcomes with an ECE as large
    brier: Measured
    brier_skill: float  #: 1 - Brier score over that of always predicting the mean
    bias: float  #: mean prediction minus observed share; positive: predicts too much
    z: float  #: Spiegelhalter's
    z_p_value: float
    before: Measured | None  #: ECE of the reference, where one is given
    bins: tuple[Bin, ...]
    thresholds: Thresholds

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        figures: dict[str, Any] = json_safe(self)
        return figures


def assess(
    frame: pd.DataFrame,
    *,
    label_column: str,
    prediction: str,
    positive: object = None,
    reference: pd.DataFrame | None = None,
    thresholds: Thresholds = Thresholds(),
) -> CalibrationReport:
    """Compare probabilities in `prediction` with what came of them, on the rows whose label has come.

    The expected calibration error is over bins of equal width (Guo et al. 2017, ICML). Because it is above zero
    by chance alone, it is tested against outcomes drawn from the predictions themselves (consistency
    resampling; Bröcker & Smith 2007, Weather Forecast. 22:651). Raises DataProblem for values outside 0 to 1.
    """
    truth, score = _read(frame, label_column, prediction, positive)
    ece = _measured_ece(truth, score, thresholds.bins)
    expected, p_value = _by_chance(score, ece.value, thresholds.bins)
    brier = mean((score - truth) ** 2, 0.0, 1.0)
    share = float(truth.mean())
    z = _spiegelhalter(truth, score)
    before = None
    if reference is not None:
        before = _measured_ece(*_read(reference, label_column, prediction, positive), thresholds.bins)
    bias = float(score.mean()) - share
    verdict, reason = _decide(ece, expected, p_value, len(truth), bias, thresholds)
    spread = share * (1 - share)
    return CalibrationReport(
        verdict=verdict,
        summary=_summary(verdict, reason, ece, expected, p_value, brier, before),
        reason=reason,
        n=len(truth),
        positives=int(truth.sum()),
        ece=ece,
        ece_expected=expected,
        p_value=p_value,
        brier=brier,
        brier_skill=1 - brier.value / spread if spread else 0.0,
        bias=bias,
        z=z,
        z_p_value=math.erfc(abs(z) / math.sqrt(2)),
        before=before,
        bins=_bins(truth, score, thresholds.bins),
        thresholds=thresholds,
    )


def _read(
    frame: pd.DataFrame, label: str, prediction: str, positive: object
) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    known = frame[frame[label].notna() & frame[prediction].notna()]
    score = numbers(known[prediction])
    if not len(known) or len(score) < len(known) or score.min() < 0 or score.max() > 1:
        raise DataProblem(
            f"{prediction} must hold probabilities between 0 and 1 in rows that have a {label}: correct the columns."
        )
    truth = favourable(known[label], label, positive, None).to_numpy()
    return truth.astype(np.float64), score


def _places(score: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each probability: (low, high], the first with 0."""
    import numpy as np

    places: np.ndarray = np.clip(np.ceil(score * bins).astype(int) - 1, 0, bins - 1)
    return places


def _measured_ece(truth: np.ndarray, score: np.ndarray, bins: int) -> Measured:
    import numpy as np

    places, gap = _places(score, bins), score - truth

    def ece(times: np.ndarray) -> float:
        return float(np.abs(np.bincount(places, weights=gap * times)).sum() / times.sum())

    return bootstrap(ece, len(truth), 0.0, 1.0)


def _by_chance(score: np.ndarray, ece: float, bins: int) -> tuple[float, float]:
    """(mean ECE of outcomes drawn from the predictions, share of draws that reach `ece`).

    The gap of a bin is a sum of independent Bernoulli errors; from 10,000 rows on it is drawn as normal.
    """
    import numpy as np

    chance = np.random.default_rng(SEED)
    places = _places(score, bins)
    if len(score) >= 10_000:
        spread = np.sqrt(np.bincount(places, weights=score * (1 - score), minlength=bins))
        gaps = chance.normal(size=(SIMULATIONS, bins)) * spread
    else:
        drawn = (
            np.bincount(places, score - (chance.random(len(score)) < score), bins) for _ in range(SIMULATIONS)
        )
        gaps = np.stack(list(drawn))
    reached = np.abs(gaps).sum(axis=1) / len(score)
    return float(reached.mean()), float((1 + (reached >= ece).sum()) / (1 + SIMULATIONS))


def _spiegelhalter(truth: np.ndarray, score: np.ndarray) -> float:
    """Spiegelhalter's z (1986, Stat. Med. 5:421): standard normal when the predictions are calibrated."""
    import numpy as np

    top = float(((truth - score) * (1 - 2 * score)).sum())
    bottom = float(np.sqrt(((1 - 2 * score) ** 2 * score * (1 - score)).sum()))
    return top / bottom if bottom else 0.0


def _bins(truth: np.ndarray, score: np.ndarray, bins: int) -> tuple[Bin, ...]:
    places = _places(score, bins)
    found = []
    for place in range(bins):
        inside = places == place
        n = int(inside.sum())
        if n:
            hits = int(truth[inside].sum())
            found.append(
                Bin(
                    place / bins,
                    (place + 1) / bins,
                    n,
                    float(score[inside].mean()),
                    hits / n,
                    wilson(hits, n),
                )
            )
    return tuple(found)


def _decide(
    ece: Measured, expected: float, p_value: float, n: int, bias: float, limits: Thresholds
) -> tuple[Verdict, str]:
    real = p_value < limits.alpha
    way = "too high" if bias > 0 else "too low"
    text = f"predictions are off by {ece.value:.3f} on average and {way} by {abs(bias):.3f} over all"
    if n < limits.min_rows:
        return "inconclusive", f"{n:,} labelled rows are too few ({limits.min_rows:,} needed)"
    if real and ece.value > limits.ece_crit:
        return "confirmed", text
    if real and ece.value > limits.ece_warn:
        return "likely", text
    if ece.high > limits.ece_crit:
        return "inconclusive", f"an error above {limits.ece_crit:g} cannot be excluded with {n:,} rows"
    return (
        "refuted",
        f"predictions come true within {limits.ece_warn:g} on average"
        if ece.value <= limits.ece_warn
        else f"an error of {ece.value:.3f} is no more than chance gives",
    )


def _summary(
    verdict: Verdict,
    reason: str,
    ece: Measured,
    expected: float,
    p_value: float,
    brier: Measured,
    before: Measured | None,
) -> str:
    head = {
        "confirmed": "Miscalibration is confirmed",
        "likely": "Miscalibration is likely",
        "inconclusive": "Calibration is undecided",
        "refuted": "The predictions are calibrated",
    }[verdict]
    parts = [
        f"{head}: {reason}.",
        f"ECE {ece.value:.3f} (95 % interval {ece.low:.3f}–{ece.high:.3f}; by chance {expected:.3f}, p {p_value:.2g}), "
        f"Brier score {brier.value:.3f}, n = {ece.n:,}.",
    ]
    if before is not None:
        parts.append(f"Before, the ECE was {before.value:.3f}.")
    return " ".join(parts)
