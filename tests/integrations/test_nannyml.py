"""NannyML on paper: tables of chunks in every way pandas writes them."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.contract import Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "alert_count_rank": "3 firing",
    "cbpe_estimated_performance": "10 firing",
}


def chunk(key: str, alert: Any, value: float = 0.7, period: str = "analysis", **more: Any) -> dict[str, Any]:
    return {"chunk.key": key, "chunk.period": period, "f1.value": value, "f1.lower_threshold": 0.75,
            "f1.upper_threshold": 0.95, "f1.alert": alert, **more}  # fmt: skip


def test_every_chunk_beyond_its_thresholds_is_reported_with_its_window() -> None:
    signals = read("nannyml", sample("nannyml", "cbpe_estimated_performance"))
    assert {one.metric for one in signals} == {"roc_auc", "f1"}
    assert len({one.fingerprint for one in signals}) == 2
    assert len({one.delivery_key for one in signals}) == 10
    first = signals[0]
    assert (first.window, first.sample_size, first.family) == ("[25000:29999]", 5000, "PERF")
    assert (first.threshold, first.comparator) == (0.9633165359, "<")
    assert first.value is not None
    assert first.value < first.threshold


def test_the_newest_chunk_decides() -> None:
    table = [chunk("a", True), chunk("b", True), chunk("c", False, 0.8)]
    signals = read("nannyml", request(table))
    assert [(one.window, one.status) for one in signals] == [
        ("a", "firing"),
        ("b", "firing"),
        ("c", "resolved"),
    ]
    assert [one.status for one in read("nannyml", request(table[::-1]))] == ["resolved", "firing", "firing"][
        1:
    ]


def test_what_was_never_beyond_is_told_once() -> None:
    [signal] = read("nannyml", request([chunk("a", False), chunk("b", False)]))
    assert (signal.status, signal.window) == ("resolved", "b")


def test_a_value_above_its_thresholds_names_the_upper_one() -> None:
    [signal] = read("nannyml", request([chunk("a", True, 0.99)]))
    assert (signal.threshold, signal.comparator) == (0.95, ">")


def test_the_reference_period_is_no_news() -> None:
    assert read("nannyml", request([chunk("a", True, period="reference")])) == []
    [signal] = read("nannyml", request([chunk("a", True, period="reference"), chunk("b", True)]))
    assert signal.window == "b"


@pytest.mark.parametrize(
    "table",
    [
        [{"chunk.key.": "a", "age.wasserstein.value.": 0.3, "age.wasserstein.alert.": True}],
        [{"chunk.chunk.key": "a", "age.wasserstein.value": 0.3, "age.wasserstein.alert": True}],
        [{"('chunk', 'chunk', 'key')": "a", "('age', 'wasserstein', 'value')": 0.3, "('age', 'wasserstein', 'alert')": True}],
        {"chunk.chunk.key": {"0": "a"}, "age.wasserstein.value": {"0": 0.3}, "age.wasserstein.alert": {"0": True}},
        {"chunk.chunk.key": ["a"], "age.wasserstein.value": [0.3], "age.wasserstein.alert": ["True"]},
        {"columns": [["chunk", "chunk", "key"], ["age", "wasserstein", "value"], ["age", "wasserstein", "alert"]],
         "index": [0], "data": [["a", 0.3, 1]]},
        {"columns": ["chunk.chunk.key", "age.wasserstein.value", "age.wasserstein.alert"], "data": [["a", 0.3, True]]},
        {"schema": {}, "data": [{"chunk.chunk.key": "a", "age.wasserstein.value": 0.3, "age.wasserstein.alert": True}]},
        {"result": [{"chunk.chunk.key": "a", "age.wasserstein.value": 0.3, "age.wasserstein.alert": True}]},
    ],
    ids=["empty level", "records", "tuples", "by column", "lists", "split", "split names", "table", "envelope"],
)  # fmt: skip
def test_a_table_is_read_however_pandas_wrote_it(table: Any) -> None:
    [signal] = read("nannyml", request(table))
    assert (signal.feature, signal.metric, signal.family, signal.value) == (
        "age",
        "wasserstein",
        "DRIFT",
        0.3,
    )
    assert (signal.window, signal.status) == ("a", "firing")


def test_results_of_data_quality_and_multivariate_drift_have_two_levels() -> None:
    row = {"chunk.key": "a", "age.value": 3, "age.alert": True, "reconstruction_error.value": 1.2,
           "reconstruction_error.alert": True}  # fmt: skip
    quality, drift = read("nannyml", request([row]))
    assert (quality.feature, quality.metric, quality.family) == ("age", "data_quality", "DATAQ")
    assert (drift.feature, drift.metric, drift.family) == ("", "reconstruction_error", "DRIFT")


def test_alerts_that_are_missing_say_nothing() -> None:
    with pytest.raises(Unreadable, match="no column ends with alert"):
        provider("nannyml").parse(request([chunk("a", None), chunk("b", "maybe")]), {})


def test_a_ranking_names_features_without_alarm() -> None:
    rows = [
        {"number_of_alerts": 4, "column_name": "age", "rank": 1},
        {"number_of_alerts": 0, "column_name": "job", "rank": 2},
    ]
    age, job = read("nannyml", request({"system": "loans", "result": rows}))
    assert (age.feature, age.level, age.value, age.system, age.status) == (
        "age",
        "info",
        4.0,
        "loans",
        "firing",
    )
    assert job.status == "resolved"
