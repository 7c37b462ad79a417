"""Jira Cloud: one issue per incident, found again by its label, told by comments, moved when it closes."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Generator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from integrations import adf
from integrations.contract import (
    Announcement,
    Conversation,
    Field,
    Provider,
    Request,
    Response,
    SendError,
    Sent,
)
from integrations.vendor import address, clip, facts, failure, heading, line, web_links

#: https://support.atlassian.com/jira-cloud-administration/docs/configure-a-field/ (summary);
#: text fields take 32,767 characters, markup included.
SUMMARY, TEXT, VALUE, FACTS, LINKS, LINK = 255, 12_000, 300, 20, 10, 2000
#: Key of the comment property that tells our own comments from each other.
COMMENT_PROPERTY = "holdfast.announcement"
ISSUE_PROPERTY = "holdfast.incident"
#: Where an issue goes, by status category: names and ids of statuses differ in every workflow.
MOVES = {"closed": "done", "reopened": "indeterminate"}
CATEGORY_NAMES = {"done": "Done", "indeterminate": "In Progress"}

HAPPENED = {
    "opened": "Incident opened",
    "updated": "Update",
    "acknowledged": "Acknowledged",
    "escalated": "Escalated",
    "mitigated": "Mitigated",
    "resolved": "Resolved",
    "closed": "Closed",
    "reopened": "Reopened",
}


class Jira(Provider):
    title = "Jira"
    docs = "https://developer.atlassian.com/cloud/jira/platform/rest/v3/"
    summary = "Opens one issue per incident, comments on it as the incident moves, and closes it at the end."
    outbound = True
    fields = (
        Field("site", "Site", help="https://your-site.atlassian.net", kind="url"),
        Field("email", "Account e-mail", help="The account that the API token belongs to."),
        Field("api_token", "API token", help="id.atlassian.com → Security → API tokens.", secret=True),
        Field("project", "Project key", help="For example ML."),
        Field("issue_type", "Issue type", required=False, default="Task"),
        Field(
            "label_prefix",
            "Label prefix",
            help="Every issue carries <prefix>-<incident>, by which it is found again. "
            "Use different prefixes when two installations share a project.",
            required=False,
            default="holdfast",
        ),
        Field(
            "priorities",
            "Priorities by severity",
            help='For example {"1": "Highest", "2": "High"}. Empty: the project\'s default priority.',
            kind="json",
            required=False,
        ),
    )
    carries = frozenset({*HAPPENED, "test"})
    idempotency = (
        "Jira has no key for creating. The issue is looked up by its label before it is created, comments "
        "by their property before they are written, moves by the present status. Search lags some seconds, "
        "so a creation whose answer was lost can appear twice if it is tried again at once."
    )
    limits = (
        "Points per hour and requests per second by plan, told by 429 with Retry-After; summary 255, "
        "description and comment 32,767 characters. "
        "https://developer.atlassian.com/cloud/jira/platform/rate-limiting/"
    )
    #: Ours: Atlassian's allowance is counted in points and shared by all apps of a site.
    rate = (60, 60.0)

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        return [*super().secrets(settings), _credentials(settings)]

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        try:
            _priorities(settings)
        except SendError as error:
            return {"priorities": str(error)}
        return {}

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """Find the issue or create it, then say what happened and move it where it belongs."""
        site = _Site(settings)
        if what.kind == "test":
            return (yield from _tested(site, settings))
        key, created, notes = str((link or {}).get("remote_id") or ""), False, []
        if not key:
            key = yield from _found(site, what, settings)
        if not key:
            key, created = (yield from _created(site, what, settings)), True
        if not (link or {}).get("remote_id"):
            notes += yield from _linked(site, what, key)
        if not created and what.kind != "opened":
            yield from _told(site, what, key)
        if what.kind in MOVES:
            notes += yield from _moved(site, key, MOVES[what.kind])
        return Sent(remote_id=key, url=f"{site.base}/browse/{key}", data={"key": key}, note="; ".join(notes))


def _credentials(settings: Mapping[str, Any]) -> str:
    pair = f"{str(settings.get('email') or '').strip()}:{str(settings.get('api_token') or '').strip()}"
    return b64encode(pair.encode()).decode()


class _Site:
    """Calls of one site's REST API with the connection's credentials."""

    def __init__(self, settings: Mapping[str, Any]):
        self.base = address(settings, "site")
        if not urlsplit(self.base).hostname:
            raise SendError(
                "The Jira site is missing. Set it to https://your-site.atlassian.net.", retryable=False
            )
        self.headers = {"Authorization": f"Basic {_credentials(settings)}"}

    def __call__(
        self, method: str, path: str, body: Any = None, **params: str
    ) -> Generator[Request, Response, Any]:
        """The JSON of the answer. Raises SendError with what Jira said."""
        response = yield Request(
            method, f"{self.base}/rest/api/3/{path}", headers=self.headers, json=body, params=params
        )
        if 200 <= response.status < 300:
            return response.json
        raise failure(response, "Jira", _complaint(response.json), _hint(response))


def _rows(answer: Any, name: str) -> list[dict[str, Any]]:
    """The list of that name. A success without it comes from something that is not Jira, such as a
    login page; reading it as "nothing found" would create a second issue."""
    rows = answer.get(name) if isinstance(answer, Mapping) else None
    if not isinstance(rows, list):
        raise SendError(
            f"Jira answered without {name}. Check that the site is the address of a Jira Cloud site.",
            retryable=False,
        )
    return [row for row in rows if isinstance(row, dict)]


def _complaint(answer: Any) -> str:
    """`errorMessages` and `errors` as one readable line."""
    if not isinstance(answer, dict):
        return ""
    messages, errors = answer.get("errorMessages"), answer.get("errors")
    said = [str(message) for message in messages] if isinstance(messages, list) else []
    if isinstance(errors, dict):
        said += [f"{field}: {message}" for field, message in errors.items()]
    return "; ".join(said)


def _hint(response: Response) -> str:
    errors = response.json.get("errors") if isinstance(response.json, dict) else None
    if response.status == 401:
        return "Check the account e-mail and the API token; tokens expire after a year at most."
    if response.status == 404:
        return "The issue or project does not exist, or the account of this connection may not see it."
    if isinstance(errors, dict) and "labels" in errors:
        return "Put the field Labels on the project's create screen; the issue is found again by its label."
    if isinstance(errors, dict) and "issuetype" in errors:
        return "Choose an issue type that this project has."
    if isinstance(errors, dict) and "priority" in errors:
        return "Leave the priorities empty, or put the field Priority on the project's create screen."
    return ""


def _found(site: _Site, what: Announcement, settings: Mapping[str, Any]) -> Generator[Request, Response, str]:
    """The key of the issue that an earlier attempt created, or an empty string."""
    query = f"project = {_quoted(_project(settings))} AND labels = {_quoted(_label(what, settings))}"
    answer = yield from site(
        "POST",
        "search/jql",
        {"jql": f"{query} ORDER BY created ASC", "fields": ["labels"], "maxResults": 1},
    )
    return next((str(issue.get("key") or "") for issue in _rows(answer, "issues")), "")


def _created(
    site: _Site, what: Announcement, settings: Mapping[str, Any]
) -> Generator[Request, Response, str]:
    fields: dict[str, Any] = {
        "project": {"key": _project(settings)},
        "issuetype": {"name": str(settings.get("issue_type") or "Task")},
        "summary": line(heading(what), SUMMARY),
        "description": _described(what),
        "labels": [_label(what, settings)],
    }
    priority = _priorities(settings).get(str(what.severity))
    if priority:
        fields["priority"] = {"name": str(priority)}
    own = {"incident": what.incident_key, "key": what.idempotency_key}
    answer = yield from site(
        "POST", "issue", {"fields": fields, "properties": [{"key": ISSUE_PROPERTY, "value": own}]}
    )
    key = answer.get("key") if isinstance(answer, dict) else None
    if not key:
        raise SendError("Jira took the issue but did not name it. Check the site address.", retryable=False)
    return str(key)


def _linked(site: _Site, what: Announcement, key: str) -> Generator[Request, Response, list[str]]:
    """The way back to the incident. Jira keeps one link per globalId, so repeating is harmless; a
    site that has links switched off still gets its issue."""
    back = web_links(((heading(what), what.url),), LINK)
    if not back:
        return []
    body = {
        "globalId": clip(f"holdfast={what.url}", 255),
        "application": {"type": "holdfast", "name": "Holdfast"},
        "relationship": "incident",
        "object": {"url": back[0][1], "title": line(back[0][0], 255)},
    }
    try:
        yield from site("POST", f"issue/{quote(key, safe='')}/remotelink", body)
    except SendError as error:
        return [f"the link back was not added: {error}"]
    return []


def _told(site: _Site, what: Announcement, key: str) -> Generator[Request, Response, None]:
    """A comment, unless an earlier attempt wrote it."""
    path = f"issue/{quote(key, safe='')}/comment"
    answer = yield from site("GET", path, orderBy="-created", maxResults="100", expand="properties")
    if any(_is_ours(comment, what) for comment in _rows(answer, "comments")):
        return
    own = {"key": COMMENT_PROPERTY, "value": {"key": what.idempotency_key}}
    yield from site("POST", path, {"body": _comment(what), "properties": [own]})


def _is_ours(comment: Mapping[str, Any], what: Announcement) -> bool:
    """By its property where Jira shows it, else by the reference in its last line."""
    properties = _rows(comment, "properties") if "properties" in comment else []
    keys = [one.get("value") for one in properties if one.get("key") == COMMENT_PROPERTY]
    return {"key": what.idempotency_key} in keys or _reference(what) in json.dumps(comment.get("body"))


def _moved(site: _Site, key: str, category: str) -> Generator[Request, Response, list[str]]:
    path = f"issue/{quote(key, safe='')}"
    issue = yield from site("GET", path, fields="status")
    if _category(issue, "fields", "status") == category:
        return []
    answer = yield from site("GET", f"{path}/transitions")
    ways = [
        way
        for way in _rows(answer, "transitions")
        if way.get("id") and way.get("isAvailable", True) and _category(way, "to") == category
    ]
    if not ways:
        name = CATEGORY_NAMES[category]
        return [f"the workflow offers no way to {name} from here; move {key} by hand"]
    # a transition with a screen may ask for fields that only a person can fill in
    way = min(ways, key=lambda w: bool(w.get("hasScreen")))
    yield from site("POST", f"{path}/transitions", {"transition": {"id": str(way["id"])}})
    return []


def _category(thing: Any, *path: str) -> str:
    for name in (*path, "statusCategory", "key"):
        thing = thing.get(name) if isinstance(thing, dict) else None
    return str(thing or "")


def _tested(site: _Site, settings: Mapping[str, Any]) -> Generator[Request, Response, Sent]:
    """Prove the account and the project without leaving an issue behind."""
    account = yield from site("GET", "myself")
    project = _project(settings)
    answer = yield from site(
        "GET", f"issue/createmeta/{quote(project, safe='')}/issuetypes", maxResults="200"
    )
    names = [str(kind.get("name")) for kind in _rows(answer, "issueTypes") if not kind.get("subtask")]
    wanted = str(settings.get("issue_type") or "Task")
    if names and wanted not in names:
        raise SendError(
            f"Project {project} has no issue type {wanted!r}. It has: {', '.join(names)}.", retryable=False
        )
    who = account.get("displayName") if isinstance(account, dict) else ""
    return Sent(url=site.base, note=f"Signed in as {who or settings.get('email')}; {project} takes {wanted}.")


# --- settings and forms --------------------------------------------------------------------------------


def _project(settings: Mapping[str, Any]) -> str:
    return str(settings.get("project") or "").strip().upper()


def _label(what: Announcement, settings: Mapping[str, Any]) -> str:
    """Labels hold no spaces and are compared without regard to case."""
    prefix = str(settings.get("label_prefix") or "holdfast")
    return re.sub(r"[^a-z0-9_-]+", "-", f"{prefix}-{what.incident_key}".lower())[:255]


def _quoted(text: str) -> str:
    """A JQL string. https://support.atlassian.com/jira-software-cloud/docs/jql-operators/"""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _priorities(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    value = settings.get("priorities") or {}
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        parsed = None
    if not isinstance(parsed, Mapping):
        raise SendError(
            'The priorities of this connection are not a JSON object; write {"1": "Highest"}.',
            retryable=False,
        )
    return {str(severity).upper().removeprefix("SEV"): name for severity, name in parsed.items()}


def _reference(what: Announcement) -> str:
    """Short and stable: the same announcement is always known by it."""
    return "ref " + hashlib.sha256(what.idempotency_key.encode("utf-8", "replace")).hexdigest()[:12]


def _described(what: Announcement) -> dict[str, Any]:
    return adf.document(
        *adf.paragraphs(clip(what.text, TEXT)),
        adf.bullets(
            [
                adf.strong(line(name, 100)) + adf.text(f": {line(value, VALUE)}")
                for name, value in facts(what)[:FACTS]
            ]
        ),
        *_links(what),
    )


def _comment(what: Announcement) -> dict[str, Any]:
    now = f"{HAPPENED[what.kind]} · SEV{what.severity} · {what.state.replace('_', ' ')}"
    return adf.document(
        adf.paragraph(adf.strong(line(now, VALUE))),
        *adf.paragraphs(clip(what.text, TEXT)),
        *_links(what),
        adf.paragraph(adf.text(f"{line(what.incident_key, 100)} · Holdfast · {_reference(what)}")),
    )


def _links(what: Announcement) -> Sequence[dict[str, Any]]:
    links = web_links((("Open in Holdfast", what.url), *what.actions, *what.links), LINK)[:LINKS]
    return [adf.bullets([adf.link(line(text or url, 255), url) for text, url in links])] if links else []
