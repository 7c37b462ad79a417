"""Drift: alarms where the data moved, silence where it did not."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, ks_2samp, wasserstein_distance

from playbooks.diagnostics import drift
from playbooks.diagnostics.dataset import DataProblem


def visitors(n: int, seed: int, **shift: float) -> pd.DataFrame:
    """Shop visitors: five features; `shift` moves a numeric one by so many standard deviations."""
    chance = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": chance.normal(40, 10, n),
            "basket": chance.lognormal(3, 0.5, n),
            "visits": chance.poisson(30, n).astype(float),
            "device": chance.choice(["phone", "desktop", "tablet"], n, p=[0.6, 0.3, 0.1]),
            "loyal": chance.integers(0, 2, n),
        }
    )
    for name, deviations in shift.items():
        frame[name] = frame[name] + deviations * frame[name].std()
    return frame


def measured(report: drift.DriftReport, name: str) -> drift.FeatureDrift:
    return next(item for item in report.features if item.name == name)


@pytest.mark.parametrize(
    ("n", "floor"), [(200, 0.169), (500, 0.068), (1000, 0.034), (5000, 0.007), (180, 0.188)]
)
def test_the_noise_floor_shrinks_with_the_rows(n, floor):
    assert drift.noise_floor(10, n, n) == pytest.approx(floor, abs=0.0006)


@pytest.mark.parametrize(("shift", "expected"), [(0.3, 0.085), (0.5, 0.24), (0.75, 0.52)])
def test_psi_of_a_shifted_normal_is_the_known_one(shift, expected):
    chance = np.random.default_rng(5)
    _, base, now = drift.quantile_counts(chance.normal(size=200_000), chance.normal(shift, size=200_000))
    assert drift.psi(base, now) == pytest.approx(expected, rel=0.06)


def test_psi_stays_finite_when_every_row_moves_into_one_bin():
    assert 1 < drift.psi(np.array([100] * 10), np.array([1000] + [0] * 9)) < 20


def test_ks_and_wasserstein_agree_with_scipy_and_p_is_corrected_over_features():
    reference, current = visitors(800, 1), visitors(800, 2, age=0.3)
    report = drift.compare(reference, current, domain_classifier=False)
    expected = ks_2samp(reference["age"], current["age"], method="asymp")
    age = measured(report, "age")
    assert (age.statistic, age.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    distance = wasserstein_distance(reference["age"], current["age"]) / reference["age"].std(ddof=0)
    assert age.wasserstein == pytest.approx(distance)
    tested = sorted(report.tested, key=lambda item: item.name)
    assert [item.p_adjusted for item in tested] == pytest.approx(
        list(false_discovery_control([item.p_value for item in tested]))
    )


def test_a_moved_feature_is_found_and_named():
    report = drift.compare(visitors(2000, 1), visitors(2000, 2, age=0.8))
    assert report.verdict == "confirmed"
    assert report.drifted == ("age",)
    assert report.domain is not None
    assert report.domain.auc > 0.6
    assert report.domain.top_features[0] == "age"
    assert "age" in report.summary


def test_a_new_category_is_drift():
    reference, current = visitors(1000, 1), visitors(1000, 2)
    current.loc[current.index % 4 == 0, "device"] = "television"
    report = drift.compare(reference, current, domain_classifier=False)
    assert measured(report, "device").level == "crit"
    assert report.drifted == ("device",)


def test_a_psi_below_the_noise_floor_is_suppressed_with_180_rows():
    for seed in range(300):
        report = drift.compare(
            visitors(180, seed)[["age"]],
            visitors(180, 1000 + seed, age=0.15)[["age"]],
            domain_classifier=False,
        )
        age = measured(report, "age")
        if 0.12 < (age.psi or 0) < 0.18 and age.level == "suppressed":
            break
    assert report.verdict == "inconclusive"
    assert not report.drifted
    assert "noise floor" in age.reason


def test_a_tiny_shift_in_many_rows_is_significant_and_still_no_alarm():
    chance = np.random.default_rng(1)
    reference = pd.DataFrame({"x": chance.normal(size=100_000)})
    current = pd.DataFrame({"x": chance.normal(0.04, 1, size=100_000)})
    report = drift.compare(reference, current, domain_classifier=False)
    assert measured(report, "x").p_adjusted < 1e-6
    assert report.verdict == "refuted"
    assert "too small to matter" in measured(report, "x").reason


@pytest.mark.parametrize("n", [200, 1000])
def test_without_drift_there_are_almost_no_alarms(n):
    alarms = sum(
        drift.compare(visitors(n, seed), visitors(n, 10_000 + seed), domain_classifier=False).verdict
        in ("confirmed", "likely")
        for seed in range(200)
    )
    assert alarms <= 12 if n == 200 else alarms <= 2


@pytest.mark.parametrize("n", [200, 1000])
def test_the_domain_classifier_does_not_separate_equal_windows(n):
    found = [
        drift.tell_apart(visitors(n, seed), visitors(n, 500 + seed), ["age", "basket", "visits", "device"])
        for seed in range(8)
    ]
    assert not [item for item in found if item is not None and item.auc > 0.55 and item.p_value < 0.01]


def test_drift_of_the_joint_distribution_alone_is_seen_by_the_classifier():
    chance = np.random.default_rng(3)
    x = chance.normal(size=2000)
    reference = pd.DataFrame({"a": x, "b": x + 0.3 * chance.normal(size=2000)})
    current = pd.DataFrame({"a": chance.normal(size=2000), "b": chance.normal(scale=1.044, size=2000)})
    report = drift.compare(reference, current)
    assert not report.drifted
    assert report.verdict == "confirmed"
    assert report.domain is not None
    assert report.domain.auc > 0.65


def test_prediction_drift_alone_is_reported():
    reference, current = visitors(2000, 1), visitors(2000, 2)
    chance = np.random.default_rng(9)
    reference["score"], current["score"] = chance.beta(2, 5, 2000), chance.beta(4, 3, 2000)
    report = drift.compare(reference, current, prediction="score", domain_classifier=False)
    assert report.prediction is not None
    assert report.prediction.level == "crit"
    assert report.verdict == "confirmed"
    assert not report.drifted


def test_identifiers_times_constants_and_empty_columns_are_set_aside_with_a_reason():
    reference, current = visitors(500, 1), visitors(500, 2)
    for frame in (reference, current):
        frame["id"] = [f"user-{index}" for index in range(500)]
        frame["at"] = pd.date_range("2026-11-01", periods=500, freq="h")
        frame["country"] = "FR"
        frame["nothing"] = np.nan
    report = drift.compare(reference, current, domain_classifier=False)
    skipped = {item.name for item in report.features if item.level == "not_tested"}
    assert skipped == {"id", "at", "country", "nothing"}


def test_missing_features_and_too_few_rows_say_what_to_do():
    with pytest.raises(DataProblem, match="height is missing"):
        drift.compare(visitors(100, 1), visitors(100, 2), features=["height"])
    with pytest.raises(DataProblem, match="at least 50 rows"):
        drift.compare(visitors(20, 1), visitors(20, 2))


def test_the_report_is_strict_json():
    reference, current = visitors(300, 1), visitors(300, 2)
    reference.loc[:250, "basket"] = np.nan
    figures = json.loads(json.dumps(drift.compare(reference, current).as_json(), allow_nan=False))
    assert figures["verdict"] in ("refuted", "inconclusive")
    assert figures["features"][0]["name"]


def test_bins_are_named_with_as_few_digits_as_tell_them_apart():
    few = pd.Series(np.random.default_rng(1).normal(size=2000))
    names, _, _ = drift.binned("numeric", few, few)
    assert (names[0], names[1]) == ("≤ -1.3", "-1.3..-0.87")
    near = pd.Series(1000 + np.arange(2000) / 4000)
    names, _, _ = drift.binned("numeric", near, near)
    assert len(set(names)) == len(names) == 10
