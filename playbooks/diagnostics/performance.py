"""Does the model still predict what happens? Performance on fresh labels, and outcomes at equal predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from playbooks.contract import Verdict
from playbooks.diagnostics.columns import json_safe, kind_of, labels
from playbooks.diagnostics.dataset import DataProblem
from playbooks.diagnostics.fairness import favourable
from playbooks.diagnostics.measured import Measured, auc, bootstrap, holm, mean, worse
from playbooks.diagnostics.proportions import wilson

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Task = Literal["labels", "score", "regression"]
TASKS: tuple[Task, ...] = ("labels", "score", "regression")

#: Figures of which less is better; the others are shares or areas, of which more is.
ERRORS = ("RMSE", "MAE")
#: What each task is judged by; the other figures are shown beside.
JUDGED: Mapping[Task, tuple[str, ...]] = {
    "labels": ("precision", "recall", "accuracy"),
    "score": ("AUC", "PR-AUC", "precision", "recall"),
    "regression": ("RMSE",),
}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`drop_*` are relative losses (0.05 = 5 % of the reference's figure); `points_crit` is a loss of a share in
    points. `min_*` are labelled rows and positives per window below which nothing is judged."""

    drop_warn: float = 0.05
    drop_crit: float = 0.10
    points_crit: float = 0.05
    alpha: float = 0.05
    min_rows: int = 100
    min_positives: int = 20


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in both windows. `loss` is relative to the reference, positive when worse; `p_value` is
    one-sided, `p_adjusted` Holm's over the judged figures (None: shown, not judged)."""

    name: str
    before: Measured
    now: Measured
    loss: float
    loss_high: float  #: upper end of the loss's one-sided 95 % interval
    p_value: float
    p_adjusted: float | None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Odds of the positive outcome now over before, at equal predictions (Mantel-Haenszel over strata of the
    prediction, interval by Robins, Breslow & Greenland 1986, Biometrics 42:311; p two-sided)."""

    odds_ratio: float
    low: float
    high: float
    p_value: float
    strata: int


@dataclass(frozen=True, slots=True)
class Labels:
    """How far the labels have come: shares of rows with a label, and hours from decision to label now."""

    share_reference: float
    share_current: float
    lag_median: float | None = None
    lag_p90: float | None = None


@dataclass(frozen=True, slots=True)
class PerformanceReport:
    verdict: Verdict
    summary: str
    reason: str
    task: Task
    n_reference: int  #: labelled rows
    n_current: int
    changes: tuple[Change, ...]  #: judged ones first
    outcomes: Outcomes | None
    labels: Labels
    thresholds: Thresholds

    @property
    def worst(self) -> Change | None:
        """The judged figure with the largest loss."""
        judged = [item for item in self.changes if item.p_adjusted is not None]
        return max(judged, key=lambda item: item.loss, default=None)

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        figures: dict[str, Any] = json_safe(self)
        return figures


def compare(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    *,
    label_column: str,
    prediction: str,
    task: Task | None = None,
    positive: object = None,
    threshold: float | None = None,
    time_column: str | None = None,
    label_time_column: str | None = None,
    thresholds: Thresholds = Thresholds(),
) -> PerformanceReport:
    """Compare how well `prediction` meets `label_column` in two windows, on the rows whose label has come.

    `task`: classes, a score of a two-class label, or numbers; told from the columns when not given. A score is
    also judged as a decision when `threshold` is given. Raises DataProblem when the columns cannot be read so.
    """
    known = [frame[frame[label_column].notna() & frame[prediction].notna()] for frame in (reference, current)]
    for name, part in zip(("reference", "current"), known, strict=True):
        if not len(part):
            raise DataProblem(
                f"No row of the {name} window has both {label_column} and {prediction}: labels may not have "
                "come yet. Give a window that is old enough, or correct the columns."
            )
    chosen = task or _task(known[0], known[1], label_column, prediction)
    # both windows are read in one way: a class may be missing from one of them
    read = _reader(known, chosen, label_column, prediction, positive, threshold)
    before, now = read(known[0]), read(known[1])
    changes = _changes(before, now, chosen)
    outcomes = _outcomes(before, now) if chosen != "regression" else None
    waiting = _labels(reference, current, label_column, time_column, label_time_column)
    verdict, reason = _decide(changes, before, now, outcomes, thresholds)
    return PerformanceReport(
        verdict=verdict,
        summary=_summary(verdict, reason, changes, outcomes, waiting, before.n, now.n),
        reason=reason,
        task=chosen,
        n_reference=before.n,
        n_current=now.n,
        changes=changes,
        outcomes=outcomes,
        labels=waiting,
        thresholds=thresholds,
    )


@dataclass(frozen=True, slots=True)
class _Window:
    """One window as arrays. `actual` and `decided` are booleans (or class numbers where there is no positive
    one), `score` what strata are made of."""

    n: int
    actual: np.ndarray
    decided: np.ndarray | None
    score: np.ndarray | None
    binary: bool


def _task(reference: pd.DataFrame, current: pd.DataFrame, label: str, prediction: str) -> Task:
    if kind_of(reference[label], current[label]) == "numeric":
        return "regression"
    if kind_of(reference[prediction], current[prediction]) == "numeric":
        return "score"
    return "labels"


def _reader(
    known: list[pd.DataFrame],
    task: Task,
    label: str,
    prediction: str,
    positive: object,
    threshold: float | None,
) -> Callable[[pd.DataFrame], _Window]:
    import pandas as pd

    both = pd.concat(known, ignore_index=True)
    first = len(known[0])
    if task == "regression" or task == "score":
        numbers = pd.to_numeric(both[prediction], errors="coerce")
        if numbers.isna().any():
            raise DataProblem(f"{prediction} holds text, so it is no {task}: set `task`, or another column.")
    if task == "regression":
        actual = pd.to_numeric(both[label], errors="coerce")
        if actual.isna().any():
            raise DataProblem(f"{label} holds text, so there is no regression: set `task` or another column.")
        columns = (actual.to_numpy(float), None, numbers.to_numpy(float), False)
    elif task == "score":
        actual = favourable(both[label], label, positive, None)
        decided = None if threshold is None else (numbers >= threshold).to_numpy()
        columns = (actual.to_numpy(), decided, numbers.to_numpy(float), True)
    else:
        texts, said = labels(both[label]), labels(both[prediction])
        classes = sorted({*texts, *said})
        if positive is not None or len(classes) == 2:
            yes = favourable(both[label], label, positive, None).to_numpy()
            chosen = str(texts[yes].iloc[0]) if yes.any() else ""
            decided = (said == chosen).to_numpy()
            columns = (yes, decided, decided.astype(float), True)
        else:
            order = {name: index for index, name in enumerate(classes)}
            columns = (texts.map(order).to_numpy(), said.map(order).to_numpy(), None, False)

    def window(frame: pd.DataFrame) -> _Window:
        rows = slice(0, first) if frame is known[0] else slice(first, None)
        actual, decided, score, binary = columns
        return _Window(
            len(frame),
            actual[rows],
            None if decided is None else decided[rows],
            None if score is None else score[rows],
            binary,
        )

    return window


def _figures(window: _Window, task: Task) -> dict[str, Measured]:
    import numpy as np

    actual, decided, score, n = window.actual, window.decided, window.score, window.n
    if task == "regression" and score is not None:
        off = score - actual
        return {
            "RMSE": bootstrap(lambda times: float(np.sqrt((times @ off**2) / times.sum())), n, 0.0),
            "MAE": mean(np.abs(off), 0.0),
        }
    found: dict[str, Measured] = {}
    if task == "score" and score is not None and 0 < actual.sum() < n:
        ranks = _Ranks(actual, score)
        found["AUC"] = auc(actual, score)
        found["PR-AUC"] = bootstrap(ranks.average_precision, n, 0.0, 1.0)
        found["KS"] = bootstrap(ranks.separation, n, 0.0, 1.0)
    if decided is not None:
        if window.binary:
            hits = int((actual & decided).sum())
            found |= _share("precision", hits, int(decided.sum())) | _share("recall", hits, int(actual.sum()))
        found |= _share("accuracy", int((actual == decided).sum()), n)
        if window.binary:
            both, either = (actual & decided).astype(float), actual.astype(float) + decided
            found["F1"] = bootstrap(
                lambda times: float(2 * (times @ both) / max(times @ either, 1.0)), n, 0.0, 1.0
            )
        else:
            found["balanced accuracy"] = bootstrap(
                lambda times: _mean_recall(actual, (actual == decided) * times, times), n, 0.0, 1.0
            )
    return found


class _Ranks:
    """Rows ordered by falling score, for figures over all thresholds; ties share one threshold."""

    def __init__(self, actual: np.ndarray, score: np.ndarray):
        import numpy as np

        self._order = np.argsort(-score, kind="stable")
        self._ends = np.append(np.diff(score[self._order]) != 0, True)
        self._actual = actual.astype(float)[self._order]

    def _above(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positives and negatives at or above each threshold."""
        import numpy as np

        weights = times[self._order]
        hits = np.cumsum(weights * self._actual)[self._ends]
        return hits, np.cumsum(weights)[self._ends] - hits

    def average_precision(self, times: np.ndarray) -> float:
        """Sum of precision times the gain in recall, threshold by threshold."""
        import numpy as np

        hits, others = self._above(times)
        if hits[-1] == 0:
            return math.nan
        gains = np.diff(hits, prepend=0.0) / hits[-1]
        return float((gains * hits / np.maximum(hits + others, 1e-12)).sum())

    def separation(self, times: np.ndarray) -> float:
        """Kolmogorov-Smirnov distance between the scores of the two classes, as credit scoring uses it."""
        import numpy as np

        hits, others = self._above(times)
        if hits[-1] == 0 or others[-1] == 0:
            return math.nan
        return float(np.abs(hits / hits[-1] - others / others[-1]).max())


def _mean_recall(actual: np.ndarray, right: np.ndarray, times: np.ndarray) -> float:
    """Mean over the classes of the share of their rows that is right."""
    import numpy as np

    totals = np.bincount(actual, weights=times)
    there = totals > 0
    return float((np.bincount(actual, weights=right)[there] / totals[there]).mean())


def _share(name: str, hits: int, n: int) -> dict[str, Measured]:
    if not n:
        return {}
    share, interval = hits / n, wilson(hits, n)
    return {name: Measured(share, interval.low, interval.high, math.sqrt(share * (1 - share) / n), n)}


def _changes(before: _Window, now: _Window, task: Task) -> tuple[Change, ...]:
    first, second = _figures(before, task), _figures(now, task)
    names = [name for name in first if name in second]
    judged = [name for name in JUDGED[task] if name in names]
    if "precision" in judged and "accuracy" in judged:
        judged.remove("accuracy")  # of two classes it repeats the other two, and hides rare events
    p_values = {name: worse(first[name], second[name], higher_is_better=name not in ERRORS) for name in names}
    adjusted = dict(zip(judged, holm([p_values[name] for name in judged]), strict=True))
    found = []
    for name in sorted(names, key=lambda name: name not in judged):
        base, new = first[name], second[name]
        sign = -1 if name in ERRORS else 1
        scale = base.value if base.value > 0 else math.nan
        loss = sign * (base.value - new.value) / scale
        margin = 1.645 * math.hypot(base.error, new.error) / scale
        found.append(Change(name, base, new, loss, loss + margin, p_values[name], adjusted.get(name)))
    return tuple(item for item in found if math.isfinite(item.loss))


def _outcomes(before: _Window, now: _Window) -> Outcomes | None:
    import numpy as np

    if not (before.binary and now.binary) or before.score is None or now.score is None:
        return None
    edges = np.unique(np.quantile(before.score, np.linspace(0, 1, 11)[1:-1]))
    tables = []
    bins = [np.searchsorted(edges, score, side="left") for score in (before.score, now.score)]
    for stratum in range(len(edges) + 1):
        old, new = before.actual[bins[0] == stratum], now.actual[bins[1] == stratum]
        if len(old) and len(new):
            tables.append((new.sum(), len(new) - new.sum(), old.sum(), len(old) - old.sum()))
    if not tables:
        return None
    a, b, c, d = (np.asarray(column, dtype=float) for column in zip(*tables, strict=True))
    n = a + b + c + d
    top, bottom = (a * d / n), (b * c / n)
    if top.sum() == 0 or bottom.sum() == 0:
        return None
    ratio = float(top.sum() / bottom.sum())
    p, q = (a + d) / n, (b + c) / n
    variance = float(
        (p * top).sum() / (2 * top.sum() ** 2)
        + (p * bottom + q * top).sum() / (2 * top.sum() * bottom.sum())
        + (q * bottom).sum() / (2 * bottom.sum() ** 2)
    )
    error = math.sqrt(variance)
    p_value = math.erfc(abs(math.log(ratio)) / error / math.sqrt(2)) if error else 1.0
    return Outcomes(
        ratio, ratio * math.exp(-1.96 * error), ratio * math.exp(1.96 * error), p_value, len(tables)
    )


def _labels(
    reference: pd.DataFrame, current: pd.DataFrame, label: str, time: str | None, label_time: str | None
) -> Labels:
    import pandas as pd

    before, now = (float(frame[label].notna().mean()) for frame in (reference, current))
    if not time or not label_time or not {time, label_time} <= {*current.columns}:
        return Labels(before, now)
    ends, starts = (
        pd.to_datetime(current[name], errors="coerce", utc=True, format="mixed")
        for name in (label_time, time)
    )
    lag = ((ends - starts).dt.total_seconds() / 3600).dropna()
    if not len(lag):
        return Labels(before, now)
    return Labels(before, now, float(lag.median()), float(lag.quantile(0.9)))


def _decide(
    changes: tuple[Change, ...],
    before: _Window,
    now: _Window,
    outcomes: Outcomes | None,
    limits: Thresholds,
) -> tuple[Verdict, str]:
    judged = [item for item in changes if item.p_adjusted is not None]
    if not judged:
        return "inconclusive", "no figure can be measured in both windows (one class only?)"
    few = min(before.n, now.n)
    if few < limits.min_rows:
        return "inconclusive", f"{few} labelled rows are too few ({limits.min_rows} needed in each window)"
    if before.binary and min(before.actual.sum(), now.actual.sum()) < limits.min_positives:
        return (
            "inconclusive",
            f"fewer than {limits.min_positives} positive labels in a window: wait for more labels",
        )
    real = [item for item in judged if item.p_adjusted is not None and item.p_adjusted < limits.alpha]

    def crit(item: Change) -> bool:
        points = item.name not in ERRORS and item.before.value - item.now.value >= limits.points_crit
        return item.loss > limits.drop_crit or points

    for verdict, hit in (
        ("confirmed", [item for item in real if crit(item)]),
        ("likely", [item for item in real if item.loss > limits.drop_warn]),
    ):
        if hit:
            worst = max(hit, key=lambda item: item.loss)
            way = "rose" if worst.name in ERRORS else "fell"
            text = f"{worst.name} {way} from {worst.before.value:.3g} to {worst.now.value:.3g} ({worst.loss:.1%})"
            return ("confirmed" if verdict == "confirmed" else "likely"), text
    if outcomes is not None and outcomes.p_value < 0.001 and (outcomes.low > 1.5 or outcomes.high < 1 / 1.5):
        return (
            "likely",
            f"at equal predictions the odds of the outcome are {outcomes.odds_ratio:.2f} times what they were",
        )
    unsure = max(judged, key=lambda item: item.loss_high)
    if unsure.loss_high > limits.drop_crit:
        return (
            "inconclusive",
            f"with {few:,} labelled rows a loss of {unsure.name} of up to {unsure.loss_high:.1%} cannot be excluded",
        )
    return "refuted", "no figure got worse by an amount that matters"


def _summary(
    verdict: Verdict,
    reason: str,
    changes: tuple[Change, ...],
    outcomes: Outcomes | None,
    waiting: Labels,
    n_before: int,
    n_now: int,
) -> str:
    head = {
        "confirmed": "A loss of performance is confirmed",
        "likely": "A loss of performance is likely",
        "inconclusive": "Performance is undecided",
        "refuted": "No loss of performance",
    }[verdict]
    parts = [f"{head}: {reason}."]
    shown = [
        f"{item.name} {item.before.value:.3g} → {item.now.value:.3g} ({item.now.low:.3g}–{item.now.high:.3g})"
        for item in changes[:4]
    ]
    parts.append(f"{', '.join(shown)}; n = {n_before:,} and {n_now:,} labelled rows.")
    if outcomes is not None:
        parts.append(
            f"At equal predictions the odds of the outcome are {outcomes.odds_ratio:.2f} times those before "
            f"({outcomes.low:.2f}–{outcomes.high:.2f})."
        )
    late = (
        f", {waiting.lag_median:,.0f} hours after the decision (median)"
        if waiting.lag_median is not None
        else ""
    )
    parts.append(
        f"{waiting.share_current:.0%} of the current rows have their label{late}; before {waiting.share_reference:.0%}."
    )
    if abs(waiting.share_current - waiting.share_reference) > 0.1:
        parts.append("The shares differ, so the labelled rows may not stand for all.")
    return " ".join(parts)
