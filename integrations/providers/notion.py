"""Notion: the post-mortem as one page per incident, written anew in place with each version."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import Any
from uuid import UUID

from integrations import notion_blocks
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
from integrations.tickets import document
from integrations.vendor import address, failure, line, web_links

VERSION = "2025-09-03"
TITLE = 200
#: Pages of a list that are looked through for ours.
MOST_LOOKS = 20


class Notion(Provider):
    title = "Notion"
    docs = "https://developers.notion.com/reference/intro"
    summary = (
        "Publishes the post-mortem of an incident as a page, and writes it anew in place with each version."
    )
    outbound = True
    fields = (
        Field("token", "Integration token", help="notion.so/profile/integrations → your integration.", secret=True),
        Field(
            "parent",
            "Parent page",
            help="Id or address of the page below which pages go. Share it with the integration.",
            required=False,
        ),
        Field(
            "data_source",
            "Data source",
            help="Id of the data source of a database, instead of a parent page.",
            required=False,
        ),
        Field("title_property", "Title column", help="Of the data source.", required=False, default="Name"),
        Field("base_url", "API address", kind="url", required=False, default="https://api.notion.com"),
    )  # fmt: skip
    carries = frozenset({"postmortem", "test"})
    idempotency = (
        "Notion has no key for creating. The page is looked up by its title among those that the integration made "
        "before it is created; a version replaces all that the page holds, so writing it twice changes nothing."
    )
    limits = (
        "3 requests a second on average, told by 429 with Retry-After; 100 blocks in a list, 2,000 characters in a text. "
        "https://developers.notion.com/reference/request-limits"
    )
    rate = (3, 1.0)

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        if not settings.get("parent") and not settings.get("data_source"):
            return {"parent": "Enter the parent page, or a data source."}
        return {}

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """Find the page or create it, then replace what it holds, portion by portion."""
        call = _Calls(settings)
        me = mapping((yield from call("GET", "users/me")))
        if what.kind == "test":
            return (yield from _tested(call, settings, me))
        number = text((link or {}).get("remote_id"))
        page: Mapping[str, Any] = {}
        if number:
            page = yield from _erased(call, number, what, settings)
        if not page:
            found = yield from _found(call, what, settings, text(me.get("id")))
            page = (yield from _erased(call, found, what, settings)) if found else {}
        if not page:
            page = mapping((yield from call("POST", "pages", _new(what, settings))))
        number = text(page.get("id"))
        if not number:
            raise SendError(
                "Notion took the page but did not name it. Check the API address.", retryable=False
            )
        for portion in notion_blocks.requests_of(_content(what)):
            yield from call("PATCH", f"blocks/{_number(number)}/children", {"children": portion})
        return Sent(number, text(page.get("url")))


class _Calls:
    """Calls of the API with one integration's token."""

    def __init__(self, settings: Mapping[str, Any]):
        self.base = address(settings, "base_url", "https://api.notion.com").removesuffix("/v1")
        token = text(settings.get("token")).strip()
        self.headers = {"Authorization": f"Bearer {token}", "Notion-Version": VERSION}

    def __call__(
        self, method: str, path: str, body: Any = None, **parameters: str
    ) -> Generator[Request, Response, Any]:
        """The JSON of the answer. Raises SendError with what Notion said; a conflict passes."""
        response = yield Request(
            method, f"{self.base}/v1/{path}", headers=self.headers, json=body, params=parameters
        )
        if 200 <= response.status < 300:
            return response.json
        answer = mapping(response.json)
        said = ": ".join(part for part in (text(answer.get("code")), text(answer.get("message"))) if part)
        error = failure(response, "Notion", said, _HINTS.get(response.status, ""))
        error.retryable = error.retryable or response.status == 409
        raise error


_HINTS = {
    401: "Check the integration token.",
    403: "Give the integration the capabilities to read, insert and update content.",
    404: "Share the parent page or the database with the integration (••• → Connections).",
}


def _number(value: Any) -> str:
    """The id in an address of Notion's as Notion writes ids; another value is kept from leaving its place in a path."""
    bare = re.sub(r"[?#].*", "", text(value).strip()).replace("-", "")
    found = re.search(r"[0-9a-f]{32}$", bare, re.I)
    return str(UUID(found[0])) if found else re.sub(r"[^\w-]", "", text(value))


def _title(what: Announcement) -> str:
    return line(f"{what.incident_key} post-mortem", TITLE)


def _named(what: Announcement, settings: Mapping[str, Any]) -> dict[str, Any]:
    column = text(settings.get("title_property")) or "Name"
    name = column if settings.get("data_source") else "title"
    return {name: {"title": notion_blocks.title(_title(what))}}


def _new(what: Announcement, settings: Mapping[str, Any]) -> dict[str, Any]:
    source = _number(settings.get("data_source"))
    parent = (
        {"type": "data_source_id", "data_source_id": source}
        if source
        else {"type": "page_id", "page_id": _number(settings.get("parent"))}
    )
    return {"parent": parent, "properties": _named(what, settings)}


def _erased(
    call: _Calls, number: str, what: Announcement, settings: Mapping[str, Any]
) -> Generator[Request, Response, Mapping[str, Any]]:
    """The page, emptied and taken out of the trash; an empty one when it is gone for good."""
    change = {"erase_content": True, "in_trash": False}
    try:
        return mapping((yield from call("PATCH", f"pages/{_number(number)}", change)))
    except SendError as error:
        if "object_not_found" not in str(error):
            raise
        return {}


def _found(
    call: _Calls, what: Announcement, settings: Mapping[str, Any], me: str
) -> Generator[Request, Response, str]:
    """The id of the page that an earlier attempt of this integration made, or ""."""
    source, cursor = _number(settings.get("data_source")), ""
    column = text(settings.get("title_property")) or "Name"
    for _ in range(MOST_LOOKS):
        if source:
            asked = {"property": column, "title": {"equals": _title(what)}}
            query = {"filter": asked, "page_size": 100, **({"start_cursor": cursor} if cursor else {})}
            answer = yield from call("POST", f"data_sources/{source}/query", query)
        else:
            place = f"blocks/{_number(settings.get('parent'))}/children"
            more = {"start_cursor": cursor} if cursor else {}
            answer = yield from call("GET", place, None, page_size="100", **more)
        for one in _results(answer):
            mine = text(mapping(one.get("created_by")).get("id")) == me
            titled = source or text(mapping(one.get("child_page")).get("title")) == _title(what)
            if mine and titled:
                return text(one.get("id"))
        cursor = text(mapping(answer).get("next_cursor"))
        if not cursor:
            return ""
    return ""


def _results(answer: Any) -> list[Mapping[str, Any]]:
    """A success without a list is not Notion's; reading it as "nothing found" would make a second page."""
    found = mapping(answer).get("results")
    if not isinstance(found, list):
        raise SendError("Notion answered without results. Check the API address.", retryable=False)
    return entries(found)


def _content(what: Announcement) -> list[notion_blocks.Node]:
    back = web_links((("Open in Holdfast", what.url),), notion_blocks.URL)
    last = "Written by Holdfast. Changes made here end with its next version."
    nodes = notion_blocks.written(document(what))
    links = [notion_blocks.paragraph(name, url) for name, url in back]
    return [*nodes, notion_blocks.paragraph(last), *links]


def _tested(
    call: _Calls, settings: Mapping[str, Any], me: Mapping[str, Any]
) -> Generator[Request, Response, Sent]:
    """Prove the token and the parent without leaving a page behind."""
    source = _number(settings.get("data_source"))
    path = f"data_sources/{source}" if source else f"pages/{_number(settings.get('parent'))}"
    found = mapping((yield from call("GET", path)))
    who = text(me.get("name")) or "the integration"
    return Sent(url=text(found.get("url")), note=f"Signed in as {who}; its parent can be read.")
