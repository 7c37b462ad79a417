"""Fairness: the figures of known cases, agreement with fairlearn, and caution with small groups."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
)

from playbooks.diagnostics import fairness
from playbooks.diagnostics.dataset import DataProblem


def loans(n: int, seed: int, gap: float) -> pd.DataFrame:
    """Loan decisions of three groups; group C is approved `gap` less often."""
    chance = np.random.default_rng(seed)
    group = chance.choice(["A", "B", "C"], n, p=[0.5, 0.3, 0.2])
    repaid = (chance.random(n) < 0.6).astype(int)
    rate = 0.3 + 0.4 * repaid - gap * (group == "C")
    return pd.DataFrame({"group": group, "approved": (chance.random(n) < rate).astype(int), "repaid": repaid})


def test_the_credit_case():
    report = fairness.compare({"A": (19_324, 30_100), "B": (5_629, 12_210)})
    worst = report.worst
    assert worst is not None
    assert round(worst.ratio, 3) == 0.718
    assert [round(end, 3) for end in worst.ratio_interval] == [0.703, 0.733]
    assert round(report.parity_difference, 3) == 0.181
    assert round(abs(worst.z), 1) == 34.3
    assert report.verdict == "confirmed"
    assert (report.n, report.n_min) == (42_310, 12_210)


def test_the_hiring_case_is_confirmed_although_its_interval_reaches_above_the_line():
    report = fairness.compare({"men": (412, 1_630), "women": (188, 1_005)})
    worst = report.worst
    assert worst is not None
    assert round(worst.ratio, 3) == 0.740
    assert [round(end, 3) for end in worst.ratio_interval] == [0.635, 0.863]
    assert worst.p_value == pytest.approx(9.4e-5, rel=0.01)
    assert report.verdict == "confirmed"


def test_the_repaired_credit_model_is_above_the_line():
    report = fairness.compare({"A": (19_100, 30_200), "B": (6_610, 12_350)})
    assert round(report.worst.ratio, 3) == 0.846
    assert report.verdict == "likely"


def test_gaps_agree_with_fairlearn():
    data = loans(8000, 1, 0.2)
    report = fairness.assess(data, group="group", prediction="approved", label_column="repaid")
    groups = {"sensitive_features": data["group"]}
    assert report.parity_difference == pytest.approx(
        demographic_parity_difference(data["repaid"], data["approved"], **groups)
    )
    assert report.worst.ratio == pytest.approx(
        demographic_parity_ratio(data["repaid"], data["approved"], **groups)
    )
    assert report.equalised_odds_difference == pytest.approx(
        equalized_odds_difference(data["repaid"], data["approved"], **groups)
    )
    assert report.worst.group == "C"
    assert report.verdict == "confirmed"


def test_a_gap_in_error_rates_counts_even_when_selection_is_equal():
    report = fairness.compare(
        {"A": (500, 1000), "B": (500, 1000)},
        true_hits={"A": (450, 500), "B": (300, 500)},
        false_hits={"A": (50, 500), "B": (200, 500)},
    )
    assert report.verdict == "confirmed"
    assert report.tpr.gap == pytest.approx(0.3)
    assert report.equalised_odds_difference == pytest.approx(0.3)


def test_small_groups_are_not_judged_and_tiny_ones_not_shown():
    report = fairness.compare({"A": (600, 1000), "B": (590, 1000), "few": (10, 150), "tiny": (0, 20)})
    rows = {row.group: row for row in report.groups}
    assert rows["few"].status == "low_n"
    assert rows["tiny"].status == "insufficient"
    assert rows["tiny"].rate is None
    assert report.verdict == "refuted"
    assert "few, tiny" in report.summary


def test_one_large_group_alone_is_inconclusive():
    report = fairness.compare({"A": (600, 1000), "B": (3, 40)})
    assert report.verdict == "inconclusive"
    assert report.worst is None


def test_a_low_ratio_that_chance_explains_is_inconclusive():
    assert fairness.compare({"A": (22, 220), "B": (16, 210)}).verdict == "inconclusive"


@pytest.mark.parametrize("n", [200, 1000])
def test_a_fair_model_is_accused_no_more_often_than_the_test_allows(n):
    chance = np.random.default_rng(7)
    accused = sum(
        fairness.compare({"A": (chance.binomial(n, 0.1), n), "B": (chance.binomial(n, 0.1), n)}).verdict
        == "confirmed"
        for _ in range(400)
    )
    assert accused / 400 <= 0.05


def test_a_gap_that_vanishes_within_strata_shows_in_the_conditional_ratio():
    rows = []
    for band, rate, sizes in (("low", 0.8, (900, 100)), ("high", 0.3, (100, 900))):
        for group, size in zip("AB", sizes, strict=True):
            yes = int(rate * size)
            rows += [(group, band, 1)] * yes + [(group, band, 0)] * (size - yes)
    data = pd.DataFrame(rows, columns=["group", "band", "approved"])
    report = fairness.assess(data, group="group", prediction="approved", stratum="band")
    assert report.worst.ratio < 0.6
    assert report.conditional_ratio == pytest.approx(1.0)


def test_columns_may_be_combined_and_scores_cut_at_a_threshold():
    data = loans(4000, 2, 0.2).assign(sex=["f", "m"] * 2000)
    data["score"] = data["approved"] * 0.8
    report = fairness.assess(data, group=["group", "sex"], prediction="score", threshold=0.5)
    assert len(report.groups) == 6
    assert report.worst.group.startswith("C × ")


def test_text_decisions_need_a_positive_label():
    data = loans(1000, 1, 0).replace({"approved": {1: "granted", 0: "refused"}})
    with pytest.raises(DataProblem, match="set positive_label"):
        fairness.assess(data, group="group", prediction="approved")
    with pytest.raises(DataProblem, match="never has the positive label 'yes'"):
        fairness.assess(data, group="group", prediction="approved", positive="yes")
    assert (
        fairness.assess(data, group="group", prediction="approved", positive="granted").verdict == "refuted"
    )


def test_labels_that_have_not_matured_are_left_out_of_error_rates_only():
    data = loans(4000, 1, 0.0)
    data["repaid"] = data["repaid"].where(data.index % 2 == 0)
    report = fairness.assess(data, group="group", prediction="approved", label_column="repaid")
    assert report.n == 4000
    assert sum(n for _, _, n in report.tpr.rates) + sum(n for _, _, n in report.fpr.rates) == 2000


def test_the_report_is_strict_json():
    figures = json.loads(
        json.dumps(fairness.compare({"A": (0, 300), "B": (30, 300)}).as_json(), allow_nan=False)
    )
    assert figures["groups"][0]["ratio"] == 0
    assert figures["groups"][0]["ratio_interval"] is None
