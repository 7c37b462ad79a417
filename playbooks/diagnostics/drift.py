"""Has the data moved? Per feature PSI, KS, chi-square, Wasserstein; a domain classifier over all of them.

A feature has drifted when a test is significant after correction over the features *and* the effect
is large enough to matter: with many rows any p-value is small, with few rows any PSI is large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from playbooks.contract import Verdict
from playbooks.diagnostics.columns import Kind, json_safe, kind_of, labels, numbers
from playbooks.diagnostics.dataset import DataProblem
from playbooks.diagnostics.domain_classifier import DomainClassifier, tell_apart

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Level = Literal["none", "suppressed", "warn", "crit", "not_tested"]

MIN_ROWS = 50  #: per side; below it a feature is not tested at all
#: Share of the level that each of the two families of tests per feature may spend; the classifier takes the rest.
FAMILY = 0.4
POOL_BELOW = 0.05  #: bins with a smaller share are pooled


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where a difference matters. PSI, D and V are pure numbers; Wasserstein is in reference standard
    deviations; alpha is the false discovery rate over the features, shared by
    their two tests (`FAMILY`)."""

    psi_warn: float = 0.10
    psi_crit: float = 0.25
    effect_warn: float = 0.10  #: KS D and Cramér's V
    effect_crit: float = 0.20
    alpha_warn: float = 0.05
    alpha_crit: float = 0.01
    share_warn: float = 0.30
    auc_warn: float = 0.55
    auc_crit: float = 0.65
    bins: int = 10


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One feature. `statistic` is KS D (numeric) or Cramér's V (categorical), `p_value` of KS or chi-square."""

    name: str
    kind: Kind
    n_reference: int
    n_current: int
    level: Level
    reason: str
    psi: float | None = None
    psi_floor: float | None = None  #: 95th percentile of PSI without any drift
    psi_p_adjusted: float | None = None
    statistic: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    jensen_shannon: float | None = None  #: distance of the binned shares, base 2, 0 to 1
    wasserstein: float | None = None  #: in standard deviations of the reference
    median_reference: float | None = None
    median_current: float | None = None

    @property
    def drifted(self) -> bool:
        return self.level in ("warn", "crit")


@dataclass(frozen=True, slots=True)
class DriftReport:
    verdict: Verdict
    summary: str
    reason: str
    n_reference: int
    n_current: int
    features: tuple[FeatureDrift, ...]  #: the largest PSI first
    share_drifted: float  #: of the tested features
    max_psi: float | None
    prediction: FeatureDrift | None
    domain: DomainClassifier | None
    thresholds: Thresholds

    @property
    def drifted(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.features if item.drifted)

    @property
    def tested(self) -> tuple[FeatureDrift, ...]:
        return tuple(item for item in self.features if item.level != "not_tested")

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {**json_safe(self), "drifted": list(self.drifted)}


def compare(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    *,
    features: Sequence[str] = (),
    prediction: str | None = None,
    exclude: Sequence[str] = (),
    thresholds: Thresholds = Thresholds(),
    domain_classifier: bool = True,
) -> DriftReport:
    """Compare the feature columns of two windows.

    `features` defaults to all columns that both have, without `prediction` and `exclude`.
    Raises DataProblem when no column can be compared.
    """
    names = _feature_names(reference, current, features, {*exclude, *([prediction] if prediction else [])})
    predicted = prediction if prediction and prediction in reference and prediction in current else None
    columns = [*names, *([predicted] if predicted else [])]
    raw = [_measure(name, reference[name], current[name], thresholds) for name in columns]
    # the prediction is one more comparison, so it is corrected together with the features
    judged = _judge(raw, thresholds)
    forecast = judged.pop() if predicted else None
    tested = [item for item in judged if item.level != "not_tested"]
    if not tested:
        reasons = "; ".join(f"{item.name}: {item.reason}" for item in judged[:5])
        raise DataProblem(
            f"No feature could be tested ({reasons}). Give windows with at least {MIN_ROWS} rows."
        )
    domain = tell_apart(reference, current, [item.name for item in tested]) if domain_classifier else None
    verdict, reason = _decide(tested, forecast, domain, thresholds)
    ordered = tuple(sorted(judged, key=lambda item: -1.0 if item.psi is None else item.psi, reverse=True))
    share = sum(item.drifted for item in tested) / len(tested)
    max_psi = max((item.psi for item in tested if item.psi is not None), default=None)
    return DriftReport(
        verdict=verdict,
        summary=_summary(verdict, ordered, tested, forecast, domain, reason),
        reason=reason,
        n_reference=len(reference),
        n_current=len(current),
        features=ordered,
        share_drifted=share,
        max_psi=max_psi,
        prediction=forecast,
        domain=domain,
        thresholds=thresholds,
    )


def psi(reference: np.ndarray, current: np.ndarray) -> float:
    """Population stability index of two count vectors over the same bins, in nats.

    Half a count is added to every bin, so that an empty one stays finite.
    """
    import numpy as np

    expected = (reference + 0.5) / (reference.sum() + 0.5 * len(reference))
    actual = (current + 0.5) / (current.sum() + 0.5 * len(current))
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def noise_floor(bins: int, n: int, m: int, level: float = 0.95) -> float:
    """The PSI that `level` of comparisons stay below without drift: chi2(level, bins-1) * (1/n + 1/m).

    PSI is the symmetrised Kullback-Leibler divergence; its scaled limit under equality is chi-square
    (Yurdakul & Naranjo 2020, J. Risk Model Validation 14(4)).
    """
    from scipy.stats import chi2

    return float(chi2.ppf(level, bins - 1)) * (1 / n + 1 / m)


def quantile_counts(
    reference: np.ndarray, current: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of both samples in the reference's quantile bins: (inner edges, reference, current).

    Bins with less than 5 % of the reference (ties make them) are merged into their neighbour.
    """
    import numpy as np

    edges = np.unique(np.quantile(reference, np.linspace(0, 1, bins + 1)[1:-1]))
    base = np.bincount(np.searchsorted(edges, reference, side="left"), minlength=len(edges) + 1)
    kept: list[float] = []
    held = 0
    for position, edge in enumerate(edges):
        held += base[position]
        rest = base[position + 1 :].sum()
        if held >= POOL_BELOW * len(reference) and rest >= POOL_BELOW * len(reference):
            kept.append(edge)
            held = 0
    inner = np.asarray(kept)
    return (
        inner,
        np.bincount(np.searchsorted(inner, reference, side="left"), minlength=len(inner) + 1),
        np.bincount(np.searchsorted(inner, current, side="left"), minlength=len(inner) + 1),
    )


def category_counts(reference: pd.Series, current: pd.Series) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Counts of both samples per category: (names, reference, current). Rare categories (mean share
    below 5 %) are pooled into "(other)"; missing is a category."""
    import numpy as np

    base, now = labels(reference).value_counts(), labels(current).value_counts()
    names = sorted(set(base.index) | set(now.index))
    left = np.asarray([int(base.get(name, 0)) for name in names])
    right = np.asarray([int(now.get(name, 0)) for name in names])
    rare = (left / max(left.sum(), 1) + right / max(right.sum(), 1)) / 2 < POOL_BELOW
    if rare.sum() > 1:
        names = [name for name, pooled in zip(names, rare, strict=True) if not pooled] + ["(other)"]
        left = np.append(left[~rare], left[rare].sum())
        right = np.append(right[~rare], right[rare].sum())
    return names, left, right


def binned(kind: Kind, reference: pd.Series, current: pd.Series) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Counts of both samples by the bins that PSI uses, with a name for each bin."""
    if kind != "numeric":
        return category_counts(reference, current)
    edges, base, now = quantile_counts(numbers(reference), numbers(current))
    if not len(edges):
        return ["all"], base, now
    texts = _told_apart(edges)
    between = [f"{low}..{high}" for low, high in pairwise(texts)]
    return [f"≤ {texts[0]}", *between, f"> {texts[-1]}"], base, now


def _told_apart(edges: np.ndarray) -> list[str]:
    """The edges with as few digits as tell them apart, at least two."""
    for digits in range(2, 17):
        texts = [f"{edge:.{digits}g}" for edge in edges]
        if len(set(texts)) == len(texts):
            break
    return texts


@dataclass(frozen=True, slots=True)
class _Raw:
    """Figures of one feature before the correction over features."""

    name: str
    kind: Kind
    n: int
    m: int
    skipped: str = ""
    psi: float = 0.0
    floor: float = 0.0
    psi_p: float = 1.0
    statistic: float = 0.0
    p_value: float = 1.0
    jensen_shannon: float = 0.0
    wasserstein: float | None = None
    medians: tuple[float, float] | None = None


def _feature_names(
    reference: pd.DataFrame, current: pd.DataFrame, features: Sequence[str], exclude: set[str]
) -> list[str]:
    shared = [str(name) for name in reference.columns if name in current.columns and name not in exclude]
    if not features:
        if not shared:
            raise DataProblem(
                "Reference and current share no feature column: run the data quality check first."
            )
        return shared
    missing = [name for name in features if name not in reference.columns or name not in current.columns]
    if missing:
        raise DataProblem(
            f"Feature {', '.join(missing[:10])} is missing from the reference or the current window: "
            "run the data quality check, or correct the feature list."
        )
    return list(features)


def _measure(name: str, reference: pd.Series, current: pd.Series, limits: Thresholds) -> _Raw:
    import numpy as np
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import chi2, chi2_contingency, ks_2samp, wasserstein_distance

    kind = kind_of(reference, current)
    if kind == "numeric":
        # sorted once: what follows looks up or sorts again, which is fast in sorted values
        left, right = np.sort(numbers(reference)), np.sort(numbers(current))
        n, m = len(left), len(right)
        if min(n, m) < MIN_ROWS:
            return _Raw(name, kind, n, m, f"fewer than {MIN_ROWS} values on a side")
        _, base, now = quantile_counts(left, right, limits.bins)
        test = ks_2samp(left, right, method="asymp")
        statistic, p_value = float(test.statistic), float(test.pvalue)
        spread = float(left.std())
        distance = float(wasserstein_distance(left, right)) / spread if spread > 0 else None
        medians = (float(np.median(left)), float(np.median(right)))
    elif kind == "categorical":
        n, m = len(reference), len(current)
        if min(n, m) < MIN_ROWS:
            return _Raw(name, kind, n, m, f"fewer than {MIN_ROWS} rows on a side")
        names, base, now = category_counts(reference, current)
        if names == ["(other)"]:
            return _Raw(name, kind, n, m, "every value is rare, like an identifier")
        if len(names) < 2:
            return _Raw(name, kind, n, m, "one value only, the same in both windows")
        outcome = chi2_contingency(np.vstack([base, now]), correction=False)
        p_value = float(outcome.pvalue)
        statistic = float(np.sqrt(outcome.statistic / (n + m)))
        distance, medians = None, None
    else:
        reasons = {"empty": "no values", "time": "a time is not a feature"}
        return _Raw(
            name, kind, len(reference), len(current), reasons.get(kind, "other types in the two windows")
        )
    value, bins = psi(base, now), len(base)
    floor = noise_floor(bins, n, m) if bins > 1 else 0.0
    psi_p = float(chi2.sf(value / (1 / n + 1 / m), bins - 1)) if bins > 1 else 1.0
    far = float(jensenshannon(base, now, base=2))
    return _Raw(name, kind, n, m, "", value, floor, psi_p, statistic, p_value, far, distance, medians)


def _judge(raw: Sequence[_Raw], limits: Thresholds) -> list[FeatureDrift]:
    from scipy.stats import false_discovery_control

    tested = [item for item in raw if not item.skipped]
    adjusted: dict[str, tuple[float, float]] = {}
    if tested:
        by_test = false_discovery_control([item.p_value for item in tested])
        by_psi = false_discovery_control([item.psi_p for item in tested])
        adjusted = {
            item.name: (float(test), float(index))
            for item, test, index in zip(tested, by_test, by_psi, strict=True)
        }
    return [
        FeatureDrift(item.name, item.kind, item.n, item.m, "not_tested", item.skipped)
        if item.skipped
        else _judged(item, *adjusted[item.name], limits)
        for item in raw
    ]


def _judged(raw: _Raw, p_adjusted: float, psi_p: float, limits: Thresholds) -> FeatureDrift:
    measure = "D" if raw.kind == "numeric" else "V"
    by_psi = [
        psi_p < alpha * FAMILY and raw.psi > max(limit, raw.floor)
        for alpha, limit in ((limits.alpha_warn, limits.psi_warn), (limits.alpha_crit, limits.psi_crit))
    ]
    by_test = [
        p_adjusted < alpha * FAMILY and raw.statistic >= limit
        for alpha, limit in ((limits.alpha_warn, limits.effect_warn), (limits.alpha_crit, limits.effect_crit))
    ]
    level: Level
    if by_psi[1] or by_test[1]:
        level = "crit"
    elif by_psi[0] or by_test[0]:
        level = "warn"
    else:
        level = "none"
    figures = f"PSI {raw.psi:.3f}, {measure} {raw.statistic:.3f}, adjusted p {p_adjusted:.2g}"
    if level != "none":
        reason = f"moved: {figures}"
    elif raw.psi > limits.psi_warn:
        level = "suppressed"
        reason = f"PSI {raw.psi:.3f} is what chance gives with this many rows (noise floor {raw.floor:.3f})"
    elif p_adjusted < limits.alpha_warn:
        reason = f"significant but too small to matter: {figures}"
    else:
        reason = f"no difference beyond chance: {figures}"
    return FeatureDrift(
        name=raw.name,
        kind=raw.kind,
        n_reference=raw.n,
        n_current=raw.m,
        level=level,
        reason=reason,
        psi=raw.psi,
        psi_floor=raw.floor,
        psi_p_adjusted=psi_p,
        statistic=raw.statistic,
        p_value=raw.p_value,
        p_adjusted=p_adjusted,
        jensen_shannon=raw.jensen_shannon,
        wasserstein=raw.wasserstein,
        median_reference=raw.medians[0] if raw.medians else None,
        median_current=raw.medians[1] if raw.medians else None,
    )


def _decide(
    tested: Sequence[FeatureDrift],
    prediction: FeatureDrift | None,
    domain: DomainClassifier | None,
    limits: Thresholds,
) -> tuple[Verdict, str]:
    drifted = [item for item in tested if item.drifted]
    share = len(drifted) / len(tested)
    critical = [item.name for item in drifted if item.level == "crit"]
    separable = domain is not None and domain.p_value < 0.01
    if critical:
        return "confirmed", f"critical drift in {', '.join(critical[:3])}"
    if len(drifted) >= 2 and share >= limits.share_warn:
        return "confirmed", f"{share:.0%} of the features moved (limit {limits.share_warn:.0%})"
    if prediction is not None and prediction.level == "crit":
        return "confirmed", f"the prediction moved critically ({prediction.reason})"
    if domain is not None and separable and domain.auc > limits.auc_crit:
        return (
            "confirmed",
            f"a classifier tells the windows apart (AUC {domain.auc:.2f}, limit {limits.auc_crit:g})",
        )
    if drifted:
        return "likely", f"{len(drifted)} of {len(tested)} features moved, none critically"
    if prediction is not None and prediction.drifted:
        return "likely", f"only the prediction moved ({prediction.reason})"
    if domain is not None and separable and domain.auc > limits.auc_warn:
        return "likely", f"a classifier partly tells the windows apart (AUC {domain.auc:.2f})"
    weakest = max((item.psi_floor or 0.0 for item in tested), default=0.0)
    if weakest > limits.psi_crit:
        return "inconclusive", f"too few rows: even a PSI of {limits.psi_crit:g} could be chance here"
    suppressed = [item.name for item in tested if item.level == "suppressed"]
    if suppressed:
        return (
            "inconclusive",
            f"{', '.join(suppressed[:3])} moved no more than chance allows with so few rows",
        )
    return "refuted", "no feature moved beyond chance by an amount that matters"


def _summary(
    verdict: Verdict,
    ordered: Sequence[FeatureDrift],
    tested: Sequence[FeatureDrift],
    prediction: FeatureDrift | None,
    domain: DomainClassifier | None,
    reason: str,
) -> str:
    head = {
        "confirmed": "Drift is confirmed",
        "likely": "Drift is likely",
        "inconclusive": "Drift is undecided",
        "refuted": "No drift",
    }[verdict]
    drifted = [item for item in ordered if item.drifted]
    parts = [f"{head}: {reason}.", f"{len(drifted)} of {len(tested)} features drifted"]
    if drifted and drifted[0].psi is not None:
        parts[-1] += f" (largest PSI {drifted[0].psi:.2f} on {drifted[0].name})"
    if prediction is not None and prediction.psi is not None:
        parts[-1] += f", prediction PSI {prediction.psi:.2f}"
    if domain is not None:
        parts[-1] += f", domain classifier AUC {domain.auc:.2f}"
    parts[-1] += "."
    return " ".join(parts)
