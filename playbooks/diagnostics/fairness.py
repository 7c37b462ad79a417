"""Are groups treated alike? Selection rates, disparate impact, error-rate gaps, each with its uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from playbooks.contract import Verdict
from playbooks.diagnostics.columns import MISSING, json_safe, label, labels
from playbooks.diagnostics.dataset import DataProblem
from playbooks.diagnostics.proportions import Interval, katz, two_proportions, wilson

if TYPE_CHECKING:
    import pandas as pd


class Counts(NamedTuple):
    """Selected (or hit) and total rows of one group."""

    hits: int
    n: int


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`ratio_crit` 0.80 is the four-fifths convention (29 CFR 1607.4 D): a screening line, not a legal
    finding. Gaps and demographic parity are differences of shares (0.10 = 10 points)."""

    ratio_warn: float = 0.90
    ratio_crit: float = 0.80
    gap_warn: float = 0.05
    gap_crit: float = 0.10
    alpha: float = 0.05
    min_rows: int = 200  #: a group is judged from this size on …
    min_selected: int = 30  #: … or with this many selected
    suppress_below: int = 50  #: no figures are shown for smaller groups


@dataclass(frozen=True, slots=True)
class GroupRate:
    """One group against the reference group. Rates are None where the group is too small to show."""

    group: str
    n: int
    status: str  #: "reference", "judged", "low_n" (shown, not judged) or "insufficient" (not shown)
    selected: int | None = None
    rate: float | None = None
    rate_interval: Interval | None = None
    ratio: float | None = None
    ratio_interval: Interval | None = None
    z: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True, slots=True)
class ErrorGap:
    """The widest gap of an error rate between two groups; `p_value` is Bonferroni-corrected over the pairs."""

    gap: float
    highest: str
    lowest: str
    p_value: float
    rates: tuple[tuple[str, float, int], ...]  #: (group, rate, rows it is taken from)


@dataclass(frozen=True, slots=True)
class FairnessReport:
    verdict: Verdict
    summary: str
    reason: str
    n: int
    n_min: int | None  #: rows of the smallest judged group
    reference_group: str | None
    groups: tuple[GroupRate, ...]
    worst: GroupRate | None
    parity_difference: float | None  #: highest minus lowest selection rate of the judged groups
    tpr: ErrorGap | None
    fpr: ErrorGap | None
    conditional_ratio: float | None  #: Mantel-Haenszel ratio of the worst group within the strata
    thresholds: Thresholds

    @property
    def equalised_odds_difference(self) -> float | None:
        """The larger one of the TPR and FPR gaps (Hardt et al. 2016)."""
        gaps = [item.gap for item in (self.tpr, self.fpr) if item is not None]
        return max(gaps) if gaps else None

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {**json_safe(self), "equalised_odds_difference": json_safe(self.equalised_odds_difference)}


def assess(
    frame: pd.DataFrame,
    *,
    group: str | Sequence[str],
    prediction: str,
    label_column: str | None = None,
    positive: object = None,
    threshold: float | None = None,
    reference_group: str | None = None,
    stratum: str | None = None,
    thresholds: Thresholds = Thresholds(),
) -> FairnessReport:
    """Measure a table of decisions, one row per decision.

    `group` may be several columns (their combinations are compared). `positive` is the favourable value
    of `prediction` and of `label_column`; a score needs `threshold` (selected at or above it). Labels
    that are missing (not matured) are left out of the error rates only. Rows without a group or a
    prediction are left out. Raises DataProblem when the columns cannot be read this way.
    """
    columns = [group] if isinstance(group, str) else list(group)
    named, known = groups_of(frame, columns)
    selected = favourable(frame[prediction], prediction, positive, threshold)
    rows = known & frame[prediction].notna()
    if not rows.any():
        raise DataProblem(f"No row has both {', '.join(columns)} and {prediction}: check the column names.")
    named, selected = named[rows], selected[rows]
    counts = _counted(named, selected)
    true_hits: dict[str, Counts] = {}
    false_hits: dict[str, Counts] = {}
    if label_column:
        matured = frame.loc[rows, label_column].notna()
        actual = favourable(frame.loc[rows, label_column][matured], label_column, positive, None)
        shown = selected[matured]
        true_hits = _counted(named[matured][actual], shown[actual])
        false_hits = _counted(named[matured][~actual], shown[~actual])
    strata = None
    if stratum:
        parts = labels(frame.loc[rows, stratum])
        strata = [_counted(named[parts == part], selected[parts == part]) for part in sorted(parts.unique())]
    return compare(
        counts,
        true_hits=true_hits,
        false_hits=false_hits,
        strata=strata,
        reference_group=reference_group,
        thresholds=thresholds,
    )


def compare(
    counts: Mapping[str, tuple[int, int]],
    *,
    true_hits: Mapping[str, tuple[int, int]] | None = None,
    false_hits: Mapping[str, tuple[int, int]] | None = None,
    strata: Sequence[Mapping[str, tuple[int, int]]] | None = None,
    reference_group: str | None = None,
    thresholds: Thresholds = Thresholds(),
) -> FairnessReport:
    """Compare groups from counts: {group: (selected, n)}; `true_hits` {group: (true positives, positives)};
    `false_hits` {group: (false positives, negatives)}; `strata` one `counts` per stratum.

    The reference group defaults to the judged group with the highest selection rate. P-values are
    corrected over the groups (Benjamini-Hochberg).
    """
    groups = {name: Counts(*pair) for name, pair in counts.items() if pair[1] > 0}
    judged = {name: item for name, item in groups.items() if _large(item, thresholds)}
    if reference_group is not None and reference_group not in groups:
        raise DataProblem(
            f"There is no group {reference_group!r}; the groups are {', '.join(sorted(groups))}. "
            "Correct the reference group."
        )
    base_name = reference_group
    if base_name is None and judged:
        base_name = max(judged, key=lambda name: (judged[name].hits / judged[name].n, judged[name].n))
    rows = _against(groups, base_name, judged, thresholds)
    compared = [row for row in rows if row.status == "judged" and row.ratio is not None]
    worst = min(compared, key=lambda row: row.ratio if row.ratio is not None else 1.0, default=None)
    rates = [item.hits / item.n for item in judged.values()]
    difference = max(rates) - min(rates) if len(rates) > 1 else None
    tpr, fpr = _gap(true_hits or {}, thresholds), _gap(false_hits or {}, thresholds)
    conditional = None
    if strata and worst is not None and base_name is not None:
        conditional = _mantel_haenszel(strata, worst.group, base_name)
    verdict, reason = _decide(rows, worst, difference, tpr, fpr, base_name, judged, thresholds)
    return FairnessReport(
        verdict=verdict,
        summary=_summary(verdict, reason, worst, base_name, tpr, fpr, conditional),
        reason=reason,
        n=sum(item.n for item in groups.values()),
        n_min=min((item.n for item in judged.values()), default=None),
        reference_group=base_name,
        groups=rows,
        worst=worst,
        parity_difference=difference,
        tpr=tpr,
        fpr=fpr,
        conditional_ratio=conditional,
        thresholds=thresholds,
    )


def groups_of(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[pd.Series, pd.Series]:
    """The name of each row's group (of combined columns, “A × B”), and whether it is known."""
    named = labels(frame[columns[0]])
    known = named != MISSING
    for column in columns[1:]:
        texts = labels(frame[column])
        known &= texts != MISSING
        named = named + " × " + texts
    return named, known


def favourable(column: pd.Series, name: str, positive: object, threshold: float | None) -> pd.Series:
    """Whether each decision is the favourable one. Raises DataProblem when that cannot be told."""
    import pandas as pd

    if threshold is not None:
        scores = pd.to_numeric(column, errors="coerce")
        if scores.notna().sum() < column.notna().sum():
            raise DataProblem(
                f"{name} holds text, so the threshold {threshold:g} cannot be applied: set positive_label."
            )
        return scores >= threshold
    texts = labels(column)
    values = sorted(set(texts.unique()) - {MISSING})
    if positive is not None:
        wanted = label(positive)
        if wanted not in values:
            raise DataProblem(
                f"{name} never has the positive label {wanted!r}; its values are {', '.join(values[:10])}. "
                "Set positive_label to the favourable one."
            )
        return texts == wanted
    for yes, no in (("1", "0"), ("True", "False"), ("true", "false"), ("yes", "no")):
        if set(values) <= {yes, no}:
            return texts == yes
    raise DataProblem(
        f"{name} has the values {', '.join(values[:10])}: set positive_label to the favourable one, "
        "or threshold when it is a score."
    )


def _counted(named: pd.Series, hits: pd.Series) -> dict[str, Counts]:
    table = hits.groupby(named).agg(["sum", "count"])
    return {str(name): Counts(int(row["sum"]), int(row["count"])) for name, row in table.iterrows()}


def _large(item: Counts, limits: Thresholds) -> bool:
    return item.n >= limits.min_rows or (item.n >= limits.suppress_below and item.hits >= limits.min_selected)


def _against(
    groups: Mapping[str, Counts], base_name: str | None, judged: Mapping[str, Counts], limits: Thresholds
) -> tuple[GroupRate, ...]:
    from scipy.stats import false_discovery_control

    base = groups.get(base_name) if base_name is not None else None
    others = [name for name in judged if name != base_name] if base is not None else []
    tests = {name: two_proportions(*groups[name], *base) for name in others} if base is not None else {}
    adjusted = false_discovery_control([tests[name].p_value for name in others]) if others else []
    corrected = {name: float(value) for name, value in zip(others, adjusted, strict=True)}
    rows = []
    for name, item in sorted(groups.items()):
        if item.n < limits.suppress_below:
            rows.append(GroupRate(name, item.n, "insufficient"))
            continue
        shared: dict[str, Any] = {
            "selected": item.hits,
            "rate": item.hits / item.n,
            "rate_interval": wilson(*item),
        }
        if name == base_name:
            rows.append(GroupRate(name, item.n, "reference", **shared))
            continue
        ratio = interval = None
        if base is not None and base.hits:
            ratio = (item.hits / item.n) / (base.hits / base.n)
            interval = katz(*item, *base)
        test = tests.get(name)
        rows.append(
            GroupRate(
                name,
                item.n,
                "judged" if name in judged else "low_n",
                **shared,
                ratio=ratio,
                ratio_interval=interval,
                z=test.z if test else None,
                p_value=test.p_value if test else None,
                p_adjusted=corrected.get(name),
            )
        )
    return tuple(rows)


def _gap(hits: Mapping[str, tuple[int, int]], limits: Thresholds) -> ErrorGap | None:
    shown = {name: Counts(*pair) for name, pair in hits.items() if pair[1] >= limits.suppress_below}
    if len(shown) < 2:
        return None
    rates = {name: item.hits / item.n for name, item in shown.items()}
    highest, lowest = max(rates, key=lambda name: rates[name]), min(rates, key=lambda name: rates[name])
    pairs = sum(1 for _ in combinations(shown, 2))
    p_value = min(1.0, pairs * two_proportions(*shown[highest], *shown[lowest]).p_value)
    table = tuple((name, rates[name], shown[name].n) for name in sorted(shown))
    return ErrorGap(rates[highest] - rates[lowest], highest, lowest, p_value, table)


def _mantel_haenszel(strata: Sequence[Mapping[str, tuple[int, int]]], group: str, base: str) -> float | None:
    """Common ratio of selection rates over strata (Mantel-Haenszel; Rothman, Modern Epidemiology, ch. 15)."""
    top = bottom = 0.0
    for part in strata:
        hits, n = part.get(group, (0, 0))
        base_hits, base_n = part.get(base, (0, 0))
        if n and base_n:
            top += hits * base_n / (n + base_n)
            bottom += base_hits * n / (n + base_n)
    return top / bottom if bottom else None


def _decide(
    rows: Sequence[GroupRate],
    worst: GroupRate | None,
    difference: float | None,
    tpr: ErrorGap | None,
    fpr: ErrorGap | None,
    base_name: str | None,
    judged: Mapping[str, Counts],
    limits: Thresholds,
) -> tuple[Verdict, str]:
    if worst is None or base_name not in judged:
        sizes = ", ".join(f"{row.group} {row.n}" for row in rows[:6])
        return (
            "inconclusive",
            f"fewer than two groups are large enough to judge ({sizes}; {limits.min_rows} needed)",
        )
    significant = [row for row in rows if row.p_adjusted is not None and row.p_adjusted < limits.alpha]
    low = [row for row in significant if row.ratio is not None and row.ratio < limits.ratio_warn]
    breach = [row for row in low if row.ratio is not None and row.ratio < limits.ratio_crit]
    gaps = [(name, gap) for name, gap in (("true-positive", tpr), ("false-positive", fpr)) if gap is not None]
    real = [(name, gap) for name, gap in gaps if gap.p_value < limits.alpha]
    if breach:
        names = ", ".join(row.group for row in breach[:3])
        return (
            "confirmed",
            f"{names} is selected at less than {limits.ratio_crit:g} of the rate of {base_name}",
        )
    for name, gap in real:
        if gap.gap > limits.gap_crit:
            return (
                "confirmed",
                f"the {name} rate differs by {gap.gap:.3f} between {gap.highest} and {gap.lowest}",
            )
    if significant and difference is not None and difference > limits.gap_crit:
        return "confirmed", f"selection rates differ by {difference:.3f} (limit {limits.gap_crit:g})"
    if low:
        names = ", ".join(row.group for row in low[:3])
        return "likely", f"{names} is selected at less than {limits.ratio_warn:g} of the rate of {base_name}"
    for name, gap in real:
        if gap.gap > limits.gap_warn:
            return (
                "likely",
                f"the {name} rate differs by {gap.gap:.3f} between {gap.highest} and {gap.lowest}",
            )
    if significant and difference is not None and difference > limits.gap_warn:
        return "likely", f"selection rates differ by {difference:.3f} (limit {limits.gap_warn:g})"
    if worst.ratio is not None and worst.ratio < limits.ratio_crit:
        return (
            "inconclusive",
            f"the ratio of {worst.group} is low, but chance explains it with {worst.n} rows",
        )
    small = [row.group for row in rows if row.status in ("low_n", "insufficient")]
    note = f"; too small to judge: {', '.join(small[:5])}" if small else ""
    return "refuted", f"no judged group falls behind by an amount that matters{note}"


def _summary(
    verdict: Verdict,
    reason: str,
    worst: GroupRate | None,
    base_name: str | None,
    tpr: ErrorGap | None,
    fpr: ErrorGap | None,
    conditional: float | None,
) -> str:
    head = {
        "confirmed": "The disparity is confirmed",
        "likely": "A disparity is likely",
        "inconclusive": "The disparity is undecided",
        "refuted": "No disparity",
    }[verdict]
    parts = [f"{head}: {reason}."]
    if worst is not None and worst.ratio is not None and worst.rate is not None:
        text = f"{worst.group} is selected at {worst.rate:.1%}, a ratio of {worst.ratio:.3f} to {base_name}"
        if worst.ratio_interval:
            text += f" (95 % interval {worst.ratio_interval.low:.3f}–{worst.ratio_interval.high:.3f}, n = {worst.n:,})"
        parts.append(text + ".")
    gaps = [f"{name} gap {gap.gap:.3f}" for name, gap in (("TPR", tpr), ("FPR", fpr)) if gap is not None]
    if gaps:
        parts.append(f"Error rates on matured labels: {', '.join(gaps)}.")
    if conditional is not None:
        parts.append(f"Within strata the ratio is {conditional:.3f}.")
    return " ".join(parts)
