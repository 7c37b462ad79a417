"""Opsgenie: one alert per incident, folded by its alias."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from integrations import http
from integrations.contract import Request, SendError, Sent
from integrations.shelf import provider
from tests.integrations.chat_vendors import Opsgenie
from tests.integrations.prism import prism
from tests.integrations.wire import HOSTILE, answered, converse, in_turn, told

pytestmark = pytest.mark.once

OPSGENIE = provider("opsgenie")
SETTINGS = {"api_key": "k3y-s3cr3t", "team": "ml-platform"}


def tell(account: Opsgenie, kind: str = "opened", **facts: Any) -> tuple[Sent, list[Request]]:
    return converse(OPSGENIE.compose(told(kind, **facts), SETTINGS, None), account)


def test_an_incident_becomes_an_alert_with_its_key_as_alias() -> None:
    sent, [request] = tell(Opsgenie())
    alert = request.json
    assert (alert["alias"], alert["priority"], alert["entity"]) == ("INC-7", "P2", "credit-risk")
    assert alert["message"] == "SEV2 · INC-7 · Score drift in credit-risk"
    assert alert["details"]["Owner"] == "Anna Berg"
    assert alert["responders"] == [{"type": "team", "name": "ml-platform"}]
    assert request.headers["Authorization"] == "GenieKey k3y-s3cr3t"
    assert sent.remote_id == "INC-7"


@pytest.mark.parametrize(
    ("kind", "done"),
    [
        ("reopened", ["create"]),
        ("escalated", ["create", "priority"]),
        ("acknowledged", ["acknowledge"]),
        ("mitigated", ["close"]),
        ("resolved", ["close"]),
        ("closed", ["close"]),
        ("comment", ["notes"]),
    ],
)
def test_each_move_is_done_with_the_same_alert(kind: str, done: list[str]) -> None:
    account = Opsgenie()
    _, requests = tell(account, kind)
    assert account.alerts == {"INC-7": done}
    assert all(one.params == {"identifierType": "alias"} for one in requests if one.url[-7:] != "/alerts")


def test_what_we_do_there_is_not_taken_for_a_persons_act() -> None:
    """The reader passes over names that are no e-mail address."""
    _, [request] = tell(Opsgenie(), "comment", text="rolled back")
    assert request.json == {"user": "Holdfast", "source": "Holdfast", "note": "rolled back"}


def test_a_connection_without_a_key_only_listens() -> None:
    assert OPSGENIE.takes("opened", SETTINGS)
    assert not OPSGENIE.takes("opened", {"secret": "x"})
    assert not OPSGENIE.takes("approval", SETTINGS)


def test_a_refused_key_says_where_to_look() -> None:
    with pytest.raises(SendError, match=r"Could not authenticate.*region") as caught:
        converse(
            OPSGENIE.compose(told(), SETTINGS, None),
            in_turn(answered(403, {"message": "Could not authenticate"})),
        )
    assert not caught.value.retryable


def test_text_is_cut_to_what_opsgenie_takes() -> None:
    _, [request] = tell(
        Opsgenie(), title=HOSTILE, text=HOSTILE, system=HOSTILE, incident_key="INC-" + "7" * 600
    )
    assert len(request.json["message"]) <= 130
    assert len(request.json["alias"]) <= 512
    assert len(request.json["description"]) <= 15_000
    assert all(len(tag) <= 50 for tag in request.json["tags"])


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    with prism("opsgenie/outbound/opsgenie_alerts.swagger.mock.json") as base:
        yield base


@pytest.mark.parametrize("kind", sorted(OPSGENIE.carries))
def test_every_request_is_accepted_by_the_specification(mock: str, kind: str, settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    made = {**SETTINGS, "api_url": mock}
    _, transcript = http.run(OPSGENIE.compose(told(kind), made, None), secrets=OPSGENIE.secrets(made))
    assert {answer["status"] for _, answer in transcript} <= {200, 202}
    assert "k3y-s3cr3t" not in str(transcript)
