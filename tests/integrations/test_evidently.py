"""Evidently on paper: reports and suites of new and old releases."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integrations.contract import Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "legacy_testsuite_2_fail": "2 firing, 17 resolved",
    "v2_report_drift_detected": "4 firing",
    "v2_report_drift_none": "4 resolved",
    "v2_tests_fail": "4 firing",
    "v2_tests_pass": "4 resolved",
}


def drift(column: str, value: Any, method: str = "psi", threshold: float = 0.1) -> dict[str, Any]:
    config = {
        "type": "evidently:metric_v2:ValueDrift",
        "column": column,
        "method": method,
        "threshold": threshold,
    }
    return {"id": column, "metric_name": f"ValueDrift(column={column})", "config": config, "value": value}


def check(name: str, status: str, **more: Any) -> dict[str, Any]:
    return {"id": "t", "name": name, "description": "", "status": status, **more}


@pytest.mark.parametrize(
    ("failed", "passed"),
    [("v2_report_drift_detected", "v2_report_drift_none"), ("v2_tests_fail", "v2_tests_pass")],
)
def test_a_later_passing_report_resolves_what_failed(failed: str, passed: str) -> None:
    before, after = (
        read("evidently", sample("evidently", name), system="credit") for name in (failed, passed)
    )
    assert [one.fingerprint for one in before] == [one.fingerprint for one in after]
    assert len({one.fingerprint for one in before}) == len(before)
    assert {one.system for one in before} == {"credit"}


def test_the_facts_of_a_failed_test_are_read() -> None:
    share, missing, accuracy, education = read("evidently", sample("evidently", "v2_tests_fail"))
    assert (share.value, share.threshold, share.comparator, share.family) == (1.0, 0.5, ">=", "DRIFT")
    assert (missing.value, missing.threshold, missing.comparator) == (414.0, 10.0, ">")
    assert (missing.feature, missing.family) == ("income", "DATAQ")
    assert (accuracy.value, accuracy.threshold, accuracy.comparator, accuracy.family) == (
        0.6025,
        0.8,
        "<",
        "PERF",
    )
    assert (education.feature, education.family, education.threshold) == ("education", "DRIFT", 0.1)
    assert education.labels["method"] == "Jensen-Shannon distance"


def test_every_test_of_an_old_suite_is_a_condition_of_its_own() -> None:
    signals = read("evidently", sample("evidently", "legacy_testsuite_2_fail"))
    assert len({one.fingerprint for one in signals}) == len(signals)
    assert {one.version for one in signals} == {""}, "the version of the library is not that of the model"
    [income] = [one for one in signals if one.title == "Drift per Column: income"]
    assert (income.value, income.threshold, income.feature) == (0.05, 0.1, "income")


def test_warnings_errors_and_skipped_tests() -> None:
    tests = [check("a", "WARNING"), check("b", "ERROR"), check("c", "SKIPPED"), check("d", "TestStatus.FAIL"),
             check("e", None), check("f", "FAIL", test_config={"is_critical": False})]  # type: ignore[arg-type]  # fmt: skip
    signals = read("evidently", request({"metrics": [], "tests": tests}))
    assert [(one.title, one.status, one.level) for one in signals] == [
        ("a", "firing", "warning"),
        ("b", "firing", None),
        ("d", "firing", None),
        ("f", "firing", "warning"),
    ]


def test_a_report_run_without_tests_counts_by_the_thresholds_of_its_metrics() -> None:
    metrics = [drift("age", 0.3), drift("job", 0.05), drift("sex", 0.01, "chisquare p_value", 0.05),
               drift("zip", 0.2, "K-S p_value", 0.05), drift("empty", float("nan"))]  # fmt: skip
    signals = read("evidently", request(json.dumps({"metrics": metrics}).encode()))
    assert [(one.feature, one.status) for one in signals] == [
        ("age", "firing"),
        ("job", "resolved"),
        ("sex", "firing"),
        ("zip", "resolved"),
    ]
    assert [one.comparator for one in signals] == [">=", ">=", "<", "<"]


def test_an_old_report_counts_by_what_it_found() -> None:
    table = {
        "age": {"column_name": "age", "drift_detected": True, "drift_score": 0.4, "stattest_threshold": 0.1},
        "job": {"column_name": "job", "drift_detected": False, "drift_score": 0.01},
        "odd": 7,
    }
    metrics = [
        {
            "metric": "DatasetDriftMetric",
            "result": {"dataset_drift": True, "share_of_drifted_columns": 0.6, "drift_share": 0.5},
        },
        {"metric": "DataDriftTable", "result": {"dataset_drift": None, "drift_by_columns": table}},
        {"metric": "ColumnDriftMetric", "result": {"column_name": "sex", "drift_detected": False}},
    ]
    signals = read("evidently", request({"metrics": metrics}))
    assert [(one.feature, one.status, one.value) for one in signals] == [
        ("", "firing", 0.6),
        ("age", "firing", 0.4),
        ("job", "resolved", 0.01),
        ("sex", "resolved", None),
    ]


def test_what_a_report_is_about_comes_from_beside_it_a_header_or_the_settings() -> None:
    report = {"metrics": [drift("age", 0.3)], "tests": []}
    settings = {"system": "of-the-settings", "version": "1", "env": "staging"}
    [plain] = read("evidently", request(report), **settings)
    assert (plain.system, plain.version, plain.env) == ("of-the-settings", "1", "staging")
    [headed] = read("evidently", request(report, x_holdfast_system="of-the-header"), **settings)
    assert (headed.system, headed.version) == ("of-the-header", "1")
    envelope = {"model": "of-the-envelope", "model_version": "9", "env": "prod", "window": "2026-03-01",
                "url": "https://reports.example.org/7", "timestamp": "2026-02-28T23:00:00Z", "report": report}  # fmt: skip
    [inside] = read("evidently", request(envelope, x_holdfast_system="of-the-header"), **settings)
    assert (inside.system, inside.version, inside.env, inside.window) == (
        "of-the-envelope",
        "9",
        "prod",
        "2026-03-01",
    )
    assert inside.links == (("Report", "https://reports.example.org/7"),)
    assert f"{inside.observed_at:%d %H:%M}" == "28 23:00"
    [beside] = read("evidently", request({**report, "system": "beside"}), **settings)
    assert beside.system == "beside"
    assert len({one.fingerprint for one in (plain, headed, inside, beside)}) == 4


def test_a_later_version_resolves_what_an_earlier_one_failed() -> None:
    report = {"metrics": [drift("age", 0.3)]}
    [seven] = read("evidently", request({**report, "system": "s", "model_version": "7"}))
    [eight] = read("evidently", request({**report, "system": "s", "model_version": "8"}))
    assert seven.fingerprint == eight.fingerprint


def test_the_size_of_the_sample_is_read_where_rows_were_counted() -> None:
    rows = {
        "id": "r",
        "metric_name": "RowCount()",
        "config": {"type": "evidently:metric_v2:RowCount"},
        "value": 1.0,
    }
    [signal] = read("evidently", request({"metrics": [drift("age", 0.9), rows]}))
    assert signal.sample_size == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"metrics": []}, "no tests and no drift metrics"),
        ({"tests": []}, "no tests and no drift metrics"),
        ({"metrics": [{"id": "m", "config": {}, "value": 3}]}, "include_tests=True"),
        ({"summary": {"all_passed": False}}, "no report of Evidently"),
        ([1, 2], "no report of Evidently"),
    ],
)
def test_a_report_without_a_verdict_is_not_taken_as_good_news(body: Any, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        provider("evidently").parse(request(body), {})
