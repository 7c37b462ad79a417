"""What Opsgenie sends on paper: alerts of others, acts on our own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.contract import Instruction, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "acknowledge": "1 acknowledge",
    "addnote": "1 comment",
    "assignownership": "1 assign",
    "close": "1 resolved",
    "create": "1 firing",
    "delete": "1 resolved",
}


def said(body: Any) -> list[Any]:
    return list(provider("opsgenie").parse(request(body), {}))


def act(action: str, **alert: Any) -> list[Any]:
    told = {
        "alertId": "a",
        "alias": "INC-7",
        "username": "ann@example.org",
        "userId": "u",
        "updatedAt": 1420452224764002246,
    }
    return said({"action": action, "alert": {**told, **alert}})


def test_an_alert_of_others_is_one_alert_until_it_is_closed() -> None:
    [opened] = provider("opsgenie").parse(sample("opsgenie", "create"), {})
    assert (opened.title, opened.system, opened.level) == ("another alert", "Server", "warning")
    assert opened.starts_at == datetime(2017, 8, 14, 11, 25, 56, 288000, UTC)
    [begun] = said(
        {
            "action": "Create",
            "alert": {"alertId": "a", "message": "m", "tags": ["model: churn"], "priority": "P1"},
        }
    )
    [over] = said(
        {"action": "Close", "alert": {"alertId": "a", "message": "m", "updatedAt": 1420452374669001603}}
    )
    assert begun.fingerprint == over.fingerprint
    assert (begun.system, begun.level, over.ends_at.year) == ("churn", "critical", 2015)


@pytest.mark.parametrize(
    ("action", "alert", "verb", "value"),
    [
        ("Acknowledge", {}, "acknowledge", ""),
        ("Close", {}, "state", "mitigated"),
        ("TakeOwnership", {}, "assign", "ann@example.org"),
        ("AssignOwnership", {"owner": "bob@example.org"}, "assign", "bob@example.org"),
        ("UpdatePriority", {"priority": "P2"}, "priority", "2"),
        ("AddNote", {"note": "looking"}, "comment", ""),
    ],
)
def test_what_people_do_with_our_alert_is_asked_of_the_incident(
    action: str, alert: dict[str, Any], verb: str, value: str
) -> None:
    [asked] = act(action, **alert)
    assert isinstance(asked, Instruction)
    assert (asked.verb, asked.value, asked.incident_key, asked.by, asked.by_id) == (
        verb, value, "INC-7", "ann@example.org", "u",
    )  # fmt: skip
    assert asked.at == datetime(2015, 1, 5, 10, 3, 44, 764002, UTC)


@pytest.mark.parametrize("action", ["Create", "Close", "Acknowledge", "AddNote"])
def test_what_we_did_ourselves_is_no_news(action: str) -> None:
    assert act(action, username="Alert API", note="x") == []


@pytest.mark.parametrize(
    "action", ["Snooze", "AddTags", "EscalateNext", "Custom", "UpdatePriority", "AddNote"]
)
def test_other_actions_say_nothing(action: str) -> None:
    assert act(action) == []


@pytest.mark.parametrize(
    "body",
    [[], {}, "x", {"action": "Create"}, {"alert": {"alertId": "a"}}, {"action": "Create", "alert": []}],
)
def test_what_is_none_of_it_is_set_aside(body: Any) -> None:
    assert provider("opsgenie").admit(request(body), {}) == 1
    with pytest.raises(Unreadable):
        said(body)
