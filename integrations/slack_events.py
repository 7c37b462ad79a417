"""Slack's requests read: buttons, the slash command, and replies in threads become instructions.

https://docs.slack.dev/interactivity/handling-user-interaction, https://docs.slack.dev/interactivity/implementing-slash-commands,
https://docs.slack.dev/apis/events-api
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

from integrations import normalise
from integrations.contract import Instruction, Said, Unreadable, Verb
from integrations.listening import entries, mapping
from integrations.normalise import first, text
from integrations.on_call import own_key

#: Ids of what people press and fill in; the buttons' values are `INC-7` and `INC-7 12` (incident and approval).
ACKNOWLEDGE, APPROVE, REJECT, REASON = (
    f"holdfast_{word}" for word in ("acknowledge", "approve", "reject", "reason")
)
_BUTTONS: Mapping[str, Verb] = {ACKNOWLEDGE: "acknowledge", APPROVE: "approve", REJECT: "reject"}
#: Messages that people write; others are joins, edits, deletions. https://docs.slack.dev/reference/events/message
_WRITTEN = frozenset({"", "thread_broadcast", "file_share", "me_message"})
#: How the channel of one incident is named; the key comes first.
_ROOM = re.compile(r"(inc-\d{1,17})(?:-|$)")
#: `<@U1>`, `<#C1|name>`, `<https://a.example|label>`: https://docs.slack.dev/messaging/formatting-message-text
_LINKED = re.compile(r"<([^<>|]{1,3000})(?:\|([^<>]{0,3000}))?>")
USAGE = (
    "Say `open` for the open incidents, `ack INC-7`, `note INC-7 what you found`, `declare what is wrong`. "
    "In the channel of an incident its key may be left out."
)


def read(body: Any) -> list[Said]:
    """What a request asks of incidents; nothing where it asks nothing. Raises Unreadable."""
    message = _opened(body)
    if "command" in message:
        return _commanded(message)
    kind = text(message.get("type"))
    if not kind and "ssl_check" not in message:
        raise Unreadable("This is no request of Slack: it has neither a type nor a command.")
    if kind == "block_actions":
        return _pressed(message)
    if kind == "event_callback":
        return _written(message)
    return []


def key_of(body: Any) -> str:
    """What names this very request: Slack repeats events under the same id."""
    return text(first(_opened(body), "event_id", "trigger_id"))


def _opened(body: Any) -> Mapping[str, Any]:
    """The request itself, which interactions carry in a field of their form."""
    return mapping(mapping(body).get("payload")) or mapping(body)


def is_command(body: Any) -> bool:
    return "command" in mapping(body)


def challenge(body: Any) -> str:
    """What Slack wants to hear back when it checks the address; "" when it does not."""
    message = mapping(body)
    return text(message.get("challenge")) if message.get("type") == "url_verification" else ""


def _pressed(message: Mapping[str, Any]) -> list[Said]:
    person = mapping(message.get("user"))
    channel = text(mapping(message.get("channel")).get("id"))
    said: list[Said] = []
    for action in entries(message.get("actions")):
        verb = _BUTTONS.get(text(action.get("action_id")))
        key, _, approval = text(action.get("value")).partition(" ")
        if verb is None or not own_key(key):
            continue
        said.append(
            Instruction(
                verb=verb, incident_key=own_key(key), value=approval, text=_reason(message),
                delivery_key=f"{key_of(message)} {verb} {text(action.get('action_ts'))} {channel}",
                by_id=text(person.get("id")), by_name=text(first(person, "name", "username")),
                at=normalise.moment(action.get("action_ts")), answer_to=text(message.get("response_url")),
            )
        )  # fmt: skip
    return said


def _reason(message: Mapping[str, Any]) -> str:
    """What the person wrote into the field of the message, if it has one."""
    for block in mapping(mapping(message.get("state")).get("values")).values():
        written = text(mapping(mapping(block).get(REASON)).get("value"), 2000)
        if written:
            return written
    return ""


def _commanded(message: Mapping[str, Any]) -> list[Said]:
    word, _, rest = text(message.get("text"), 4000).partition(" ")
    verb, rest = word.lower(), rest.strip()
    room = _ROOM.match(text(message.get("channel_name")))
    named = rest.split(" ", 1)[0]
    key = own_key(named, f"INC-{named}" if verb.startswith("ack") else "")
    if key:
        rest = rest[len(named) :].strip()
    elif room:
        key = room[1].upper()
    told: dict[str, Any] = {
        "delivery_key": key_of(message) or f"{text(message.get('user_id'))} {word} {rest}",
        "by_id": text(message.get("user_id")),
        "by_name": text(message.get("user_name")),
        "answer_to": text(message.get("response_url")),
    }
    match verb:
        case "" | "open" | "list":
            return [Instruction(verb="list", **told)]
        case "ack" | "acknowledge" if key:
            return [Instruction(verb="acknowledge", incident_key=key, **told)]
        case "note" if key and rest:
            return [Instruction(verb="comment", incident_key=key, text=plain(rest), **told)]
        case "declare" if text(message.get("text")).partition(" ")[2].strip():
            said = text(message.get("text")).partition(" ")[2].strip()
            return [Instruction(verb="declare", text=plain(said), **told)]
    return []


def _written(message: Mapping[str, Any]) -> list[Said]:
    """A reply in a thread that began with a message of ours."""
    event = mapping(message.get("event"))
    ours = {text(one.get("user_id")) for one in entries(message.get("authorizations")) if one.get("is_bot")}
    person, thread, ts = (text(event.get(name)) for name in ("user", "thread_ts", "ts"))
    if text(event.get("type")) != "message" or text(event.get("subtype")) not in _WRITTEN:
        return []
    if not thread or thread == ts or not person or event.get("bot_id") or person in ours:
        return []
    if ours and text(event.get("parent_user_id")) not in ours:
        return []
    channel, said = text(event.get("channel")), plain(text(event.get("text")))
    if not said:
        return []
    return [
        Instruction(
            verb="comment", delivery_key=key_of(message) or f"{channel} {ts}", remote_id=f"{channel}:{thread}", text=said,
            by_id=person, at=normalise.moment(ts), remote_part=f"{channel}:{ts}",
        )
    ]  # fmt: skip


def plain(written: str) -> str:
    """Slack's markup as people read it."""
    shown = _LINKED.sub(lambda found: _shown(found[1], found[2] or ""), written)
    return html.unescape(shown).strip()


def _shown(target: str, label: str) -> str:
    if target[0] in "@#!":
        return f"{target[0].replace('!', '@')}{label or target[1:]}"
    return f"{label} ({target})" if label and label != target else target
