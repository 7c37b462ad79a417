"""Anodot on paper: groups of metrics, each open or closed by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.contract import Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import NOON, read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "anomaly_closed_two_alerts": "2 resolved",
    "anomaly_open_two_alerts": "2 firing",
    "doc_template_placeholders": "set aside",
    "no_data_open": "1 firing",
    "static_alert_with_events": "1 resolved",
}


def group(*metrics: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "alertGroupId": "g-1",
        "severity": "high",
        "alerts": [{"title": "Approvals", "alertId": "r-1", "metrics": list(metrics)}],
        **more,
    }


def test_opening_and_closing_of_a_metric_share_a_fingerprint() -> None:
    opened = read("anodot", sample("anodot", "anomaly_open_two_alerts"))
    closed = read("anodot", sample("anodot", "anomaly_closed_two_alerts"))
    assert [one.fingerprint for one in opened] == [one.fingerprint for one in closed]
    assert len({one.fingerprint for one in opened}) == 2
    assert closed[0].starts_at == datetime(2018, 11, 14, 9, 17, tzinfo=UTC)
    assert closed[0].ends_at == datetime(2018, 11, 14, 9, 37, tzinfo=UTC), "it lasted 1200 seconds"
    assert (opened[0].value, opened[0].comparator, opened[0].level) == (-500.0, "<", "critical")


def test_the_group_may_say_closed_while_a_metric_is_open() -> None:
    signals = read(
        "anodot",
        request(
            group(
                {"name": "m1", "state": "OPEN"}, {"name": "m2", "state": "closed"}, alertGroupStatus="close"
            )
        ),
    )
    assert [one.status for one in signals] == ["firing", "resolved"]


def test_where_metrics_have_no_state_that_of_the_group_counts() -> None:
    [signal] = read("anodot", request(group({"name": "m1"}, alertGroupStatus="close")))
    assert signal.status == "resolved"
    [signal] = read("anodot", request(group({"name": "m1"})))
    assert signal.status == "firing"


def test_dimensions_in_a_metrics_name_say_what_it_is_about() -> None:
    name = "what=approvals.model=credit-risk.segment=new.country=de.1479763791301"
    [signal] = read("anodot", request(group({"name": name, "state": "OPEN", "threshold": "30"})))
    assert (signal.system, signal.segment, signal.metric) == ("credit-risk", "new", "approvals")
    assert (signal.labels["country"], signal.threshold) == ("de", 30.0)
    assert signal.title == "Approvals: approvals"


def test_missing_data_is_a_matter_of_data_quality_whatever_the_case_of_the_type() -> None:
    for kind in ("No Data", "no data", "NO DATA"):
        [signal] = read("anodot", request(group({"name": "m", "state": "OPEN"}, type=kind)))
        assert signal.family == "DATAQ"
    [signal] = read("anodot", request(group({"name": "m", "state": "OPEN"}, type="Static")))
    assert signal.family is None


def test_the_last_of_two_equal_keys_counts_and_numbers_may_be_text() -> None:
    body = (
        b'{"alertGroupId":"g","severity":"low","from":"1","from":"2","alerts":[{"title":"A","alertId":"r","metrics":'
        b'[{"name":"m","state":"OPEN","peak":"1e2","delta":"NaN","significance":NaN}]}]}'
    )
    [signal] = read("anodot", request(body))
    assert (signal.value, signal.level, signal.extra["significance"]) == (100.0, "info", None)


def test_an_alert_without_metrics_is_a_condition_still() -> None:
    [signal] = read("anodot", request(group(alertGroupStatus="open")))
    assert (signal.title, signal.status, signal.observed_at) == ("Approvals", "firing", NOON)


@pytest.mark.parametrize(
    "body", [{"alerts": []}, {"alerts": {}}, {"alerts": "x"}, {"subject": "Close: x"}, {"alerts": [7]}]
)
def test_a_message_without_alerts_is_set_aside(body: dict[str, Any]) -> None:
    assert provider("anodot").admit(request(body), {}) == 1
    with pytest.raises(Unreadable, match="names none"):
        provider("anodot").parse(request(body), {})
