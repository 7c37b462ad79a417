"""Issues on GitHub: one per incident, found again by a hidden mark, told by comments, closed and opened again.

https://docs.github.com/rest/issues
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from integrations import normalise
from integrations.contract import Announcement, Conversation, Request, Response, SendError, Sent
from integrations.listening import entries, mapping
from integrations.normalise import text
from integrations.tickets import (
    ENDS,
    ITEMS,
    escaped,
    headline,
    is_over,
    item_lines,
    item_name,
    markdown,
    reference,
)
from integrations.vendor import address, failure, heading, line, retry_after

#: A title takes 256 signs, a body 65,536.
TITLE, TEXT = 250, 20_000
SKEW = timedelta(minutes=10)
API, VERSION = "https://api.github.com", "2022-11-28"
#: Labels that say the severity; others are left alone.
_SEVERITY = re.compile(r"SEV[1-5]")
#: Where the action items stand in the body of an issue.
_ITEMS = re.compile(r"\n*<!-- holdfast items -->.*?<!-- /holdfast items -->", re.DOTALL)


def compose(what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None) -> Conversation:
    """Find the issue or create it, then say what happened; close it when the incident ends."""
    known = dict(link or {})
    repository = text(what.channel or settings.get("repository")).strip().strip("/")
    kept, _, number = str(known.get("remote_id") or "").partition("#")
    call = _Calls(settings, kept or repository)
    if what.kind == "test":
        return (yield from _tested(call, settings))
    created, part, url = False, "", str(known.get("url") or "")
    if not number:
        found = yield from _found(call, what, settings)
        if not found:
            found, created = (yield from _created(call, what, settings)), True
        number, url = _number(found), text(found.get("html_url"))
    path = f"/issues/{quote(number, safe='')}"
    if what.kind == "items":
        yield from _itemised(call, path, what)
    elif not created and what.kind != "opened":
        part = yield from _told(call, path, what)
    if what.kind in ENDS:
        reason = "completed" if what.kind == "closed" else "not_planned"
        yield from call("PATCH", path, {"state": "closed", "state_reason": reason})
    elif what.kind == "reopened":
        yield from call("PATCH", path, {"state": "open"})
    if not created and known.get("severity", what.severity) != what.severity:
        yield from _graded(call, path, what)
    data = {"severity": what.severity, "state": "closed" if what.kind in ENDS else "open"}
    return Sent(f"{call.repository}#{number}", url, data, "", part)


class _Calls:
    """Calls about one repository with the connection's token."""

    def __init__(self, settings: Mapping[str, Any], repository: str):
        self.base = address(settings, "base_url", API)
        self.repository = repository
        token = str(settings.get("token") or "").strip()
        if not token or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repository):
            raise SendError(
                "This connection to GitHub writes no issues: it needs a token and a repository (owner/name).",
                retryable=False,
            )
        self.headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json, application/json;q=0.9",
            "X-GitHub-Api-Version": VERSION,
        }

    def __call__(
        self, method: str, path: str, body: Any = None, **parameters: str
    ) -> Generator[Request, Response, Any]:
        """The JSON of the answer about the repository. Raises SendError with what GitHub said."""
        where = path.removeprefix("//") if path.startswith("//") else f"repos/{self.repository}{path}"
        response = yield Request(
            method, f"{self.base}/{where}", headers=self.headers, json=body, params=parameters
        )
        if 200 <= response.status < 300:
            return response.json
        raise _refused(response)

    def rows(self, answer: Any, of_what: str) -> list[Mapping[str, Any]]:
        """A list. A success without one is not GitHub's; reading it as "nothing found" would make a second issue."""
        if not isinstance(answer, list):
            raise SendError(f"GitHub answered without {of_what}. Check the API address.", retryable=False)
        return entries(answer)


def _refused(response: Response) -> SendError:
    """Secondary rate limits come as 403, and say when to try again.
    https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    answer = mapping(response.json)
    errors = [text(one.get("message") or one.get("code")) for one in entries(answer.get("errors"))]
    said = "; ".join(part for part in (text(answer.get("message")), *errors) if part)
    headers = {name.lower(): value for name, value in response.headers.items()}
    pause = retry_after(response)
    if response.status in (403, 429) and pause is None and headers.get("x-ratelimit-remaining") == "0":
        reset = headers.get("x-ratelimit-reset", "")
        pause = max(0.0, float(reset) - time.time()) if re.fullmatch(r"\d{1,12}", reset) else 60.0
    if response.status == 403 and (pause is not None or "secondary rate limit" in said.lower()):
        return SendError(f"GitHub answered 403: {line(said, 500)}", retryable=True, retry_after=pause or 60.0)
    error = failure(response, "GitHub", said, _HINTS.get(response.status, ""))
    error.retry_after = pause
    return error


_HINTS = {
    401: "Check the token; fine-grained tokens run out.",
    403: "Give the token the permission to read and write issues of the repository.",
    404: "The repository or issue does not exist, or the token may not see it.",
    410: "Issues are switched off in the repository, or the issue was deleted.",
}


def _mark(what: Announcement, more: str = "") -> str:
    """A remark that GitHub does not show, by which the inbound half knows our issues and comments."""
    key = re.sub(r"[^\w-]", "", what.incident_key)
    return f"<!-- holdfast incident={key}{f' {more}' if more else ''} -->"


def _labels(settings: Mapping[str, Any]) -> list[str]:
    named = text(settings.get("labels")) or "incident"
    return [part.strip()[:50] for part in named.split(",") if part.strip()]


def _number(issue: Mapping[str, Any]) -> str:
    number = text(issue.get("number"))
    if not number.isdecimal():
        raise SendError(
            "GitHub took the issue but did not number it. Check the API address.", retryable=False
        )
    return number


def _found(
    call: _Calls, what: Announcement, settings: Mapping[str, Any]
) -> Generator[Request, Response, Mapping[str, Any]]:
    """The issue that an earlier attempt created, among the newest with the first of our labels. GitHub's search
    lags; this list does not."""
    answer = yield from call(
        "GET",
        "/issues",
        state="all",
        labels=_labels(settings)[0],
        sort="created",
        direction="desc",
        per_page="100",
    )
    mine = [one for one in call.rows(answer, "issues") if _mark(what) in text(one.get("body"))]
    return mine[-1] if mine else {}


def _created(
    call: _Calls, what: Announcement, settings: Mapping[str, Any]
) -> Generator[Request, Response, Mapping[str, Any]]:
    issue = {
        "title": line(heading(what), TITLE),
        "body": f"{_mark(what)}\n{markdown(what, TEXT, with_facts=True)}",
        "labels": [*_labels(settings), f"SEV{what.severity}"],
    }
    return mapping((yield from call("POST", "/issues", issue)))


def _told(call: _Calls, path: str, what: Announcement) -> Generator[Request, Response, str]:
    """The id of the comment that says so, written unless an earlier attempt wrote it."""
    mark = _mark(what, reference(what).replace(" ", "="))
    at = normalise.moment(what.at)
    # clocks differ; nothing that was written before this news can be about it
    since = {"since": (at - SKEW).strftime("%Y-%m-%dT%H:%M:%SZ")} if at else {}
    answer = yield from call("GET", f"{path}/comments", None, per_page="100", **since)
    for one in call.rows(answer, "comments"):
        if mark in text(one.get("body")):
            return text(one.get("id"))
    words = f"**{line(headline(what), 300, escaped)}**\n\n{markdown(what, TEXT, with_facts=False)}"
    written = yield from call("POST", f"{path}/comments", {"body": f"{mark}\n{words}"})
    return text(mapping(written).get("id"))


def _itemised(call: _Calls, path: str, what: Announcement) -> Generator[Request, Response, None]:
    """The action items as a list of tasks at the end of the issue, in place of the last one."""
    issue = mapping((yield from call("GET", path)))
    body = _ITEMS.sub("", text(issue.get("body")))
    lines = [
        f"- [{'x' if is_over(item) else ' '}] {line(item_name(item, 250), 600, escaped)}"
        + "".join(f", {name.lower()} {line(value, 200, escaped)}" for name, value in item_lines(item)[:2])
        for item in what.items[:ITEMS]
    ]
    tasks = "\n".join(["<!-- holdfast items -->", "### Action items", *lines, "<!-- /holdfast items -->"])
    if not body and not issue:
        raise SendError("GitHub answered without the issue. Check the API address.", retryable=False)
    yield from call("PATCH", path, {"body": f"{body}\n\n{tasks}"})


def _graded(call: _Calls, path: str, what: Announcement) -> Generator[Request, Response, None]:
    """The new severity in title and label; labels of others stay."""
    answer = yield from call("GET", f"{path}/labels", per_page="100")
    names = [text(one.get("name")) for one in call.rows(answer, "labels")]
    kept = [name for name in names if name and not _SEVERITY.fullmatch(name)]
    yield from call("PUT", f"{path}/labels", {"labels": [*kept, f"SEV{what.severity}"]})
    yield from call("PATCH", path, {"title": line(heading(what), TITLE)})


def _tested(call: _Calls, settings: Mapping[str, Any]) -> Generator[Request, Response, Sent]:
    """Prove the token and the repository without leaving an issue behind."""
    account = mapping((yield from call("GET", "//user")))
    answer = yield from call("GET", "/issues", per_page="1")
    call.rows(answer, "issues")
    who = text(account.get("login")) or "the token's account"
    return Sent(
        note=f"Signed in as {who}; {call.repository} can be read. Labels: {', '.join(_labels(settings))}."
    )
