"""What Google Cloud sends on paper: incidents of Cloud Monitoring, Vertex AI's anomalies, Pub/Sub around them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.contract import Inbound, Refusal, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import request, sample
from tests.integrations.tokens import publish, token

pytestmark = pytest.mark.once

SAMPLES = {
    "alerta_stackdriver_closed_v1.1": "1 resolved",
    "alerta_stackdriver_open_v1.1": "1 firing",
    "google_cloudevents_MessagePublishedData-binary": "set aside",
    "google_cloudevents_MessagePublishedData-text": "set aside",
    "monitoring_v1.2_closed": "1 resolved",
    "monitoring_v1.2_closed_full_doc_example": "1 resolved",
    "monitoring_v1.2_open": "1 firing",
    "pubsub_push_monitoring_open": "1 firing",
    "pubsub_push_vertex_anomaly": "2 firing",
    "vertex_model_monitoring_anomaly_logentry": "2 firing",
}


def said(body: Any) -> list[Any]:
    inbound = body if isinstance(body, Inbound) else request(body)
    found = list(provider("gcp").parse(inbound, {}))
    assert provider("gcp").admit(inbound, {}) == len(found)
    return found


def incident(**more: Any) -> dict[str, Any]:
    return {"version": "1.2", "incident": {"incident_id": "0.a", "state": "open", "policy_name": "P", **more}}


def pushed(data: Any, **message: Any) -> dict[str, Any]:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return {
        "subscription": "s",
        "message": {"data": base64.b64encode(raw).decode(), "messageId": "7", **message},
    }


def test_open_and_closed_are_one_alert_by_webhook_and_by_pubsub() -> None:
    [opened] = said(sample("gcp", "monitoring_v1.2_open"))
    [closed] = said(sample("gcp", "monitoring_v1.2_closed_full_doc_example"))
    [by_pubsub] = said(sample("gcp", "pubsub_push_monitoring_open"))
    assert opened.fingerprint == closed.fingerprint == by_pubsub.fingerprint == "0.opqiw61fsv7p"
    assert (opened.level, closed.level) == ("critical", None)
    assert (opened.value, opened.comparator, opened.threshold) == (0.97, ">", 0.9)
    assert opened.metric == "compute.googleapis.com/instance/cpu/utilization"
    assert opened.ends_at is None
    assert closed.ends_at == datetime.fromtimestamp(1577877071, UTC)
    assert opened.labels["user-label-1"] == "important label"


def test_an_old_notification_tells_its_numbers_in_its_summary() -> None:
    [old] = said(sample("gcp", "alerta_stackdriver_open_v1.1"))
    assert (old.value, old.threshold, old.comparator) == (28.5, 1, ">")
    [back] = said(sample("gcp", "monitoring_v1.2_closed"))
    assert (back.value, back.comparator) == (0.081, ">")


def test_a_test_of_the_channel_and_a_promql_alert_are_read() -> None:
    [test] = said({"version": "test", "incident": {"incident_id": "t", "state": "OPEN", "summary": "Test Incident",
                                                  "started_at": 0, "condition": {"name": "x"}}})  # fmt: skip
    assert (test.status, test.title) == ("firing", "Test Incident")
    [promql] = said(incident(metric={"type": "__missing__", "labels": {"model": "churn"}}, severity="Error"))
    assert (promql.metric, promql.system, promql.level) == ("", "churn", "critical")


def test_every_feature_with_an_anomaly_is_an_alert() -> None:
    age, education = said(sample("gcp", "vertex_model_monitoring_anomaly_logentry"))
    assert (age.feature, age.value, age.threshold, age.family) == ("age", 0.9, 0.7, "DRIFT")
    assert (education.feature, education.baseline) == ("education", "training data")
    assert (age.system, age.metric) == ("1645828169292316672", "raw_feature_skew")
    wrapped = said(sample("gcp", "pubsub_push_vertex_anomaly"))
    assert [one.fingerprint for one in wrapped] == [age.fingerprint, education.fingerprint]
    assert len({age.delivery_key, education.delivery_key}) == 2


def test_an_anomaly_without_features_is_told_all_the_same() -> None:
    payload = {"anomalyObjective": "FEATURE_ATTRIBUTION_DRIFT", "totalAnomaliesCount": "3"}
    [signal] = said({"jsonPayload": payload})
    assert signal.title == "Feature attribution drift"
    assert said(pushed(payload))[0].fingerprint == signal.fingerprint


def test_serious_entries_of_a_log_are_alerts_and_others_are_not() -> None:
    entry = {"logName": "projects/p/logs/predictions", "severity": "ERROR", "textPayload": "NaN in age\nat 5",
             "resource": {"labels": {"endpoint_id": "77"}}, "insertId": "i"}  # fmt: skip
    [signal] = said(pushed(entry))
    assert (signal.title, signal.system, signal.level) == ("NaN in age", "77", "critical")
    assert said(pushed({**entry, "severity": "INFO"})) == []


def test_our_own_shape_comes_through_pubsub() -> None:
    [signal] = said(pushed({"title": "PSI", "dedup_key": "k"}))
    assert signal.fingerprint == "k"


def test_a_delivery_is_known_again_by_either_spelling() -> None:
    one = provider("gcp")
    assert one.delivery_key(request(pushed({}))) == "7"
    assert one.delivery_key(request({"message": {"message_id": "8"}})) == "8"
    assert one.delivery_key(request(incident())) == ""
    assert one.delivery_key(request(b"<")) == ""


def test_a_push_proves_itself_with_googles_token(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = publish(monkeypatch, "k1")
    account = "push@p.iam.gserviceaccount.com"
    settings = {"audience": "https://h.example.org/inbound", "service_account": account}
    claims = {"iss": "https://accounts.google.com", "aud": "https://h.example.org/inbound", "email": account}

    def push(**more: Any) -> Inbound:
        return request(
            pushed({"title": "x"}),
            authorization=f"Bearer {token(**{**claims, 'email_verified': True, **more})}",
        )

    assert provider("gcp").admit(push(), settings) == 1
    assert asked == ["https://www.googleapis.com/oauth2/v3/certs"]
    for wrong in (push(email="other@p.iam.gserviceaccount.com"), push(email_verified=False), push(aud="x"),
                  push(iss="https://evil.example"), request(pushed({"title": "x"}))):  # fmt: skip
        with pytest.raises(Refusal) as refused:
            provider("gcp").admit(wrong, settings)
        assert refused.value.status == 401


def test_a_channel_with_a_password_may_report_beside_a_push(monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, "k1")
    settings = {"audience": "a", "secret": "right-secret"}
    assert provider("gcp").admit(request(incident(), x_holdfast_secret="right-secret"), settings) == 1
    with pytest.raises(Refusal):
        provider("gcp").admit(request(incident()), settings)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "empty"),
        (["x"], "neither"),
        ({}, "None of the messages"),
        (incident(state="exploded"), "exploded"),
        ({"message": {}}, "no data"),
        ({"message": {"data": "%"}}, "not base64"),
        (pushed(b"\xff\x00"), "not JSON"),
        (
            {"jsonPayload": {"anomalyObjective": "RAW_FEATURE_SKEW", "featureAnomalies": "x"}},
            "names no anomaly",
        ),
    ],
)
def test_what_is_none_of_it_is_set_aside_and_acknowledged(body: Any, words: str) -> None:
    assert provider("gcp").admit(request(body), {}) == 1, "Pub/Sub must not deliver it for ever"
    with pytest.raises(Unreadable, match=words):
        provider("gcp").parse(request(body), {})
