"""Which labels do the features contradict? Cross-validated confident learning and nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from playbooks.diagnostics.columns import kind_of, labels
from playbooks.diagnostics.dataset import DataProblem

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

NEIGHBOUR_ROWS = 10_000
NEIGHBOURS = 10
FOLDS = 5
MAX_CLASSES = 20
MAX_CATEGORIES = 20  #: per feature; rarer ones are pooled
MARGIN = 0.6  #: of probability, between the expected and the given class
SEED = 20_240_501


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """What was found, one array element per row."""

    rows: np.ndarray  #: position of each row in the data set
    matrix: np.ndarray  #: standardised features
    given: np.ndarray  #: class index of the given label
    expected: np.ndarray  #: class index that the model is confident of, or the given one
    confidence: np.ndarray  #: out-of-fold probability of the given label
    suspect: np.ndarray
    classes: list[str]
    skill: float


def confident_learning(given: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The class that each row confidently belongs to, or its given one (Northcutt, Jiang & Chuang 2021,
    JAIR 70:1373).

    `given` holds class indices, `probabilities` (rows x classes) are out of fold. Class j is confident for
    a row when its probability reaches the mean probability of j over the rows labelled j.
    """
    import numpy as np

    best, decided = _confident_class(given, probabilities)
    own = probabilities[np.arange(len(given)), given]
    contradicted = decided & (probabilities[np.arange(len(given)), best] > own)
    return np.where(contradicted, best, given)


def find(frame: pd.DataFrame, features: Sequence[str], label_column: str) -> LabelErrors:
    """Confident learning over out-of-fold probabilities of a linear and a tree model, in two passes: the second
    learns without the rows that the first one suspects, as wrong labels teach the models to be unsure.

    A row is suspect when either pass contradicts it, or when it is among as many rows as the second pass
    counts as wrong and its expected class is far more probable (`MARGIN`).

    Raises DataProblem when the label is not a classification or a class is too rare to cross-validate.
    """
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold
    from threadpoolctl import threadpool_limits

    texts = labels(frame[label_column])
    classes = sorted(texts.unique())
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise DataProblem(
            f"{label_column} has {len(classes)} distinct values; between 2 and {MAX_CLASSES} classes are needed."
        )
    given = texts.map({name: index for index, name in enumerate(classes)}).to_numpy()
    smallest = np.bincount(given).min()
    if smallest < 2 * FOLDS:
        name = classes[int(np.bincount(given).argmin())]
        raise DataProblem(
            f"Label {name!r} has only {smallest} rows: merge rare labels or give a longer window."
        )
    matrix = standardised(frame, features)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    models = (
        LogisticRegression(max_iter=500),
        HistGradientBoostingClassifier(
            # each step grows a tree per class
            max_iter=80 if len(classes) == 2 else 40,
            learning_rate=0.1 if len(classes) == 2 else 0.2,
            max_leaf_nodes=15,
            min_samples_leaf=30,
            early_stopping=False,
            random_state=SEED,
        ),
    )
    # A linear and a tree model together: either alone calls its own blind spots wrong labels.
    # One thread: OpenMP's spinning barriers are 20 times slower when other processes share the cores.
    with threadpool_limits(1):
        before = _out_of_fold(models, folds, matrix, given, np.zeros(len(given), bool))
        first = confident_learning(given, before)
        probabilities = _out_of_fold(models, folds, matrix, given, first != given)
    expected = _contradicted(given, first, probabilities)
    return LabelErrors(
        rows=frame.index.to_numpy(),
        matrix=matrix,
        given=given,
        expected=expected,
        confidence=probabilities[np.arange(len(given)), given],
        suspect=expected != given,
        classes=classes,
        skill=float(balanced_accuracy_score(given, before.argmax(axis=1))),
    )


def noise_counts(given: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """How many rows labelled i belong to class j: the confident joint, scaled to the labels' counts (Northcutt,
    Jiang & Chuang 2021, section 3.1). Rows are given classes, columns true ones."""
    import numpy as np

    classes = probabilities.shape[1]
    best, decided = _confident_class(given, probabilities)
    joint = np.zeros((classes, classes))
    np.add.at(joint, (given[decided], best[decided]), 1)
    totals = np.bincount(given, minlength=classes)
    scaled: np.ndarray = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1) * totals[:, None]
    return scaled


def _confident_class(given: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the class that a row is confident of, whether there is one)."""
    import numpy as np

    classes = probabilities.shape[1]
    limits = np.asarray([probabilities[given == index, index].mean() for index in range(classes)])
    confident = np.where(probabilities >= limits, probabilities, -1.0)
    return confident.argmax(axis=1), confident.max(axis=1) >= 0


def _contradicted(given: np.ndarray, first: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The expected class of each row after the second pass; the given one where nothing contradicts it."""
    import numpy as np

    counts = np.rint(noise_counts(given, probabilities)).astype(int)
    expected = np.where(first != given, first, confident_learning(given, probabilities))
    own = probabilities[np.arange(len(given)), given]
    for label, true in np.argwhere(counts > 0):
        if label == true:
            continue
        rows = np.flatnonzero(given == label)
        margin = probabilities[rows, true] - own[rows]
        worst = np.argsort(-margin, kind="stable")[: counts[label, true]]
        chosen = rows[worst[margin[worst] > MARGIN]]
        expected[chosen] = np.where(expected[chosen] == label, true, expected[chosen])
    return expected


def _out_of_fold(
    models: Sequence[Any], folds: Any, matrix: np.ndarray, given: np.ndarray, left_out: np.ndarray
) -> np.ndarray:
    """Mean class probabilities of the models for every row, learned from other folds without `left_out` rows."""
    import numpy as np

    probabilities = np.zeros((len(given), int(given.max()) + 1))
    for train, test in folds.split(matrix, given):
        learned = train[~left_out[train]]
        for model in models:
            model.fit(matrix[learned], given[learned])
            probabilities[np.ix_(test, model.classes_)] += model.predict_proba(matrix[test]) / len(models)
    return probabilities


def usable_features(frame: pd.DataFrame, features: Sequence[str], exclude: set[str]) -> list[str]:
    """The named columns (or all others) that can feed a model: no times, no identifiers, none empty."""
    names = list(features) or [str(name) for name in frame.columns if name not in exclude]
    names = [name for name in names if name not in exclude]
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataProblem(f"There is no feature {', '.join(missing[:10])}: correct the feature list.")
    usable = []
    for name in names:
        kind = kind_of(frame[name])
        identifier = kind == "categorical" and frame[name].nunique() > max(MAX_CATEGORIES, len(frame) // 10)
        if kind in ("numeric", "categorical") and not identifier:
            usable.append(name)
    if not usable:
        raise DataProblem(
            "No feature can be used (all are identifiers, times or empty): name them in `features`."
        )
    return usable


def standardised(frame: pd.DataFrame, features: Sequence[str]) -> np.ndarray:
    """Numbers as z-scores (missing: the median), categories as indicators."""
    import numpy as np
    import pandas as pd

    blocks = []
    for name in features:
        if kind_of(frame[name]) == "numeric":
            values = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
            values[~np.isfinite(values)] = np.nan
            values = np.where(np.isnan(values), np.nanmedian(values), values)
            spread = values.std()
            if spread > 0:
                blocks.append(((values - values.mean()) / spread)[:, None])
        else:
            texts = labels(frame[name])
            common = texts.value_counts().index[:MAX_CATEGORIES]
            if len(common) > 1:
                blocks.append(np.column_stack([(texts == value).to_numpy(dtype=float) for value in common]))
    if not blocks:
        raise DataProblem("All features are constant: name others in `features`.")
    return np.hstack(blocks)


def neighbour_disagreement(matrix: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(positions, share of their nearest rows with another label) for a sample of the rows."""
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    rows = np.arange(len(given))
    if len(rows) > NEIGHBOUR_ROWS:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, NEIGHBOUR_ROWS, replace=False))
    near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(matrix[rows]).kneighbors(return_distance=False)
    return rows, (given[rows][near] != given[rows][:, None]).mean(axis=1)
