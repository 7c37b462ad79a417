"""What Slack sends on paper: Ann presses buttons, types commands and replies in threads."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from integrations.authenticity import unproven
from integrations.contract import Inbound, Instruction, Polled, Refusal, Unreadable
from integrations.shelf import provider
from integrations.slack_events import plain
from tests.integrations.inbound import NOON, request
from tests.integrations.wire import answered

pytestmark = pytest.mark.once

SLACK = provider("slack")
FORM = "application/x-www-form-urlencoded"
SAMPLES = {
    "block_actions_ack_with_message": "handshake",
    "block_actions_ack_with_message.form": "set aside",
    "block_actions_ack_with_message.form.txt": "handshake",
    "block_actions_button": "handshake",
    "block_actions_button.form": "set aside",
    "block_actions_button.form.txt": "handshake",
    "events_url_verification": "handshake",
    "slash_command_official_vector.form": "set aside",
    "slash_command_official_vector.form.txt": "1 list",
}
ANSWER = "https://hooks.slack.com/actions/T1/2/3"


def form(**fields: str) -> Inbound:
    return request(urlencode(fields).encode(), content_type=FORM)


def press(action: str, value: str = "INC-7", reason: str = "") -> list[Any]:
    payload = {
        "type": "block_actions",
        "user": {"id": "U1", "name": "ann"},
        "trigger_id": "1.2.a",
        "response_url": ANSWER,
        "actions": [{"action_id": action, "value": value, "action_ts": "1770091506.000100"}],
        "state": {"values": {"b": {"holdfast_reason": {"type": "plain_text_input", "value": reason}}}},
    }
    return list(SLACK.parse(form(payload=json.dumps(payload)), {}))


def command(text: str, channel: str = "ops") -> Inbound:
    return form(
        command="/holdfast", text=text, user_id="U1", user_name="ann", channel_name=channel, trigger_id="1.3",
        response_url=ANSWER,
    )  # fmt: skip


def reply(**event: Any) -> list[Any]:
    told = {
        "type": "message", "channel": "C1", "user": "U1", "text": "Rolled back", "ts": "2.0", "thread_ts": "1.5",
        "parent_user_id": "UBOT",
    }  # fmt: skip
    body = {
        "type": "event_callback",
        "event_id": "Ev1",
        "authorizations": [{"user_id": "UBOT", "is_bot": True}],
        "event": {**told, **event},
    }
    return list(SLACK.parse(request(body), {}))


def signed(body: bytes, secret: str, at: float) -> Inbound:
    stamp = str(int(at))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return request(body, x_slack_request_timestamp=stamp, x_slack_signature=f"v0={digest}")


def test_a_pressed_button_acknowledges() -> None:
    [asked] = press("holdfast_acknowledge")
    assert isinstance(asked, Instruction)
    assert (asked.verb, asked.incident_key, asked.by_id, asked.answer_to) == (
        "acknowledge",
        "INC-7",
        "U1",
        ANSWER,
    )


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_decision_names_its_question_and_its_reason(verb: str) -> None:
    [asked] = press(f"holdfast_{verb}", "INC-7 12", "Version 4 fails for age 60+")
    assert (asked.verb, asked.incident_key, asked.value, asked.text) == (
        verb,
        "INC-7",
        "12",
        "Version 4 fails for age 60+",
    )


@pytest.mark.parametrize(
    ("text", "channel", "expected"),
    [
        ("", "ops", ("list", "", "")),
        ("open", "ops", ("list", "", "")),
        ("ack INC-7", "ops", ("acknowledge", "INC-7", "")),
        ("ack 7", "ops", ("acknowledge", "INC-7", "")),
        ("ACK inc-7", "ops", ("acknowledge", "INC-7", "")),
        ("ack", "inc-9-drift", ("acknowledge", "INC-9", "")),
        ("note INC-7 rolled &amp; watching", "ops", ("comment", "INC-7", "rolled & watching")),
        ("note 3 hosts are down", "inc-9-drift", ("comment", "INC-9", "3 hosts are down")),
        (
            "declare INC-7 is not alone: model denies all",
            "ops",
            ("declare", "", "INC-7 is not alone: model denies all"),
        ),
    ],
)
def test_the_command_speaks_a_few_words(text: str, channel: str, expected: tuple[str, str, str]) -> None:
    [asked] = SLACK.parse(command(text, channel), {})
    assert (asked.verb, asked.incident_key, asked.text) == expected
    assert asked.answer_to == ANSWER


@pytest.mark.parametrize(
    "text", ["help", "ack", "note INC-7", "note something", "declare", "drop table", "ack INC"]
)
def test_what_the_command_does_not_know_is_answered_with_how_to_use_it(text: str) -> None:
    inbound = command(text)
    assert SLACK.admit(inbound, {}) == 0
    shown = SLACK.handshake(inbound, {})
    assert shown is not None
    assert (shown.status, b"declare what is wrong" in shown.body) == (200, True)


def test_a_reply_in_our_thread_is_a_note_of_that_incident() -> None:
    [asked] = reply(text="Rolled back &lt;v4&gt;, see <https://a.example/b|board> <@U2>")
    assert (asked.verb, asked.remote_id, asked.remote_part) == ("comment", "C1:1.5", "C1:2.0")
    assert asked.text == "Rolled back <v4>, see board (https://a.example/b) @U2"


@pytest.mark.parametrize(
    "event",
    [
        {"bot_id": "B1"},
        {"user": "UBOT"},
        {"parent_user_id": "U9"},
        {"thread_ts": ""},
        {"thread_ts": "2.0"},
        {"subtype": "message_changed"},
        {"subtype": "bot_message", "user": ""},
        {"text": "  "},
        {"type": "reaction_added"},
    ],
)
def test_our_own_words_and_other_talk_are_no_notes(event: dict[str, Any]) -> None:
    assert reply(**event) == []


def test_the_address_check_is_answered_with_its_challenge() -> None:
    inbound = request({"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd"})
    assert SLACK.admit(inbound, {}) == 0
    shown = SLACK.handshake(inbound, {})
    assert shown is not None
    assert shown.body == b"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd"


def test_only_slack_is_listened_to() -> None:
    settings = {"bot_token": "xoxb-1", "signing_secret": "old-secret-1, new-secret-2"}
    body = b'{"type":"url_verification","challenge":"x"}'
    now = NOON.timestamp()
    for secret in ("old-secret-1", "new-secret-2"):
        assert SLACK.admit(signed(body, secret, now), settings) == 0
    wrong = [
        (signed(body, "other-secret", now), "does not fit"),
        (signed(body, "new-secret-2", now - 301), "away from our time"),
        (signed(body, "new-secret-2", now + 301), "away from our time"),
        (request(body), "missing"),
    ]
    for inbound, why in wrong:
        with pytest.raises(Refusal, match=why) as refused:
            SLACK.admit(inbound, settings)
        assert refused.value.status == 401


def test_the_vendors_own_signature_is_accepted() -> None:
    """https://docs.slack.dev/authentication/verifying-requests-from-slack, with its published secret."""
    from dataclasses import replace
    from datetime import UTC, datetime

    from tests.integrations.test_inbound_table import received

    inbound = received("slack", "slash_command_official_vector.form.txt")
    told = replace(inbound, received_at=datetime.fromtimestamp(1531420618 + 60, UTC))
    assert SLACK.admit(told, {"signing_secret": "8f742231b10e8888abcd99yyyzzz85a5"}) == 1


def test_a_connection_that_speaks_but_has_no_signing_secret_obeys_nobody() -> None:
    assert "Signing secret" in unproven(SLACK, {"bot_token": "xoxb-1"})
    assert unproven(SLACK, {"bot_token": "xoxb-1", "signing_secret": "of the app"}) == ""


def test_an_event_that_slack_repeats_has_the_same_key() -> None:
    assert SLACK.delivery_key(request({"type": "event_callback", "event_id": "Ev1"})) == "Ev1"
    assert SLACK.delivery_key(command("open")) == "1.3"
    assert SLACK.delivery_key(request(b"{")) == ""


def test_everything_is_answered_within_slacks_three_seconds_with_an_empty_200() -> None:
    assert SLACK.accepted is not None
    assert (SLACK.accepted.status, SLACK.accepted.body) == (200, b"")


@pytest.mark.parametrize("body", [[], {}, "x", {"payload": 5}, {"event": {}}])
def test_what_is_none_of_it_is_set_aside(body: Any) -> None:
    assert SLACK.admit(request(body), {}) == 1
    with pytest.raises(Unreadable):
        SLACK.parse(request(body), {})


def test_markup_is_read_as_people_see_it() -> None:
    assert (
        plain("<!channel> <#C1|ops> <https://a.example> &amp;lt;") == "@channel #ops https://a.example &lt;"
    )


def polled(settings: dict[str, Any], *pages: Any) -> Polled:
    round_, left = SLACK.poll(settings, {}, NOON), list(pages)
    try:
        next(round_)
        while True:
            round_.send(answered(200, left.pop(0)))
    except StopIteration as end:
        return end.value


def test_people_are_known_by_their_addresses_where_that_is_wanted() -> None:
    ann = {"id": "U1", "profile": {"email": "ann@example.org"}}
    gone = {"id": "U2", "deleted": True, "profile": {"email": "gone@example.org"}}
    bot = {"id": "U3", "is_bot": True, "profile": {"email": "bot@example.org"}}
    bob = {"id": "U4", "profile": {"email": "bob@example.org"}}
    pages = (
        {"ok": True, "members": [ann, gone, bot], "response_metadata": {"next_cursor": "c"}},
        {"ok": True, "members": [bob, {"id": "U5"}, "x"], "response_metadata": {"next_cursor": ""}},
    )
    found = polled({"people_by_email": True, "bot_token": "t"}, *pages)
    assert found.memory == {"people": {"U1": "ann@example.org", "U4": "bob@example.org"}}
    assert polled({"people_by_email": False}) == Polled()
