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
LINK = {"channel": "C1", "ts": "1.5", "url": "https://acme.slack.com/archives/C1/p1"}
SPEC = "slack/outbound/slack_web_api.openapi3.mock.json"


def say(workspace: Slack, kind: str = "opened", link: dict[str, Any] | None = None, **facts: Any) -> Sent:
    return converse(SLACK.compose(told(kind, **facts), SETTINGS, link), workspace)[0]


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


@pytest.mark.parametrize("kind", sorted(SLACK.carries))
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


# --- against the vendor's own specification ------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(SLACK.carries))
@pytest.mark.parametrize("link", [None, LINK])
def test_messages_follow_the_block_kit_schema(kind: str, link: dict[str, Any] | None) -> None:
    schema = contract_json("slack", "outbound", "BlockKitMessage.schema.json")
    validator = jsonschema.validators.validator_for(schema)(schema)
    workspace = Slack()
    say(workspace, kind, link)
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
    settings = {**SETTINGS, "base_url": f"{mock}/api/"}
    for kind in sorted(SLACK.carries):
        sent, transcript = http.run(
            SLACK.compose(told(kind), settings, link), secrets=SLACK.secrets(settings)
        )
        assert sent.data["ts"]
        assert [answer["status"] for _, answer in transcript] == [200] * len(transcript)
        assert "xoxb-s3cr3t" not in str(transcript)


@pytest.mark.usefixtures("reachable")
def test_a_request_without_the_channel_would_be_noticed(mock: str) -> None:
    settings = {**SETTINGS, "base_url": f"{mock}/api/"}
    request = next(SLACK.compose(told(), settings, None))
    del request.json["channel"]
    assert http.send(request).status == 422
