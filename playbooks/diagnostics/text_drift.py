"""Do texts still read as before? Domain classifier over words, length, vocabulary, refusals; no model is loaded."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from playbooks.contract import Verdict
from playbooks.diagnostics.columns import json_safe
from playbooks.diagnostics.dataset import DataProblem
from playbooks.diagnostics.measured import SEED, Measured, around, auc, holm, mean, median, worse
from playbooks.diagnostics.proportions import two_proportions, wilson

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Level = Literal["none", "warn", "crit"]

MAX_ROWS = 4_000  #: per side, sampled
MAX_TERMS = 20_000
PERMUTATIONS = 199
WORD = r"(?u)\b\w+\b"

#: How assistants decline. An installation adds its own with `refusals`.
REFUSALS = (
    r"\bI(?:'m| am) (?:sorry|unable|not able)\b",
    r"\bI (?:can(?:'t|not)|won't|will not) (?:help|assist|provide|answer|do that|comply|discuss)\b",
    r"\bas an? (?:AI|artificial intelligence|language model)\b",
    r"\b(?:cannot|can't) (?:fulfil?l|comply with) (?:this|that|your) request\b",
    r"\bes tut mir leid\b",
    r"\bje suis désolée?\b",
    r"\blo siento\b",
)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`auc_*`: area under the curve; `effect_*`: KS D of lengths; `words_*`: Jensen-Shannon distance (base 2)
    above what chance gives; the others: rises of shares in points (0.02 = 2 points)."""

    auc_warn: float = 0.55
    auc_crit: float = 0.65
    effect_warn: float = 0.10
    effect_crit: float = 0.20
    words_warn: float = 0.10
    words_crit: float = 0.20
    unknown_warn: float = 0.02
    unknown_crit: float = 0.10
    rate_warn: float = 0.02
    rate_crit: float = 0.05
    alpha_warn: float = 0.05
    alpha_crit: float = 0.01
    min_rows: int = 100


@dataclass(frozen=True, slots=True)
class Shift:
    """One measure. `change` is what is judged, in the units of `Thresholds`; `p_adjusted` is Holm's over all."""

    name: str
    before: Measured | None
    now: Measured
    change: float
    p_value: float
    p_adjusted: float
    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class TextReport:
    verdict: Verdict
    summary: str
    reason: str
    n_reference: int
    n_current: int
    sampled: bool
    shifts: tuple[Shift, ...]  #: critical ones first
    gone: tuple[str, ...]  #: words that tell the reference
    new: tuple[str, ...]  #: words that tell the current window
    thresholds: Thresholds

    def shift(self, name: str) -> Shift | None:
        return next((item for item in self.shifts if item.name == name), None)

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        figures: dict[str, Any] = json_safe(self)
        return figures


@dataclass(frozen=True, slots=True)
class _Draft:
    """A measure before the correction over all of them."""

    name: str
    before: Measured | None
    now: Measured
    change: float
    p_value: float
    limits: tuple[float, float]
    text: str


def compare(
    reference: pd.Series,
    current: pd.Series,
    *,
    refusals: Sequence[str] = (),
    json_expected: bool = False,
    thresholds: Thresholds = Thresholds(),
) -> TextReport:
    """Compare the texts of two windows (prompts, answers, documents); missing ones are left out.

    `refusals` are regular expressions beside `REFUSALS`; `json_expected` also follows the share of texts that
    are valid JSON. At most 4,000 texts a side are used. Words are what lies between spaces and punctuation, so
    languages written without spaces are followed by length and refusals only. Raises DataProblem.
    """
    sides = [_texts(reference), _texts(current)]
    if not all(len(side) for side in sides):
        raise DataProblem("One of the windows holds no text: correct text_column or the window.")
    if min(len(side) for side in sides) < thresholds.min_rows:
        return _too_few(sides, thresholds)
    sampled = max(len(side) for side in sides) > MAX_ROWS
    before, now = ([str(text) for text in side.sample(min(len(side), MAX_ROWS), random_state=SEED)] for side in sides)  # fmt: skip
    limits = thresholds
    patterns = _patterns(refusals)
    classifier, gone, new = _told_apart(before, now, limits)
    drafts = [
        classifier,
        _length(before, now, limits),
        *_words(before, now, limits),
        _rate("refusals", before, now, lambda text: _refuses(text, patterns), limits),
        _rate("empty", before, now, lambda text: not text.strip(), limits),
    ]
    if json_expected:
        drafts.append(_rate("invalid JSON", before, now, lambda text: not _is_json(text), limits))
    adjusted = holm([item.p_value for item in drafts])
    shifts = sorted(
        (
            Shift(d.name, d.before, d.now, d.change, d.p_value, p, _level(d, p, limits), d.text)
            for d, p in zip(drafts, adjusted, strict=True)
        ),
        key=lambda item: ("crit", "warn", "none").index(item.level),
    )
    verdict, reason = _decide(shifts)
    return TextReport(
        verdict=verdict,
        summary=_summary(verdict, reason, shifts, new, len(sides[0]), len(sides[1])),
        reason=reason,
        n_reference=len(sides[0]),
        n_current=len(sides[1]),
        sampled=sampled,
        shifts=tuple(shifts),
        gone=gone,
        new=new,
        thresholds=thresholds,
    )


def _texts(column: pd.Series) -> pd.Series:
    return column.dropna().astype(str)


def _too_few(sides: Sequence[pd.Series], limits: Thresholds) -> TextReport:
    n, m = (len(side) for side in sides)
    reason = f"{min(n, m)} texts in a window are too few ({limits.min_rows} needed)"
    return TextReport(
        "inconclusive", f"Text drift is undecided: {reason}.", reason, n, m, False, (), (), (), limits
    )


def _patterns(refusals: Sequence[str]) -> re.Pattern[str]:
    for pattern in refusals:
        try:
            re.compile(pattern)
        except re.error as error:
            raise DataProblem(
                f"The refusal pattern {pattern!r} is no regular expression ({error}): correct it."
            ) from None
    return re.compile("|".join(f"(?:{pattern})" for pattern in (*REFUSALS, *refusals)), re.IGNORECASE)


def _refuses(text: str, patterns: re.Pattern[str]) -> bool:
    """A refusal stands at the beginning; deeper in the text the same words are quoted or explained."""
    return bool(patterns.search(text[:400].replace("’", "'")))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _told_apart(
    before: list[str], now: list[str], limits: Thresholds
) -> tuple[_Draft, tuple[str, ...], tuple[str, ...]]:
    """AUC of a logistic regression over TF-IDF of words and pairs of words, on the half it did not learn from.

    One half and not cross-validation: the folds of the latter depend on each other, which made one comparison
    in ten an alarm without drift. Equal texts stay in one half, so that none is recognised by being remembered.
    """
    import numpy as np
    from scipy.stats import mannwhitneyu
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupShuffleSplit
    from threadpoolctl import threadpool_limits

    texts = before + now
    side = np.repeat([False, True], [len(before), len(now)])
    words = TfidfVectorizer(
        ngram_range=(1, 2), min_df=2, max_features=MAX_TERMS, sublinear_tf=True, token_pattern=WORD
    )
    try:
        matrix = words.fit_transform(texts)
    except ValueError:  # no word occurs twice
        matrix = None
    if matrix is None:
        flat = Measured(0.5, 0.5, 0.5, 0.0, len(texts))
        return (
            _Draft("classifier", None, flat, 0.0, 1.0, (limits.auc_warn, limits.auc_crit), "no common words"),
            (),
            (),
        )
    groups = np.unique(texts, return_inverse=True)[1]
    split = GroupShuffleSplit(1, test_size=0.5, random_state=SEED)
    train, test = next(split.split(matrix, side, groups))
    if min(side[train].sum(), (~side[train]).sum(), side[test].sum(), (~side[test]).sum()) < 10:
        raise DataProblem("Almost all texts are the same: text drift cannot be measured on them.")
    model = LogisticRegression(max_iter=200)
    with threadpool_limits(1):
        scores = model.fit(matrix[train], side[train]).decision_function(matrix[test])
        weights = model.fit(matrix, side).coef_[0]
    side = side[test]
    found = auc(side, scores)
    p_value = float(mannwhitneyu(scores[side], scores[~side], alternative="greater").pvalue)
    names, order = words.get_feature_names_out(), np.argsort(weights)
    text = (
        f"a classifier tells the windows apart with AUC {found.value:.2f} ({found.low:.2f}–{found.high:.2f})"
    )
    draft = _Draft("classifier", None, found, found.value, p_value, (limits.auc_warn, limits.auc_crit), text)
    if found.value <= limits.auc_warn:
        return draft, (), ()
    return draft, tuple(names[order[:10]]), tuple(names[order[::-1][:10]])


def _length(before: list[str], now: list[str], limits: Thresholds) -> _Draft:
    import numpy as np
    from scipy.stats import ks_2samp

    left, right = (np.asarray([len(text) for text in side], dtype=float) for side in (before, now))
    test = ks_2samp(left, right, method="asymp")
    old, new = median(left), median(right)
    text = f"the median length went from {old.value:,.0f} to {new.value:,.0f} characters (D {test.statistic:.2f})"
    return _Draft(
        "length",
        old,
        new,
        float(test.statistic),
        float(test.pvalue),
        (limits.effect_warn, limits.effect_crit),
        text,
    )


def _words(before: list[str], now: list[str], limits: Thresholds) -> list[_Draft]:
    """Jensen-Shannon distance of the word frequencies, tested by shuffling texts between the windows, and the
    share of words that half of the reference did not know, against the other half of it."""
    import numpy as np
    from scipy.sparse import csr_matrix
    from scipy.spatial.distance import jensenshannon
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(token_pattern=WORD, max_features=MAX_TERMS)
    try:
        counts = counter.fit_transform(before + now)
    except ValueError:  # no words at all
        return []
    chance = np.random.default_rng(SEED)
    n = len(before)

    def distance(rows: np.ndarray) -> float:
        member = np.zeros(counts.shape[0])
        member[rows] = 1
        first = csr_matrix(member) @ counts
        one = np.asarray(first.todense()).ravel()
        return float(jensenshannon(one, total - one, base=2))

    total = np.asarray(counts.sum(axis=0)).ravel()
    found = distance(np.arange(n))
    shuffled = np.asarray([distance(chance.permutation(counts.shape[0])[:n]) for _ in range(PERMUTATIONS)])
    usual = float(shuffled.mean())
    p_value = float((1 + (shuffled >= found).sum()) / (1 + PERMUTATIONS))
    error = float(shuffled.std(ddof=1))
    drafts = [
        _Draft(
            "vocabulary",
            around(usual, error, n, 0.0, 1.0),
            around(found, error, counts.shape[0] - n, 0.0, 1.0),
            found - usual,
            p_value,
            (limits.words_warn, limits.words_crit),
            f"word frequencies are at a distance of {found:.2f}, where chance gives {usual:.2f}",
        )
    ]
    order = chance.permutation(n)
    known, other = counts[order[: n // 2]], counts[order[n // 2 :]]
    unknown = np.asarray(known.sum(axis=0)).ravel() == 0
    rates = [_unknown_share(part, unknown) for part in (other, counts[n:])]
    if all(len(part) > 1 for part in rates):
        old, new = (mean(part, 0.0, 1.0) for part in rates)
        drafts.append(
            _Draft(
                "unknown words",
                old,
                new,
                new.value - old.value,
                worse(old, new, higher_is_better=False),
                (limits.unknown_warn, limits.unknown_crit),
                f"{new.value:.1%} of the words are unknown, before {old.value:.1%}",
            )
        )
    return drafts


def _unknown_share(counts: Any, unknown: np.ndarray) -> np.ndarray:
    import numpy as np

    words = np.asarray(counts.sum(axis=1)).ravel()
    missed = np.asarray(counts[:, unknown].sum(axis=1)).ravel()
    shares: np.ndarray = missed[words > 0] / words[words > 0]
    return shares


def _rate(
    name: str, before: list[str], now: list[str], counts: Callable[[str], bool], limits: Thresholds
) -> _Draft:
    """How many texts of each window `counts` is true of."""
    measured, found = [], []
    for side in (before, now):
        hits, n = sum(counts(text) for text in side), len(side)
        found.append((hits, n))
        interval = wilson(hits, n)
        measured.append(
            Measured(hits / n, interval.low, interval.high, math.sqrt(hits / n * (1 - hits / n) / n), n)
        )
    old, new = measured
    test = two_proportions(*found[1], *found[0])
    text = f"{name}: {new.value:.1%} of the texts, before {old.value:.1%}"
    change = abs(new.value - old.value)
    return _Draft(name, old, new, change, test.p_value, (limits.rate_warn, limits.rate_crit), text)


def _level(draft: _Draft, p_adjusted: float, limits: Thresholds) -> Level:
    # shuffling cannot give p-values below its resolution, which is not to keep a large change from counting
    p_value = draft.p_value if draft.name == "vocabulary" else p_adjusted
    warn, crit = draft.limits
    if p_value < limits.alpha_crit and draft.change > crit:
        return "crit"
    return "warn" if p_value < limits.alpha_warn and draft.change > warn else "none"


def _decide(shifts: Sequence[Shift]) -> tuple[Verdict, str]:
    critical = [item.text for item in shifts if item.level == "crit"]
    if critical:
        return "confirmed", "; ".join(critical[:2])
    warned = [item.text for item in shifts if item.level == "warn"]
    if warned:
        return "likely", "; ".join(warned[:2])
    return "refuted", "no measure moved beyond chance by an amount that matters"


def _summary(
    verdict: Verdict, reason: str, shifts: Sequence[Shift], new: Sequence[str], n: int, m: int
) -> str:
    head = {
        "confirmed": "Text drift is confirmed",
        "likely": "Text drift is likely",
        "inconclusive": "Text drift is undecided",
        "refuted": "No text drift",
    }[verdict]
    parts = [f"{head}: {reason}."]
    figures = {item.name: item for item in shifts}
    shown = [f"AUC {figures['classifier'].now.value:.2f}"]
    for name in ("refusals", "unknown words"):
        if name in figures:
            shown.append(f"{name} {figures[name].now.value:.1%}")
    parts.append(f"{', '.join(shown)}; {n:,} texts against {m:,}.")
    if new:
        parts.append(f"New words: {', '.join(new[:5])}.")
    return " ".join(parts)
