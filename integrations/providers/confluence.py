"""Confluence Cloud: the post-mortem as one page per incident, written anew in place with each version."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import quote

from integrations import atlassian, storage_format
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
from integrations.listening import mapping
from integrations.normalise import text
from integrations.tickets import document, reference
from integrations.vendor import line, web_links

#: https://developer.atlassian.com/cloud/confluence/rest/v2/ : a title takes 255 signs.
TITLE = 255
ROOT = "/wiki/api/v2/"
#: At the end of our pages: others with the same title are left alone.
MARK = "Written by Holdfast for"


class Confluence(Provider):
    title = "Confluence"
    docs = "https://developer.atlassian.com/cloud/confluence/rest/v2/"
    summary = (
        "Publishes the post-mortem of an incident as a page, and writes it anew in place with each version."
    )
    outbound = True
    fields = (
        *atlassian.FIELDS,
        Field("space", "Space key", help="For example OPS."),
        Field("parent", "Parent page", help="Id of the page below which pages go. Empty: the space's root.", required=False),
        Field(
            "title_prefix",
            "Prefix of titles",
            help="Titles are unique in a space: use different prefixes when two installations share one.",
            required=False,
        ),
    )  # fmt: skip
    carries = frozenset({"postmortem", "test"})
    idempotency = (
        "Titles are unique in a space, so a page cannot be created twice; each version carries the reference of its "
        "announcement and is not written again."
    )
    limits = (
        "Points per hour and requests per second by plan, told by 429 with Retry-After. "
        "https://developer.atlassian.com/cloud/confluence/rate-limiting/"
    )
    #: Ours: Atlassian's allowance is counted in points and shared by all apps of a site.
    rate = (60, 60.0)

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        return [*super().secrets(settings), atlassian.credentials(settings)]

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """Find the page or create it, else put the new version in its place."""
        site = atlassian.Site(settings, "Confluence", ROOT, _hint)
        space = yield from _space(site, settings)
        if what.kind == "test":
            return Sent(
                url=f"{site.base}/wiki", note=f"Signed in; the space {text(space.get('name'))} is there."
            )
        page = yield from _known(site, text((link or {}).get("remote_id")))
        if not page:
            page = yield from _found(site, what, settings, text(space.get("id")))
        if not page:
            page = yield from _created(site, what, settings, text(space.get("id")))
        elif reference(what) not in text(mapping(page.get("version")).get("message")):
            yield from _rewritten(site, what, page)
        number = text(page.get("id"))
        if not number:
            raise SendError("Confluence took the page but did not name it. Check the site.", retryable=False)
        shown = text(mapping(page.get("_links")).get("webui")) or f"/pages/{number}"
        return Sent(number, f"{site.base}/wiki{shown}", {"title": text(page.get("title"))})


def _hint(response: Response) -> str:
    if response.status == 404:
        return "The space or page does not exist, or the account of this connection may not see it."
    if response.status == 403:
        return "Let the account add pages to the space."
    return ""


def _space(
    site: atlassian.Site, settings: Mapping[str, Any]
) -> Generator[Request, Response, Mapping[str, Any]]:
    key = text(settings.get("space")).strip()
    answer = yield from site("GET", "spaces", keys=key, limit="1")
    found = next(iter(site.rows(answer, "results")), None)
    if found is None:
        raise SendError(
            f"There is no space {key!r}, or the account of this connection may not see it. Its key stands in "
            "the addresses of its pages.",
            retryable=False,
        )
    return found


def _title(what: Announcement, settings: Mapping[str, Any]) -> str:
    prefix = text(settings.get("title_prefix"))
    return line(f"{prefix} {what.incident_key} post-mortem", TITLE)


def _known(site: atlassian.Site, number: str) -> Generator[Request, Response, Mapping[str, Any]]:
    """The page of an earlier version; an empty one if somebody deleted it."""
    if not number:
        return {}
    answer = yield from site(
        "GET", "pages", None, id=number, status="current", limit="1", **{"body-format": "storage"}
    )
    return next(iter(site.rows(answer, "results")), {})


def _found(
    site: atlassian.Site, what: Announcement, settings: Mapping[str, Any], space: str
) -> Generator[Request, Response, Mapping[str, Any]]:
    """The page that an earlier attempt created. Raises SendError when the title belongs to somebody else's page."""
    asked = {"space-id": space, "title": _title(what, settings), "body-format": "storage"}
    answer = yield from site("GET", "pages", None, status="current", limit="1", **asked)
    found = next(iter(site.rows(answer, "results")), None)
    if found is None:
        return {}
    if f"{MARK} {what.incident_key}." not in text(
        mapping(mapping(found.get("body")).get("storage")).get("value")
    ):
        raise SendError(
            f"The space has a page {asked['title']!r} that Holdfast did not write. Rename it, or give this "
            "connection a prefix of titles.",
            retryable=False,
        )
    return found


def _created(
    site: atlassian.Site, what: Announcement, settings: Mapping[str, Any], space: str
) -> Generator[Request, Response, Mapping[str, Any]]:
    parent = text(settings.get("parent")).strip()
    body = {
        "spaceId": space,
        "status": "current",
        "title": _title(what, settings),
        "body": {"representation": "storage", "value": _body(what)},
        **({"parentId": parent} if parent else {}),
    }
    return mapping((yield from site("POST", "pages", body)))


def _rewritten(
    site: atlassian.Site, what: Announcement, page: Mapping[str, Any]
) -> Generator[Request, Response, None]:
    """The next version under the title that the page has now: people may have renamed it."""
    number = mapping(page.get("version")).get("number")
    body = {
        "id": text(page.get("id")),
        "status": "current",
        "title": text(page.get("title")),
        "body": {"representation": "storage", "value": _body(what)},
        "version": {
            "number": (number if isinstance(number, int) else 1) + 1,
            "message": f"Holdfast, {reference(what)}",
        },
    }
    yield from site("PUT", f"pages/{quote(text(page.get('id')), safe='')}", body)


def _body(what: Announcement) -> str:
    back = web_links((("Open in Holdfast", what.url),), 2000)
    link = "".join(f' <a href="{storage_format.words(url)}">{name}</a>' for name, url in back)
    last = f"{MARK} {what.incident_key}. Changes made here end with its next version."
    return f"{storage_format.written(document(what))}<hr /><p><em>{storage_format.words(last)}</em>{link}</p>"
