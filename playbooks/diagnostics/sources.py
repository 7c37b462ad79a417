"""Would the model be better without one source? Leave-one-source-out on a trusted data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from playbooks.contract import Verdict
from playbooks.diagnostics import label_errors
from playbooks.diagnostics.columns import json_safe, labels
from playbooks.diagnostics.dataset import DataProblem
from playbooks.diagnostics.measured import Measured, around, holm

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MAX_ROWS = 20_000  #: of training rows, sampled
MAX_GOLD = 20_000
MAX_SOURCES = 20  #: the largest ones
MIN_SOURCE_ROWS = 50


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Gains of accuracy on the gold set, in shares (0.01 = 1 point)."""

    gain_warn: float = 0.01
    gain_crit: float = 0.03
    alpha: float = 0.05
    min_gold: int = 200


@dataclass(frozen=True, slots=True)
class Left:
    """What leaving one source out does. `gain`: accuracy without it minus accuracy with it."""

    name: str
    n: int
    row_share: float
    gain: Measured
    p_value: float  #: one-sided, that the gain is above zero
    p_adjusted: float  #: Holm's over the sources


@dataclass(frozen=True, slots=True)
class SourcesReport:
    verdict: Verdict
    summary: str
    reason: str
    n: int
    n_gold: int
    accuracy: Measured  #: of the model that learned from all sources
    sources: tuple[Left, ...]  #: the largest gain first
    thresholds: Thresholds

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        figures: dict[str, Any] = json_safe(self)
        return figures


def leave_out(
    frame: pd.DataFrame,
    gold: pd.DataFrame,
    *,
    label_column: str,
    source_column: str,
    features: Sequence[str] = (),
    exclude: Sequence[str] = (),
    thresholds: Thresholds = Thresholds(),
) -> SourcesReport:
    """Train on all of `frame` and again without each source; compare on the same rows of `gold`.

    The two models are compared row by row (right, wrong), so that the interval of the gain is that of a paired
    difference. Raises DataProblem when the labels are no classes or the two sets do not match.
    """
    import numpy as np
    import pandas as pd

    train = frame[frame[label_column].notna()]
    trusted = gold[gold[label_column].notna()]
    if len(trusted) < thresholds.min_gold:
        raise DataProblem(
            f"The gold set has {len(trusted)} labelled rows; {thresholds.min_gold} are needed. Give a larger one."
        )
    train = _at_most(train, MAX_ROWS)
    trusted = _at_most(trusted, MAX_GOLD)
    names = label_errors.usable_features(train, features, {label_column, source_column, *exclude})
    names = [name for name in names if name in trusted.columns]
    if not names:
        raise DataProblem("The gold set has none of the features: give one with the same columns.")
    both = pd.concat([train[[*names, label_column]], trusted[[*names, label_column]]], ignore_index=True)
    matrix = label_errors.standardised(both, names)
    classes, coded = np.unique(labels(both[label_column]).to_numpy().astype(str), return_inverse=True)
    if not 2 <= len(classes) <= label_errors.MAX_CLASSES:
        raise DataProblem(
            f"{label_column} has {len(classes)} classes; 2 to {label_errors.MAX_CLASSES} are needed."
        )
    cut = len(train)
    sources = labels(train[source_column]).to_numpy()
    sizes = pd.Series(sources).value_counts()
    chosen = [str(name) for name in sizes.index[:MAX_SOURCES] if sizes[name] >= MIN_SOURCE_ROWS]
    if len(sizes) < 2 or not chosen:
        raise DataProblem(
            f"{source_column} names fewer than two sources with {MIN_SOURCE_ROWS} rows: choose another column."
        )
    learn, judge = (matrix[:cut], coded[:cut]), (matrix[cut:], coded[cut:])
    everyone = np.ones(cut, dtype=bool)
    right = _right(learn, judge, everyone)
    drafts = []
    for name in chosen:
        kept = sources != name
        if len(np.unique(coded[:cut][kept])) < 2:
            continue
        change = _right(learn, judge, kept).astype(float) - right
        error = float(change.std(ddof=1)) / math.sqrt(len(change))
        gain = float(change.mean())
        p_value = 1 - NormalDist().cdf(gain / error) if error else 1.0
        drafts.append((name, int(sizes[name]), around(gain, error, len(change), -1.0, 1.0), p_value))
    adjusted = holm([draft[3] for draft in drafts])
    found = sorted(
        (
            Left(name, n, n / cut, gain, p_value, p)
            for (name, n, gain, p_value), p in zip(drafts, adjusted, strict=True)
        ),
        key=lambda item: -item.gain.value,
    )
    share = float(right.mean())
    accuracy = around(share, math.sqrt(share * (1 - share) / len(right)), len(right), 0.0, 1.0)
    verdict, reason = _decide(found, thresholds)
    return SourcesReport(
        verdict,
        _summary(verdict, reason, accuracy, found),
        reason,
        cut,
        len(trusted),
        accuracy,
        tuple(found),
        thresholds,
    )


def _at_most(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    return frame.sample(rows, random_state=label_errors.SEED) if len(frame) > rows else frame


def _right(
    learn: tuple[np.ndarray, np.ndarray], judge: tuple[np.ndarray, np.ndarray], kept: np.ndarray
) -> np.ndarray:
    """Which rows of the gold set a model gets right that learned from the kept rows."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    model = HistGradientBoostingClassifier(
        max_iter=60,
        max_leaf_nodes=15,
        min_samples_leaf=30,
        early_stopping=False,
        random_state=label_errors.SEED,
    )
    with threadpool_limits(1):
        said = model.fit(learn[0][kept], learn[1][kept]).predict(judge[0])
    right: np.ndarray = np.asarray(said == judge[1])
    return right


def _decide(found: Sequence[Left], limits: Thresholds) -> tuple[Verdict, str]:
    real = [item for item in found if item.p_adjusted < limits.alpha]
    for verdict, limit in (("confirmed", limits.gain_crit), ("likely", limits.gain_warn)):
        hit = [item for item in real if item.gain.value > limit]
        if hit:
            best = hit[0]
            text = f"without {best.name} the model is right in {best.gain.value * 100:.1f} points more of the gold set"
            return ("confirmed" if verdict == "confirmed" else "likely"), text
    widest = max(found, key=lambda item: item.gain.high, default=None)
    if widest is not None and widest.gain.high > limits.gain_crit:
        return (
            "inconclusive",
            f"a gain of {widest.gain.high * 100:.1f} points without {widest.name} cannot be excluded",
        )
    return "refuted", "no source harms the model by an amount that matters"


def _summary(verdict: Verdict, reason: str, accuracy: Measured, found: Sequence[Left]) -> str:
    head = {
        "confirmed": "A harmful source is confirmed",
        "likely": "A harmful source is likely",
        "inconclusive": "Harm by a source is undecided",
        "refuted": "No harmful source",
    }[verdict]
    parts = [f"{head}: {reason}."]
    if found:
        top = found[0]
        parts.append(
            f"Largest gain {top.gain.value * 100:+.1f} points without {top.name} (95 % interval "
            f"{top.gain.low * 100:+.1f} to {top.gain.high * 100:+.1f})."
        )
    parts.append(f"Accuracy with all sources {accuracy.value:.1%} on {accuracy.n:,} rows.")
    return " ".join(parts)
