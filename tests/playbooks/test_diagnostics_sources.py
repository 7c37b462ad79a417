"""Poisoned rows as a group (outlier spectra) and as a source (leave one out), and rows in time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from playbooks.diagnostics import sources, spectra, timeliness
from playbooks.diagnostics.dataset import DataProblem

from .test_diagnostics_poisoning import admissions

WIDTH = 16
UNITS = [f"unit{index}" for index in range(WIDTH)]


def activations(n: int, seed: int, *, backdoor: float = 0.0) -> tuple[pd.DataFrame, set[int]]:
    """Last-layer activations of three classes, correlated and skewed; of class 1 a share carries a trigger."""
    chance, mixing = np.random.default_rng(seed), np.random.default_rng(0).normal(size=(WIDTH, WIDTH))
    label = chance.integers(0, 3, n)
    values = chance.normal(size=(n, WIDTH)) @ mixing + label[:, None] * mixing[0] * 3
    bad = chance.choice(np.flatnonzero(label == 1), int(backdoor * (label == 1).sum()), replace=False)
    values[bad] += np.random.default_rng(5).normal(size=WIDTH) * mixing.std() * 5
    frame = pd.DataFrame(np.exp(values / 20), columns=UNITS).assign(label=label)
    return frame, {int(row) for row in bad}


def examined(frame: pd.DataFrame, **given: object) -> spectra.SpectraReport:
    return spectra.examine(frame, features=UNITS, label_column="label", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.02, 0.03, 0.10])
def test_a_backdoor_is_found_in_its_class(share):
    frame, bad = activations(6000, 3, backdoor=share)
    report = examined(frame)
    assert report.verdict == "confirmed", report.summary
    assert report.spectra[0].name == "1"
    found = {item.row for item in report.outliers}
    assert len(found & bad) / len(bad) > 0.9
    assert len(found & bad) / len(found) > 0.8


def test_correlated_skewed_and_heavy_tailed_rows_are_no_group():
    for seed in range(15):
        assert examined(activations(1500, seed)[0]).verdict == "refuted"
    chance = np.random.default_rng(1)
    tails = chance.standard_t(3, size=(3000, WIDTH))
    assert spectra.examine(pd.DataFrame(tails, columns=UNITS), features=UNITS).verdict == "refuted"


def test_a_group_that_the_trusted_window_has_too_is_natural():
    frame, _ = activations(6000, 3, backdoor=0.05)
    assert examined(frame, reference=activations(6000, 4, backdoor=0.05)[0]).verdict == "refuted"
    assert examined(frame, reference=activations(6000, 4)[0]).verdict == "confirmed"


def test_few_rows_and_unknown_features_are_not_judged():
    assert examined(activations(120, 1)[0]).verdict == "inconclusive"
    with pytest.raises(DataProblem, match="no feature height"):
        spectra.examine(activations(300, 1)[0], features=["height"])
    report = examined(activations(600, 1)[0])
    assert json.loads(json.dumps(report.as_json(), allow_nan=False))["outlier_count"] == len(report.outliers)


def left_out(frame: pd.DataFrame, gold: pd.DataFrame) -> sources.SourcesReport:
    return sources.leave_out(frame, gold, label_column="readmitted", source_column="gateway")


def test_without_the_poisoned_source_the_model_is_better():
    frame, _ = admissions(4000, 1, 0.0)
    bad = frame["gateway"].isin(["gw-3"])
    frame.loc[bad, "readmitted"] = 1 - frame.loc[bad, "readmitted"]
    report = left_out(frame, admissions(3000, 50)[0])
    assert report.verdict in ("likely", "confirmed")
    assert report.sources[0].name == "gw-3"
    assert report.sources[0].gain.low > 0
    assert report.sources[0].p_adjusted < 0.05
    assert report.sources[0].n == bad.sum()


def test_clean_sources_are_not_accused():
    reports = [left_out(admissions(2000, seed)[0], admissions(1000, 50 + seed)[0]) for seed in range(8)]
    assert [report.verdict for report in reports if report.verdict in ("likely", "confirmed")] == []


def test_leaving_out_needs_sources_and_a_gold_set():
    frame, _ = admissions(1000, 1)
    with pytest.raises(DataProblem, match="200 are needed"):
        left_out(frame, frame.head(50))
    with pytest.raises(DataProblem, match="fewer than two sources"):
        left_out(frame.assign(gateway="one"), frame)
    report = left_out(frame, admissions(500, 2)[0])
    assert json.loads(json.dumps(report.as_json(), allow_nan=False))["n_gold"] == 500


START = pd.Timestamp("2026-11-02T00:00:00Z")


def arrivals(days: int, seed: int, *, start: pd.Timestamp = START, rate: float = 60.0) -> pd.Series:
    """Times of requests: by day three times as many as at night."""
    chance = np.random.default_rng(seed)
    moments = []
    for hour in range(24 * days):
        busy = rate * (1.5 if 8 <= hour % 24 < 20 else 0.5)
        count = chance.poisson(busy)
        moments.append(start + pd.to_timedelta(hour + chance.random(count), "h"))
    return timeliness.instants(pd.Series(moments[0].append(moments[1:])))


def judged(current: pd.Series, late: float = 1.0, **given: object) -> timeliness.TimelinessReport:
    now = (current.max().floor("s") + timedelta(minutes=late)).to_pydatetime()
    return timeliness.assess(arrivals(14, 1), current, now=now, **given)  # type: ignore[arg-type]


def test_as_many_rows_as_before_are_timely():
    after = START + timedelta(days=14)
    for seed in range(10):
        report = judged(arrivals(1, 100 + seed, start=after), expected_interval_minutes=5)
        assert report.verdict == "refuted", report.summary
        assert report.ratio_low < 1 < report.ratio_high or abs(report.z) < 4


def test_a_third_of_the_rows_and_empty_hours_are_missing_data():
    report = judged(arrivals(1, 7, start=START + timedelta(days=14), rate=20), expected_interval_minutes=5)
    assert report.verdict == "confirmed"
    assert report.ratio == pytest.approx(1 / 3, abs=0.05)
    whole = arrivals(1, 8, start=START + timedelta(days=14))
    gap = whole[(whole.dt.hour < 9) | (whole.dt.hour >= 15)]
    found = judged(gap, expected_interval_minutes=5)
    assert (found.verdict, found.empty_hours) == ("confirmed", 6)


def test_old_rows_are_stale_by_the_declared_or_the_learned_interval():
    current = arrivals(1, 7, start=START + timedelta(days=14))
    assert judged(current, late=9, expected_interval_minutes=5).verdict == "likely"
    assert judged(current, late=16, expected_interval_minutes=5).verdict == "confirmed"
    learned = judged(current, late=600)
    assert (learned.verdict, learned.interval_declared) == ("confirmed", False)
    assert 1 < learned.interval_minutes < 20


def test_a_sample_is_not_judged_by_volume_and_missing_times_are_refused():
    report = judged(
        arrivals(1, 7, start=START + timedelta(days=14)), expected_interval_minutes=5, sampled=True
    )
    assert report.verdict == "inconclusive"
    assert "sample" in report.reason
    with pytest.raises(DataProblem, match="no readable time"):
        timeliness.assess(arrivals(1, 1), arrivals(1, 1).head(0), now=datetime(2026, 11, 20, tzinfo=UTC))
