"""Issues on GitHub: one per incident by its hidden mark, told once, closed and opened again; our echo is known."""

from __future__ import annotations

import time
from typing import Any

import pytest

from integrations.contract import Response, SendError, Sent
from integrations.shelf import provider
from tests.integrations.inbound import request
from tests.integrations.ticket_vendors import GitHub
from tests.integrations.wire import ITEMS, answered, converse, in_turn, told

pytestmark = pytest.mark.once

HUB = provider("github")
SETTINGS = {"token": "ghp_x", "repository": "acme/churn", "labels": "incident, ml"}


def tell(hub: GitHub, kind: str = "opened", link: Any = None, **facts: Any) -> tuple[Sent, list[str]]:
    sent, requests = converse(HUB.compose(told(kind, **facts), SETTINGS, link), hub)
    return sent, [f"{one.method} {one.url.partition('/repos/acme/churn')[2]}" for one in requests]


def link_of(sent: Sent) -> dict[str, Any]:
    return {"remote_id": sent.remote_id, "url": sent.url, **sent.data}


def test_an_opened_incident_is_looked_up_and_then_gets_its_issue() -> None:
    hub = GitHub()
    sent, steps = tell(hub)
    assert steps == ["GET /issues", "POST /issues"]
    (issue,) = hub.issues
    assert issue["title"] == "SEV2 · INC-7 · Score drift in credit-risk"
    assert issue["body"].startswith("<!-- holdfast incident=INC-7 -->")
    assert [one["name"] for one in issue["labels"]] == ["incident", "ml", "SEV2"]
    assert (sent.remote_id, sent.url) == ("acme/churn#1", "https://github.com/acme/churn/issues/1")


def test_an_issue_whose_answer_was_lost_is_found_again_by_its_mark() -> None:
    hub = GitHub()
    tell(hub)
    tell(hub, incident_key="INC-70")
    assert tell(hub)[0].remote_id == "acme/churn#1"
    assert len(hub.issues) == 2


def test_a_comment_is_written_once_and_calls_nobody() -> None:
    hub = GitHub()
    link = link_of(tell(hub)[0])
    sent = [
        tell(hub, "comment", link, text="Ask @acme/ops <!-- holdfast incident=INC-1 -->")[0] for _ in range(2)
    ]
    (comment,) = hub.issues[0]["comments"]
    assert (
        "@\u200bacme/ops \\<\\!-- holdfast" in comment["body"] or "@\u200bacme/ops \\<!-- " in comment["body"]
    )
    assert {one.part for one in sent} == {"9000"}


def test_an_issue_is_closed_for_what_it_was_and_opened_again() -> None:
    hub = GitHub()
    link = link_of(tell(hub)[0])
    tell(hub, "resolved", link, state="false_positive")
    assert (hub.issues[0]["state"], hub.issues[0]["state_reason"]) == ("closed", "not_planned")
    tell(hub, "reopened", link)
    assert hub.issues[0]["state"] == "open"
    sent, _ = tell(hub, "closed", link, state="closed")
    assert (hub.issues[0]["state_reason"], sent.data["state"]) == ("completed", "closed")


def test_a_new_severity_changes_title_and_label_and_leaves_labels_of_others() -> None:
    hub = GitHub()
    link = link_of(tell(hub)[0])
    hub.issues[0]["labels"].append({"name": "customer"})
    tell(hub, "escalated", link, severity=1)
    assert [one["name"] for one in hub.issues[0]["labels"]] == ["incident", "ml", "customer", "SEV1"]
    assert hub.issues[0]["title"].startswith("SEV1 · INC-7")


def test_action_items_are_tasks_at_the_end_of_the_issue() -> None:
    hub = GitHub()
    link = link_of(tell(hub)[0])
    before = hub.issues[0]["body"]
    for _ in range(2):
        tell(hub, "items", link)
    body = hub.issues[0]["body"]
    assert body.startswith(before)
    assert body.count("- [ ] INC-7-A3 · Watch the income feature, owner ann@\u200bexample.org") == 1
    assert body.count("- [x] INC-7-A4") == 1
    tell(hub, "items", link, items=({**ITEMS[0], "state": "done"},))
    assert "- [x] INC-7-A3" in hub.issues[0]["body"]
    assert "INC-7-A4" not in hub.issues[0]["body"]


def test_secondary_limits_are_waited_for() -> None:
    reset = str(int(time.time()) + 120)
    for headers, pause in (
        ({"Retry-After": "30"}, 30), ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}, 120), ({}, 60),
    ):  # fmt: skip
        limit = Response(403, headers, "", {"message": "You have exceeded a secondary rate limit."})
        with pytest.raises(SendError) as caught:
            converse(HUB.compose(told(), SETTINGS, None), in_turn(limit))
        assert caught.value.retryable
        assert caught.value.retry_after == pytest.approx(pause, abs=3)


def test_a_refusal_is_told_in_githubs_words() -> None:
    errors = {"message": "Validation Failed", "errors": [{"resource": "Issue", "code": "missing_field"}]}
    with pytest.raises(SendError, match="422: Validation Failed; missing_field") as caught:
        converse(HUB.compose(told(), SETTINGS, None), in_turn(answered(200, []), answered(422, errors)))
    assert not caught.value.retryable


def test_a_test_names_the_account_and_leaves_nothing_behind() -> None:
    hub = GitHub()
    sent, _ = tell(hub, "test")
    assert "holdfast-bot" in sent.note
    assert hub.issues == []


def test_a_connection_without_a_token_is_told_nothing() -> None:
    assert HUB.takes("opened", SETTINGS)
    assert not HUB.takes("opened", {"secret": "s"})
    with pytest.raises(SendError, match="needs a token and a repository"):
        next(HUB.compose(told(), {"repository": "acme/churn"}, None))
    assert "owner/name" in HUB.check({**SETTINGS, "repository": "churn"})["repository"]
    assert HUB.check({}) == HUB.check(SETTINGS) == {}


def test_a_route_may_name_another_repository() -> None:
    hub = GitHub()
    sent, _ = converse(HUB.compose(told(channel="acme/credit"), SETTINGS, None), hub)
    assert sent.remote_id == "acme/credit#1"


def test_our_own_account_and_marks_come_back_as_nothing() -> None:
    issue = {"number": 1, "title": "SEV2 · INC-7 · Drift", "body": "<!-- holdfast incident=INC-7 -->"}
    body = {"action": "closed", "issue": issue, "repository": {"full_name": "acme/churn"}}
    for login, acts in (("holdfast-bot", 0), ("ann", 1)):
        told_back = request(
            {**body, "sender": {"login": login}}, x_github_event="issues", x_github_delivery="d"
        )
        assert len(HUB.parse(told_back, {"account": "Holdfast-Bot"})) == acts
