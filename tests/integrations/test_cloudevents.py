"""CloudEvents on paper: binary, structured, batch, and what is none."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.contract import Inbound, Refusal
from integrations.shelf import provider
from tests.integrations.inbound import NOON, read, request, sample

pytestmark = pytest.mark.once

STRUCTURED = "application/cloudevents+json; charset=utf-8"
BATCH = "application/cloudevents-batch+json"


def event(**more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": "e-1", "source": "/jobs/drift", "type": "org.example.drift.detected", **more
    }  # fmt: skip


def structured(content: Any, content_type: str = STRUCTURED) -> Inbound:
    return request(content, content_type=content_type)


def test_a_structured_event_is_read() -> None:
    inbound = sample("cloudevents", "structured_json_drift")
    [signal] = read("cloudevents", inbound)
    assert (signal.system, signal.version, signal.status) == ("credit-risk", "17", "firing")
    assert signal.labels["alertname"] == "com.acme.model.drift"
    assert (signal.feature, signal.metric, signal.value, signal.threshold) == ("income", "psi", 0.41, 0.25)
    assert signal.observed_at == datetime(2025, 3, 1, 12, tzinfo=UTC)
    assert signal.labels["traceparent"].startswith("00-4bf9")
    assert provider("cloudevents").delivery_key(inbound) == "/monitors/psi A234-1234-1234"


def test_a_binary_event_is_read_with_its_encoded_subject() -> None:
    [signal] = read("cloudevents", sample("cloudevents", "binary_mode_body"))
    assert (signal.system, signal.feature, signal.value) == ("модель", "income", 0.41)
    assert signal.title == "com.acme.model.drift.detected: модель"


def test_text_data_and_unknown_extensions_are_kept() -> None:
    [signal] = read("cloudevents", sample("cloudevents", "structured_xml_data_string"))
    assert signal.description == '<much wow="xml"/>'
    assert signal.labels["comexampleothervalue"] == "5"
    assert (signal.status, signal.system) == ("firing", "")


def test_every_event_of_a_batch_is_a_signal() -> None:
    batch = [event(), event(id="e-2", data={"title": "Second", "severity": "critical"})]
    first, second = read("cloudevents", structured(batch, BATCH))
    assert (first.delivery_key, second.delivery_key) == ("/jobs/drift e-1", "/jobs/drift e-2")
    assert (second.title, second.level) == ("Second", "critical")
    assert read("cloudevents", structured([], BATCH)) == []
    assert provider("cloudevents").delivery_key(structured(batch, BATCH)) == ""


def test_the_form_is_seen_where_the_media_type_was_forgotten() -> None:
    assert len(read("cloudevents", structured(event(), "application/json"))) == 1
    assert len(read("cloudevents", structured([event(), event(id="2")], "application/json"))) == 2


@pytest.mark.parametrize(
    ("kind", "data", "status"),
    [
        ("org.example.drift.detected", {}, "firing"),
        ("org.example.drift.resolved", {}, "resolved"),
        ("org.example.drift.Recovered", None, "resolved"),
        ("org.example.drift", {}, "firing"),
        ("org.example.drift", {"status": "ok"}, "resolved"),
        ("org.example.drift.resolved", {"status": "firing"}, "firing"),
        ("org.example.drift.resolved", {"state": "a word of its own"}, "resolved"),
    ],
)
def test_type_and_data_say_whether_it_is_over(kind: str, data: Any, status: str) -> None:
    [signal] = read("cloudevents", structured(event(type=kind, data=data)))
    assert signal.status == status


def test_begin_and_end_of_a_condition_share_a_fingerprint() -> None:
    def of(**more: Any) -> str:
        return read("cloudevents", structured(event(**more)))[0].fingerprint

    begun = of(subject="churn:9", data={"feature": "age", "psi": 0.3})
    over = of(
        id="e-9", subject="churn:9", type="org.example.drift.resolved", data={"feature": "age", "psi": 0.1}
    )
    assert begun == over
    assert begun != of(subject="churn:9", data={"feature": "tenure"})
    assert of(data={"dedup_key": "k"}) == "k"


def test_data_may_come_as_base64() -> None:
    def data(content: bytes, kind: str | None = None) -> Any:
        coded = base64.b64encode(content).decode()
        more = {"datacontenttype": kind} if kind else {}
        return read("cloudevents", structured(event(data_base64=coded, **more)))[0]

    assert data(b'{"title": "Coded"}').title == "Coded"
    assert data(b"plain", "text/plain").description == "plain"
    assert data(b"\xff\xfe not JSON").description.endswith("not JSON")


def test_paths_lead_into_the_event() -> None:
    paths = {"title": "data.rule.name", "status": "data.state", "severity": "data.prio", "system": "subject",
             "labels.site": "data.site", "dedup_key": "data.rule.id"}  # fmt: skip
    content = event(
        subject="m:1", data={"rule": {"name": "R", "id": 7}, "state": "BAD", "prio": "x", "site": "eu"}
    )
    [signal] = read(
        "cloudevents",
        structured(content),
        paths=paths,
        status_map={"GOOD": "resolved", "BAD": "firing"},
        level_map={"x": "critical"},
    )
    assert (signal.title, signal.status, signal.level, signal.system) == ("R", "firing", "critical", "m:1")
    assert (signal.labels["site"], signal.fingerprint) == ("eu", "7")
    assert "paths" in provider("cloudevents").check({"paths": {"nothing": "x"}})


@pytest.mark.parametrize(
    ("content", "content_type", "status", "words"),
    [
        (b"{", STRUCTURED, 422, "not JSON"),
        (b"<a/>", "text/xml", 415, "ce-.* headers are missing"),
        (b"{}", "application/cloudevents+avro", 415, "cloudevents\\+avro is not read"),
        ("x", STRUCTURED, 422, "not a JSON object"),
        ({}, STRUCTURED, 422, '"id"'),
        (event(source=""), STRUCTURED, 422, '"source"'),
        (event(type=5), STRUCTURED, 422, '"type"'),
        (event(specversion="0.3"), STRUCTURED, 422, "specversion 0.3"),
        (event(time="yesterday"), STRUCTURED, 422, "RFC 3339"),
        (event(data=1, data_base64="MQ=="), STRUCTURED, 422, "both"),
        (event(data_base64="%"), STRUCTURED, 422, "not base64"),
        (event(), BATCH, 422, "array"),
        ([event(), {"id": "2"}], BATCH, 422, "event 1"),
        ([event()] * 1001, BATCH, 413, "at most 1000"),
    ],
)
def test_what_is_no_event_is_refused(content: Any, content_type: str, status: int, words: str) -> None:
    with pytest.raises(Refusal, match=words) as refused:
        provider("cloudevents").admit(structured(content, content_type), {})
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("value", "read_as"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ('"a \\"quoted\\" name"', 'a "quoted" name'),
        ("Ã¼ber", "über"),
        ("100%", "100%"),
        ("%ff", "�"),
    ],
)
def test_header_values_are_decoded(value: str, read_as: str) -> None:
    inbound = request(b"", ce_specversion="1.0", ce_id="1", ce_source="/s", ce_type="t.x", ce_subject=value)
    [signal] = read("cloudevents", inbound)
    assert signal.labels["ce_subject"] == read_as


def test_a_broker_that_asks_for_permission_gets_it() -> None:
    headers = {"webhook-request-origin": "eventemitter.example.com", "webhook-request-rate": "120"}
    asked = Inbound(headers, b"", NOON, method="OPTIONS")
    reply = provider("cloudevents").handshake(asked, {})
    assert reply is not None
    assert reply.headers["WebHook-Allowed-Origin"] == "eventemitter.example.com"
    assert reply.headers["WebHook-Allowed-Rate"] == "*"
    assert provider("cloudevents").handshake(Inbound({}, b"", NOON, method="OPTIONS"), {}) is None
