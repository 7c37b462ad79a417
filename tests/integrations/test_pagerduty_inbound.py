"""PagerDuty's webhooks on paper: acts on our incidents, incidents of others, signatures, the old version."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.authenticity import hmac_sha256
from integrations.contract import Inbound, Instruction, Refusal, Unreadable
from integrations.shelf import provider
from tests.contracts import contract_json
from tests.integrations.inbound import NOON, request, sample

pytestmark = pytest.mark.once

SETTINGS = {"webhook_secret": "pd_webhook_secret_for_tests_only"}
SAMPLES = {
    "legacy_trigger_v2": "refused 401",
    "v3_acknowledged": "1 acknowledge",
    "v3_doc_incident_annotated_trimmed_note": "1 comment",
    "v3_doc_incident_priority_updated": "1 priority",
    "v3_doc_responder_replied": "1 comment",
    "v3_ping": "nothing",
    "v3_reassigned": "1 assign",
    "v3_resolved": "1 resolved",
    "v3_triggered": "1 firing",
    "v3_unacknowledged": "nothing",
}
ANN = {"id": "U1", "summary": "Ann", "type": "user_reference"}


def event(kind: str, agent: Any = ANN, **data: Any) -> dict[str, Any]:
    about = {"id": "P1", "type": "incident", "incident_key": "INC-7", "title": "Drift", **data}
    return {
        "event": {
            "id": "e-1",
            "event_type": f"incident.{kind}",
            "occurred_at": "2026-03-01T11:00:00Z",
            "agent": agent,
            "data": about,
        }
    }


def said(body: Any) -> list[Any]:
    return list(provider("pagerduty").parse(request(body), {}))


@pytest.mark.parametrize(
    ("kind", "data", "verb", "value"),
    [
        ("acknowledged", {}, "acknowledge", ""),
        ("resolved", {}, "state", "mitigated"),
        ("reopened", {}, "state", "triaged"),
        ("reassigned", {"assignees": [{"id": "U2", "summary": "Bob"}]}, "assign", ""),
        ("delegated", {"assignees": [{"id": "U2", "summary": "Bob"}]}, "assign", ""),
        ("priority_updated", {"priority": {"summary": "P2"}}, "priority", "2"),
    ],
)
def test_what_people_do_with_our_incident_is_asked_here(
    kind: str, data: dict[str, Any], verb: str, value: str
) -> None:
    [asked] = said(event(kind, **data))
    assert isinstance(asked, Instruction)
    assert (asked.verb, asked.value, asked.incident_key, asked.remote_id) == (verb, value, "INC-7", "P1")
    assert asked.by_id == ("U2" if verb == "assign" else "U1")
    assert asked.delivery_key == "e-1"


def test_what_our_own_calls_did_is_no_news() -> None:
    service = {"id": "S1", "type": "service_reference", "summary": "API"}
    for kind in ("triggered", "acknowledged", "resolved"):
        assert said(event(kind, agent=service)) == []
        assert said(event(kind, agent=None)) == []


def test_an_incident_of_others_is_one_alert_until_it_is_resolved() -> None:
    others = {"incident_key": "abc", "urgency": "low", "service": {"summary": "checkout"}}
    [begun] = said(event("triggered", agent=None, **others))
    [over] = said(event("resolved", **others))
    assert (begun.status, over.status, begun.fingerprint) == ("firing", "resolved", over.fingerprint)
    assert (begun.system, begun.level) == ("checkout", "warning")
    [urgent] = said(event("triggered", **others, priority={"summary": "SEV-1"}))
    assert urgent.level == "critical"


def test_a_note_says_when_it_was_cut_and_may_be_our_own() -> None:
    note = {"type": "incident_note", "id": "N1", "content": "On it", "trimmed": True,
            "incident": {"id": "P1", "incident_key": "INC-7"}}  # fmt: skip
    [asked] = said(event("annotated", **note))
    assert (asked.verb, asked.text, asked.remote_part, asked.incident_key) == (
        "comment",
        "On it […]",
        "N1",
        "INC-7",
    )


def test_an_answer_of_a_responder_names_who_answered() -> None:
    [asked] = provider("pagerduty").parse(sample("pagerduty", "v3_doc_responder_replied"), {})
    assert asked.verb == "comment"
    assert asked.remote_id
    assert asked.text


def test_the_old_version_is_read_where_no_secret_is_set() -> None:
    [signal] = provider("pagerduty").parse(sample("pagerduty", "legacy_trigger_v2"), {})
    assert (signal.title, signal.status, signal.fingerprint) == ("My new incident", "firing", "PRORDTY")
    assert signal.system == "Production XDB Cluster"
    old = {"messages": [{"event": "incident.acknowledge", "id": "m", "incident": {"id": "P1", "incident_key": "INC-7"},
                         "log_entries": [{"agent": {**ANN}}]}]}  # fmt: skip
    [asked] = said(old)
    assert (asked.verb, asked.incident_key, asked.by_name) == ("acknowledge", "INC-7", "Ann")


def test_signatures_of_the_vendors_rule() -> None:
    vectors = contract_json("pagerduty", "signature_vectors.json")
    for vector in vectors["vectors"]:
        inbound = Inbound({"x-pagerduty-signature": vector["header"]}, vector["body"].encode(), NOON)
        allowed = True
        try:
            provider("pagerduty").authenticate(inbound, {"webhook_secret": vectors["secret"]})  # type: ignore[attr-defined]
        except Refusal:
            allowed = False
        assert allowed is vector["valid"]


def test_any_of_several_signatures_counts_and_only_of_version_1() -> None:
    one, body = provider("pagerduty"), b'{"event": {"event_type": "pagey.ping"}}'
    right = hmac_sha256("new-secret", body)
    settings = {"webhook_secret": "old-secret,new-secret"}
    assert one.admit(request(body, x_pagerduty_signature=f"v1=00ff, v1={right}"), settings) == 0
    for header in ("", f"v2={right}", f"v1={right[:-1]}", right, "v1="):
        with pytest.raises(Refusal):
            one.admit(request(body, x_pagerduty_signature=header), settings)


def test_a_delivery_is_known_again() -> None:
    assert provider("pagerduty").delivery_key(request({}, x_webhook_id="w-1")) == "w-1"


@pytest.mark.parametrize(
    "kind", ["incident_type.changed", "conference_bridge.updated", "unacknowledged", "escalated", "brand_new"]
)
def test_other_events_say_nothing(kind: str) -> None:
    assert said(event(kind)) == []
    assert said({"event": {"event_type": "service.updated", "data": {}}}) == []


@pytest.mark.parametrize(
    "body", [[], {}, "x", {"event": []}, {"event": {"event_type": "incident.triggered"}}, {"messages": [{}]}]
)
def test_what_is_none_of_it_is_set_aside(body: Any) -> None:
    assert provider("pagerduty").admit(request(body), {}) == 1
    with pytest.raises(Unreadable):
        said(body)
