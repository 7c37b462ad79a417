"""Great Expectations on paper: results of 0.x and 1.x, alone and in checkpoints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.contract import Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "validation_failed_complete": "5 firing, 1 resolved",
    "validation_passed": "6 resolved",
}


def expectation(
    success: Any = False, kind: str = "expect_column_values_to_not_be_null", **kwargs: Any
) -> dict[str, Any]:
    return {
        "success": success,
        "expectation_config": {"type": kind, "kwargs": {"column": "price", **kwargs}},
        "result": {},
    }


def validation(*results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"success": False, "suite_name": "orders", "results": list(results), "meta": {}, **more}


def test_a_later_passing_run_resolves_the_same_expectations() -> None:
    failed = {
        one.fingerprint: one
        for one in read("great_expectations", sample("great_expectations", "validation_failed_complete"))
    }
    passed = {
        one.fingerprint: one
        for one in read("great_expectations", sample("great_expectations", "validation_passed"))
    }
    shared = failed.keys() & passed.keys()
    assert len(shared) >= 5
    assert {passed[one].status for one in shared} == {"resolved"}


def test_the_facts_of_an_expectation_are_read() -> None:
    raised, nulls, ages, *_ = read(
        "great_expectations", sample("great_expectations", "validation_failed_complete")
    )
    assert raised.description == 'Error: The column "missing_col" in BatchData does not exist.'
    assert raised.labels["raised"] == "true"
    assert (nulls.feature, nulls.dataset, nulls.level, nulls.family) == (
        "income",
        "scoring_input",
        "critical",
        "DATAQ",
    )
    assert (nulls.value, nulls.threshold, nulls.comparator, nulls.sample_size) == (40.0, 10.0, ">", 5)
    assert ages.level == "warning"
    assert nulls.observed_at.year == 2026


def test_unexpected_values_do_not_leave_the_message() -> None:
    signals = read("great_expectations", sample("great_expectations", "validation_failed_complete"))
    assert "日本" not in str([(one.title, one.description, one.labels, one.extra) for one in signals])


def test_the_batch_and_the_run_do_not_belong_to_the_condition_but_arguments_do() -> None:
    def of(**kwargs: Any) -> str:
        return read("great_expectations", request(validation(expectation(**kwargs))))[0].fingerprint

    assert of(batch_id="a") == of(batch_id="b") == of(result_format="COMPLETE")
    assert of(mostly=0.9) != of(mostly=0.8)


@pytest.mark.parametrize(
    "info",
    [
        {"raised_exception": True, "exception_message": "boom", "exception_traceback": "…"},
        {"MetricConfigurationID(x)": {"raised_exception": True, "exception_message": "boom"}},
        {
            "a": 7,
            "b": {"raised_exception": False},
            "c": {"raised_exception": True, "exception_message": "boom"},
        },
    ],
)
def test_an_exception_is_found_flat_and_by_metric(info: dict[str, Any]) -> None:
    [signal] = read("great_expectations", request(validation({**expectation(), "exception_info": info})))
    assert signal.description == "boom"


def test_a_checkpoint_of_0x_holds_several_validations() -> None:
    one = {"success": False, "meta": {"expectation_suite_name": "orders", "batch_kwargs": {"datasource": "dw", "table": "orders"}},
           "results": [{"success": False, "expectation_config": {"expectation_type": "expect_column_max_to_be_between",
                        "kwargs": {"column": "price", "max_value": 10}}, "result": {"observed_value": 12}}]}  # fmt: skip
    other = {
        **one,
        "meta": {"expectation_suite_name": "orders", "batch_spec": {"data_asset_name": "refunds"}},
    }
    body = {"run_id": {"run_name": "n", "run_time": "2026-02-03T04:05:06+00:00"}, "success": False,
            "run_results": {"a": {"validation_result": one, "actions_results": {}}, "b": other, "c": 7}}  # fmt: skip
    orders, refunds = read("great_expectations", request(body))
    assert (orders.dataset, refunds.dataset) == ("orders", "refunds")
    assert (orders.value, orders.threshold, orders.comparator) == (12.0, 10.0, ">")
    assert orders.observed_at == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert orders.fingerprint != refunds.fingerprint
    assert orders.delivery_key


def test_a_compact_time_of_the_batch_is_read() -> None:
    [signal] = read(
        "great_expectations",
        request(
            validation(expectation(), meta={"batch_markers": {"ge_load_time": "20260203T040506.789012Z"}})
        ),
    )
    assert signal.observed_at == datetime(2026, 2, 3, 4, 5, 6, 789012, UTC)


def test_the_described_form_of_1x_is_read() -> None:
    body = {"success": False, "statistics": {}, "validation_results": [
        {"success": False, "asset_name": "orders", "result_url": "https://gx.example.org/1", "expectations": [
            {"expectation_type": "expect_column_to_exist", "success": False, "kwargs": {"column": "price"}, "result": {}},
            {"expectation_type": "expect_column_to_exist", "success": True, "kwargs": {"column": "id"}, "result": {}}]}]}  # fmt: skip
    price, identity = read("great_expectations", request(body))
    assert (price.status, identity.status, price.dataset) == ("firing", "resolved", "orders")
    assert price.links == (("Validation", "https://gx.example.org/1"),)


def test_expectations_about_pairs_and_sets_name_their_columns() -> None:
    [signal] = read(
        "great_expectations", request(validation(expectation(column=None, column_list=["a", "b"])))
    )
    assert signal.feature == "a, b"


def test_a_result_without_a_verdict_says_nothing() -> None:
    assert read("great_expectations", request(validation(expectation(success=None), success=True))) == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (validation(), "failed but holds no expectations"),
        (validation(expectation(success="no")), "failed but holds no expectations"),
        ({"success": False}, "no result of Great Expectations"),
        ({"run_results": {}}, "no result of Great Expectations"),
    ],
)
def test_a_failure_without_expectations_is_not_taken_as_good_news(body: dict[str, Any], words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        provider("great_expectations").parse(request(body), {})
