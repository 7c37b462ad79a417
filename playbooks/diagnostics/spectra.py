"""Do some rows of a class stand apart as a group? Spectral signatures of backdoors in features or representations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from playbooks.contract import Verdict
from playbooks.diagnostics.columns import json_safe, label, labels
from playbooks.diagnostics.dataset import DataProblem
from playbooks.diagnostics.proportions import Interval, wilson

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MAX_ROWS = 20_000  #: per class, sampled
MAX_CLASSES = 20
MAX_FEATURES = 512
FAR = 4.0  #: standard deviations of the core
CORE = 0.85  #: share of rows that the robust covariance is taken from
SEED = 20_240_501


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`ratio` is the variance along the top direction over the median direction's, after whitening by the core
    of the class (1: nothing stands out); shares are of the rows of a class; `separation` is Ashman's D."""

    ratio: float = 3.0
    share_low: float = 0.005
    share_high: float = 0.15
    separation: float = 3.0
    evidence: float = 10.0  #: difference of BIC between one and two groups
    min_rows: int = 200


@dataclass(frozen=True, slots=True)
class Spectrum:
    """One class. The group is the smaller part of two normal ones along the top direction where they are separate,
    else what lies more than four standard deviations of the core out."""

    name: str
    n: int
    ratio: float
    group: int  #: rows
    share: float
    interval: Interval  #: of the share
    separation: float
    evidence: float
    before_share: float | None  #: of the reference's rows that lie where the group does
    level: str  #: "none", "warn", "crit" or "too few"


@dataclass(frozen=True, slots=True)
class Outlier:
    row: int  #: position in the data set, from 0
    name: str
    score: float  #: distance along the top direction, in standard deviations of the core


@dataclass(frozen=True, slots=True)
class SpectraReport:
    verdict: Verdict
    summary: str
    reason: str
    n: int
    features: tuple[str, ...]
    spectra: tuple[Spectrum, ...]  #: the most conspicuous first
    outliers: tuple[Outlier, ...]  #: rows of groups that stand apart, the farthest first
    thresholds: Thresholds

    def as_json(self, outliers: int = 1_000) -> dict[str, Any]:
        """The report as JSON values, with the first `outliers` rows and the count of all."""
        figures: dict[str, Any] = json_safe(self)
        figures["outliers"] = figures["outliers"][:outliers]
        return {**figures, "outlier_count": len(self.outliers)}


def examine(
    frame: pd.DataFrame,
    *,
    features: Sequence[str],
    label_column: str | None = None,
    reference: pd.DataFrame | None = None,
    thresholds: Thresholds = Thresholds(),
) -> SpectraReport:
    """Look for a small, separate group of rows in each class (in all rows without `label_column`).

    Poisoned rows share a cause, and so a direction along which their class spreads more than any other
    (Tran, Li & Madry 2018, NeurIPS). The class is whitened by the covariance of its core (concentration steps
    as in fast MCD; Rousseeuw & Van Driessen 1999, Technometrics 41:212), so that ordinary correlation does not
    count, and each feature is taken by normal scores, so that heavy tails do not. `reference`: a trusted window;
    a group that it has too is natural. Raises DataProblem.
    """
    import numpy as np

    known = frame[frame[label_column].notna()] if label_column else frame
    names = labels(known[label_column]) if label_column else None
    classes = [str(name) for name in names.value_counts().index[:MAX_CLASSES]] if names is not None else ["all rows"]  # fmt: skip
    columns = list(features)[:MAX_FEATURES]
    whole = _numbers(known, columns)
    trusted = _numbers(reference, columns) if reference is not None else None
    trusted_names = None
    if reference is not None and label_column:
        trusted_names = reference[label_column].map(label, na_action="ignore")
    spectra: list[Spectrum] = []
    outliers: list[Outlier] = []
    for name in classes:
        rows = np.arange(len(known)) if names is None else np.flatnonzero((names == name).to_numpy())
        if len(rows) > MAX_ROWS:
            rows = np.sort(np.random.default_rng(SEED).choice(rows, MAX_ROWS, replace=False))
        if len(rows) < max(thresholds.min_rows, 3 * len(columns)):
            spectra.append(
                Spectrum(name, len(rows), 0.0, 0, 0.0, Interval(0.0, 1.0), 0.0, 0.0, None, "too few")
            )
            continue
        earlier = trusted
        if trusted is not None and trusted_names is not None:
            earlier = trusted[(trusted_names == name).to_numpy()]
        found, members, scores = _spectrum(name, whole[rows], earlier, thresholds)
        spectra.append(found)
        if found.level in ("warn", "crit"):
            positions = known.index.to_numpy()[rows[members]]
            outliers += [
                Outlier(int(row), name, float(score)) for row, score in zip(positions, scores, strict=True)
            ]
    spectra.sort(key=lambda item: (("crit", "warn", "none", "too few").index(item.level), -item.separation))
    outliers.sort(key=lambda item: -item.score)
    verdict, reason = _decide(spectra, thresholds)
    head = {
        "confirmed": "A separate group is confirmed",
        "likely": "A separate group is likely",
        "inconclusive": "Outlier spectra are undecided",
        "refuted": "No separate group",
    }[verdict]
    top = spectra[0]
    figures = f"Top direction {top.ratio:.1f} times the median one in {top.name}, n = {len(known):,}, {len(columns)} features."
    return SpectraReport(
        verdict,
        f"{head}: {reason}. {figures}",
        reason,
        len(known),
        tuple(columns),
        tuple(spectra),
        tuple(outliers),
        thresholds,
    )


def _numbers(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    import numpy as np
    import pandas as pd

    missing = [name for name in columns if name not in frame.columns]
    if missing or not columns:
        raise DataProblem(f"There is no feature {', '.join(missing) or 'at all'}: correct the feature list.")
    table = frame[list(columns)].apply(pd.to_numeric, errors="coerce")
    values = table.to_numpy(dtype=float, na_value=np.nan)
    values[~np.isfinite(values)] = np.nan
    middles = np.nanmedian(np.where(np.isnan(values).all(axis=0), 0.0, values), axis=0)
    return np.where(np.isnan(values), middles, values)


def _normal_scores(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Each column as the normal quantile of its rank among `by` (van der Waerden)."""
    import numpy as np
    from scipy.special import ndtri

    scores = np.empty(values.shape)
    for column in range(values.shape[1]):
        known = np.sort(by[:, column])
        low = np.searchsorted(known, values[:, column], side="left")
        high = np.searchsorted(known, values[:, column], side="right")
        scores[:, column] = ndtri((low + high + 1) / 2 / (len(known) + 1))
    return scores


def _whitened(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(centre, matrix) such that (row - centre) @ matrix has unit covariance over the core of the rows."""
    import numpy as np
    from scipy.stats import chi2

    n, width = scores.shape
    core = np.ones(n, dtype=bool)
    for _ in range(6):
        centre = scores[core].mean(axis=0)
        covariance = np.cov(scores[core], rowvar=False).reshape(width, width)
        covariance += 1e-6 * max(np.trace(covariance) / width, 1e-12) * np.eye(width)
        values, vectors = np.linalg.eigh(covariance)
        matrix = vectors / np.sqrt(np.maximum(values, 1e-12))
        distance = (((scores - centre) @ matrix) ** 2).sum(axis=1)
        matrix = matrix * np.sqrt(chi2.median(width) / max(float(np.median(distance)), 1e-12))
        core = distance <= np.quantile(distance, CORE)
    return centre, matrix


def _spectrum(
    name: str, values: np.ndarray, earlier: np.ndarray | None, limits: Thresholds
) -> tuple[Spectrum, np.ndarray, np.ndarray]:
    """(figures, positions of the group's rows, their scores)."""
    import numpy as np
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    varied = values.std(axis=0) > 0
    scores = _normal_scores(values[:, varied], values[:, varied])
    centre, matrix = _whitened(scores)
    white = (scores - centre) @ matrix
    _, lengths, directions = np.linalg.svd(white - np.median(white, axis=0), full_matrices=False)
    ratio = float(lengths[0] ** 2 / np.median(lengths**2))
    along = (white @ directions[0])[:, None]
    n = len(along)
    far = abs(along[:, 0] - np.median(along))
    # the far tail as a start: k-means would halve the main part
    tail = far >= min(FAR, float(np.quantile(far, 0.995)))
    means = np.asarray([[float(along[~tail].mean())], [float(along[tail].mean())]])
    with threadpool_limits(1):
        one = GaussianMixture(1).fit(along)
        two = GaussianMixture(2, means_init=means, weights_init=[0.97, 0.03], max_iter=200).fit(along)
    evidence = float(one.bic(along) - two.bic(along))
    small = int(two.weights_.argmin())
    spreads = np.sqrt(two.covariances_.reshape(2))
    separation = float(abs(two.means_[0, 0] - two.means_[1, 0]) / np.sqrt((spreads**2).mean()))
    member = two.predict(along) == small
    if separation <= limits.separation:
        member = far > FAR  # no second group: what lies far out
    share = float(member.mean())
    before = None
    if earlier is not None and len(earlier) >= limits.min_rows:
        old = (_normal_scores(earlier[:, varied], values[:, varied]) - centre) @ matrix @ directions[0]
        before = float((abs(old - np.median(along)) >= far[member].min(initial=np.inf)).mean())
    natural = before is not None and before > share / 2
    level = "none"
    if ratio > limits.ratio and not natural:
        isolated = limits.share_low <= share <= limits.share_high and evidence > limits.evidence
        level = "crit" if isolated and separation > limits.separation else "warn"
    group = int(member.sum())
    found = Spectrum(name, n, ratio, group, share, wilson(group, n), separation, evidence, before, level)
    return found, np.flatnonzero(member), far[member]


def _decide(spectra: Sequence[Spectrum], limits: Thresholds) -> tuple[Verdict, str]:
    top = spectra[0]
    rows = f"{top.group:,} rows of {top.name} ({top.share:.1%})"
    if top.level == "crit":
        return "confirmed", f"{rows} stand apart from the rest (separation {top.separation:.1f})"
    if top.level == "warn":
        return (
            "likely",
            f"{top.name} spreads {top.ratio:.1f} times too far in one direction, {rows} the farthest",
        )
    if all(item.level == "too few" for item in spectra):
        return (
            "inconclusive",
            f"no class has enough rows ({limits.min_rows}, and three for each feature)",
        )
    return "refuted", "no class has a small group of rows that stands apart"
