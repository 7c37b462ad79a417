"""PagerDuty's REST API: Ann's notes are written there, and more people are asked when it is bad."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from integrations import http
from integrations.contract import SendError, Sent
from integrations.shelf import provider
from tests.integrations.prism import prism
from tests.integrations.vendors import PagerDuty
from tests.integrations.wire import answered, converse, in_turn, told

pytestmark = pytest.mark.once

PAGERDUTY = provider("pagerduty")
SETTINGS = {
    "routing_key": "0" * 32, "api_token": "t0ken-s3cr3t", "from_email": "holdfast@example.org",
    "responders": "PBOB, policy:PESC", "responder_severities": "1, 2",
}  # fmt: skip


def tell(
    service: PagerDuty,
    kind: str,
    link: dict[str, Any] | None = None,
    settings: dict[str, Any] = SETTINGS,
    **facts: Any,
) -> Sent:
    return converse(PAGERDUTY.compose(told(kind, **facts), settings, link), service)[0]


def test_a_note_is_written_on_the_incident_of_our_key() -> None:
    service = PagerDuty()
    sent = tell(service, "comment", text="Ann: rolled back")
    [(_, asked), (path, note)] = service.rest.asked
    assert (asked["incident_key"], path) == ("INC-7", "POST /incidents/P1/notes")
    assert note == {"note": {"content": "Ann: rolled back"}}
    assert (sent.remote_id, sent.part, sent.data["also"]) == ("INC-7", "N1", "P1")


def test_an_incident_that_was_never_paged_has_no_notes() -> None:
    service = PagerDuty()
    service.rest.any = False
    with pytest.raises(SendError, match="has to be paged first") as caught:
        tell(service, "comment", incident_key="INC-8")
    assert not caught.value.retryable


def test_responders_are_asked_once_after_the_page() -> None:
    service = PagerDuty()
    sent = tell(service, "opened")
    assert service.pages == 1
    [path, asked] = service.rest.asked[-1]
    assert path == "POST /incidents/P1/responder_requests"
    assert asked["requester_id"] == "U7"
    assert [one["responder_request_target"] for one in asked["responder_request_targets"]] == [
        {"id": "PBOB", "type": "user_reference"},
        {"id": "PESC", "type": "escalation_policy_reference"},
    ]
    before = len(service.rest.asked)
    tell(service, "escalated", dict(sent.data))
    assert len(service.rest.asked) == before


@pytest.mark.parametrize(
    ("kind", "severity", "settings"),
    [
        ("opened", 3, SETTINGS),
        ("mitigated", 1, SETTINGS),
        ("opened", 1, {**SETTINGS, "responders": ""}),
        ("opened", 1, {**SETTINGS, "api_token": ""}),
    ],
)
def test_nobody_else_is_asked_otherwise(kind: str, severity: int, settings: dict[str, Any]) -> None:
    service = PagerDuty()
    tell(service, kind, None, settings, severity=severity)
    assert service.rest.asked == []


def test_a_page_stands_although_responders_could_not_be_asked() -> None:
    service = PagerDuty()
    service.rest.any, service.rest.known = False, {}
    sent = tell(service, "opened")
    assert service.pages == 1
    assert "responders were not asked" in sent.note
    assert "responders" not in sent.data


def test_notes_are_for_connections_that_may_write_them() -> None:
    assert PAGERDUTY.takes("comment", SETTINGS)
    assert not PAGERDUTY.takes("comment", {"routing_key": "0" * 32})
    assert PAGERDUTY.takes("opened", {"routing_key": "0" * 32})


def test_a_wrong_token_is_told_in_pagerdutys_words() -> None:
    refused = answered(401, {"error": {"message": "Unauthorized", "errors": ["no such token"]}})
    with pytest.raises(SendError, match=r"Unauthorized; no such token.*from_email") as caught:
        converse(PAGERDUTY.compose(told("comment"), SETTINGS, None), in_turn(refused))
    assert not caught.value.retryable


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    with prism("pagerduty/outbound/rest_v2.openapi.mock.json") as base:
        yield base


def test_notes_and_requests_are_accepted_by_the_specification(mock: str, settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    made = {**SETTINGS, "api_url": mock}
    _, transcript = http.run(PAGERDUTY.compose(told("comment"), made, None), secrets=PAGERDUTY.secrets(made))
    assert [answer["status"] for _, answer in transcript] == [200, 200]
    event = answered(202, {"status": "success", "dedup_key": "INC-7"})

    def half(request: Any) -> Any:
        return event if "/v2/enqueue" in request.url else http.send(request)

    sent, requests = converse(PAGERDUTY.compose(told("opened"), made, None), half)
    assert len(requests) == 4
    assert sent.data["responders"] is True
    assert sent.note == ""
