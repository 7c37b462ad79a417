"""Datadog on paper: variables that arrive as text, empty, or as they were written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.contract import Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "keep_template": "set aside",
    "monitor_recovered": "1 resolved",
    "monitor_triggered": "1 firing",
    "monitor_warn_no_priority": "1 firing",
}


def monitor(**more: Any) -> dict[str, Any]:
    return {"alert_id": "77", "alert_cycle_key": "c-1", "alert_title": "[Triggered] Drift", **more}


def test_trigger_and_recovery_share_fingerprint_and_facts() -> None:
    [triggered] = read("datadog", sample("datadog", "monitor_triggered"))
    [recovered] = read("datadog", sample("datadog", "monitor_recovered"))
    assert triggered.fingerprint == recovered.fingerprint
    assert triggered.title == recovered.title == "Prediction drift high"
    assert (triggered.system, triggered.env, triggered.labels["team"]) == (
        "credit-risk",
        "prod",
        "ml-platform",
    )
    assert (triggered.metric, triggered.comparator, triggered.threshold, triggered.window) == (
        "model.psi",
        ">",
        0.25,
        "15m",
    )
    assert triggered.observed_at == datetime(2025, 3, 1, 12, 5, tzinfo=UTC)
    assert recovered.ends_at == datetime(2025, 3, 1, 13, 5, tzinfo=UTC)
    assert triggered.description.startswith("PSI is 0.41")
    assert "@webhook" not in triggered.description
    assert triggered.delivery_key != recovered.delivery_key


@pytest.mark.parametrize(
    ("transition", "status"),
    [
        ("Triggered", "firing"), ("Re-Triggered", "firing"), ("Warn", "firing"), ("Re-Warn", "firing"),
        ("No Data", "firing"), ("Re-No Data", "firing"), ("Renotify", "firing"), ("Recovered", "resolved"),
        ("Warn Recovered", "resolved"), ("No Data Recovered", "resolved"), ("Something New", "firing"),
    ],
)  # fmt: skip
def test_the_transition_says_what_became_of_it(transition: str, status: str) -> None:
    [signal] = read("datadog", request(monitor(alert_transition=transition)))
    assert signal.status == status


@pytest.mark.parametrize(
    ("told", "level"),
    [
        ({"alert_transition": "Warn", "alert_priority": "P1"}, "warning"),
        ({"alert_transition": "Triggered", "alert_priority": "P4", "alert_type": "error"}, "info"),
        ({"alert_transition": "Triggered", "alert_priority": "", "alert_type": "error"}, "critical"),
        ({"alert_transition": "Triggered", "severity": "P3"}, "warning"),
        ({"alert_transition": "Triggered", "alert_priority": "$ALERT_PRIORITY"}, None),
        ({}, None),
    ],
)
def test_a_warning_is_one_whatever_the_priority(told: dict[str, str], level: str | None) -> None:
    [signal] = read("datadog", request(monitor(**told)))
    assert signal.level == level


def test_without_a_transition_the_type_and_the_title_tell() -> None:
    assert read("datadog", request(monitor(alert_type="success")))[0].status == "resolved"
    assert (
        read("datadog", request(monitor(alert_title="[P2] [Recovered on {a:b}] Drift")))[0].status
        == "resolved"
    )
    assert read("datadog", request(monitor(alert_title="Drift")))[0].status == "firing"


def test_without_a_cycle_the_monitor_and_its_group_are_the_condition() -> None:
    def of(**more: Any) -> str:
        return read("datadog", request(monitor(alert_cycle_key="", **more)))[0].fingerprint

    assert of(alert_scope="model:a", alert_title="x") == of(alert_scope="model:a", alert_title="y")
    assert (
        len({of(alert_scope="model:a"), of(alert_scope="model:b"), of(alert_scope="model:a", alert_id="78")})
        == 3
    )


def test_tags_are_text_or_a_list_and_may_have_no_value() -> None:
    for tags in (
        "model:churn,env:staging, monitor ,,url:http://x:8",
        ["model:churn", "env:staging", "monitor", "url:http://x:8"],
    ):
        [signal] = read("datadog", request(monitor(tags=tags)))
        assert (signal.system, signal.env, signal.labels["url"]) == ("churn", "staging", "http://x:8")


def test_a_message_that_was_not_escaped_is_read() -> None:
    body = b'{"alert_id":"77","title":"The "income" monitor","body":"one\ntwo","tags":"model:churn"}'
    [signal] = read("datadog", request(body))
    assert (signal.title, signal.system, signal.description) == ('The "income" monitor', "churn", "one\ntwo")


def test_unknown_variables_are_no_values() -> None:
    [signal] = read(
        "datadog", request(monitor(snapshot="$SNAPSHOT", alert_metric="$ALERT_METRIC", hostname="$HOSTNAME"))
    )
    assert (signal.metric, signal.links) == ("", ())
    assert "host" not in signal.labels


@pytest.mark.parametrize(
    "query",
    [
        "",
        "a" * 5000,
        "max(last_5m):" + "(" * 1500,
        "x > ",
        'logs("*").index("main").rollup("count").last("5m") > 1e3',
    ],
)
def test_any_query_is_borne(query: str) -> None:
    [signal] = read("datadog", request(monitor(alert_query=query)))
    assert signal.threshold in (None, 1000.0)


def test_the_bare_template_is_no_event() -> None:
    with pytest.raises(Unreadable, match="names no monitor"):
        provider("datadog").parse(sample("datadog", "keep_template"), {})
