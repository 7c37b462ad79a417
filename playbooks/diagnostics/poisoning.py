"""Were labels tampered with? Confident learning, concentration by source, neighbour disagreement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from playbooks.contract import Verdict
from playbooks.diagnostics import label_errors
from playbooks.diagnostics.columns import json_safe, labels
from playbooks.diagnostics.dataset import DataProblem
from playbooks.diagnostics.proportions import Interval, two_proportions, wilson

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MAX_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Rates are shares of rows; `excess_crit` is added to the baseline rate, `excess_warn` multiplies it."""

    excess_warn: float = 2.0
    excess_crit: float = 0.02
    concentration: float = 0.50  #: share of all suspects from one source
    over_representation: float = 2.0  #: that share over the source's share of the rows
    z_warn: float = 4.0
    z_crit: float = 8.0
    alpha: float = 0.01
    min_rows: int = 500
    min_suspects: int = 20
    min_skill: float = 0.60  #: balanced accuracy below which the features cannot show wrong labels


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row whose label the features contradict; `score` is 1 minus the probability of the given label."""

    row: int  #: position in the data set, from 0
    label: str
    expected: str
    score: float
    source: str | None
    neighbour_disagreement: float | None  #: share of the 10 nearest rows with another label


@dataclass(frozen=True, slots=True)
class Source:
    """One origin of rows. z values compare it with all other rows (labels: with its own reference if known)."""

    name: str
    n: int
    suspects: int
    suspect_rate: float
    suspect_share: float  #: of all suspects
    row_share: float
    suspect_z: float
    p_adjusted: float
    label_rate: float | None  #: share of the positive (two classes) label
    label_z: float | None
    label_z_own: bool  #: label_z is against the source's own reference
    neighbour_z: float | None


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Mean share of the 10 nearest rows with another label; a sample of at most 10,000 rows."""

    disagreement: float
    n: int


@dataclass(frozen=True, slots=True)
class PoisoningReport:
    verdict: Verdict
    summary: str
    reason: str
    n: int
    n_reference: int
    sampled: bool
    classes: tuple[str, ...]
    skill: float  #: balanced accuracy of the cross-validated model
    flip_rate: float
    flip_interval: Interval
    baseline_rate: float | None
    baseline_from: str  #: "reference", "given", "other sources" or ""
    p_value: float | None  #: flip rate against the baseline
    suspects: tuple[Suspect, ...]  #: the highest score first
    sources: tuple[Source, ...]  #: the highest suspect z first
    neighbours: Neighbours | None
    thresholds: Thresholds

    @property
    def top_source(self) -> Source | None:
        """The source that stands out most, if any has suspects."""
        return next((item for item in self.sources if item.suspects), None)

    def as_json(self, suspects: int = 1_000) -> dict[str, Any]:
        """The report as JSON values, with the first `suspects` suspects and the count of all."""
        figures = json_safe(self)
        figures["suspects"] = figures["suspects"][:suspects]
        return {**figures, "suspect_count": len(self.suspects)}


def examine(
    frame: pd.DataFrame,
    *,
    label_column: str,
    features: Sequence[str] = (),
    source_column: str | None = None,
    exclude: Sequence[str] = (),
    reference: pd.DataFrame | None = None,
    baseline_rate: float | None = None,
    positive: object = None,
    thresholds: Thresholds = Thresholds(),
) -> PoisoningReport:
    """Look for flipped labels in `frame` (one row per training record).

    `reference` is an earlier, trusted window with the same columns: its rate is the baseline, unless
    `baseline_rate` is given; without either, the median rate of the other sources is. `features` defaults
    to every column but the label, the source and `exclude`. Raises DataProblem when there are too few
    rows, fewer than two classes or no usable feature.
    """
    names = label_errors.usable_features(
        frame, features, {label_column, *exclude, *([source_column] if source_column else [])}
    )
    rows = frame[frame[label_column].notna()]
    sampled = len(rows) > MAX_ROWS
    if sampled:
        rows = rows.sample(MAX_ROWS, random_state=label_errors.SEED).sort_index()
    if len(rows) < thresholds.min_rows:
        raise DataProblem(
            f"Only {len(rows)} labelled rows; at least {thresholds.min_rows} are needed to look for wrong labels. "
            "Give a longer window."
        )
    sources = labels(rows[source_column]) if source_column else None
    found = label_errors.find(rows, names, label_column)
    neighbour_rows, disagreement = label_errors.neighbour_disagreement(found.matrix, found.given)
    neighbours = Neighbours(float(disagreement.mean()), len(disagreement))
    known = (
        reference[reference[label_column].notna()]
        if reference is not None and label_column in reference
        else None
    )
    known_source = known if known is not None and source_column and source_column in known.columns else None
    table = _by_source(
        found, sources, neighbour_rows, disagreement, label_column, source_column, known_source, positive
    )
    rate = float(found.suspect.mean())
    count = int(found.suspect.sum())
    baseline, origin, p_value = baseline_rate, "given" if baseline_rate is not None else "", None
    if baseline is not None:
        p_value = _above(count, len(rows), baseline)
    elif known is not None and len(known) >= thresholds.min_rows:
        if len(known) > MAX_ROWS:
            known = known.sample(MAX_ROWS, random_state=label_errors.SEED)
        before = label_errors.find(
            known, [name for name in names if name in known.columns], label_column
        ).suspect
        baseline, origin = float(before.mean()), "reference"
        p_value = two_proportions(count, len(rows), int(before.sum()), len(known)).p_value
    elif len(table) >= 4:
        others = sorted(item.suspect_rate for item in table[1:] if item.n >= 50)
        if others:
            baseline, origin = others[len(others) // 2], "other sources"
            p_value = _above(count, len(rows), baseline)
    verdict, reason = _decide(rate, count, baseline, p_value, table, found.skill, thresholds)
    return PoisoningReport(
        verdict=verdict,
        summary=_summary(verdict, reason, rate, count, len(rows), baseline, table, neighbours),
        reason=reason,
        n=len(rows),
        n_reference=0 if known is None else len(known),
        sampled=sampled,
        classes=tuple(found.classes),
        skill=found.skill,
        flip_rate=rate,
        flip_interval=wilson(count, len(rows)),
        baseline_rate=baseline,
        baseline_from=origin,
        p_value=p_value,
        suspects=_suspects(
            found, sources, dict(zip(neighbour_rows.tolist(), disagreement.tolist(), strict=True))
        ),
        sources=tuple(table),
        neighbours=neighbours,
        thresholds=thresholds,
    )


def _by_source(
    found: label_errors.LabelErrors,
    sources: pd.Series | None,
    neighbour_rows: np.ndarray,
    disagreement: np.ndarray,
    label_column: str,
    source_column: str | None,
    reference: pd.DataFrame | None,
    positive: object,
) -> list[Source]:
    import numpy as np
    from scipy.stats import false_discovery_control

    if sources is None or sources.nunique() < 2:
        return []
    names = sources.to_numpy()
    yes = _positive_class(found.classes, positive)
    total, count = len(names), int(found.suspect.sum())
    spread = float(disagreement.std())
    drafts = []
    for name in sorted(sources.unique()):
        mine = names == name
        n, hits = int(mine.sum()), int(found.suspect[mine].sum())
        test = two_proportions(hits, n, count - hits, total - n)
        label_rate = label_z = None
        own = False
        if yes is not None:
            is_yes = found.given == yes
            k = int(is_yes[mine].sum())
            label_rate = k / n
            before = None
            if reference is not None and source_column:
                before = labels(reference.loc[labels(reference[source_column]) == name, label_column])
            if before is not None and len(before) >= 50:
                own = True
                label_z = two_proportions(k, n, int((before == found.classes[yes]).sum()), len(before)).z
            else:
                label_z = two_proportions(k, n, int(is_yes.sum()) - k, total - n).z
        near = mine[neighbour_rows]
        neighbour_z = None
        if spread > 0 and min(near.sum(), (~near).sum()) >= 30:
            difference = disagreement[near].mean() - disagreement[~near].mean()
            neighbour_z = float(difference / (spread * np.sqrt(1 / near.sum() + 1 / (~near).sum())))
        drafts.append((name, n, hits, test, label_rate, label_z, own, neighbour_z))
    adjusted = false_discovery_control([draft[3].p_value for draft in drafts])
    table = [
        Source(
            name=str(name),
            n=n,
            suspects=hits,
            suspect_rate=hits / n,
            suspect_share=hits / count if count else 0.0,
            row_share=n / total,
            suspect_z=test.z,
            p_adjusted=float(p_value),
            label_rate=label_rate,
            label_z=label_z,
            label_z_own=own,
            neighbour_z=neighbour_z,
        )
        for (name, n, hits, test, label_rate, label_z, own, neighbour_z), p_value in zip(
            drafts, adjusted, strict=True
        )
    ]
    return sorted(table, key=lambda item: item.suspect_z, reverse=True)


def _positive_class(classes: Sequence[str], positive: object) -> int | None:
    if positive is not None and str(positive) in classes:
        return classes.index(str(positive))
    return 1 if len(classes) == 2 else None


def _suspects(
    found: label_errors.LabelErrors, sources: pd.Series | None, near: dict[int, float]
) -> tuple[Suspect, ...]:
    import numpy as np

    names = None if sources is None else sources.to_numpy()
    positions = np.flatnonzero(found.suspect)
    ordered = positions[np.argsort(found.confidence[positions], kind="stable")]
    return tuple(
        Suspect(
            row=int(found.rows[index]),
            label=found.classes[found.given[index]],
            expected=found.classes[found.expected[index]],
            score=float(1 - found.confidence[index]),
            source=None if names is None else str(names[index]),
            neighbour_disagreement=near.get(int(index)),
        )
        for index in ordered
    )


def _above(hits: int, n: int, rate: float) -> float:
    """One-sided binomial p-value of at least `hits` in n when the true rate is `rate`."""
    from scipy.stats import binom

    return float(binom.sf(hits - 1, n, rate))


def _concentrated(source: Source, limits: Thresholds) -> bool:
    return (
        source.suspects >= limits.min_suspects
        and source.suspect_share > limits.concentration
        and source.suspect_share >= limits.over_representation * source.row_share
        and source.suspect_z > 0
        and source.p_adjusted < limits.alpha
    )


def _decide(
    rate: float,
    count: int,
    baseline: float | None,
    p_value: float | None,
    sources: Sequence[Source],
    skill: float,
    limits: Thresholds,
) -> tuple[Verdict, str]:
    top = sources[0] if sources else None
    if top is not None and _concentrated(top, limits):
        return "confirmed", f"{top.suspect_share:.0%} of the suspect labels come from {top.name}"
    if skill < limits.min_skill:
        return (
            "inconclusive",
            f"the features predict the label too poorly (balanced accuracy {skill:.2f}) to tell",
        )
    above = (
        baseline is not None
        and p_value is not None
        and p_value < limits.alpha
        and count >= limits.min_suspects
    )
    if above and baseline is not None and rate > baseline + limits.excess_crit:
        return (
            "confirmed",
            f"{rate:.1%} of the labels look wrong, {rate - baseline:.1%} points above the baseline",
        )
    if above and baseline is not None and rate > baseline * limits.excess_warn:
        return (
            "likely",
            f"{rate:.1%} of the labels look wrong, more than {limits.excess_warn:g} times the baseline",
        )
    if (
        top is not None
        and top.suspects >= limits.min_suspects
        and top.p_adjusted < limits.alpha
        and top.suspect_z > limits.z_crit
    ):
        return (
            "likely",
            f"{top.name} has far more suspect labels than the other sources (z {top.suspect_z:.1f})",
        )
    for item in sources:
        if item.neighbour_z is not None and item.neighbour_z > limits.z_crit:
            return (
                "likely",
                f"labels of {item.name} disagree with their neighbours (z {item.neighbour_z:.1f})",
            )
        if item.label_z_own and item.label_z is not None and abs(item.label_z) > limits.z_crit:
            return "likely", f"the label mean of {item.name} left its own reference (z {item.label_z:.1f})"
    if baseline is None and rate > limits.excess_crit:
        return (
            "inconclusive",
            f"{rate:.1%} of the labels look wrong, and there is no baseline to compare with",
        )
    return "refuted", "the rate of suspect labels is what it was before and no source stands out"


def _summary(
    verdict: Verdict,
    reason: str,
    rate: float,
    count: int,
    n: int,
    baseline: float | None,
    sources: Sequence[Source],
    neighbours: Neighbours,
) -> str:
    head = {
        "confirmed": "Tampered labels are confirmed",
        "likely": "Tampered labels are likely",
        "inconclusive": "Tampered labels are undecided",
        "refuted": "No sign of tampered labels",
    }[verdict]
    known = "no baseline" if baseline is None else f"baseline {baseline:.1%}"
    parts = [f"{head}: {reason}.", f"{count:,} of {n:,} records are suspect ({rate:.1%}, {known})."]
    if sources and sources[0].suspects:
        top = sources[0]
        parts.append(
            f"{top.name} gave {top.suspect_share:.0%} of them and {top.row_share:.0%} of the records."
        )
    parts.append(f"Neighbours disagree with {neighbours.disagreement:.1%} of the labels.")
    return " ".join(parts)
