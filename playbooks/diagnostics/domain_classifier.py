"""Can a model tell the two windows apart? Drift of all features together, as one AUC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from playbooks.diagnostics.columns import kind_of, labels

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MAX_ROWS = 5_000  #: per side, sampled
SEED = 20_240_501


@dataclass(frozen=True, slots=True)
class DomainClassifier:
    """How well a model tells reference from current rows. 0.5: not at all. The interval is Hanley & McNeil's
    (Radiology 1982, 143:29). `p_value` is one-sided against 0.5: the smaller of the two halves' (Mann-Whitney),
    doubled, which holds however the halves hang together."""

    auc: float
    low: float
    high: float
    p_value: float
    n_reference: int
    n_current: int
    top_features: tuple[str, ...]


def tell_apart(
    reference: pd.DataFrame, current: pd.DataFrame, features: Sequence[str]
) -> DomainClassifier | None:
    """AUC of gradient-boosted trees that guess which window a row comes from: those that learned from one half
    of the rows are judged on the other, and the other way round.

    Each half's p-value is exact for its judge, which never saw these rows; a test over the pooled guesses of more
    folds is not (it called 37 of 1,000 equal pairs of 200 rows different at a level of 1 %).
    None with fewer than 100 rows on a side. At most 5,000 rows per side are used.
    """
    import math

    import numpy as np
    import pandas as pd
    from scipy.stats import mannwhitneyu
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import StratifiedKFold
    from threadpoolctl import threadpool_limits

    if min(len(reference), len(current)) < 100:
        return None
    left = reference.sample(min(len(reference), MAX_ROWS), random_state=SEED)
    right = current.sample(min(len(current), MAX_ROWS), random_state=SEED)
    rows = pd.concat([left[list(features)], right[list(features)]], ignore_index=True)
    matrix = np.column_stack([_encoded(rows[name]) for name in features])
    side = np.repeat([0, 1], [len(left), len(right)])
    model = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, min_samples_leaf=30, early_stopping=False, random_state=SEED
    )
    areas, chances = [], []
    top: tuple[str, ...] = ()
    # One thread: OpenMP's spinning barriers are 20 times slower when other processes share the cores.
    with threadpool_limits(1):
        for learn, judge in StratifiedKFold(2, shuffle=True, random_state=SEED).split(matrix, side):
            scores = model.fit(matrix[learn], side[learn]).predict_proba(matrix[judge])[:, 1]
            now, before = scores[side[judge] == 1], scores[side[judge] == 0]
            test = mannwhitneyu(now, before, alternative="greater")
            areas.append(float(test.statistic) / (len(now) * len(before)))
            chances.append(float(test.pvalue))
        auc, p_value = sum(areas) / 2, min(1.0, 2 * min(chances))
        if auc > 0.55:
            gains = permutation_importance(
                model, matrix[judge], side[judge], scoring="roc_auc", n_repeats=3, random_state=SEED
            ).importances_mean
            top = tuple(features[index] for index in np.argsort(-gains)[:5] if gains[index] > 0.005)
    n, m = len(left), len(right)
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    error = math.sqrt(max(0.0, auc * (1 - auc) + (m - 1) * (q1 - auc**2) + (n - 1) * (q2 - auc**2)) / (n * m))
    return DomainClassifier(
        auc, max(0.0, auc - 1.96 * error), min(1.0, auc + 1.96 * error), p_value, n, m, top
    )


def _encoded(column: pd.Series) -> np.ndarray:
    """A column as numbers for the trees; categories by order of frequency, missing stays missing."""
    import numpy as np
    import pandas as pd

    if kind_of(column) == "numeric":
        return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    texts = labels(column)
    order = {name: rank for rank, name in enumerate(texts.value_counts().index)}
    return texts.map(order).to_numpy(dtype=float)
