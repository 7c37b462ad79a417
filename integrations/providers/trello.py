"""Trello: one card per incident that moves between lists, with a checklist of action items; cards answer back."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Generator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from integrations import trello_events
from integrations.authenticity import is_among, secrets_in
from integrations.contract import (
    Announcement,
    Conversation,
    Example,
    Field,
    Inbound,
    Refusal,
    Reply,
    Request,
    Response,
    Said,
    SendError,
    Sent,
    Unreadable,
)
from integrations.listening import Listening, entries, mapping
from integrations.normalise import text
from integrations.tickets import (
    CARRIES,
    ENDS,
    ITEMS,
    escaped,
    headline,
    is_over,
    item_lines,
    item_name,
    markdown,
    reference,
    table,
    wrong_tables,
)
from integrations.vendor import address, clip, failure, line

#: Parameters travel in the address: what they take there, written, well below the 16 KB of usual front ends.
WRITTEN = 6000
#: Characters of a card's name and of an item's; Trello takes 16,384.
NAME, TEXT = 250, 3000
CHECKLIST = "Action items"
LISTS = '{"triaged": "Doing", "closed": "Done"}'


class Trello(Listening):
    title = "Trello"
    docs = "https://developer.atlassian.com/cloud/trello/rest/"
    summary = (
        "Keeps one card per incident on a board: comments, lists by state, a checklist of action items; moves, members "
        "and comments of people come back."
    )
    outbound = True
    fields = (
        Field("api_key", "API key", help="trello.com/power-ups/admin → your Power-Up → API key.", secret=True),
        Field("api_token", "Token", help="Of the account that writes; made beside the API key.", secret=True),
        Field("board", "Board", help="The id of the board, or the eight signs after /b/ in its address."),
        Field("list", "List", help="Where new cards go. Empty: the first list.", required=False),
        Field(
            "lists",
            "Lists by state",
            help=f"For example {LISTS}. Used both ways; empty: cards stay where they are.",
            kind="json",
            required=False,
        ),
        Field(
            "app_secret",
            "Secret",
            help="Beside the API key, when people's acts shall come back: it signs Trello's webhooks.",
            secret=True,
            required=False,
        ),
        Field(
            "callback_url",
            "Callback address",
            help="The inbound address exactly as it was given to Trello; it is part of the signature.",
            required=False,
        ),
        Field(
            "member_id",
            "Member id",
            help="Of the account that writes: what it does comes back and is passed over. The connection's test names it.",
            required=False,
        ),
        Field(
            "base_url", "API address", kind="url", required=False, default="https://api.trello.com/1"
        ),
    )  # fmt: skip
    examples = (
        Example(
            "moved",
            b'{"action":{"id":"572a340644ed9c7d8b6f9a30","idMemberCreator":"53582e2da0fac5676a714276","type":"updateCard",'
            b'"date":"2026-02-03T04:05:06.394Z","memberCreator":{"id":"53582e2da0fac5676a714276","fullName":"Ann"},"data":'
            b'{"card":{"id":"53582e2da0fac5676a71427f","shortLink":"r33ylX2Z","name":"INC-7 - Drift"},"listBefore":{"name":'
            b'"Doing"},"listAfter":{"name":"Watching"}}},"model":{"id":"53582e2da0fac5676a714277"}}',
            alerts=0,
            others=1,
            settings={"lists": {"mitigated": "Watching"}},
        ),
        Example(
            "comment",
            b'{"action":{"id":"5735bd3a54bf8d93c35149bb","type":"commentCard","date":"2026-02-03T04:05:06.394Z",'
            b'"memberCreator":{"id":"53582e2da0fac5676a714276","fullName":"Ann"},"data":{"card":{"id":'
            b'"53582e2da0fac5676a714280","name":"INC-7 - Drift"},"text":"On it."}}}',
            alerts=0,
            others=1,
        ),
    )
    carries = CARRIES
    proved_by = ("app_secret",)
    idempotency = (
        "Trello has no key for creating. The card is looked up by its name on the board before it is created, comments "
        "by their reference, checklist items by their name; a move that is made already changes nothing."
    )
    limits = (
        "300 requests in 10 s per API key, 100 per token, told by 429; texts 16,384 characters, of which we use less, "
        "because they travel in the address. https://developer.atlassian.com/cloud/trello/guides/rest-api/rate-limits/"
    )
    rate = (100, 10.0)

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        wrong = wrong_tables(settings, {"lists": LISTS})
        if settings.get("app_secret") and not settings.get("callback_url"):
            wrong["callback_url"] = "Trello signs the address too: enter it as it was given to Trello."
        return wrong

    # --- inbound ---

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        """https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/#webhook-signatures"""
        if not settings.get("app_secret"):
            return
        right = [
            _signature(secret, inbound.body + url.encode())
            for secret in secrets_in(settings["app_secret"])
            for url in text(settings.get("callback_url")).replace(",", " ").split()
        ]
        if not is_among(inbound.headers.get("x-trello-webhook", "").strip(), right):
            raise Refusal(
                "The signature does not fit. Compare the secret and the callback address with Trello's.", 401
            )

    def handshake(self, inbound: Inbound, settings: Mapping[str, Any]) -> Reply | None:
        """Trello asks by HEAD whether the address is there before it makes a webhook."""
        return Reply() if inbound.method == "HEAD" else None

    def delivery_key(self, inbound: Inbound) -> str:
        try:
            body = self._body(inbound)
        except Refusal:
            return ""
        return text(mapping(mapping(body).get("action")).get("id"))

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Said]:
        try:
            return trello_events.read(body, inbound, settings)
        except SendError as error:  # a setting of names that is none
            raise Unreadable(str(error)) from error

    # --- outbound ---

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """Find the card or make it, then say what happened and put it on its list."""
        call, known = _Calls(settings), dict(link or {})
        if what.kind == "test":
            return (yield from _tested(call, settings))
        card, url, part = str(known.get("remote_id") or ""), str(known.get("url") or ""), ""
        wanted = table(settings, "lists", LISTS).get(what.state, "")
        created, notes = False, list[str]()
        if not card:
            lists = yield from call.lists(settings)
            found = _card_in(lists, what)
            if not found:
                first, notes = _list_for(lists, wanted or text(settings.get("list")))
                found, created = (yield from _created(call, what, first)), True
            card, url = _id(found, "card"), text(found.get("shortUrl") or found.get("url")) or url
        path = f"/cards/{quote(card, safe='')}"
        if what.kind == "items":
            yield from _itemised(call, path, what)
        elif not created and what.kind != "opened":
            part = yield from _told(call, path, what)
        if what.kind in ("comment", "items") and not created:
            return Sent(card, url, {}, "", part)
        changes = {"name": _name(what)} if known.get("name", _name(what)) != _name(what) else {}
        if wanted and not created and known.get("list") != wanted:
            lists = yield from call.lists(settings)
            changes["idList"], notes = _list_for(lists, wanted)
        if changes and not notes:
            yield from call("PUT", path, **changes)
        data = {"name": _name(what), "list": wanted, "state": "closed" if what.kind in ENDS else "open"}
        return Sent(card, url, data, "; ".join(notes), part)


def _signature(secret: str, signed: bytes) -> str:
    digest = hmac.new(secret.encode(errors="surrogatepass"), signed, hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


class _Calls:
    """Calls of the REST API with one connection's key and token, parameters in the address as Trello has them."""

    def __init__(self, settings: Mapping[str, Any]):
        self.base = address(settings, "base_url", "https://api.trello.com/1")
        self.account = {
            "key": str(settings.get("api_key") or "").strip(),
            "token": str(settings.get("api_token") or "").strip(),
        }

    def __call__(self, method: str, path: str, **parameters: str) -> Generator[Request, Response, Any]:
        """The JSON of the answer. Raises SendError with what Trello said: its errors are plain text."""
        response = yield Request(method, self.base + path, params={**self.account, **parameters})
        if 200 <= response.status < 300:
            return response.json
        said = mapping(response.json).get("message") or ("" if "<" in response.text else response.text)
        raise failure(response, "Trello", text(said), _hint(response.status))

    def lists(self, settings: Mapping[str, Any]) -> Generator[Request, Response, list[Mapping[str, Any]]]:
        """The board's lists in their order, each with its cards, archived ones too."""
        board = quote(text(settings.get("board")).strip(), safe="")
        answer = yield from self(
            "GET", f"/boards/{board}/lists", cards="all", card_fields="name,shortUrl", fields="name"
        )
        return self.rows(answer, "lists")

    def rows(self, answer: Any, of_what: str) -> list[Mapping[str, Any]]:
        """A list. A success without one comes from something that is not Trello; reading it as "nothing found" would
        make a second card."""
        if not isinstance(answer, list):
            raise SendError(
                f"Trello answered without {of_what}. Check the API address and the board.", retryable=False
            )
        return entries(answer)


def _hint(status: int) -> str:
    if status == 401:
        return "Check the API key and the token; a token can be taken back or run out."
    if status == 404:
        return "The board or card is gone, or the account of the token may not see it."
    return ""


def _id(thing: Any, kind: str) -> str:
    found = text(mapping(thing).get("id"))
    if not found:
        raise SendError(
            f"Trello took the {kind} but did not name it. Check the API address.", retryable=False
        )
    return found


def _written(words: str) -> str:
    """The words, cut so that they fit an address."""
    return unquote(clip(words, WRITTEN, quote))


def _name(what: Announcement) -> str:
    return line(f"{what.incident_key} · SEV{what.severity} · {what.title}", NAME)


def _card_in(lists: Sequence[Mapping[str, Any]], what: Announcement) -> Mapping[str, Any]:
    """The card that an earlier attempt made: its name begins with the incident's key."""
    mine = f"{what.incident_key} ·"
    cards = (card for one in lists for card in entries(one.get("cards")))
    return next((card for card in cards if text(card.get("name")).startswith(mine)), {})


def _list_for(lists: Sequence[Mapping[str, Any]], name: str) -> tuple[str, list[str]]:
    """The id of the list of that name, or of the first one, and a note when it is not there."""
    if not lists:
        raise SendError("The board has no list. Make one, then send this again.", retryable=False)
    named = [one for one in lists if text(one.get("name")).lower() == name.lower()]
    notes = [f"the board has no list {name}"] if name and not named else []
    return _id((named or lists)[0], "list"), notes


def _created(call: _Calls, what: Announcement, first: str) -> Generator[Request, Response, Mapping[str, Any]]:
    described = _written(markdown(what, TEXT, with_facts=True))
    answer = yield from call("POST", "/cards", idList=first, name=_name(what), desc=described, pos="top")
    return mapping(answer)


def _told(call: _Calls, path: str, what: Announcement) -> Generator[Request, Response, str]:
    """The id of the comment that says so, written unless an earlier attempt wrote it."""
    answer = yield from call("GET", f"{path}/actions", filter="commentCard")
    for one in call.rows(answer, "comments"):
        if reference(what) in text(mapping(one.get("data")).get("text")):
            return text(one.get("id"))
    end = f"\n\n{what.incident_key} · Holdfast · {reference(what)}"
    words = f"**{line(headline(what), 300, escaped)}**\n\n{markdown(what, TEXT, with_facts=False)}"
    kept = unquote(clip(words.strip(), WRITTEN - len(quote(end)), quote))
    written = yield from call("POST", f"{path}/actions/comments", text=kept + end)
    return text(mapping(written).get("id"))


def _itemised(call: _Calls, path: str, what: Announcement) -> Generator[Request, Response, None]:
    """The checklist: every action item once, ticked when it is over.
    https://developer.atlassian.com/cloud/trello/rest/api-group-checklists/
    """
    answer = yield from call("GET", f"{path}/checklists")
    mine = next((one for one in call.rows(answer, "checklists") if one.get("name") == CHECKLIST), None)
    if mine is None:
        mine = mapping((yield from call("POST", f"{path}/checklists", name=CHECKLIST)))
    checklist = _id(mine, "checklist")
    there = {text(one.get("name")).split(" · ")[0]: one for one in entries(mine.get("checkItems"))}
    for item in what.items[:ITEMS]:
        found, over = there.get(item["key"]), is_over(item)
        if found is None:
            known = ", ".join(f"{name.lower()} {value}" for name, value in item_lines(item)[:2])
            name = line(f"{item_name(item, NAME)} ({known})" if known else item_name(item, NAME), 2 * NAME)
            yield from call(
                "POST", f"/checklists/{checklist}/checkItems", name=name, checked=str(over).lower()
            )
        elif over and found.get("state") != "complete":
            yield from call("PUT", f"{path}/checkItem/{_id(found, 'item')}", state="complete")


def _tested(call: _Calls, settings: Mapping[str, Any]) -> Generator[Request, Response, Sent]:
    """Prove the account and the board without leaving a card behind."""
    account = mapping((yield from call("GET", "/members/me")))
    lists = yield from call.lists(settings)
    wanted = {text(settings.get("list")), *table(settings, "lists", LISTS).values()} - {""}
    missing = sorted(wanted - {text(one.get("name")) for one in lists})
    if missing:
        has = ", ".join(text(one.get("name")) for one in lists)
        raise SendError(f"The board has no list {', '.join(missing)}. It has: {has}.", retryable=False)
    who, number = text(account.get("fullName")) or "the account", text(account.get("id"))
    return Sent(note=f"Signed in as {who} (member id {number}); the board has {len(lists)} lists.")
