"""ServiceNow: one record of the incident table per incident, its state, urgency and work notes kept up to date."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

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
from integrations.listening import entries, mapping
from integrations.normalise import text
from integrations.tickets import (
    CARRIES,
    ENDS,
    ITEMS,
    headline,
    is_over,
    item_lines,
    item_name,
    reference,
    table,
    wrong_tables,
)
from integrations.vendor import address, clip, facts, failure, heading, line, web_links

#: short_description takes 160 signs, description and work notes 4,000.
SUMMARY, TEXT, NOTE = 160, 3900, 3500
STATES = '{"mitigated": "6", "closed": "7"}'
#: https://www.servicenow.com/docs/ (incident states): 1 new, 2 in progress, 6 resolved, 7 closed
NEW, IN_PROGRESS, RESOLVED, CLOSED = "1", "2", "6", "7"
BY_KIND = {
    "acknowledged": IN_PROGRESS,
    "mitigated": RESOLVED,
    "resolved": RESOLVED,
    "closed": CLOSED,
    "reopened": IN_PROGRESS,
}
#: Impact and urgency whose usual priority matrix yields priority 1 to 5.
RANKS = {1: ("1", "1"), 2: ("1", "2"), 3: ("2", "2"), 4: ("2", "3")}


class ServiceNow(Provider):
    title = "ServiceNow"
    docs = "https://www.servicenow.com/docs/bundle/xanadu-api-reference/page/integrate/inbound-rest/concept/c_TableAPI.html"
    summary = "Keeps one record of the incident table per incident: state, impact and urgency, work notes, resolution."
    outbound = True
    fields = (
        Field("instance", "Instance", help="https://your-instance.service-now.com", kind="url"),
        Field("user", "User", help="With the role itil, or one that may read and write the incident table."),
        Field("password", "Password", secret=True),
        Field("table", "Table", required=False, default="incident"),
        Field("assignment_group", "Assignment group", help="Name or sys_id, set on new records.", required=False),
        Field("caller", "Caller", help="User name or sys_id of the caller of new records.", required=False),
        Field(
            "close_code",
            "Resolution code",
            help="One of the instance's resolution codes; needed to resolve.",
            required=False,
            default="Solution provided",
        ),
        Field(
            "states",
            "States",
            help=f"Numbers of the instance's states by ours, for example {STATES}. Empty: the usual ones.",
            kind="json",
            required=False,
        ),
        Field(
            "prefix",
            "Prefix of the correlation id",
            help="Use different prefixes when two installations share an instance.",
            required=False,
            default="holdfast",
        ),
    )  # fmt: skip
    carries = CARRIES
    idempotency = (
        "The Table API has no key for creating. The record is looked up by its correlation id before it is created; "
        "work notes by their reference where the account may read the journal, else a retry whose answer was lost can "
        "write a note twice."
    )
    limits = (
        "Rate rules of the instance, told by 429 with Retry-After; short description 160, description and notes 4,000 "
        "characters. https://www.servicenow.com/docs/bundle/xanadu-api-reference/page/integrate/inbound-rest/concept/"
        "inbound-REST-API-rate-limiting.html"
    )
    #: Ours: rate rules are the instance's own.
    rate = (60, 60.0)

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        return [*super().secrets(settings), _credentials(settings)]

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        return wrong_tables(settings, {"states": STATES})

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """Find the record or create it, else bring it up to date with a work note."""
        call, known = _Table(settings), dict(link or {})
        if what.kind == "test":
            yield from call("GET", "", sysparm_limit="1", sysparm_fields="sys_id,number")
            return Sent(url=call.base, note=f"The table {call.table} can be read; nothing was written.")
        record, number = str(known.get("remote_id") or ""), str(known.get("number") or "")
        created, notes = False, list[str]()
        if not record:
            found = yield from _found(call, what, settings)
            if not found:
                found, created = (yield from _created(call, what, settings)), True
            record, number = _id(found), text(found.get("number"))
        if not created and what.kind != "opened":
            told, notes = yield from _is_told(call, record, what)
            change = _change(what, settings, known) | ({} if told else {"work_notes": _note(what)})
            if change:
                yield from call("PATCH", f"/{quote(record, safe='')}", change)
        data = {
            "number": number,
            "severity": what.severity,
            "state": "closed" if what.kind in ENDS else "open",
        }
        url = f"{call.base}/nav_to.do?uri={quote(f'{call.table}.do?sys_id={record}', safe='')}"
        return Sent(record, url, data, "; ".join(notes))


def _credentials(settings: Mapping[str, Any]) -> str:
    pair = f"{text(settings.get('user')).strip()}:{text(settings.get('password'))}"
    return b64encode(pair.encode()).decode()


class _Table:
    """Calls of the Table API. Values come back as text, references as their sys_id."""

    def __init__(self, settings: Mapping[str, Any]):
        self.base = address(settings, "instance")
        if not urlsplit(self.base).hostname:
            raise SendError(
                "The ServiceNow instance is missing. Set it to https://your-instance.service-now.com.",
                retryable=False,
            )
        self.table = re.sub(r"\W", "", text(settings.get("table"))) or "incident"
        self.headers = {"Authorization": f"Basic {_credentials(settings)}", "Accept": "application/json"}

    def __call__(
        self, method: str, path: str, body: Any = None, table: str = "", **parameters: str
    ) -> Generator[Request, Response, Any]:
        """The `result` of the answer. Raises SendError with what ServiceNow said."""
        response = yield Request(
            method,
            f"{self.base}/api/now/table/{table or self.table}{path}",
            headers=self.headers,
            json=body,
            params={**parameters, "sysparm_exclude_reference_link": "true"},
        )
        answer = mapping(response.json)
        if 200 <= response.status < 300:
            if "result" not in answer:
                # a sleeping or hibernating instance answers with a page
                raise SendError(
                    "ServiceNow answered without a result. Check the address, and wake the instance if it sleeps.",
                    retryable=False,
                )
            return answer["result"]
        error = mapping(answer.get("error"))
        said = "; ".join(part for part in (text(error.get("message")), text(error.get("detail"))) if part)
        raise failure(response, "ServiceNow", said, _hint(response.status))


def _hint(status: int) -> str:
    if status == 403:
        return "Give the user the role itil, or look which business rule or access rule refused it."
    if status == 404:
        return "The table or record does not exist, or the user may not see it."
    return ""


def _correlation(what: Announcement, settings: Mapping[str, Any]) -> str:
    prefix = re.sub(r"[\^=]", "", text(settings.get("prefix")).strip()) or "holdfast"
    return f"{prefix}-{what.incident_key}"[:100]


def _found(
    call: _Table, what: Announcement, settings: Mapping[str, Any]
) -> Generator[Request, Response, Mapping[str, Any]]:
    """The record that an earlier attempt created, or an empty one."""
    query = f"correlation_id={_correlation(what, settings)}^ORDERBYsys_created_on"
    answer = yield from call(
        "GET", "", sysparm_query=query, sysparm_limit="1", sysparm_fields="sys_id,number"
    )
    if not isinstance(answer, list):
        raise SendError("ServiceNow answered without a list. Check the address.", retryable=False)
    return next(iter(entries(answer)), {})


def _created(
    call: _Table, what: Announcement, settings: Mapping[str, Any]
) -> Generator[Request, Response, Mapping[str, Any]]:
    impact, urgency = RANKS.get(what.severity, ("3", "3"))
    described = "\n".join(f"{name}: {line(value, 300)}" for name, value in facts(what)[:20])
    links = "\n".join(f"{name}: {url}" for name, url in _links(what))
    record = {
        "short_description": line(heading(what), SUMMARY),
        "description": clip("\n\n".join(part for part in (what.text, described, links) if part), TEXT),
        "correlation_id": _correlation(what, settings),
        "correlation_display": "Holdfast",
        "impact": impact,
        "urgency": urgency,
        "assignment_group": text(settings.get("assignment_group")).strip(),
        "caller_id": text(settings.get("caller")).strip(),
    }
    answer = yield from call("POST", "", {name: value for name, value in record.items() if value})
    return mapping(answer)


def _id(record: Mapping[str, Any]) -> str:
    found = text(record.get("sys_id"))
    if not found:
        raise SendError("ServiceNow took the record but did not name it. Check the address.", retryable=False)
    return found


def _is_told(
    call: _Table, record: str, what: Announcement
) -> Generator[Request, Response, tuple[bool, list[str]]]:
    """Whether an earlier attempt wrote the note. Accounts that may not read the journal cannot know."""
    query = f"element_id={record}^element=work_notes^valueLIKE{reference(what)}"
    try:
        answer = yield from call(
            "GET",
            "",
            None,
            "sys_journal_field",
            sysparm_query=query,
            sysparm_limit="1",
            sysparm_fields="sys_id",
        )
    except SendError as error:
        if error.retryable:
            raise
        return False, [f"the journal could not be read: {error}"]
    return bool(entries(answer)), []


def _change(what: Announcement, settings: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, str]:
    """The columns that differ now. Resolving and closing ask for a code and words."""
    change: dict[str, str] = {}
    if what.kind not in ("comment", "items"):
        named = table(settings, "states", STATES).get(what.state, "")
        state = named or BY_KIND.get(what.kind, "")
        change |= {"state": state} if state else {}
        if state in (RESOLVED, CLOSED) or what.kind in ENDS:
            change["close_code"] = text(settings.get("close_code")) or "Solution provided"
            change["close_notes"] = clip(what.text or headline(what), NOTE)
    if known.get("severity", what.severity) != what.severity:
        change["impact"], change["urgency"] = RANKS.get(what.severity, ("3", "3"))
    return change


def _note(what: Announcement) -> str:
    items = [
        f"[{'x' if is_over(item) else ' '}] {item_name(item, 250)}"
        + "".join(f", {name.lower()} {line(value, 100)}" for name, value in item_lines(item)[:2])
        for item in what.items[:ITEMS]
    ]
    listed = "\n".join(items) if what.kind == "items" else ""
    links = "\n".join(f"{name}: {url}" for name, url in _links(what)[:3])
    body = "\n\n".join(part for part in (line(headline(what), 300), what.text, listed, links) if part)
    return f"{clip(body, NOTE)}\n\n{what.incident_key} · Holdfast · {reference(what)}"


def _links(what: Announcement) -> list[tuple[str, str]]:
    return web_links((("Open in Holdfast", what.url), *what.actions, *what.links), 1000)[:10]
