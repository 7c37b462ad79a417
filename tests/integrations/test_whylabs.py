"""WhyLabs on paper: templates of the user, events for PagerDuty, constraint reports."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.contract import Refusal, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "pagerduty_event_every_anomaly": "1 firing",
    "webhook_default_body": "1 firing",
    "webhook_templated_body": "1 firing",
    "whylogs_constraints_report": "2 firing, 1 resolved",
}


def test_the_event_for_pagerduty_tells_most() -> None:
    [signal] = read("whylabs", sample("whylabs", "pagerduty_event_every_anomaly"))
    assert (signal.system, signal.feature, signal.metric) == ("model-12", "income", "count_null_ratio")
    assert signal.level == "info", "the sentence says low, the event's own severity is always error"
    assert signal.delivery_key == "e137963f-1dfc-325f-8a41-18ca0f402864"
    assert signal.window == "1d"
    assert signal.links[0][0] == "WhyLabs"


def test_the_same_monitor_is_the_same_condition_from_run_to_run() -> None:
    def of(run: str) -> Any:
        return read("whylabs", request({"org": "o", "dataset": "d", "monitor": "m", "run": run}))[0]

    assert of("r-1").fingerprint == of("r-2").fingerprint
    assert of("r-1").delivery_key != of("r-2").delivery_key


def test_the_name_of_the_monitor_may_be_absent() -> None:
    [signal] = read("whylabs", request({"monitorId": "drift-monitor"}))
    assert signal.title == "Monitor drift-monitor found an anomaly"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"monitor":"m","name":"The "income" monitor","dataset":"d"}', 'The "income" monitor'),
        (b'{"monitor":"m","name":"two\nlines","dataset":"d"}', "two\nlines"),
        (b'{\n "monitor" : "m",\n "dataset":"d", "name":"ends with \\"a quote\\""\n}', 'ends with "a quote"'),
        ('{"monitor":"m","dataset":"d","name":"日本 "§" ✓"}'.encode(), '日本 "§" ✓'),
    ],
)
def test_macros_that_were_not_escaped_are_borne(body: bytes, name: str) -> None:
    [signal] = read("whylabs", request(body))
    assert (signal.labels["monitor"], signal.system, signal.labels["alertname"]) == ("m", "d", name)


def test_a_long_body_that_is_not_json_is_not_searched() -> None:
    body = b'{"monitor":"m","name":"The "x" monitor", "pad":"' + b'"a":"' * 40_000 + b'"}'
    with pytest.raises(Refusal, match="not JSON"):
        provider("whylabs").admit(request(body), {})


def test_macros_that_were_not_filled_in_are_no_anomaly() -> None:
    body = {"monitor": "<[[monitor-id]]>", "name": "<[[monitor-name]]>"}
    with pytest.raises(Unreadable, match="not filled in"):
        provider("whylabs").parse(request(body), {})


def test_pagerdutys_resolution_resolves() -> None:
    details = {"analyzer_id": "a", "dataset_id": "d", "feature": "f"}
    event = {"payload": {"summary": "s", "custom_details": details}}
    [firing] = read("whylabs", request({**event, "event_action": "trigger"}))
    [resolved] = read("whylabs", request({**event, "event_action": "resolve"}))
    assert (firing.status, resolved.status) == ("firing", "resolved")
    assert firing.fingerprint == resolved.fingerprint


def test_constraints_of_early_releases_are_tuples() -> None:
    failed, held = read("whylabs", request([["age > 0", 0, 1], ["age is odd", 3, 0, None]]), system="churn")
    assert (failed.status, failed.family, failed.system, failed.value) == ("firing", "DATAQ", "churn", 1.0)
    assert held.status == "resolved"


def test_a_constraint_resolves_when_a_later_report_holds_it() -> None:
    def of(failed: int) -> Any:
        rows = [
            {
                "name": "income has no missing values",
                "passed": 1 - failed,
                "failed": failed,
                "summary": {"n": 5},
            }
        ]
        return read("whylabs", request({"valid": not failed, "report": rows}), system="churn")[0]

    assert of(1).fingerprint == of(0).fingerprint
    assert (of(1).feature, of(1).sample_size, of(0).status) == ("income", 5, "resolved")
