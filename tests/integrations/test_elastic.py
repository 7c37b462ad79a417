"""What Kibana and Watcher send on paper, as far as their users' templates go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.contract import Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "kibana_rule_fired_keep_template": "1 firing",
    "kibana_rule_flat_template": "1 firing",
    "kibana_rule_recovered_keep_template": "1 resolved",
    "watcher_execute_watch_response": "1 firing",
    "watcher_webhook_ctx": "1 firing",
}


def rule(**more: Any) -> dict[str, Any]:
    return {"rule": {"id": "r", "name": "R"}, "alert": {"id": "a", "actionGroup": "query matched"}, **more}


def test_fired_and_recovered_are_one_alert_even_where_json_stands_in_strings() -> None:
    [fired] = read("elastic", sample("elastic", "kibana_rule_fired_keep_template"))
    [over] = read("elastic", sample("elastic", "kibana_rule_recovered_keep_template"))
    assert fired.fingerprint == over.fingerprint == "7c8d0f0e-0e3a-4f0e-9f0e-000000000001"
    assert (fired.system, fired.metric, fired.threshold) == ("ranker", "latency", 1)
    assert fired.title == "Ranker p95 latency"
    assert ("Rule", fired.extra["rule"]["url"]) in fired.links
    assert over.ends_at == datetime(2025, 3, 1, 12, 0, 5, 124000, UTC)


def test_the_recommended_template_is_read() -> None:
    [signal] = read("elastic", sample("elastic", "kibana_rule_flat_template"))
    assert (signal.fingerprint, signal.system, signal.value) == ("0d2e", "credit-risk", 17)
    assert signal.labels["flapping"] == "true"
    assert signal.description.startswith("Document count is 17")


def test_an_alert_without_uuid_is_known_by_rule_and_group() -> None:
    [first] = read("elastic", request(rule()))
    [second] = read("elastic", request(rule(alert={"id": "a", "actionGroup": "recovered"})))
    [other] = read("elastic", request(rule(alert={"id": "b", "actionGroup": "query matched"})))
    assert first.fingerprint == second.fingerprint != other.fingerprint
    assert second.status == "resolved"


@pytest.mark.parametrize(
    ("group", "tags", "level"),
    [
        ("metrics.inventory_threshold.warning", [], "warning"),
        ("threshold met", ["severity=critical"], "critical"),
        ("threshold met", ["severity:low"], "info"),
        ("threshold met", ["ml", 5, None, "=x"], None),
    ],
)
def test_tags_and_groups_tell_the_level(group: str, tags: list[Any], level: str | None) -> None:
    message = {"rule": {"name": "R", "tags": tags}, "alert": {"id": "a", "actionGroup": group}}
    assert read("elastic", request(message))[0].level == level


def test_a_watch_is_known_by_its_name_and_what_it_watches() -> None:
    [signal] = read("elastic", sample("elastic", "watcher_webhook_ctx"))
    assert (signal.title, signal.system, signal.level) == ("model_error_rate", "credit-risk", "critical")
    assert (signal.metric, signal.value, signal.description) == ("hits", 42, "NaN in feature income")
    record = read("elastic", sample("elastic", "watcher_execute_watch_response"))
    assert record[0].title == "my_watch"
    again = {
        "payload": {"watch_id": "model_error_rate", "metadata": {"model": "credit-risk"}},
        "status": "resolved",
    }
    [over] = read("elastic", request(again))
    assert (over.status, over.fingerprint) == ("resolved", signal.fingerprint)


def test_a_watch_whose_condition_is_not_met_is_over_and_a_throttled_one_says_nothing() -> None:
    record = {"watch_id": "w", "state": "execution_not_needed", "result": {"condition": {"met": False}}}
    assert read("elastic", request({"watch_record": record}))[0].status == "resolved"
    assert read("elastic", request({"watch_record": {"watch_id": "w", "state": "throttled"}})) == []


def test_the_context_of_a_watch_may_come_as_it_is() -> None:
    [signal] = read(
        "elastic", request({"ctx": {"watch_id": "w", "payload": {"hits": {"total": {"value": 3}}}}})
    )
    assert signal.value == 3


def test_a_message_whose_quotes_kibana_did_not_escape_is_read_all_the_same() -> None:
    body = b'{"title": "the "income" rule fired", "dedup_key": "k"}'
    [signal] = read("elastic", request(body))
    assert (signal.title, signal.fingerprint) == ('the "income" rule fired', "k")


@pytest.mark.parametrize(
    "body", [[], {}, "x", "\ud800", {"rule": "\ud800"}, {"rule": "plain text"}, {"webhook_body": []}]
)
def test_what_is_none_of_it_is_set_aside(body: Any) -> None:
    assert provider("elastic").admit(request(body), {}) == 1
    with pytest.raises(Unreadable, match=r"elastic\.md"):
        provider("elastic").parse(request(body), {})
