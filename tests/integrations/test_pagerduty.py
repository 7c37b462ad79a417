"""PagerDuty: one alert per incident, paged once however often it is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from integrations import http
from integrations.contract import Request, SendError, Sent
from integrations.shelf import provider
from tests.integrations.prism import prism
from tests.integrations.vendors import PagerDuty
from tests.integrations.wire import HOSTILE, answered, converse, in_turn, told

pytestmark = pytest.mark.once

PAGERDUTY = provider("pagerduty")
KEY = "0" * 32
SETTINGS = {"routing_key": KEY}
SPEC = "pagerduty/outbound/events_v2.openapi.json"


def page(service: PagerDuty, kind: str = "opened", **facts: Any) -> tuple[Sent, dict[str, Any]]:
    sent, [request] = converse(PAGERDUTY.compose(told(kind, **facts), SETTINGS, None), service)
    return sent, request.json


def test_an_opened_incident_triggers_an_alert_with_its_facts() -> None:
    sent, event = page(PagerDuty())
    assert (event["event_action"], event["dedup_key"], event["routing_key"]) == ("trigger", "INC-7", KEY)
    payload = event["payload"]
    assert payload["summary"] == "SEV2 · INC-7 · Score drift in credit-risk"
    assert (payload["source"], payload["severity"], payload["class"]) == ("credit-risk", "error", "DRIFT")
    assert payload["timestamp"] == "2026-03-04T10:12:13+00:00"
    assert payload["custom_details"]["Owner"] == "Anna Berg"
    assert "PSI 0.31" in payload["custom_details"]["What is happening"]
    assert event["client_url"] == "https://holdfast.example.org/incidents/INC-7/"
    assert {"href": "https://grafana.example.org/d/psi", "text": "Dashboard"} in event["links"]
    assert sent.remote_id == "INC-7"


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("opened", "trigger"),
        ("escalated", "trigger"),
        ("reopened", "trigger"),
        ("acknowledged", "acknowledge"),
        ("mitigated", "resolve"),
        ("resolved", "resolve"),
        ("closed", "resolve"),
    ],
)
def test_each_move_has_its_event_under_the_same_key(kind: str, action: str) -> None:
    _, event = page(PagerDuty(), kind)
    assert (event["event_action"], event["dedup_key"]) == (action, "INC-7")


@pytest.mark.parametrize(
    ("severity", "said"), [(1, "critical"), (2, "error"), (3, "warning"), (4, "info"), (5, "info")]
)
def test_severities_are_told_in_pagerdutys_words(severity: int, said: str) -> None:
    assert page(PagerDuty(), severity=severity)[1]["payload"]["severity"] == said


def test_telling_it_again_pages_nobody_again() -> None:
    service = PagerDuty()
    for kind in ("opened", "opened", "escalated", "acknowledged", "escalated"):
        page(service, kind)
    assert service.pages == 1
    page(service, "closed")
    page(service, "reopened")
    assert service.pages == 2


def test_a_test_proves_the_key_and_pages_nobody() -> None:
    service = PagerDuty()
    sent, [request] = converse(PAGERDUTY.compose(told("test"), SETTINGS, None), service)
    assert request.url == "https://events.pagerduty.com/v2/change/enqueue"
    assert service.pages == 0
    assert "pages nobody" in sent.note


@pytest.mark.parametrize(
    "base",
    [
        "https://events.eu.pagerduty.com",
        "https://events.eu.pagerduty.com/",
        "https://events.eu.pagerduty.com/v2/",
    ],
)
def test_the_eu_region_is_an_address_away(base: str) -> None:
    request = next(PAGERDUTY.compose(told(), {**SETTINGS, "base_url": base}, None))
    assert request.url == "https://events.eu.pagerduty.com/v2/enqueue"


def test_what_it_does_not_carry_is_refused() -> None:
    with pytest.raises(SendError, match="approval"):
        next(PAGERDUTY.compose(told("approval"), SETTINGS, None))


def test_a_refused_key_is_told_in_pagerdutys_words() -> None:
    answer = {
        "status": "invalid event",
        "message": "Event object is invalid",
        "errors": ["Invalid routing key"],
    }
    with pytest.raises(SendError, match=r"Invalid routing key.*integration key") as caught:
        converse(PAGERDUTY.compose(told(), SETTINGS, None), in_turn(answered(400, answer)))
    assert not caught.value.retryable


def test_a_login_page_is_not_taken_for_a_success() -> None:
    with pytest.raises(SendError, match="not its Events API"):
        converse(PAGERDUTY.compose(told(), SETTINGS, None), in_turn(answered(200, None)))


def test_hostile_text_stays_within_the_limits() -> None:
    names = ("title", "text", "system", "version", "owner", "state", "source", "incident_class")
    links = (
        (HOSTILE, "https://ok.example.org/"),
        ("x", "javascript:alert(1)"),
        ("y", "https://h/" + "a" * 5000),
    ) * 30
    _, event = page(
        PagerDuty(),
        **dict.fromkeys(names, HOSTILE),
        facts=tuple((f"{n}{HOSTILE}", HOSTILE) for n in range(100)),
        links=links,
        incident_key="INC-" + "7" * 300,
    )
    assert len(event["payload"]["summary"]) <= 1024
    assert len(event["dedup_key"]) <= 255
    assert "\n" not in event["payload"]["summary"]
    assert len(event["links"]) == 10
    assert all(link["href"].startswith("https://") and len(link["href"]) < 2000 for link in event["links"])


# --- against the vendor's own specification ------------------------------------------------------------


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    with prism(SPEC, prefix="/v2") as base:
        yield base


@pytest.fixture
def reachable(settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize("kind", sorted(PAGERDUTY.carries - {"comment"}))
def test_every_event_is_accepted_by_the_specification(mock: str, kind: str) -> None:
    settings = {**SETTINGS, "base_url": mock}
    for severity in (1, 2, 3, 4, 5):
        what = told(kind, severity=severity)
        _, transcript = http.run(PAGERDUTY.compose(what, settings, None), secrets=PAGERDUTY.secrets(settings))
        assert [answer["status"] for _, answer in transcript] == [202]
        assert KEY not in str(transcript)


@pytest.mark.usefixtures("reachable")
def test_an_event_with_a_wrong_severity_would_be_noticed(mock: str) -> None:
    request = next(PAGERDUTY.compose(told(), {**SETTINGS, "base_url": mock}, None))
    request.json["payload"]["severity"] = "SEV2"
    assert http.send(request).status == 400


@pytest.mark.usefixtures("reachable")
def test_the_specifications_own_429_is_tried_again(mock: str) -> None:
    def hurried(request: Request) -> Any:
        return http.send(
            Request(request.method, request.url, {**request.headers, "Prefer": "code=429"}, request.json)
        )

    with pytest.raises(SendError, match="429") as caught:
        converse(PAGERDUTY.compose(told(), {**SETTINGS, "base_url": mock}, None), hurried)
    assert caught.value.retryable
