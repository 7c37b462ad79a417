"""Grafana's notifications on paper: unified alerting, dashboards of old releases, signatures, odd forms."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations.authenticity import hmac_sha256
from integrations.contract import Inbound, Refusal, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import NOON, read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "alerta_legacy_alerting": "1 firing",
    "composed_resolved_2": "2 resolved",
    "official_doc_firing_2": "2 firing",
    "oncall_grafana_alerting_example": "3 firing",
    "zulip_alert_multiple_v8": "2 firing",
    "zulip_alert_ok_v7": "1 resolved",
    "zulip_alert_pending_v7": "nothing",
    "zulip_alert_v7": "1 firing",
    "zulip_alert_v8": "1 resolved",
    "zulip_alert_values_v11": "1 firing",
    "zulip_no_message_alert_v7": "1 firing",
}


def notification(*alerts: Any, **more: Any) -> dict[str, Any]:
    return {"version": "1", "status": "firing", "alerts": list(alerts), **more}


def test_firing_and_resolved_of_one_alert_share_a_fingerprint() -> None:
    firing = read("grafana", sample("grafana", "official_doc_firing_2"))
    resolved = read("grafana", sample("grafana", "composed_resolved_2"))
    assert [one.fingerprint for one in firing] == [one.fingerprint for one in resolved]
    assert firing[0].fingerprint == "c6eadffa33fcdf37"
    assert firing[0].starts_at == datetime(2021, 10, 12, 7, 51, 3, 157076, UTC)
    assert (firing[0].ends_at, firing[0].value) == (None, pytest.approx(44.239, abs=0.001))
    assert resolved[0].ends_at == datetime(2021, 10, 12, 8, 11, 3, 157076, UTC)
    assert ("Runbook", "https://myrunbook.com/runbook/1234") in firing[0].links


def test_the_measured_value_is_told_from_the_verdict_of_the_threshold() -> None:
    [signal] = read("grafana", sample("grafana", "zulip_alert_values_v11"))
    assert signal.value == 2473545728
    assert signal.extra["values"]["minute"] == 9
    [printed] = read("grafana", sample("grafana", "zulip_alert_v8"))
    assert (printed.metric, printed.value) == ("foo", 10)
    [only] = read("grafana", request(notification({"labels": {"alertname": "A"}, "values": {"C": 1}})))
    assert only.value == 1
    [none] = read("grafana", request(notification({"labels": {"alertname": "A"}, "values": None})))
    assert none.value is None


def test_a_dashboard_alert_is_known_by_its_rule() -> None:
    def of(state: str, **more: Any) -> Any:
        return read("grafana", request({"ruleId": 4, "ruleName": "Lag", "state": state, **more}))[0]

    begun = of("alerting", evalMatches=[{"value": 3, "metric": "lag", "tags": {"model": "churn"}}])
    over = of("ok", evalMatches=[])
    assert begun.fingerprint == over.fingerprint != of("ok", dashboardId=9).fingerprint
    assert (begun.status, begun.system, begun.metric, begun.value) == ("firing", "churn", "lag", 3)
    assert of("no_data").title == "Lag: no data"


@pytest.mark.parametrize("state", ["pending", "paused", "unknown"])
def test_a_dashboard_alert_that_is_neither_firing_nor_over_says_nothing(state: str) -> None:
    assert read("grafana", request({"ruleName": "Lag", "state": state})) == []


def test_a_rule_that_could_not_be_asked_is_named() -> None:
    labels = {"alertname": "DatasourceNoData", "rulename": "PSI of churn", "grafana_folder": "ML"}
    [signal] = read("grafana", request(notification({"labels": labels, "status": "firing", "values": {}})))
    assert (signal.title, signal.metric) == ("PSI of churn: no data", "PSI of churn")


def test_the_alerts_own_status_counts_not_the_groups() -> None:
    over = {"status": "resolved", "labels": {"alertname": "A"}, "endsAt": "2026-03-01T11:30:00Z"}
    silent = {"labels": {"alertname": "B"}, "endsAt": "2026-03-01T11:30:00Z"}
    signals = read("grafana", request(notification(over, silent, status="mixed")))
    assert [one.status for one in signals] == ["resolved", "resolved"]


def signed(body: bytes, secret: str, at: datetime | None = None) -> Inbound:
    stamp = {} if at is None else {"x_time": str(int(at.timestamp()))}
    content = body if at is None else stamp["x_time"].encode() + b":" + body
    return request(body, **stamp, x_grafana_alerting_signature=hmac_sha256(secret, content))


def test_a_signature_is_checked_over_the_raw_body() -> None:
    body = json.dumps(notification({"labels": {"alertname": "Ä 📉"}}), ensure_ascii=False).encode()
    one, settings = provider("grafana"), {"hmac_secret": "old-secret,new-secret"}
    assert one.admit(signed(body, "new-secret"), settings) == 1
    assert one.admit(signed(body, "old-secret"), settings) == 1
    for wrong in (request(body), signed(body, "guessed-secret"), signed(body + b" ", "new-secret")):
        spoiled = Inbound(wrong.headers, body, NOON)
        with pytest.raises(Refusal) as refused:
            one.admit(spoiled, settings)
        assert refused.value.status == 401


def test_a_signed_time_keeps_old_messages_out() -> None:
    body = json.dumps(notification()).encode()
    one, settings = provider("grafana"), {"hmac_secret": "new-secret", "timestamp_header": "X-Time"}
    assert one.admit(signed(body, "new-secret", NOON), settings) == 0
    with pytest.raises(Refusal, match="minutes away"):
        one.admit(signed(body, "new-secret", NOON - timedelta(minutes=6)), settings)
    with pytest.raises(Refusal):
        one.admit(signed(body, "new-secret"), settings)


def test_a_password_keeps_strangers_out() -> None:
    message = request(notification({"labels": {"alertname": "A"}}), authorization="Bearer right-secret")
    assert provider("grafana").admit(message, {"secret": "right-secret"}) == 1
    with pytest.raises(Refusal):
        provider("grafana").admit(message, {"secret": "other-secret"})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"text": "a custom payload"}, "custom payload"),
        ([], "custom payload"),
        ({"alerts": {}}, "custom payload"),
        (notification({"labels": {}}, ["x"]), r"alerts\[1\]"),
        ({"ruleName": "x", "state": "exploded"}, "exploded"),
        ({"ruleName": "x"}, "is unknown"),
    ],
)
def test_what_is_no_notification_is_set_aside_with_a_way_out(body: Any, words: str) -> None:
    assert provider("grafana").admit(request(body), {}) == 1, "it is kept: Grafana would not send it again"
    with pytest.raises(Unreadable, match=words):
        provider("grafana").parse(request(body), {})


@pytest.mark.parametrize("body", [b"", b'{"alerts": [', b"<html>502</html>"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal, match="not JSON"):
        provider("grafana").admit(request(body), {})


def test_five_megabytes_of_text_and_hostile_links_are_borne() -> None:
    odd = {
        "labels": {"alertname": "<script>\x00", "severity": ["x"]},
        "annotations": {"summary": "x" * 5_000_000, "runbook_url": "javascript:alert(1)"},
        "values": {"A": float("nan"), "B": "many", "C": [1]},
        "valueString": "[ value=NaN ]",
    }
    [signal] = read("grafana", request(notification(odd)))
    assert len(signal.title) == 300
    assert (signal.value, signal.level, signal.links) == (None, None, ())
