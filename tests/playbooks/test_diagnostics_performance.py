"""Performance and calibration: the figures agree with scikit-learn, losses are found, equal windows stay quiet."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from sklearn import metrics
from sklearn.calibration import calibration_curve

from playbooks.diagnostics import calibration, performance
from playbooks.diagnostics.dataset import DataProblem
from playbooks.diagnostics.measured import auc, holm, median


def loans(n: int, seed: int, *, blind: float = 0.0, bias: float = 0.0, risk: float = 0.0) -> pd.DataFrame:
    """Loans with a default label. The score loses `blind` of what it knows, is shifted by `bias` logits, and
    defaults rise by `risk` logits that the score does not see."""
    chance = np.random.default_rng(seed)
    known = chance.normal(size=n)
    default = (chance.random(n) < 1 / (1 + np.exp(-(2 * known + risk)))).astype(int)
    seen = (1 - blind) * known + blind * chance.normal(size=n)
    score = 1 / (1 + np.exp(-(2 * seen + bias)))
    return pd.DataFrame({"default": default, "score": score, "declined": (score >= 0.5).astype(int)})


def compared(before: pd.DataFrame, now: pd.DataFrame, **given: object) -> performance.PerformanceReport:
    chosen = {"label_column": "default", "prediction": "score", **given}
    return performance.compare(before, now, **chosen)  # type: ignore[arg-type]


def figure(report: performance.PerformanceReport, name: str) -> performance.Change:
    return next(item for item in report.changes if item.name == name)


def test_the_figures_of_a_score_are_those_of_scikit_learn():
    """To 1e-9: the same definitions, ties included."""
    frame = loans(2000, 1)
    frame["score"] = frame["score"].round(2)
    report = compared(frame, loans(2000, 2), threshold=0.5)
    y, score, said = frame["default"], frame["score"], frame["score"] >= 0.5
    assert figure(report, "AUC").before.value == pytest.approx(metrics.roc_auc_score(y, score), abs=1e-9)
    assert figure(report, "PR-AUC").before.value == pytest.approx(
        metrics.average_precision_score(y, score), abs=1e-9
    )
    assert figure(report, "KS").before.value == pytest.approx(
        ks_2samp(score[y == 1], score[y == 0]).statistic, abs=1e-9
    )
    assert figure(report, "precision").before.value == pytest.approx(metrics.precision_score(y, said))
    assert figure(report, "recall").before.value == pytest.approx(metrics.recall_score(y, said))
    assert figure(report, "F1").before.value == pytest.approx(metrics.f1_score(y, said))


def test_the_figures_of_classes_and_of_numbers_are_those_of_scikit_learn():
    chance = np.random.default_rng(4)
    said = pd.DataFrame({"y": chance.choice(["a", "b", "c"], 900), "p": chance.choice(["a", "b", "c"], 900)})
    many = performance.compare(said, said.sample(frac=1, random_state=1), label_column="y", prediction="p")
    assert many.task == "labels"
    assert figure(many, "balanced accuracy").now.value == pytest.approx(
        metrics.balanced_accuracy_score(said["y"], said["p"])
    )
    prices = pd.DataFrame({"y": chance.normal(50, 9, 900)})
    prices["p"] = prices["y"] + chance.normal(0, 3, 900)
    worse = prices.assign(p=prices["y"] + chance.normal(0, 4, 900))
    report = performance.compare(prices, worse, label_column="y", prediction="p")
    assert report.task == "regression"
    assert figure(report, "RMSE").before.value == pytest.approx(
        metrics.root_mean_squared_error(prices["y"], prices["p"])
    )
    assert figure(report, "MAE").before.value == pytest.approx(
        metrics.mean_absolute_error(prices["y"], prices["p"])
    )
    assert report.verdict == "confirmed"
    assert report.reason.startswith("RMSE rose from")


def test_a_blind_model_is_confirmed_by_every_task():
    before, now = loans(3000, 1), loans(3000, 2, blind=0.5)
    by_score = compared(before, now)
    assert by_score.verdict == "confirmed"
    assert by_score.worst.name == "PR-AUC"
    assert by_score.worst.loss > 0.1
    assert by_score.worst.p_adjusted < 1e-6
    by_class = compared(before, now, prediction="declined")
    assert (by_class.task, by_class.verdict) == ("labels", "confirmed")


@pytest.mark.parametrize("n", [200, 1000])
def test_equal_windows_rarely_alarm(n):
    """At most 5 % of 120 pairs would be 6; 10 are allowed (binomial 97 %)."""
    reports = [compared(loans(n, seed), loans(n, 5000 + seed)) for seed in range(120)]
    assert sum(report.verdict in ("confirmed", "likely") for report in reports) <= 10


def test_too_few_labels_leave_a_loss_possible_and_say_how_large():
    report = compared(loans(150, 1), loans(150, 2))
    assert report.verdict == "inconclusive"
    assert "cannot be excluded" in report.reason
    assert compared(loans(3000, 1), loans(60, 2)).verdict == "inconclusive"


def test_outcomes_that_change_at_equal_predictions_are_concept_drift():
    report = compared(loans(4000, 1), loans(4000, 2, risk=1.2))
    assert report.outcomes is not None
    assert report.outcomes.low < np.exp(1.2) < report.outcomes.high * 1.15  # strata blur it towards 1
    assert report.outcomes.p_value < 1e-9
    assert report.verdict in ("likely", "confirmed")
    same = compared(loans(4000, 1), loans(4000, 2)).outcomes
    assert same is not None
    assert same.low < 1 < same.high


def test_the_lag_of_labels_and_their_share_are_stated():
    before, now = loans(1000, 1), loans(1000, 2)
    start = pd.Timestamp("2026-11-01T00:00:00Z")
    now["at"] = start
    now["settled"] = start + pd.to_timedelta(48, "h")
    now.loc[now.index % 2 == 0, "default"] = np.nan
    report = compared(before, now, time_column="at", label_time_column="settled")
    assert report.n_current == 500
    assert report.labels == performance.Labels(1.0, 0.5, 48.0, 48.0)
    assert "48 hours after the decision" in report.summary
    assert "may not stand for all" in report.summary


def test_columns_that_cannot_be_read_say_what_to_do():
    frame = loans(300, 1)
    with pytest.raises(DataProblem, match="labels may not have come yet"):
        compared(frame, frame.assign(default=np.nan))
    with pytest.raises(DataProblem, match="set positive_label"):
        compared(frame.assign(default=["p", "q", "r"] * 100), frame.assign(default=["p", "q", "r"] * 100))
    with pytest.raises(DataProblem, match="holds text"):
        compared(frame, frame.assign(score="high"), task="score")


def test_brier_score_and_reliability_agree_with_scikit_learn():
    frame = loans(3000, 1)
    report = calibration.assess(frame, label_column="default", prediction="score")
    assert report.brier.value == pytest.approx(metrics.brier_score_loss(frame["default"], frame["score"]))
    observed, predicted = calibration_curve(frame["default"], frame["score"], n_bins=10)
    assert [item.observed for item in report.bins] == pytest.approx(list(observed), abs=0.002)
    assert [item.predicted for item in report.bins] == pytest.approx(list(predicted), abs=0.002)
    weighted = sum(item.n * abs(item.observed - item.predicted) for item in report.bins) / report.n
    assert report.ece.value == pytest.approx(weighted)


def test_a_shifted_score_is_miscalibrated_and_a_true_one_is_not():
    shifted = calibration.assess(
        loans(5000, 1, bias=0.8), label_column="default", prediction="score", reference=loans(5000, 2)
    )
    assert shifted.verdict == "confirmed"
    assert shifted.bias > 0.1
    assert shifted.before is not None
    assert shifted.before.value < 0.03
    assert abs(shifted.z) > 10
    quiet = [
        calibration.assess(loans(1000, seed), label_column="default", prediction="score")
        for seed in range(60)
    ]
    assert sum(report.verdict in ("confirmed", "likely") for report in quiet) <= 5
    assert np.mean([report.p_value < 0.05 for report in quiet]) <= 0.15


def test_calibration_needs_probabilities_and_enough_of_them():
    few = calibration.assess(loans(400, 1), label_column="default", prediction="score")
    assert few.verdict == "inconclusive"
    with pytest.raises(DataProblem, match="between 0 and 1"):
        calibration.assess(
            loans(2000, 1).assign(score=lambda f: f["score"] * 100),
            label_column="default",
            prediction="score",
        )


def test_delong_holm_and_the_median_on_paper():
    truth = np.array([True, True, True, False, False, False])
    found = auc(truth, np.array([0.9, 0.8, 0.3, 0.5, 0.2, 0.2]))
    assert found.value == pytest.approx(8 / 9)
    assert found.low < found.value <= found.high <= 1
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert median(np.array([1.0, 2.0, 3.0, 10.0])).value == 2.5


def test_delongs_error_is_the_spread_of_the_area_over_samples():
    """Within 15 % of the spread over 300 samples."""
    found = [
        auc((frame := loans(300, seed))["default"].to_numpy() == 1, frame["score"].to_numpy())
        for seed in range(300)
    ]
    spread = np.std([item.value for item in found], ddof=1)
    assert np.mean([item.error for item in found]) == pytest.approx(spread, rel=0.15)


def test_the_reports_are_strict_json():
    report = compared(loans(300, 1), loans(300, 2))
    assert json.loads(json.dumps(report.as_json(), allow_nan=False))["task"] == "score"
    calibrated = calibration.assess(loans(300, 1), label_column="default", prediction="score")
    assert json.loads(json.dumps(calibrated.as_json(), allow_nan=False))["bins"]
