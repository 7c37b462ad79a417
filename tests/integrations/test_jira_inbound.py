"""Jira's webhooks on paper: moves, owners, priorities and comments of people; nothing of our own."""

from __future__ import annotations

from typing import Any

import pytest

from integrations import adf
from integrations.authenticity import hmac_sha256
from integrations.contract import Refusal, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import request, sample

pytestmark = pytest.mark.once

JIRA = provider("jira")
SETTINGS = {"webhook_secret": "jira_webhook_secret"}
SAMPLES = {
    "change_status_v2": "1 acknowledge",
    "comment_deleted_v2": "nothing",
    "commented_v2": "1 comment",
    "created_v2": "nothing",
    "deleted_v2": "nothing",
    "reassigned_v2": "1 assign",
    "updated_priority_v2": "1 priority",
}
ANN = {"accountId": "5b10", "emailAddress": "ann@example.org", "displayName": "Ann"}


def updated(*items: dict[str, Any], category: str = "new", settings: Any = None, **more: Any) -> list[Any]:
    fields = {"labels": ["ui", "holdfast-inc-7"], "status": {"statusCategory": {"key": category}}}
    body = {
        "webhookEvent": "jira:issue_updated", "timestamp": 1770091506000, "user": ANN,
        "issue": {"key": "ML-1", "self": "https://acme.atlassian.net/rest/api/2/issue/1", "fields": fields},
        "changelog": {"id": "10100", "items": list(items)},
    }  # fmt: skip
    return list(JIRA.parse(request({**body, **more}), settings or {}))


def moved(to: str, category: str, **settings: Any) -> list[tuple[str, str]]:
    item = {"field": "status", "fromString": "To Do", "toString": to}
    return [(one.verb, one.value) for one in updated(item, category=category, settings=settings)]


def commented(text: Any, **more: Any) -> list[Any]:
    comment = {"id": "10042", "author": ANN, "body": text, "created": "2026-02-03T04:05:06.000+0000"}
    body = {"webhookEvent": "comment_created", "issue": {"key": "ML-1"}, "comment": comment}
    return list(JIRA.parse(request({**body, **more}), {"email": "bot@acme.example"}))


def test_an_act_names_its_incident_its_person_and_its_place() -> None:
    (act,) = updated({"field": "priority", "toString": "High"})
    assert (act.incident_key, act.remote_id) == ("INC-7", "ML-1")
    assert (act.by, act.by_id, act.by_name) == ("ann@example.org", "5b10", "Ann")
    assert act.url == "https://acme.atlassian.net/browse/ML-1"
    assert act.at.isoformat() == "2026-02-03T04:05:06+00:00"


def test_without_names_of_statuses_the_category_says_what_a_move_means() -> None:
    assert moved("Erledigt", "done") == [("state", "mitigated")]
    assert moved("In Arbeit", "indeterminate") == [("acknowledge", "")]
    assert moved("Backlog", "new") == []


def test_an_issue_that_is_opened_again_reopens_its_incident() -> None:
    items = (
        {"field": "resolution", "from": "10000", "fromString": "Done", "to": None, "toString": None},
        {"field": "status", "toString": "In Progress"},
    )
    for category in ("indeterminate", "new"):
        (act,) = updated(*items, category=category)
        assert (act.verb, act.value, act.remote_state) == ("state", "triaged", "open")
    (act,) = updated({"field": "status", "toString": "Done"}, category="done")
    assert act.remote_state == "closed"


def test_a_status_that_the_connection_names_is_that_state() -> None:
    names = {"statuses": {"mitigated": "In Review", "closed": "Done"}}
    assert moved("in review", "indeterminate", **names) == [("state", "mitigated")]
    assert moved("Done", "done", **names) == [("state", "closed")]


@pytest.mark.parametrize(
    ("to", "picked"), [("Highest", "1"), ("Minor", "4"), ("P2 - urgent", "2"), ("Burning", "1")]
)
def test_a_priority_is_a_severity_by_the_connections_names_or_jiras(to: str, picked: str) -> None:
    (act,) = updated({"field": "priority", "toString": to}, settings={"priorities": {"1": "Burning"}})
    assert (act.verb, act.value) == ("priority", picked)


def test_a_priority_of_nobodys_scale_changes_nothing() -> None:
    assert updated({"field": "priority", "toString": "Someday"}) == []


def test_a_new_assignee_is_the_owner_by_address_or_by_account() -> None:
    item = {"field": "assignee", "to": "7c20", "toString": "Bob"}
    issue = {"key": "ML-1", "fields": {"assignee": {"accountId": "7c20", "emailAddress": "bob@example.org"}}}
    (by_mail,) = updated(item, issue=issue)
    (by_account,) = updated(item)
    assert (by_mail.verb, by_mail.value, by_mail.by) == ("assign", "bob@example.org", "ann@example.org")
    assert (by_account.value, by_account.by, by_account.by_id) == ("", "", "7c20")
    assert updated({"field": "assignee", "to": None, "toString": None}) == []


def test_several_changes_at_once_are_several_acts_with_keys_of_their_own() -> None:
    acts = updated(
        {"field": "priority", "toString": "High"}, {"field": "status", "toString": "Done"}, category="done"
    )
    assert [one.verb for one in acts] == ["priority", "state"]
    assert len({one.delivery_key for one in acts}) == 2


def test_a_comment_is_read_as_text_and_named_so_that_its_echo_is_known() -> None:
    (act,) = commented("Rolled back.")
    assert (act.verb, act.text, act.remote_part) == ("comment", "Rolled back.", "10042")
    written = adf.document(
        *adf.paragraphs("Rolled back.\nTo 4.\n\nWatch it."), adf.bullets([adf.text("PSI")])
    )
    assert commented(written)[0].text == "Rolled back.\nTo 4.\nWatch it.\nPSI"


def test_a_comment_that_comes_by_two_events_is_one_act() -> None:
    comment = {"id": "10042", "body": "On it.", "author": ANN}
    (one,) = commented("On it.")
    (other,) = updated(comment=comment, issue_event_type_name="issue_commented")
    assert one.delivery_key == other.delivery_key


def test_our_own_acts_and_comments_are_passed_over() -> None:
    item = {"field": "status", "toString": "Done"}
    bot = {"accountId": "b07", "displayName": "Holdfast Bot"}
    assert updated(item, category="done", user=bot, settings={"account_id": "b07"}) == []
    assert commented("Words", user={"emailAddress": "Bot@acme.example"}) == []
    assert commented("Escalated\nINC-7 · Holdfast · ref 0123456789ab") == []


def test_a_sub_task_that_is_done_does_not_end_its_incident() -> None:
    issue = {"key": "ML-2", "fields": {"issuetype": {"subtask": True}, "labels": ["holdfast-inc-7-a3"]}}
    assert updated({"field": "status", "toString": "Done"}, issue=issue) == []


def test_labels_of_another_installation_name_no_incident_of_ours() -> None:
    (act,) = updated({"field": "priority", "toString": "High"}, settings={"label_prefix": "risk"})
    assert (act.incident_key, act.remote_id) == ("", "ML-1")


def test_a_signature_is_checked_over_the_raw_body() -> None:
    right = sample("jira", "change_status_v2")
    assert JIRA.admit(right, SETTINGS) == 1
    body = request({"webhookEvent": "jira:issue_updated"})
    with pytest.raises(Refusal, match="X-Hub-Signature is missing") as caught:
        JIRA.admit(body, SETTINGS)
    assert caught.value.status == 401
    signed = {"x_hub_signature": f"sha256={hmac_sha256('other-secret', body.body)}"}
    with pytest.raises(Refusal, match="does not fit"):
        JIRA.admit(request({"webhookEvent": "jira:issue_updated"}, **signed), SETTINGS)


def test_other_json_and_settings_that_cannot_be_used_are_set_aside() -> None:
    with pytest.raises(Unreadable, match="no webhookEvent"):
        JIRA.parse(request({"hello": 1}), {})
    with pytest.raises(Unreadable, match="JSON object"):
        updated({"field": "status", "toString": "Done"}, settings={"statuses": "["})


def test_a_delivery_that_jira_repeats_has_the_same_key() -> None:
    assert JIRA.delivery_key(request({}, x_atlassian_webhook_identifier="ab1")) == "ab1"
