"""Jira Cloud: one issue per incident with a sub-task per action item; what people do with it is done here."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from integrations import adf, atlassian, jira_events
from integrations.authenticity import require_hmac
from integrations.contract import (
    Announcement,
    Conversation,
    Example,
    Field,
    Inbound,
    Request,
    Response,
    Said,
    SendError,
    Sent,
    Unreadable,
)
from integrations.jira_events import label_of
from integrations.jira_issues import (
    SUMMARY,
    VALUE,
    assigned,
    at,
    changed,
    itemised,
    moved,
    posted,
    project_of,
)
from integrations.listening import Listening
from integrations.normalise import text
from integrations.tickets import (
    CARRIES,
    ENDS,
    ITEMS,
    headline,
    is_over,
    item_name,
    reference,
    table,
    wrong_tables,
)
from integrations.vendor import clip, facts, heading, line, web_links

#: Text fields take 32,767 characters, markup included.
TEXT, FACTS, LINKS, LINK = 12_000, 20, 10, 2000
#: Key of the comment property that tells our own comments from each other.
COMMENT_PROPERTY = "holdfast.announcement"
#: Where an issue goes, by status category: names and ids of statuses differ in every workflow.
MOVES = {**dict.fromkeys(ENDS, "done"), "reopened": "indeterminate"}
TABLES = {"priorities": '{"1": "Highest"}', "statuses": '{"mitigated": "In Review"}'}
ROOT = "/rest/api/3/"


class Jira(Listening):
    title = "Jira"
    docs = "https://developer.atlassian.com/cloud/jira/platform/rest/v3/"
    summary = (
        "Opens one issue per incident, comments on it as the incident moves, keeps its action items as sub-tasks, and "
        "closes it at the end; moves, owners, priorities and comments of people come back."
    )
    outbound = True
    fields = (
        *atlassian.FIELDS,
        Field("project", "Project key", help="For example ML."),
        Field("issue_type", "Issue type", required=False, default="Task"),
        Field(
            "subtask_type",
            "Type of sub-tasks",
            help="Of action items. Empty: they are listed in a comment instead.",
            required=False,
            default="Sub-task",
        ),
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
        Field(
            "statuses",
            "Statuses by state",
            help='For example {"triaged": "In Progress", "mitigated": "In Review", "closed": "Done"}. Empty: the issue '
            "moves when the incident ends or is opened again.",
            kind="json",
            required=False,
        ),
        Field(
            "account_id",
            "Account id",
            help="Of the account above: what it does comes back and is passed over. The connection's test names it.",
            required=False,
        ),
        Field(
            "webhook_secret",
            "Webhook secret",
            help="Of the webhook, when people's acts shall come back. Two, separated by a comma, while it is replaced.",
            secret=True,
            required=False,
        ),
    )
    examples = (
        Example(
            "started",
            b'{"webhookEvent":"jira:issue_updated","issue_event_type_name":"issue_generic","timestamp":1770091506000,"user":'
            b'{"accountId":"5b10","emailAddress":"ann@example.org","displayName":"Ann"},"issue":{"id":"10000","key":"ML-1",'
            b'"fields":{"labels":["holdfast-inc-7"],"status":{"name":"In Progress","statusCategory":{"key":"indeterminate"}}}},'
            b'"changelog":{"id":"10100","items":[{"field":"status","from":"1","fromString":"To Do","to":"3","toString":'
            b'"In Progress"},{"field":"priority","fromString":"Low","toString":"High"}]}}',
            alerts=0,
            others=2,
        ),
        Example(
            "comment",
            b'{"webhookEvent":"comment_created","timestamp":1770091506000,"comment":{"id":"10042","author":{"accountId":"5b10",'
            b'"displayName":"Ann"},"body":"Rolled the feature back.","created":"2026-02-03T04:05:06.000+0000"},"issue":{"id":'
            b'"10000","key":"ML-1"}}',
            alerts=0,
            others=1,
        ),
    )
    carries = CARRIES
    proved_by = ("webhook_secret",)
    idempotency = (
        "Jira has no key for creating. The issue is looked up by its label before it is created, sub-tasks by their "
        "name, comments by their property before they are written, moves by the present status. Search lags some "
        "seconds, so a creation whose answer was lost can appear twice if it is tried again at once."
    )
    limits = (
        "Points per hour and requests per second by plan, told by 429 with Retry-After; summary 255, "
        "description and comment 32,767 characters. "
        "https://developer.atlassian.com/cloud/jira/platform/rate-limiting/"
    )
    #: Ours: Atlassian's allowance is counted in points and shared by all apps of a site.
    rate = (60, 60.0)

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        return [*super().secrets(settings), atlassian.credentials(settings)]

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        return wrong_tables(settings, TABLES)

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        """https://developer.atlassian.com/cloud/jira/platform/webhooks/#secured-webhooks"""
        if not settings.get("webhook_secret"):
            return
        scheme, _, signature = inbound.headers.get("x-hub-signature", "").partition("=")
        offered = [signature] if scheme == "sha256" else []
        require_hmac(inbound.body, offered, settings["webhook_secret"], "X-Hub-Signature")

    def delivery_key(self, inbound: Inbound) -> str:
        return inbound.headers.get("x-atlassian-webhook-identifier", "")

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Said]:
        try:
            return jira_events.read(body, inbound, settings, _priorities(settings))
        except SendError as error:  # a setting of names that is none
            raise Unreadable(str(error)) from error

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """Find the issue or create it, then say what happened and move it where it belongs."""
        site, known = atlassian.Site(settings, "Jira", ROOT, _hint), dict(link or {})
        if what.kind == "test":
            return (yield from _tested(site, settings))
        key, created, part = str(known.get("remote_id") or ""), False, ""
        notes: list[str] = []
        if not key:
            key = yield from _found(site, what, settings)
        if not key:
            key, created = (yield from _created(site, what, settings)), True
        if not known.get("remote_id"):
            notes += yield from _linked(site, what, key)
        data: dict[str, Any] = {"key": key}
        if what.kind == "items" and text(settings.get("subtask_type")):
            notes += yield from itemised(site, what, key, settings)
        elif what.kind == "items" or (not created and what.kind != "opened"):
            part = yield from _told(site, what, key)
        priority, owner = _priorities(settings).get(str(what.severity), ""), what.owner_email
        if priority:
            same = created or known.get("priority", priority) == priority
            failed = [] if same else (yield from changed(site, key, {"priority": {"name": priority}}))
            notes, data = notes + failed, data if failed else {**data, "priority": priority}
        if owner and known.get("assigned") != owner:
            failed = yield from assigned(site, key, owner)
            notes, data = notes + failed, data if failed else {**data, "assigned": owner}
        name = table(settings, "statuses", TABLES["statuses"]).get(what.state, "")
        if what.kind in MOVES or (name and not created and what.kind not in ("comment", "items")):
            reached, more = yield from moved(site, key, name, MOVES.get(what.kind, ""))
            notes, data = notes + more, {**data, "state": reached} if reached else data
        return Sent(key, f"{site.base}/browse/{key}", data, "; ".join(notes), part)


def _hint(response: Response) -> str:
    errors = response.json.get("errors") if isinstance(response.json, dict) else None
    if response.status == 404:
        return "The issue or project does not exist, or the account of this connection may not see it."
    if isinstance(errors, dict) and "labels" in errors:
        return "Put the field Labels on the project's create screen; the issue is found again by its label."
    if isinstance(errors, dict) and "issuetype" in errors:
        return "Choose an issue type that this project has."
    if isinstance(errors, dict) and "priority" in errors:
        return "Leave the priorities empty, or put the field Priority on the project's create screen."
    return ""


def _found(
    site: atlassian.Site, what: Announcement, settings: Mapping[str, Any]
) -> Generator[Request, Response, str]:
    """The key of the issue that an earlier attempt created, or an empty string."""
    query = f"project = {_quoted(project_of(settings))} AND labels = {_quoted(label_of(what.incident_key, settings))}"
    answer = yield from site(
        "POST",
        "search/jql",
        {"jql": f"{query} ORDER BY created ASC", "fields": ["labels"], "maxResults": 1},
    )
    return next((str(issue.get("key") or "") for issue in site.rows(answer, "issues")), "")


def _created(
    site: atlassian.Site, what: Announcement, settings: Mapping[str, Any]
) -> Generator[Request, Response, str]:
    fields: dict[str, Any] = {
        "project": {"key": project_of(settings)},
        "issuetype": {"name": str(settings.get("issue_type") or "Task")},
        "summary": line(heading(what), SUMMARY),
        "description": _described(what),
        "labels": [label_of(what.incident_key, settings)],
    }
    priority = _priorities(settings).get(str(what.severity))
    if priority:
        fields["priority"] = {"name": str(priority)}
    own = {"incident": what.incident_key, "key": what.idempotency_key}
    return (yield from posted(site, fields, own))


def _linked(site: atlassian.Site, what: Announcement, key: str) -> Generator[Request, Response, list[str]]:
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


def _told(site: atlassian.Site, what: Announcement, key: str) -> Generator[Request, Response, str]:
    """The id of the comment that says so, written unless an earlier attempt wrote it."""
    path = f"issue/{quote(key, safe='')}/comment"
    answer = yield from site("GET", path, orderBy="-created", maxResults="100", expand="properties")
    there = [one for one in site.rows(answer, "comments") if _is_ours(site, one, what)]
    if there:
        return text(there[0].get("id"))
    own = {"key": COMMENT_PROPERTY, "value": {"key": what.idempotency_key}}
    written = yield from site("POST", path, {"body": _comment(what), "properties": [own]})
    return text(written.get("id")) if isinstance(written, dict) else ""


def _is_ours(site: atlassian.Site, comment: Mapping[str, Any], what: Announcement) -> bool:
    """By its property where Jira shows it, else by the reference in its last line."""
    properties = site.rows(comment, "properties") if "properties" in comment else []
    keys = [one.get("value") for one in properties if one.get("key") == COMMENT_PROPERTY]
    return {"key": what.idempotency_key} in keys or reference(what) in json.dumps(comment.get("body"))


def _tested(site: atlassian.Site, settings: Mapping[str, Any]) -> Generator[Request, Response, Sent]:
    """Prove the account and the project without leaving an issue behind."""
    account = yield from site("GET", "myself")
    project = project_of(settings)
    answer = yield from site(
        "GET", f"issue/createmeta/{quote(project, safe='')}/issuetypes", maxResults="200"
    )
    names = [str(kind.get("name")) for kind in site.rows(answer, "issueTypes") if not kind.get("subtask")]
    wanted = str(settings.get("issue_type") or "Task")
    if names and wanted not in names:
        raise SendError(
            f"Project {project} has no issue type {wanted!r}. It has: {', '.join(names)}.", retryable=False
        )
    who = text(at(account, "displayName")) or text(settings.get("email"))
    own = text(at(account, "accountId"))
    named = f"{who} (account id {own})" if own else who
    return Sent(url=site.base, note=f"Signed in as {named}; {project} takes {wanted}.")


# --- settings and forms --------------------------------------------------------------------------------


def _quoted(text: str) -> str:
    """A JQL string. https://support.atlassian.com/jira-software-cloud/docs/jql-operators/"""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _priorities(settings: Mapping[str, Any]) -> dict[str, str]:
    """The name of each severity's priority, by "1" to "5"."""
    named = table(settings, "priorities", TABLES["priorities"])
    return {severity.upper().removeprefix("SEV"): name for severity, name in named.items()}


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
    items = [adf.text(item_name(one, VALUE) + (" (over)" if is_over(one) else "")) for one in what.items]
    return adf.document(
        adf.paragraph(adf.strong(line(headline(what), VALUE))),
        *adf.paragraphs(clip(what.text, TEXT)),
        *([adf.bullets(items[:ITEMS])] if what.kind == "items" and items else []),
        *_links(what),
        adf.paragraph(adf.text(f"{line(what.incident_key, 100)} · Holdfast · {reference(what)}")),
    )


def _links(what: Announcement) -> Sequence[dict[str, Any]]:
    links = web_links((("Open in Holdfast", what.url), *what.actions, *what.links), LINK)[:LINKS]
    return [adf.bullets([adf.link(line(text or url, 255), url) for text, url in links])] if links else []
