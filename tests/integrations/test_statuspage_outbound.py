"""Statuspage: what the public reads of an incident, and what it never reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from integrations import http
from integrations.contract import SendError, Sent
from integrations.shelf import provider
from tests.integrations.chat_vendors import Statuspage
from tests.integrations.prism import prism
from tests.integrations.wire import answered, converse, in_turn, told

pytestmark = pytest.mark.once

PAGE = provider("statuspage")
SETTINGS = {"api_key": "k3y-s3cr3t", "page_id": "p1", "component_ids": "c1, c2"}


def tell(page: Statuspage, kind: str = "opened", link: dict[str, Any] | None = None, **facts: Any) -> Sent:
    return converse(PAGE.compose(told(kind, **facts), SETTINGS, link), page)[0]


def test_the_public_reads_a_plain_sentence_and_nothing_from_the_inside() -> None:
    page = Statuspage()
    sent = tell(page)
    [made] = page.incidents.values()
    assert (made["name"], made["status"]) == ("Problem with credit-risk", "identified")
    assert made["body"] == "We are looking into a problem with credit-risk."
    assert (made["impact_override"], made["component_ids"]) == ("major", ["c1", "c2"])
    for inside in ("PSI", "Anna", "Score drift", "holdfast.example.org"):
        assert inside not in json.dumps(made)
    assert (sent.remote_id, sent.url) == ("s1", "https://stspg.io/x")


def test_words_that_were_written_for_the_page_are_published() -> None:
    page = Statuspage()
    tell(page, "updated", {"remote_id": "s1"}, text="Loan decisions are slower than usual.", worded=True)
    assert page.asked[-1][1]["incident"]["body"] == "Loan decisions are slower than usual."


@pytest.mark.parametrize(
    ("kind", "state", "shown"),
    [
        ("opened", "detected", "investigating"),
        ("updated", "triaged", "identified"),
        ("escalated", "detected", "investigating"),
        ("mitigated", "mitigated", "monitoring"),
        ("resolved", "closed", "resolved"),
        ("closed", "closed", "resolved"),
    ],
)
def test_each_move_has_its_state_on_the_same_public_incident(kind: str, state: str, shown: str) -> None:
    page = Statuspage()
    first = tell(page)
    second = tell(page, kind, {"remote_id": first.remote_id}, state=state)
    assert second.remote_id == first.remote_id
    assert [one["status"] for one in page.incidents.values()] == [shown]


def test_an_incident_whose_making_was_not_heard_of_is_found_again() -> None:
    page = Statuspage()
    tell(page)
    tell(page, "opened", None)
    tell(page, "opened", None, incident_key="INC-8")
    assert [one["metadata"]["holdfast"]["incident"] for one in page.incidents.values()] == ["INC-7", "INC-8"]


@pytest.mark.parametrize("status", [420, 429])
def test_being_asked_too_often_passes(status: int) -> None:
    with pytest.raises(SendError) as caught:
        converse(
            PAGE.compose(told(), SETTINGS, None),
            in_turn(answered(status, {"error": "slow down"}, Retry_After="3")),
        )
    assert (caught.value.retryable, caught.value.retry_after) == (True, 3)


def test_a_page_of_others_is_only_listened_to() -> None:
    assert PAGE.takes("opened", SETTINGS)
    assert not PAGE.takes("opened", {"system": "support bot"})
    assert not PAGE.takes("comment", SETTINGS)


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    with prism("statuspage/outbound/statuspage_v1.openapi.trimmed.json") as base:
        yield base


@pytest.mark.parametrize("kind", sorted(PAGE.carries))
@pytest.mark.parametrize("link", [None, {"remote_id": "s1"}])
def test_every_request_is_accepted_by_the_specification(
    mock: str, kind: str, link: dict[str, Any] | None, settings: Settings
) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    made = {**SETTINGS, "api_url": mock}
    _, transcript = http.run(PAGE.compose(replace(told(kind)), made, link), secrets=PAGE.secrets(made))
    assert {answer["status"] for _, answer in transcript} <= {200, 201}
