"""Sentry on paper: issues, alerts and the older plugin; signatures over raw bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from integrations.contract import Inbound, Refusal, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "event_for_exception_python": "1 firing",
    "issue_created_for_exception": "1 firing",
    "issue_doc_example_escalating": "1 firing",
    "issue_resolved": "1 resolved",
    "metric_alert_critical": "1 firing",
    "metric_alert_resolved": "1 resolved",
    "sample_event_through_alert": "1 firing",
    "webhook_event_for_exception_python": "1 firing",
}
SECRET = "sentry_client_secret"


def issue(action: str, **more: Any) -> Inbound:
    about = {
        "id": "99",
        "title": "ValueError",
        "level": "error",
        "project": {"slug": "churn"},
        "status": "unresolved",
        **more,
    }
    return request({"action": action, "data": {"issue": about}}, sentry_hook_resource="issue")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_signed_message_is_let_in_and_a_changed_one_is_not(name: str) -> None:
    inbound = sample("sentry", name)
    one = provider("sentry")
    assert one.admit(inbound, {"secret": SECRET}) == 1
    assert one.admit(inbound, {"secret": f"an-older-secret,{SECRET}"}) == 1
    assert one.delivery_key(inbound) == inbound.headers["request-id"]
    written_anew = json.dumps(json.loads(inbound.body)).encode() + b"\n"
    for body in (written_anew, inbound.body + b" "):
        with pytest.raises(Refusal, match="does not fit") as refused:
            one.admit(replace(inbound, body=body), {"secret": SECRET})
        assert refused.value.status == 401


def test_the_resolution_of_a_metric_alert_finds_its_alert() -> None:
    [critical] = read("sentry", sample("sentry", "metric_alert_critical"))
    [resolved] = read("sentry", sample("sentry", "metric_alert_resolved"))
    assert critical.fingerprint == resolved.fingerprint
    assert (critical.level, critical.metric, critical.window) == ("critical", "count()", "10m")
    assert resolved.status == "resolved", "although its date_closed is empty"


def test_an_event_and_its_issue_are_one_condition() -> None:
    [event] = read("sentry", sample("sentry", "event_for_exception_python"))
    [created] = read("sentry", sample("sentry", "issue_created_for_exception"))
    assert event.fingerprint == created.fingerprint == "issue 1635244907"
    [resolved] = read("sentry", issue("resolved", id="1635244907"))
    assert resolved.fingerprint == event.fingerprint


def test_counts_are_text_and_the_permalink_may_be_absent() -> None:
    [signal] = read("sentry", sample("sentry", "issue_doc_example_escalating"))
    assert (signal.value, signal.links, signal.system) == (1.0, (), "front-end")
    assert signal.labels["substatus"] == "escalating"


@pytest.mark.parametrize("action", ["assigned", "archived", "ignored"])
def test_what_people_decide_about_an_issue_is_neither_its_begin_nor_its_end(action: str) -> None:
    assert read("sentry", issue(action)) == []


@pytest.mark.parametrize(
    ("action", "status"), [("created", "firing"), ("unresolved", "firing"), ("resolved", "resolved")]
)
def test_an_issue_comes_back_under_its_own_fingerprint(action: str, status: str) -> None:
    [signal] = read("sentry", issue(action))
    assert (signal.status, signal.fingerprint, signal.family) == (status, "issue 99", "INTEG")


@pytest.mark.parametrize("resource", ["installation", "comment"])
def test_news_about_the_integration_itself_are_nothing(resource: str) -> None:
    body = {"action": "created", "data": {"installation": {"uuid": "u"}}, "installation": {"uuid": "u"}}
    assert read("sentry", request(body, sentry_hook_resource=resource)) == []


def test_tags_say_which_model_and_which_environment() -> None:
    event = {"event_id": "e", "issue_id": 7, "title": "T", "release": "9", "tags": [["model", "churn"], ["environment", "staging"],
             ["odd"], 7, {"key": "segment", "value": "new"}]}  # fmt: skip
    [signal] = read("sentry", request({"action": "triggered", "data": {"event": event}}))
    assert (signal.system, signal.version, signal.env, signal.segment) == ("churn", "9", "staging", "new")


def test_thresholds_of_the_level_that_was_reached() -> None:
    rule = {"id": "7", "name": "Errors", "threshold_type": 1, "query": "model:churn level:error",
            "triggers": [{"label": "critical", "alert_threshold": 5}, {"label": "warning", "alert_threshold": 9}, None]}  # fmt: skip
    [signal] = read(
        "sentry", request({"action": "warning", "data": {"metric_alert": {"id": 1, "alert_rule": rule}}})
    )
    assert (signal.threshold, signal.comparator, signal.system, signal.level) == (
        9.0,
        "<",
        "churn",
        "warning",
    )


@pytest.mark.parametrize(
    "body",
    [
        {"action": "open", "data": {}},
        {"action": "exploded", "data": {"metric_alert": {"id": "4"}}},
        {"action": "exploded", "data": {"issue": {"id": "4"}}},
        {"data": [1]},
    ],
)
def test_what_nobody_knows_is_set_aside(body: dict[str, Any]) -> None:
    assert provider("sentry").admit(request(body), {}) == 1
    with pytest.raises(Unreadable):
        provider("sentry").parse(request(body), {})
