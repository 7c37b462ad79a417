"""The JSON webhook on paper: our shape, declared paths, signatures."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from integrations.contract import Refusal
from integrations.normalise import moment, number
from integrations.paths import BadPath, Path
from integrations.providers.generic import try_paths, verify
from integrations.shelf import provider
from tests.contracts import contract_json
from tests.integrations.inbound import NOON, read, request, sample

pytestmark = pytest.mark.once

SECRET = "whsec_" + base64.b64encode(b"a secret that only this test knows").decode()


def test_the_full_shape_is_read() -> None:
    [signal] = read("generic", sample("generic", "full"))
    assert (signal.fingerprint, signal.status, signal.level) == (
        "credit-risk/drift/income",
        "firing",
        "critical",
    )
    assert (signal.system, signal.version) == ("credit-risk", "17")
    assert (signal.metric, signal.value, signal.threshold, signal.comparator) == ("psi", 0.41, 0.25, ">")
    assert signal.starts_at == datetime(2025, 3, 1, 12, tzinfo=UTC)
    assert signal.links[0] == ("dashboard", "https://grafana.example.com/d/abc")
    assert signal.labels["team"] == "ml-platform"
    assert (signal.env, signal.delivery_key, signal.labels["source"]) == ("prod", "evt-1", "custom-monitor")


def test_a_title_is_enough() -> None:
    inbound = sample("generic", "minimal")
    [signal] = read("generic", inbound)
    assert (signal.title, signal.status, signal.level) == ("Accuracy dropped", "firing", None)
    assert provider("generic").delivery_key(inbound) == "k-1"


def test_a_dedup_key_is_enough_to_resolve() -> None:
    [firing] = read("generic", sample("generic", "full"))
    [resolved] = read("generic", sample("generic", "resolved"))
    assert resolved.fingerprint == firing.fingerprint
    assert resolved.status == "resolved"
    assert resolved.ends_at == datetime(2025, 3, 1, 13, tzinfo=UTC)


def test_without_dedup_key_the_condition_is_known_by_what_it_is_about() -> None:
    def of(**more: Any) -> str:
        return read("generic", request({"title": "Drift", "system": "churn", **more}))[0].fingerprint

    assert of(severity="warning", value=1) == of(severity="critical", value=2, status="resolved")
    assert len({of(), of(feature="age"), of(env="staging"), of(version="2"), of(dataset="d")}) == 5


def test_short_forms_mean_the_same() -> None:
    [signal] = read(
        "generic",
        request(
            {
                "title": "T",
                "class": "drift",
                "model": "churn",
                "metric": "ks",
                "value": "0.2",
                "level": "WARN",
                "state": "Alerting",
            }
        ),
    )
    assert (signal.system, signal.metric, signal.value, signal.family) == ("churn", "ks", 0.2, "DRIFT")
    assert (signal.level, signal.status) == ("warning", "firing")
    [signal] = read("generic", request({"title": "T", "psi": 0.3, "started_at": 1772366400}))
    assert (signal.metric, signal.value, signal.starts_at) == ("psi", 0.3, NOON)


def test_a_list_is_taken_as_a_whole_or_refused_as_a_whole() -> None:
    assert len(read("generic", request([{"title": "a"}, {"title": "b"}]))) == 2
    with pytest.raises(
        Refusal, match=r"Nothing of it was taken.*item 1: .*neither.*item 2: .*not a list"
    ) as refused:
        provider("generic").admit(request([{"title": "a"}, {}, []]), {})
    assert refused.value.status == 422


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, "not JSON"),
        (b"{'title': 1}", 422, "not JSON"),
        (b"[" * 200_000, 422, "not JSON"),
        (b'{"title":' * 5000 + b"1" + b"}" * 5000, 422, "not JSON"),
        (b'{"title": ' + b"[" * 101 + b"]" * 101 + b"}", 422, "deeper than 100"),
        (b'{"title": "a", "x": ' + b'{"y":' * 900 + b"1" + b"}" * 901, 422, "deeper than 100"),
        ([], 422, "empty"),
        (None, 422, "not null"),
        ("title", 422, "not text"),
        (7, 422, "not a number"),
        ({}, 422, "title"),
        ({"title": "   "}, 422, "title"),
        ({"title": "a", "status": "sideways"}, 422, 'status "sideways" is unknown'),
        ([{"title": "a"}] * 1001, 413, "at most 1000"),
    ],
)
def test_what_is_no_alert_is_refused(body: Any, status: int, words: str) -> None:
    with pytest.raises(Refusal, match=words) as refused:
        provider("generic").admit(request(body), {})
    assert refused.value.status == status


def test_nesting_within_reason_is_read() -> None:
    [signal] = read("generic", request(b'{"title": "a", "x": ' + b"[" * 98 + b"1" + b"]" * 98 + b"}"))
    assert signal.title == "a"
    many = [{"title": f"{number}", "labels": {"a": [number]}} for number in range(200)]
    assert len(read("generic", request(many))) == 200


def test_odd_and_hostile_values_become_harmless() -> None:
    body = (
        b'{"title": "<img src=x onerror=alert(1)> \\u0000 {{ 7*7 }}", "value": NaN, "threshold": -Infinity,'
        b' "labels": {"a": {"b": [1, null]}, "c": null, "\\u0000d": "\\ud800x"}, "links": ["javascript:alert(1)",'
        b' {"url": "https://example.org/"}, 7], "model": {"name": ["list"]}, "started_at": "soon", "metric": [1],'
        b' "sample_size": -5, "severity": {"very": "bad"}}'
    )
    [signal] = read("generic", request(body))
    assert signal.title == "<img src=x onerror=alert(1)>  {{ 7*7 }}"
    assert (signal.value, signal.threshold, signal.starts_at, signal.sample_size) == (None, None, None, None)
    assert signal.labels["a"] == '{"b":[1,null]}'
    assert signal.labels["d"] == "x"
    assert signal.links == (("https://example.org/", "https://example.org/"),)
    assert signal.system == '["list"]'


@given(
    st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
)
def test_no_json_object_breaks_the_reader(body: dict[str, Any]) -> None:
    with suppress(Refusal):
        [signal] = read("generic", request({"title": "x", **body}))
        told = json.dumps([signal.title, signal.labels, signal.extra], allow_nan=False)
        assert "\\u0000" not in told.replace("\\\\", "")


# --- declared paths ------------------------------------------------------------------------------------

VENDOR = {
    "org": "acme",
    "events": [
        {
            "rule": {"name": "Latency"},
            "state": "ALARM",
            "prio": "sev-a",
            "tags": ["search", "eu"],
            "a.b": 1.5,
        },
        {"rule": {"name": "Nulls"}, "state": "OK", "prio": "sev-b", "tags": []},
    ],
}
PATHS = {
    "items": "$.events",
    "title": "rule.name",
    "status": "state",
    "severity": "prio",
    "system": "tags[0]",
    "segment": "tags[-1]",
    "value": "['a.b']",
    "labels.org": "$.org",
    "env": "=staging",
}


def test_paths_lead_to_the_fields_of_a_sender_with_a_shape_of_its_own() -> None:
    maps = {"status_map": {"ALARM": "firing", "ok": "resolved"}, "level_map": {"sev-a": "critical"}}
    first, second = read("generic", request(VENDOR), paths=PATHS, **maps)
    assert (first.title, first.status, first.level, first.system) == (
        "Latency",
        "firing",
        "critical",
        "search",
    )
    assert (first.segment, first.value, first.env, first.labels["org"]) == ("eu", 1.5, "staging", "acme")
    assert (second.title, second.status, second.level, second.system) == ("Nulls", "resolved", None, "")
    assert second.labels["severity"] == "sev-b", "a word no list knows is kept for rules"


def test_paths_are_tried_on_a_past_message_before_they_are_saved() -> None:
    maps = {"status_map": {"ALARM": "firing", "OK": "resolved"}}
    assert [s.title for s in try_paths(PATHS, json.dumps(VENDOR), **maps)] == ["Latency", "Nulls"]
    with pytest.raises(Refusal, match=r'status "sev-a" is unknown.*status_map'):
        try_paths({**PATHS, "status": "prio"}, json.dumps(VENDOR))
    with pytest.raises(Refusal, match="does not lead to a list"):
        try_paths({"items": "$.org"}, json.dumps(VENDOR))
    with pytest.raises(Refusal, match=r'"rule\.name\[" cannot be read from "\["'):
        try_paths({"title": "rule.name["}, json.dumps(VENDOR))
    with pytest.raises(Refusal, match=r'no field "tittle"'):
        try_paths({"tittle": "rule"}, json.dumps(VENDOR))


@pytest.mark.parametrize(
    ("settings", "field", "words"),
    [
        ({"paths": ["title"]}, "paths", "JSON object"),
        ({"paths": {"title": 7}}, "paths", "not a path"),
        ({"status_map": {"x": "perhaps"}}, "status_map", '"firing", "resolved"'),
        ({"level_map": "x"}, "level_map", "JSON object"),
        ({"secret": "not base64!"}, "secret", "whsec_"),
    ],
)
def test_settings_that_cannot_work_are_named(settings: dict[str, Any], field: str, words: str) -> None:
    wrong = provider("generic").check(settings)
    assert set(wrong) == {field}
    assert words in wrong[field]


@given(
    st.text(),
    st.recursive(
        st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    ),
)
def test_a_path_finds_something_or_nothing_but_never_fails(written: str, body: Any) -> None:
    with suppress(BadPath):
        path = Path.read(written)
        assert path.find(body, body) is None or path.literal is not None or body is not None


# --- signatures ----------------------------------------------------------------------------------------


def signed(body: bytes, secret: str = SECRET, at: datetime = NOON, received_at: datetime = NOON) -> Any:
    signature = Webhook(secret).sign("msg_1", at, body.decode())
    stamp = str(int(at.timestamp()))
    return request(
        body, received_at, webhook_id="msg_1", webhook_timestamp=stamp, webhook_signature=signature
    )


def refused(inbound: Any, secret: str = SECRET) -> str:
    with pytest.raises(Refusal) as refusal:
        provider("generic").admit(inbound, {"secret": secret})
    assert refusal.value.status == 401
    return str(refusal.value)


def test_the_published_signatures_fit() -> None:
    vectors = contract_json("generic", "signature_vectors_standard_webhooks.json")
    for vector in vectors["vectors"]:
        at = datetime.fromtimestamp(int(vector["webhook-timestamp"]), UTC)
        headers = {name.replace("-", "_"): vector[name] for name in vector if name.startswith("webhook-")}
        verify(request(vector["body"].encode(), at, **headers), vectors["secret"])
        with pytest.raises(Refusal, match="does not fit"):
            verify(request(vector["body"].encode() + b" ", at, **headers), vectors["secret"])


def test_a_message_signed_by_the_standards_own_library_is_taken() -> None:
    inbound = signed(b'{"title": "a"}')
    assert provider("generic").admit(inbound, {"secret": SECRET}) == 1
    assert provider("generic").delivery_key(inbound) == "msg_1"


def test_one_of_several_signatures_is_enough() -> None:
    inbound = signed(b'{"title": "a"}')
    other = {**inbound.headers, "webhook-signature": "v2,x v1,AAAA " + inbound.headers["webhook-signature"]}
    assert provider("generic").admit(
        request(inbound.body, **{k.replace("-", "_"): v for k, v in other.items()}), {"secret": SECRET}
    )


def test_unsigned_forged_and_stale_messages_are_refused() -> None:
    other = "whsec_" + base64.b64encode(b"somebody else's secret").decode()
    assert "signed messages only" in refused(request({"title": "a"}))
    assert "does not fit" in refused(signed(b'{"title": "a"}', secret=other))
    assert "5 minutes" in refused(signed(b'{"title": "a"}', at=NOON - timedelta(seconds=301)))
    assert "5 minutes" in refused(signed(b'{"title": "a"}', at=NOON + timedelta(seconds=301)))
    assert "Enter it again" in refused(signed(b'{"title": "a"}'), secret="whsec_%%%")


def test_while_a_secret_is_replaced_the_old_and_the_new_one_are_heard() -> None:
    new = "whsec_" + base64.b64encode(b"the one that comes after it").decode()
    both = {"secret": f"{SECRET}, {new}"}
    for secret in (SECRET, new):
        assert provider("generic").admit(signed(b'{"title": "a"}', secret=secret), both) == 1
    other = "whsec_" + base64.b64encode(b"somebody else's secret").decode()
    assert "does not fit" in refused(signed(b'{"title": "a"}', secret=other), secret=both["secret"])
    assert provider("generic").check(both) == {}
    assert "secret" in provider("generic").check({"secret": f"{SECRET}, whsec_%%%"})


# --- readings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01T12:00:00.000000123Z", NOON),
        ("2026-03-01T14:00:00+02:00", NOON),
        ("2026-03-01T12:00:00", NOON),
        (1772366400, NOON),
        (1772366400000, NOON),
        ("1772366400", NOON),
        ("0001-01-01T00:00:00Z", None),
        ("tomorrow", None),
        (10**30, None),
        (float("inf"), None),
        (True, None),
        ({}, None),
        (None, None),
    ],
)
def test_times_are_read_as_monitors_write_them(value: Any, expected: datetime | None) -> None:
    assert moment(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        ("0.5", 0.5),
        (" 1e3 ", 1000.0),
        ("NaN", None),
        (float("inf"), None),
        (True, None),
        ("5 %", None),
        (10**400, None),
    ],
)
def test_numbers_are_finite_or_nothing(value: Any, expected: float | None) -> None:
    assert number(value) == expected
