"""Slack: Anna's team reads one message per incident and follows the story in its thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from pytest_django.fixtures import Settings

from integrations import http
from integrations.contract import SendError, Sent
from integrations.shelf import provider
from tests.contracts import contract_json
from tests.integrations.prism import prism
from tests.integrations.vendors import Slack
from tests.integrations.wire import HOSTILE, answered, converse, in_turn, told

pytestmark = pytest.mark.once

SLACK = provider("slack")
SETTINGS = {"bot_token": "xoxb-s3cr3t", "channel": "#ml-incidents"}
TWO_WAYS = {**SETTINGS, "signing_secret": "s1gning-s3cr3t"}
ROOMS = {**SETTINGS, "room_severities": "1, 2", "room_people": "bob@example.org, U0CARLA99"}
LINK = {"channel": "C1", "ts": "1.5", "url": "https://acme.slack.com/archives/C1/p1"}
#: an answer goes elsewhere and has no form
POSTED = sorted(SLACK.carries - {"answer"})
SPEC = "slack/outbound/slack_web_api.openapi3.mock.json"


def say(
    workspace: Slack,
    kind: str = "opened",
    link: dict[str, Any] | None = None,
    settings: dict[str, Any] = SETTINGS,
    **facts: Any,
) -> Sent:
    return converse(SLACK.compose(told(kind, **facts), settings, link), workspace)[0]


def buttons(message: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What can be pressed that comes back to us, by its words."""
    rows = [block["elements"] for block in message["blocks"] if block["type"] == "actions"]
    return {one["text"]["text"]: one for row in rows for one in row if "value" in one}


def texts(message: dict[str, Any]) -> str:
    return str(message["blocks"])


def test_an_opened_incident_becomes_a_message_that_is_remembered() -> None:
    workspace = Slack()
    sent = say(workspace)
    [(method, message), (second, asked)] = workspace.asked
    assert (method, message["channel"]) == ("chat.postMessage", "#ml-incidents")
    assert "thread_ts" not in message
    assert message["blocks"][0]["text"]["text"] == "🟠 SEV2 · INC-7 · Score drift in credit-risk"
    for fact in ("SEV2", "triaged", "credit-risk", "DRIFT", "Anna Berg", "PSI 0.31", "Users affected"):
        assert fact in texts(message)
    buttons = message["blocks"][-1]["elements"]
    assert [b["url"] for b in buttons][:2] == [
        "https://holdfast.example.org/approvals/3/",
        "https://holdfast.example.org/incidents/INC-7/",
    ]
    assert message["metadata"]["event_payload"]["key"] == "incident-7-opened-1"
    assert (second, asked["message_ts"]) == ("chat.getPermalink", sent.data["ts"])
    assert sent.data == {"channel": "C1", "ts": "1700000000.000001"}
    assert sent.url == "https://acme.slack.com/archives/C1/p1"


def test_a_change_updates_the_message_and_tells_the_thread() -> None:
    workspace = Slack()
    sent = say(workspace, "mitigated", LINK, severity=3, state="mitigated", text="Traffic is on version 4.")
    [(first, update), (second, reply)] = workspace.asked
    assert (first, update["channel"], update["ts"]) == ("chat.update", "C1", "1.5")
    assert "SEV3" in texts(update)
    assert (second, reply["channel"], reply["thread_ts"]) == ("chat.postMessage", "C1", "1.5")
    assert "Mitigated" in texts(reply)
    assert "Traffic is on version 4." in texts(reply)
    assert reply["reply_broadcast"] is False
    assert (sent.remote_id, sent.url) == ("C1:1.5", LINK["url"])


@pytest.mark.parametrize("kind", ["approval", "escalated", "reopened"])
def test_what_needs_eyes_is_shown_in_the_channel_too(kind: str) -> None:
    workspace = Slack()
    say(workspace, kind, LINK)
    assert workspace.posts()[0]["reply_broadcast"] is True


def test_a_question_does_not_overwrite_what_the_message_says() -> None:
    workspace = Slack()
    say(workspace, "approval", LINK, text="May traffic go to version 4?")
    assert [method for method, _ in workspace.asked] == ["chat.postMessage"]
    assert "Approve" in texts(workspace.posts()[0])


def test_a_deleted_message_is_posted_anew() -> None:
    workspace = Slack(errors={"chat.update": "message_not_found"})
    sent = say(workspace, "escalated", LINK)
    assert "thread_ts" not in workspace.posts()[0]
    assert sent.data["ts"] != "1.5"


def test_a_message_that_may_no_longer_be_edited_keeps_its_thread() -> None:
    workspace = Slack(errors={"chat.update": "edit_window_closed"})
    sent = say(workspace, "closed", LINK)
    assert workspace.posts()[0]["thread_ts"] == "1.5"
    assert "edit_window_closed" in sent.note


def test_a_message_without_a_permalink_is_sent_all_the_same() -> None:
    """The post happened: failing now would post it a second time."""
    workspace = Slack(errors={"chat.getPermalink": "internal_error"})
    assert say(workspace).data["channel"] == "C1"
    ok = answered(200, {"ok": True, "channel": "C1", "ts": "2.0"})
    broken = SendError("Could not reach slack.com", retryable=True)
    sent, _ = converse(SLACK.compose(told(), SETTINGS, None), in_turn(ok, broken))
    assert sent.data["ts"] == "2.0"


@pytest.mark.parametrize(
    ("code", "help_"),
    [
        ("invalid_auth", "bot token"),
        ("not_in_channel", "/invite"),
        ("channel_not_found", "channel id"),
        ("is_archived", "another one"),
        ("missing_scope", "chat:write"),
        ("something_new", "something_new"),
    ],
)
def test_an_error_in_a_200_is_an_error_and_says_what_to_do(code: str, help_: str) -> None:
    with pytest.raises(SendError, match=help_) as caught:
        say(Slack(errors={"chat.postMessage": code}))
    assert not caught.value.retryable


def test_an_error_that_passes_is_tried_again() -> None:
    limited = answered(200, {"ok": False, "error": "ratelimited"}, Retry_After="30")
    with pytest.raises(SendError) as caught:
        converse(SLACK.compose(told(), SETTINGS, None), in_turn(limited))
    assert (caught.value.retryable, caught.value.retry_after) == (True, 30)


def test_what_slack_finds_wrong_with_blocks_is_passed_on() -> None:
    answer = contract_json("slack", "responses", "invalid_blocks.json")
    with pytest.raises(SendError, match="must be more than 0 characters") as caught:
        converse(SLACK.compose(told(), SETTINGS, None), in_turn(answered(200, answer)))
    assert not caught.value.retryable


def test_a_page_that_is_not_slack_is_not_taken_for_a_success() -> None:
    with pytest.raises(SendError, match="Web API address"):
        converse(SLACK.compose(told(), SETTINGS, None), in_turn(answered(200, None)))


@pytest.mark.parametrize("kind", POSTED)
@pytest.mark.parametrize("link", [None, LINK])
def test_hostile_text_is_escaped_and_within_slacks_limits(kind: str, link: dict[str, Any] | None) -> None:
    names = ("title", "text", "system", "version", "owner", "state", "source", "incident_class")
    pairs = ((HOSTILE, HOSTILE),) * 60
    buttons = ((HOSTILE, "https://ok.example.org/"),) * 60
    workspace = Slack()
    say(workspace, kind, link, **dict.fromkeys(names, HOSTILE), facts=pairs, actions=buttons, links=buttons)
    for method, message in workspace.asked:
        if method == "chat.getPermalink":
            continue
        assert len(message["text"]) <= 4000
        assert len(message["blocks"]) <= 50
        for place, text, limit in measured(message["blocks"]):
            assert 0 < len(text) <= limit, place
            assert "<!channel>" not in text
            assert "<@U1>" not in text
            assert "<script>" not in text
            assert "&amp;amp;" not in text


def measured(blocks: list[dict[str, Any]]) -> Iterator[tuple[str, str, int]]:
    """Every text with what Slack allows for its place."""
    for block in blocks:
        match block["type"]:
            case "header":
                assert block["text"]["type"] == "plain_text"
                yield "header", block["text"]["text"], 150
            case "section":
                if "text" in block:
                    yield "section", block["text"]["text"], 3000
                assert len(block.get("fields", [])) <= 10
                for field in block.get("fields", []):
                    yield "field", field["text"], 2000
            case "context":
                assert len(block["elements"]) <= 10
                for element in block["elements"]:
                    yield "context", element["text"], 2000
            case "actions":
                assert len(block["elements"]) <= 25
                assert len({button["action_id"] for button in block["elements"]}) == len(block["elements"])
                for button in block["elements"]:
                    yield "button", button["text"]["text"], 75
                    yield "url", button["url"], 3000


def test_escapes_are_never_cut_in_two() -> None:
    workspace = Slack()
    say(workspace, title="&" * 500)
    header = workspace.posts()[0]["blocks"][0]["text"]["text"]
    assert header.removeprefix("🟠 SEV2 · INC-7 · ").rstrip("…").replace("&amp;", "") == ""


def test_a_time_is_shown_in_the_readers_zone() -> None:
    workspace = Slack()
    say(workspace)
    assert "<!date^1772619133^" in texts(workspace.posts()[0])


# --- what people can press -----------------------------------------------------------------------------


def test_a_new_incident_can_be_acknowledged_where_presses_come_back() -> None:
    workspace = Slack()
    say(workspace, settings=TWO_WAYS, state="detected", owner="")
    say(workspace, settings=TWO_WAYS, state="detected")
    say(workspace, settings=SETTINGS, state="detected", owner="")
    free, owned, one_way = workspace.posts()
    assert buttons(free)["Acknowledge"]["value"] == "INC-7"
    assert (buttons(owned), buttons(one_way)) == ({}, {})


def test_a_question_can_be_answered_in_place_with_a_reason() -> None:
    workspace = Slack()
    say(workspace, "approval", LINK, TWO_WAYS, approval="12", text="May traffic go to version 4?")
    [question] = workspace.posts()
    assert {word: one["value"] for word, one in buttons(question).items()} == {
        "Approve": "INC-7 12",
        "Reject": "INC-7 12",
    }
    assert "May traffic go" in str(buttons(question)["Approve"]["confirm"])
    assert [block["optional"] for block in question["blocks"] if block["type"] == "input"] == [True]
    assert "https://holdfast.example.org/approvals/3/" in texts(question)


def test_a_route_has_its_own_message_in_its_own_channel() -> None:
    workspace = Slack()
    first = say(workspace, channel="C-RISK", link=LINK)
    link = {**LINK, "remote_id": "C1:1.5", **first.data}
    second = say(workspace, "mitigated", link, channel="C-RISK")
    assert workspace.posts()[0]["channel"] == "C-RISK"
    assert workspace.posts()[1]["thread_ts"] == first.data["elsewhere"]["C-RISK"][1]
    assert first.part == "C1:" + first.data["elsewhere"]["C-RISK"][1]
    assert second.remote_id == "C1:1.5"


def test_a_note_and_action_items_are_told_in_the_thread_only() -> None:
    workspace = Slack()
    sent = say(workspace, "comment", LINK, text="Ann: rolled back")
    items = ({"title": "Test the gate", "owner": "ann@example.org", "due": "2026-04-01", "state": "open"},)
    say(workspace, "items", LINK, items=items)
    assert [method for method, _ in workspace.asked] == ["chat.postMessage"] * 2
    note, owed = workspace.posts()
    assert note["thread_ts"] == "1.5"
    assert sent.part.startswith("C1:1700000000.")
    assert "Test the gate: ann@example.org, 2026-04-01, open" in texts(owed)


def test_a_list_of_many_news_is_a_message_of_its_own() -> None:
    workspace = Slack()
    say(workspace, "notice", LINK, incident_key="", title="12 news of 5 incidents")
    assert "thread_ts" not in workspace.posts()[0]


# --- a channel of its own ------------------------------------------------------------------------------


def test_a_bad_incident_gets_a_channel_with_topic_and_people() -> None:
    workspace = Slack()
    sent = say(workspace, settings=ROOMS)
    asked = dict(workspace.asked)
    assert asked["conversations.create"] == {
        "name": "inc-7-score-drift-in-credit-risk",
        "is_private": False,
    }
    assert asked["conversations.invite"] == {"channel": "C9", "users": "U0BOB,U0CARLA99"}
    assert "INC-7" in asked["conversations.setTopic"]["topic"]
    assert [post["channel"] for post in workspace.posts()] == ["#ml-incidents", "C9"]
    assert sent.data["room"] == "C9"


def test_what_happens_is_told_there_too_and_no_second_channel_is_made() -> None:
    workspace = Slack()
    say(workspace, "escalated", {**LINK, "room": "C9"}, ROOMS)
    assert [method for method, _ in workspace.asked if method.startswith("conv")] == []
    assert [post["channel"] for post in workspace.posts()] == ["C1", "C9"]


@pytest.mark.parametrize(("kind", "severity"), [("opened", 3), ("mitigated", 1), ("comment", 1)])
def test_other_incidents_and_endings_make_no_channel(kind: str, severity: int) -> None:
    workspace = Slack()
    say(workspace, kind, LINK, ROOMS, severity=severity)
    assert "conversations.create" not in dict(workspace.asked)


def test_a_channel_whose_making_was_not_heard_of_is_found_again() -> None:
    workspace = Slack({"conversations.create": "name_taken"}, room="inc-7-score-drift-in-credit-risk")
    sent = say(workspace, settings=ROOMS)
    assert dict(workspace.asked)["conversations.join"] == {"channel": "C8"}
    assert sent.data["room"] == "C8"


@pytest.mark.parametrize("method", ["conversations.create", "users.lookupByEmail", "conversations.setTopic"])
def test_what_fails_about_the_channel_is_noted_and_the_message_stands(method: str) -> None:
    workspace = Slack({method: "missing_scope"})
    sent = say(workspace, settings=ROOMS)
    assert sent.remote_id.startswith("C1:")
    assert "missing_scope" in sent.note


# --- answers to a person -------------------------------------------------------------------------------


def test_an_answer_is_for_the_person_who_asked_only() -> None:
    _, [request] = converse(
        SLACK.compose(told("answer", text="It is <INC-7>."), SETTINGS, None), in_turn(answered(200))
    )
    assert request.url == "https://hooks.slack.com/commands/T1/2/3"
    assert request.json == {
        "response_type": "ephemeral",
        "replace_original": False,
        "text": "It is &lt;INC-7&gt;.",
    }
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    "there",
    ["https://evil.example.org/x", "http://hooks.slack.com/x", "https://hooks.slack.com.evil.org/", "", "x"],
)
def test_an_answer_goes_to_slack_and_nowhere_else(there: str) -> None:
    with pytest.raises(SendError, match="not Slack's") as caught:
        next(SLACK.compose(told("answer", channel=there), SETTINGS, None))
    assert not caught.value.retryable


def test_an_answer_that_comes_too_late_is_given_up() -> None:
    with pytest.raises(SendError, match="30 minutes") as caught:
        converse(SLACK.compose(told("answer"), SETTINGS, None), in_turn(answered(404, "expired_url")))
    assert not caught.value.retryable


# --- against the vendor's own specification ------------------------------------------------------------


@pytest.mark.parametrize("kind", POSTED)
@pytest.mark.parametrize("link", [None, LINK])
def test_messages_follow_the_block_kit_schema(kind: str, link: dict[str, Any] | None) -> None:
    schema = contract_json("slack", "outbound", "BlockKitMessage.schema.json")
    validator = jsonschema.validators.validator_for(schema)(schema)
    workspace = Slack()
    say(workspace, kind, link, TWO_WAYS, approval="3", state="detected", owner="")
    messages = [message for method, message in workspace.asked if method != "chat.getPermalink"]
    assert messages
    for message in messages:
        validator.validate({"text": message["text"], "blocks": message["blocks"]})


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    with prism(SPEC) as base:
        yield base


@pytest.fixture
def reachable(settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize("link", [None, LINK])
def test_every_conversation_is_accepted_by_the_specification(mock: str, link: dict[str, Any] | None) -> None:
    settings = {**TWO_WAYS, **ROOMS, "room_severities": "1 2 3 4 5", "base_url": f"{mock}/api/"}
    for kind in POSTED:
        sent, transcript = http.run(
            SLACK.compose(told(kind), settings, link), secrets=SLACK.secrets(settings)
        )
        assert sent.data["ts"]
        assert [answer["status"] for _, answer in transcript] == [200] * len(transcript)
        assert "xoxb-s3cr3t" not in str(transcript)
        assert "its own channel" not in sent.note


@pytest.mark.usefixtures("reachable")
def test_a_request_without_the_channel_would_be_noticed(mock: str) -> None:
    settings = {**SETTINGS, "base_url": f"{mock}/api/"}
    request = next(SLACK.compose(told(), settings, None))
    del request.json["channel"]
    assert http.send(request).status == 422
