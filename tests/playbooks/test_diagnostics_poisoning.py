"""Poisoning: injected label flips are found with their source, clean data stays unaccused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from playbooks.diagnostics import poisoning
from playbooks.diagnostics.dataset import DataProblem
from playbooks.diagnostics.label_errors import confident_learning


def admissions(
    n: int, seed: int, flipped: float = 0.0, source: str | None = "gw-3"
) -> tuple[pd.DataFrame, set[int]]:
    """Patients with a readmission label from six gateways; `flipped` of all labels turned to 0.

    Returns the rows and the positions that were flipped. Without `source` the flips come from everywhere.
    """
    chance = np.random.default_rng(seed)
    features = chance.normal(size=(n, 5))
    ward = chance.choice(["medical", "surgical", "other"], n)
    score = (
        3 * features[:, 0]
        - 2.5 * features[:, 1]
        + 2 * features[:, 2] * (features[:, 3] > 0)
        + 1.5 * (ward == "medical")
    )
    label = (chance.random(n) < 1 / (1 + np.exp(-3 * score))).astype(int)
    gateway = chance.choice([f"gw-{index}" for index in range(1, 7)], n)
    frame = pd.DataFrame(features, columns=["age", "bmi", "hr", "temp", "stay"])
    frame = frame.assign(ward=ward, readmitted=label, gateway=gateway)
    able = np.flatnonzero((label == 1) & ((gateway == source) if source else True))
    bad = chance.choice(able, min(int(flipped * n), len(able)), replace=False)
    frame.loc[bad, "readmitted"] = 0
    return frame, {int(row) for row in bad}


def examined(frame: pd.DataFrame, **given: object) -> poisoning.PoisoningReport:
    return poisoning.examine(frame, label_column="readmitted", source_column="gateway", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("flipped", "n"), [(0.03, 4000), (0.08, 3000)])
def test_flips_from_one_gateway_are_found_there(flipped, n):
    frame, bad = admissions(n, 1, flipped)
    clean, _ = admissions(n, 2)
    report = examined(frame, reference=clean)
    suspects = {item.row for item in report.suspects}
    assert report.verdict == "confirmed"
    assert report.top_source.name == "gw-3"
    assert report.top_source.suspect_share > 0.6
    assert len(suspects & bad) / len(suspects) > 0.65
    assert len(suspects & bad) / len(bad) > 0.5
    assert report.flip_interval.low < report.flip_rate < report.flip_interval.high
    assert all(item.label == "0" and item.expected == "1" for item in report.suspects if item.row in bad)


def test_ten_per_cent_flipped_everywhere_are_confirmed_against_the_reference_without_blaming_a_source():
    frame, _ = admissions(4000, 1, 0.10, source=None)
    report = examined(frame, reference=admissions(4000, 2)[0])
    assert report.verdict == "confirmed"
    assert report.flip_rate > report.baseline_rate + 0.02
    assert "baseline" in report.reason
    assert report.top_source.suspect_share < 0.5


def test_clean_labels_are_not_accused():
    for seed in range(4):
        report = examined(admissions(1500, 10 + seed)[0], reference=admissions(1500, 50 + seed)[0])
        assert report.verdict == "refuted", report.summary
        assert examined(admissions(1500, 10 + seed)[0]).verdict == "refuted"


def test_a_source_that_gives_most_rows_is_not_suspicious_for_giving_most_suspects():
    frame, _ = admissions(3000, 3, 0.02, source=None)
    frame["gateway"] = np.where(np.arange(3000) % 10 == 0, "small", "large")
    report = examined(frame, baseline_rate=0.02)
    assert report.verdict == "refuted", report.summary


def test_a_given_baseline_is_used():
    frame, _ = admissions(3000, 1, 0.08, source=None)
    report = examined(frame, baseline_rate=0.006)
    assert (report.baseline_rate, report.baseline_from) == (0.006, "given")
    assert report.p_value < 1e-6
    assert report.verdict == "confirmed"


def test_labels_that_the_features_do_not_explain_are_inconclusive():
    frame, _ = admissions(2000, 1)
    frame["readmitted"] = np.random.default_rng(1).integers(0, 2, 2000)
    report = examined(frame)
    assert report.skill < 0.6
    assert report.verdict == "inconclusive"


def test_the_neighbours_of_flipped_rows_disagree():
    frame, bad = admissions(3000, 1, 0.05)
    report = examined(frame)
    flipped = [item.neighbour_disagreement for item in report.suspects if item.row in bad]
    assert np.mean(flipped) > 2 * report.neighbours.disagreement
    assert report.top_source.neighbour_z > 4


def test_a_source_is_compared_with_its_own_reference():
    frame, _ = admissions(4000, 1, 0.06)
    report = examined(frame, reference=admissions(4000, 2)[0])
    assert report.top_source.label_z_own
    assert report.top_source.label_z < -4


def test_confident_learning_on_paper():
    given = np.array([0, 0, 0, 1, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.95, 0.05]])
    assert confident_learning(given, probabilities).tolist() == [0, 0, 1, 1, 1, 0]


def test_too_few_rows_one_class_and_no_features_say_what_to_do():
    frame, _ = admissions(1000, 1)
    with pytest.raises(DataProblem, match="at least 500"):
        examined(frame.head(100))
    with pytest.raises(DataProblem, match="1 distinct values"):
        examined(frame.assign(readmitted=1))
    with pytest.raises(DataProblem, match="No feature can be used"):
        poisoning.examine(
            frame[["readmitted"]].assign(id=[f"p{i}" for i in range(1000)]), label_column="readmitted"
        )


def test_the_report_is_strict_json():
    figures = json.loads(
        json.dumps(examined(admissions(1000, 1, 0.05)[0]).as_json(suspects=5), allow_nan=False)
    )
    assert len(figures["suspects"]) == 5
    assert figures["suspect_count"] > 5
    assert set(figures["flip_interval"]) == {"low", "high"}
