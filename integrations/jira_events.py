"""Jira's webhooks read: what people do with the issue of an incident.

https://developer.atlassian.com/cloud/jira/platform/webhooks/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from integrations import adf, normalise
from integrations.contract import Inbound, Instruction, Said, Unreadable
from integrations.listening import entries, mapping
from integrations.normalise import first, text
from integrations.on_call import rank
from integrations.tickets import reversed_table, table

#: Jira's own names of priorities, of today and of old.
_RANKS = {
    "highest": "1", "high": "2", "medium": "3", "low": "4", "lowest": "5",
    "blocker": "1", "critical": "2", "major": "3", "minor": "4", "trivial": "5",
}  # fmt: skip
#: The line under each of our comments, whose author may be hidden.
_OWN_COMMENT = re.compile(r"· Holdfast · ref [0-9a-f]{12}\b")


def label_of(name: str, settings: Mapping[str, Any]) -> str:
    """Labels hold no spaces and are compared without regard to case."""
    prefix = str(settings.get("label_prefix") or "holdfast")
    return re.sub(r"[^a-z0-9_-]+", "-", f"{prefix}-{name}".lower())[:255]


def read(
    body: Any, inbound: Inbound, settings: Mapping[str, Any], priorities: Mapping[str, str]
) -> list[Said]:
    """What a webhook says; nothing for our own account's acts, sub-tasks, and events that change nothing here.

    `priorities` names the priority of each severity. Raises Unreadable.
    """
    message = mapping(body)
    event, issue = text(message.get("webhookEvent")), mapping(message.get("issue"))
    if not event:
        raise Unreadable("This is no webhook of Jira: it has no webhookEvent.")
    comment = mapping(message.get("comment"))
    author = mapping(first(message, "user") or first(comment, "author"))
    fields = mapping(issue.get("fields"))
    if _is_ours(author, settings) or mapping(fields.get("issuetype")).get("subtask") is True:
        return []
    told = _told(message, issue, author, inbound, settings)
    if comment:
        return list(_commented(event, message, comment, told))
    if event != "jira:issue_updated":
        return []
    return list(_changed(message, fields, told, settings, priorities))


def _is_ours(author: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether the account of this connection did it."""
    own_id, own_mail = text(settings.get("account_id")).strip(), text(settings.get("email")).strip().lower()
    mail = text(author.get("emailAddress")).lower()
    return bool((own_id and text(author.get("accountId")) == own_id) or (own_mail and mail == own_mail))


def _told(
    message: Mapping[str, Any],
    issue: Mapping[str, Any],
    author: Mapping[str, Any],
    inbound: Inbound,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """What every instruction of the message shares."""
    labels = mapping(issue.get("fields")).get("labels")
    ours = re.compile(re.escape(label_of("", settings)) + r"(inc-\d{1,17})")
    found = [ours.fullmatch(text(one).lower()) for one in labels] if isinstance(labels, list) else []
    site = text(settings.get("site")).strip().rstrip("/") or _site_of(issue)
    key = text(issue.get("key"))
    url = next((url for _, url in normalise.links(("", f"{site}/browse/{key}"))), "")
    return {
        "incident_key": next((one[1].upper() for one in found if one), ""),
        "remote_id": key,
        "by": text(author.get("emailAddress")),
        "by_id": _id(author),
        "by_name": text(author.get("displayName")),
        "at": normalise.moment(message.get("timestamp")) or inbound.received_at,
        "url": url if key else "",
    }


def _site_of(issue: Mapping[str, Any]) -> str:
    return text(issue.get("self")).partition("/rest/")[0]


def _id(person: Mapping[str, Any]) -> str:
    """Jira's id of a person; servers of one's own have names instead."""
    return text(first(person, "accountId", "key", "name"))


def _commented(
    event: str, message: Mapping[str, Any], comment: Mapping[str, Any], told: Mapping[str, Any]
) -> Iterable[Said]:
    kind = text(message.get("issue_event_type_name"))
    written = adf.plain(comment.get("body")).strip()
    new = event == "comment_created" or (event == "jira:issue_updated" and kind in ("issue_commented", ""))
    if not new or not written or _OWN_COMMENT.search(written):
        return
    mark = text(comment.get("id"))
    yield Instruction(
        verb="comment",
        delivery_key=f"comment {mark or told['at']}",
        text=normalise.text(written),
        remote_part=mark,
        **{**told, "at": normalise.moment(comment.get("created")) or told["at"]},
    )


def _changed(
    message: Mapping[str, Any],
    fields: Mapping[str, Any],
    told: Mapping[str, Any],
    settings: Mapping[str, Any],
    priorities: Mapping[str, str],
) -> Iterable[Said]:
    changelog = mapping(message.get("changelog"))
    number = text(changelog.get("id")) or text(message.get("timestamp"))
    items = {text(one.get("field")).lower(): one for one in entries(changelog.get("items"))}
    for name, item in items.items():
        key = f"{told['remote_id']} {number} {name}"
        to = text(item.get("toString"))
        match name:
            case "status":
                reopened = bool(text(mapping(items.get("resolution")).get("from")))
                yield from _moved(to, fields, reopened, settings, {**told, "delivery_key": key})
            case "priority":
                picked = reversed_table(priorities).get(to.lower()) or _RANKS.get(to.lower()) or rank(to)
                if picked:
                    words = f"Priority {to} in Jira."
                    yield Instruction(verb="priority", delivery_key=key, value=picked, text=words, **told)
            case "assignee" if text(item.get("to")):
                yield _taken(item, mapping(fields.get("assignee")), {**told, "delivery_key": key})


def _moved(
    to: str,
    fields: Mapping[str, Any],
    reopened: bool,
    settings: Mapping[str, Any],
    told: Mapping[str, Any],
) -> Iterable[Said]:
    """By the connection's own names of statuses, else by the category: done is mitigated, in progress acknowledged."""
    words = f"Moved to {to} in Jira."
    state = reversed_table(table(settings, "statuses", "{}")).get(to.lower(), "")
    category = text(mapping(mapping(fields.get("status")).get("statusCategory")).get("key"))
    if not state:
        state = "mitigated" if category == "done" else "triaged" if category and reopened else ""
    told = {**told, "remote_state": "closed" if category == "done" else "open"}
    if state:
        yield Instruction(verb="state", value=state, text=words, **told)
    elif category == "indeterminate":
        yield Instruction(verb="acknowledge", text=words, **told)


def _taken(item: Mapping[str, Any], assignee: Mapping[str, Any], told: Mapping[str, Any]) -> Instruction:
    """The new owner by address; where Jira hides it, the owner's account speaks for itself."""
    mail, who = text(assignee.get("emailAddress")), text(item.get("toString"))
    by = told["by_name"] or "Somebody"
    words = f"{by} assigned it to {who} in Jira."
    if mail:
        return Instruction(verb="assign", value=mail, text=words, **told)
    taken = {**told, "by": "", "by_id": text(item.get("to")), "by_name": who}
    return Instruction(verb="assign", text=words, **taken)
