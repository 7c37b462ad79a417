"""Parts of the conversation with Jira: making issues and sub-tasks, changing, assigning and moving them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import quote

from integrations import adf
from integrations.atlassian import Site
from integrations.contract import Announcement, Request, Response, SendError
from integrations.jira_events import label_of
from integrations.normalise import text
from integrations.tickets import ITEMS, is_over, item_lines, item_name
from integrations.vendor import line

#: https://support.atlassian.com/jira-cloud-administration/docs/configure-a-field/
SUMMARY = 255
VALUE = 300
ISSUE_PROPERTY = "holdfast.incident"
CATEGORY_NAMES = {"done": "Done", "indeterminate": "In Progress"}


def posted(
    site: Site, fields: Mapping[str, Any], own: Mapping[str, str]
) -> Generator[Request, Response, str]:
    """The key of a new issue; its property says what it is ours for."""
    answer = yield from site(
        "POST", "issue", {"fields": fields, "properties": [{"key": ISSUE_PROPERTY, "value": own}]}
    )
    key = answer.get("key") if isinstance(answer, dict) else None
    if not key:
        raise SendError("Jira took the issue but did not name it. Check the site address.", retryable=False)
    return str(key)


def changed(site: Site, key: str, fields: Mapping[str, Any]) -> Generator[Request, Response, list[str]]:
    """Fields of the issue. What cannot be changed now leaves a note, and is tried again with the next news."""
    try:
        yield from site("PUT", f"issue/{quote(key, safe='')}", {"fields": fields})
    except SendError as error:
        return [f"{', '.join(fields)} not changed: {error}"]
    return []


def assigned(site: Site, key: str, email: str) -> Generator[Request, Response, list[str]]:
    """Give the issue to the one account with that address; where there is none, say so. It never fails the
    delivery: right after a creation, another attempt might not find the issue yet and make a second one."""
    try:
        answer = yield from site("GET", "user/search", query=email, maxResults="10")
        people = [one for one in answer if isinstance(one, dict)] if isinstance(answer, list) else []
        active = [one for one in people if one.get("accountId") and one.get("active", True)]
        exact = [one for one in active if text(one.get("emailAddress")).lower() == email.lower()]
        # many accounts hide their address; then the search knows it, but does not show it
        found = exact or [one for one in active if not one.get("emailAddress")]
        if len(found) != 1:
            return [f"{key} was not assigned: {len(found) or 'no'} accounts have the address {email}"]
        path = f"issue/{quote(key, safe='')}/assignee"
        yield from site("PUT", path, {"accountId": str(found[0]["accountId"])})
    except SendError as error:
        return [f"{key} was not assigned: {error}"]
    return []


def itemised(
    site: Site, what: Announcement, key: str, settings: Mapping[str, Any]
) -> Generator[Request, Response, list[str]]:
    """One sub-task per action item, found again by its name in the issue itself, which never lags."""
    issue = yield from site("GET", f"issue/{quote(key, safe='')}", fields="subtasks")
    fields = issue.get("fields") if isinstance(issue, dict) else None
    there = {
        text(at(one, "fields", "summary")).split(" · ")[0]: text(one.get("key"))
        for one in site.rows(fields, "subtasks")
    }
    notes: list[str] = []
    for item in what.items[:ITEMS]:
        name = there.get(item["key"], "")
        if not name and is_over(item):
            continue
        if not name:
            name = yield from posted(site, _subtask(item, key, settings), {"item": item["key"]})
            if "@" in item.get("owner", ""):
                notes += yield from assigned(site, name, item["owner"])
        elif is_over(item):
            _, more = yield from moved(site, name, "", "done")
            notes += more
    if len(what.items) > ITEMS:
        notes.append(f"only the first {ITEMS} of {len(what.items)} action items are sub-tasks")
    return notes


def _subtask(item: Mapping[str, str], key: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    lines = [adf.strong(name) + adf.text(f": {line(value, VALUE)}") for name, value in item_lines(item)]
    return {
        "project": {"key": project_of(settings)},
        "parent": {"key": key},
        "issuetype": {"name": text(settings.get("subtask_type"))},
        "summary": item_name(item, SUMMARY),
        "description": adf.document(adf.bullets(lines)),
        "labels": [label_of(item["key"], settings)],
    }


def moved(
    site: Site, key: str, name: str, category: str
) -> Generator[Request, Response, tuple[str, list[str]]]:
    """Bring the issue to the status of that name, or else of that category: the category it is in then, and what
    could not be done."""
    path = f"issue/{quote(key, safe='')}"
    issue = yield from site("GET", path, fields="status")
    if _is_at(at(issue, "fields", "status"), name, category):
        return _category(issue, "fields", "status"), []
    answer = yield from site("GET", f"{path}/transitions")
    ways = [
        way
        for way in site.rows(answer, "transitions")
        if way.get("id") and way.get("isAvailable", True) and _is_at(way.get("to"), name, category)
    ]
    if not ways:
        target = name or CATEGORY_NAMES[category]
        return _category(issue, "fields", "status"), [
            f"the workflow offers no way to {target} from here; move {key} by hand"
        ]
    # a transition with a screen may ask for fields that only a person can fill in
    way = min(ways, key=lambda w: bool(w.get("hasScreen")))
    yield from site("POST", f"{path}/transitions", {"transition": {"id": str(way["id"])}})
    return _category(way, "to"), []


def _is_at(status: Any, name: str, category: str) -> bool:
    return text(at(status, "name")).lower() == name.lower() if name else _category(status) == category


def _category(thing: Any, *path: str) -> str:
    return text(at(thing, *path, "statusCategory", "key"))


def at(thing: Any, *path: str) -> Any:
    for name in path:
        thing = thing.get(name) if isinstance(thing, dict) else None
    return thing


def project_of(settings: Mapping[str, Any]) -> str:
    return str(settings.get("project") or "").strip().upper()
