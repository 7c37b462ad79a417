"""Fairness of combinations: what no attribute shows alone is found; fair decisions and small cells stay unaccused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, selection_rate

from playbooks.diagnostics import intersections
from playbooks.diagnostics.dataset import DataProblem


def hiring(n: int, seed: int, *, gap: float = 0.0) -> pd.DataFrame:
    """Applications; the rate falls by `gap` for young women and rises by as much for old women and young men,
    so that neither sex nor age shows anything alone."""
    chance = np.random.default_rng(seed)
    sex, age = chance.choice(["woman", "man"], n), chance.choice(["young", "old"], n)
    together = np.where((sex == "woman") == (age == "young"), -gap, gap)
    return pd.DataFrame({"sex": sex, "age": age, "hired": (chance.random(n) < 0.5 + together).astype(int)})


def assessed(frame: pd.DataFrame, **given: object) -> intersections.IntersectionReport:
    return intersections.assess(frame, attributes=["sex", "age"], prediction="hired", **given)  # type: ignore[arg-type]


def test_a_disparity_that_only_combinations_show_is_found():
    frame = hiring(4000, 1, gap=0.12)
    report = assessed(frame)
    assert report.verdict == "confirmed"
    assert {cell.group.group for cell in report.cells[:2]} == {"woman × young", "man × old"}
    alone = [cell for cell in report.cells if len(cell.attributes) == 1]
    assert all(cell.group.ratio > 0.9 for cell in alone)
    rates = MetricFrame(
        metrics=selection_rate, y_true=frame["hired"], y_pred=frame["hired"], sensitive_features=frame[["sex", "age"]]
    ).by_group  # fmt: skip
    assert report.worst.group.ratio == pytest.approx(rates.min() / rates.max())


@pytest.mark.parametrize("correction", ["bh", "holm"])
def test_fair_decisions_are_rarely_accused(correction):
    """At most 5 % of 100 samples would be 5; 9 are allowed (binomial 97 %)."""
    reports = [assessed(hiring(1500, seed), correction=correction) for seed in range(100)]
    assert sum(report.verdict in ("confirmed", "likely") for report in reports) <= 9
    assert reports[0].tests == 5


def test_holm_is_stricter_than_benjamini_hochberg():
    frame = hiring(1200, 3, gap=0.05)
    lenient, strict = assessed(frame), assessed(frame, correction="holm")
    pairs = zip(lenient.cells, strict.cells, strict=True)
    assert all(one.group.p_adjusted <= other.group.p_adjusted + 1e-12 for one, other in pairs)


def test_small_cells_are_listed_and_not_judged():
    frame = hiring(1000, 1)
    frame.loc[frame.index < 30, "sex"] = "not said"
    report = assessed(frame)
    assert any(name.startswith("not said (30)") for name in report.insufficient)
    assert all("not said" not in cell.group.group for cell in report.cells)
    assert assessed(hiring(120, 1)).verdict == "inconclusive"


def test_too_many_attributes_are_refused_and_the_report_is_strict_json():
    frame = hiring(500, 1)
    with pytest.raises(DataProblem, match="1 to 6"):
        intersections.assess(frame, attributes=["sex"] * 7, prediction="hired")
    assert json.loads(json.dumps(assessed(frame).as_json(), allow_nan=False))["cells"]
