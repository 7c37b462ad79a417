"""Fiddler on paper: alert records, and messages as for Slack and Teams."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.contract import Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {"api_alert_record_critical": "1 firing"}


def record(**more: Any) -> dict[str, Any]:
    return {"uuid": "u-1", "alert_config_uuid": "c-1", "alert_value": 0.41, "warning_threshold": 0.15,
            "critical_threshold": 0.25, "is_alert": True, "severity": "CRITICAL", "feature_name": "income", **more}  # fmt: skip


def test_a_record_tells_value_and_the_threshold_that_was_crossed() -> None:
    [signal] = read("fiddler", sample("fiddler", "api_alert_record_critical"), system="credit")
    assert (signal.level, signal.value, signal.threshold, signal.comparator) == ("critical", 0.41, 0.25, ">")
    assert (signal.system, signal.feature) == ("credit", "income")
    [warning] = read("fiddler", request(record(severity="WARNING", alert_value=0.2)))
    assert (warning.level, warning.threshold) == ("warning", 0.15)


def test_a_later_record_that_is_no_alert_resolves_its_rule() -> None:
    [firing] = read("fiddler", request(record()))
    [over] = read("fiddler", request(record(uuid="u-2", is_alert=False, severity="NA", alert_value=0.1)))
    [other] = read("fiddler", request(record(feature_name="age")))
    assert (firing.status, over.status) == ("firing", "resolved")
    assert firing.fingerprint == over.fingerprint != other.fingerprint


def test_a_record_that_late_data_rewrote_is_another_report() -> None:
    [first] = read("fiddler", request(record(alert_record_main_version=1, alert_record_sub_version=1)))
    [second] = read("fiddler", request(record(alert_record_main_version=1, alert_record_sub_version=2)))
    assert first.delivery_key != second.delivery_key


@pytest.mark.parametrize(
    "body",
    [[record(), record(feature_name="age")], {"data": {"items": [record(), record(feature_name="age")]}},
     {"records": [record(), 7, None, record(feature_name="age")]}, {"data": [record(), record(feature_name="age")]}],
)  # fmt: skip
def test_pages_and_lists_of_records_are_read(body: Any) -> None:
    assert [one.feature for one in read("fiddler", request(body))] == ["income", "age"]


def test_the_rule_beside_the_records_names_model_and_metric() -> None:
    rule = {
        "name": "Drift",
        "model": {"name": "churn"},
        "metric": {"display_name": "JSD"},
        "condition": "lesser",
        "bin_size": "Day",
    }
    [signal] = read("fiddler", request({"alert_rule": rule, "data": {"items": [record()]}}))
    assert (signal.system, signal.metric, signal.comparator, signal.window) == ("churn", "JSD", "<", "Day")
    assert signal.title == "Drift (income)"


def test_a_message_as_for_slack_is_read_line_by_line() -> None:
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "Alert: Drift of age"}},
        {
            "type": "section",
            "text": {
                "type": "mrkdwn",
                "text": "*Model:* churn\n*Severity:* CRITICAL\n*Feature:* age\n*Value:* 0.4",
            },
        },
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Threshold*: 0.2"}]},
        {"type": "actions", "elements": [{"type": "button", "url": "https://acme.fiddler.ai/a/1"}]},
    ]
    [signal] = read("fiddler", request({"text": "Fiddler alert triggered at 12:00", "blocks": blocks}))
    assert (signal.system, signal.level, signal.feature) == ("churn", "critical", "age")
    assert (signal.value, signal.threshold, signal.status) == (0.4, 0.2, "firing")
    assert signal.links == (("Fiddler", "https://acme.fiddler.ai/a/1"),)


def test_a_card_as_for_teams_has_facts() -> None:
    card = {"@type": "MessageCard", "title": "Drift alert", "sections": [
        {"facts": [{"name": "Model", "value": "churn"}, {"name": "Severity:", "value": "WARNING"}]}]}  # fmt: skip
    [signal] = read("fiddler", request(card))
    assert (signal.title, signal.system, signal.level) == ("Drift alert", "churn", "warning")


def test_chat_messages_of_one_rule_share_a_fingerprint_whatever_their_numbers() -> None:
    [first] = read("fiddler", request({"text": "Drift is 0.41 at 12:00"}))
    [second] = read("fiddler", request({"text": "Drift is 0.52 at 13:00"}))
    [over] = read("fiddler", request({"text": "Drift alert resolved"}))
    assert first.fingerprint == second.fingerprint
    assert over.status == "resolved"


@pytest.mark.parametrize("said", ["https://a.example.org \u2003 https://b.example.org", "*_*"])
def test_a_message_of_nothing_but_links_and_marks_has_a_title(said: str) -> None:
    [signal] = read("fiddler", request({"text": said}))
    assert signal.title == "Alert of Fiddler"


def test_an_endless_card_is_looked_at_in_part() -> None:
    deep: Any = {"text": "inner"}
    for _ in range(45):
        deep = {"blocks": [deep] * 1}
    [signal] = read(
        "fiddler", request({"text": "outer", "attachments": [deep] * 1000, "fields": ["x"] * 5000})
    )
    assert signal.title == "outer"


def test_a_message_without_text_is_set_aside() -> None:
    with pytest.raises(Unreadable, match="neither a record"):
        provider("fiddler").parse(request({"blocks": [{"type": "divider"}]}), {})
