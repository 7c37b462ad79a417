"""A channel of its own for a bad incident: made, its topic set, people invited; news are told there as well."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from typing import Any

from django.utils.text import slugify

from integrations.contract import Announcement, Request, Response, SendError
from integrations.listening import entries, mapping
from integrations.normalise import text
from integrations.vendor import heading, line

#: https://docs.slack.dev/reference/methods/conversations.create: 80 characters; .setTopic: 250
NAME, TOPIC = 80, 250
#: Pages of channels that are searched for one whose making was answered, but whose answer was lost.
PAGES = 10
_ID = re.compile(r"[UW][A-Z0-9]{5,20}")
#: A room is opened for what goes on, not for what ends.
BEGINS = frozenset({"opened", "updated", "acknowledged", "escalated", "reopened"})

Call = Callable[..., Generator[Request, Response, dict[str, Any]]]


def wanted(what: Announcement, settings: Mapping[str, Any]) -> bool:
    """Whether an incident of this severity gets a channel of its own."""
    severities = re.findall(r"[1-5]", str(settings.get("room_severities") or ""))
    return bool(what.incident_key) and what.kind in BEGINS and str(what.severity) in severities


def name_of(what: Announcement) -> str:
    return f"{what.incident_key.lower()}-{slugify(what.title)}"[:NAME].rstrip("-")


def opened(
    what: Announcement, settings: Mapping[str, Any], call: Call, read: Call
) -> Generator[Request, Response, tuple[str, str]]:
    """Make the channel: its id, and what could not be done there. Raises SendError when it cannot be made."""
    name, notes = name_of(what), []
    try:
        made = yield from call(
            "conversations.create", name=name, is_private=settings.get("room_private") is True
        )
        room = text(mapping(made.get("channel")).get("id"))
    except SendError as error:
        if getattr(error, "code", "") != "name_taken":
            raise
        room = yield from _found(name, read)
        if not room:
            raise
        yield from call("conversations.join", channel=room)
    users = []
    for one in _people(settings):
        try:
            users.append(one if _ID.fullmatch(one) else (yield from _user(one, read)))
        except SendError as error:
            notes.append(f"{one}: {error}")
    steps: list[tuple[str, dict[str, str]]] = [
        ("conversations.setTopic", {"topic": line(f"{heading(what)} {what.url}", TOPIC)})
    ]
    if users:
        steps.append(("conversations.invite", {"users": ",".join(users)}))
    for method, arguments in steps:
        try:
            yield from call(method, channel=room, **arguments)
        except SendError as error:
            if getattr(error, "code", "") != "already_in_channel":
                notes.append(str(error))
    return room, " ".join(notes)


def _people(settings: Mapping[str, Any]) -> list[str]:
    return [
        one.strip()
        for one in str(settings.get("room_people") or "").replace("\n", ",").split(",")
        if one.strip()
    ]


def _user(address: str, read: Call) -> Generator[Request, Response, str]:
    answer = yield from read("users.lookupByEmail", email=address)
    return text(mapping(answer.get("user")).get("id"))


def _found(name: str, read: Call) -> Generator[Request, Response, str]:
    cursor = ""
    for _ in range(PAGES):
        page = yield from read(
            "conversations.list", types="public_channel,private_channel", exclude_archived="true", limit="1000", cursor=cursor
        )  # fmt: skip
        for one in entries(page.get("channels")):
            if one.get("name") == name:
                return text(one.get("id"))
        cursor = text(mapping(page.get("response_metadata")).get("next_cursor"))
        if not cursor:
            break
    return ""
