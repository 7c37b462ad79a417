"""Trello's webhooks read: what people do with the card of an incident.

https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from integrations import normalise
from integrations.contract import Inbound, Instruction, Said, Unreadable
from integrations.listening import mapping
from integrations.normalise import first, text
from integrations.tickets import reversed_table, table

#: Our cards are named `INC-7 · SEV2 · title`.
_KEY = re.compile(r"(INC-\d{1,17})\b")
_OWN_COMMENT = re.compile(r"· Holdfast · ref [0-9a-f]{12}\b")


def read(body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Said]:
    """What a webhook says; nothing for our own account's acts and for what changes nothing here. Raises Unreadable."""
    action = mapping(mapping(body).get("action"))
    kind, data = text(action.get("type")), mapping(action.get("data"))
    if not kind:
        raise Unreadable("This is no webhook of Trello: it has no action with a type.")
    member, card = mapping(action.get("memberCreator")), mapping(data.get("card"))
    by_id = text(first(action, "idMemberCreator") or member.get("id"))
    own = text(settings.get("member_id")).strip()
    if not card or (own and by_id == own):
        return []
    named = _KEY.match(text(card.get("name")))
    short = text(card.get("shortLink"))
    told: dict[str, Any] = {
        "delivery_key": text(action.get("id")) or f"{kind} {text(card.get('id'))} {text(action.get('date'))}",
        "incident_key": named[1] if named else "",
        "remote_id": text(card.get("id")),
        "by_id": by_id,
        "by_name": text(first(member, "fullName", "username")),
        "at": normalise.moment(action.get("date")) or inbound.received_at,
        "url": f"https://trello.com/c/{short}" if re.fullmatch(r"\w{1,40}", short) else "",
    }
    match kind:
        case "commentCard":
            written = text(data.get("text"))
            if not written or _OWN_COMMENT.search(written):
                return []
            return [Instruction(verb="comment", text=written, remote_part=text(action.get("id")), **told)]
        case "updateCard":
            to = text(mapping(data.get("listAfter")).get("name"))
            state = reversed_table(table(settings, "lists", "{}")).get(to.lower(), "") if to else ""
            if not state:
                return []
            told["remote_state"] = "closed" if state == "closed" else "open"
            return [Instruction(verb="state", value=state, text=f"Moved to {to} in Trello.", **told)]
        case "addMemberToCard":
            who = mapping(first(action, "member") or data.get("member"))
            name = text(first(who, "fullName", "name", "username"))
            taken = {**told, "by_id": text(first(who, "id") or data.get("idMember")), "by_name": name}
            return [Instruction(verb="assign", text=f"{told['by_name']} put {name} on the card.", **taken)]
    return []
