"""Slack: one message per incident that stays current, a thread that tells what happened, and answers from there."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from integrations import slack_events, slack_room
from integrations.authenticity import require_hmac, require_recent
from integrations.contract import (
    Announcement,
    Conversation,
    Example,
    Field,
    Inbound,
    Polled,
    Polling,
    Refusal,
    Reply,
    Request,
    Response,
    Said,
    SendError,
    Sent,
)
from integrations.listening import FORM, Listening, entries, mapping
from integrations.normalise import moment, text
from integrations.slack_blocks import SECTION, escaped, message, reply
from integrations.vendor import HAPPENED, address, clip, failure, line, retry_after

API = "https://slack.com/api"
#: Where answers to a person go: https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
ANSWERS = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})
#: Pages of 200 people that are asked for in one round.
PAGES = 25

#: What the whole channel should see although it is told in the thread.
LOUD = frozenset({"escalated", "reopened", "approval"})
#: What does not change what the main message says.
ASIDE = frozenset({"approval", "notice", "comment", "items", "postmortem", "test"})

#: Errors that pass by themselves. https://docs.slack.dev/reference/methods/chat.postMessage#errors
PASSING = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)
HELP = {
    "invalid_auth": "Paste the bot token (xoxb-…) of your Slack app again.",
    "not_authed": "Enter the bot token (xoxb-…) of your Slack app.",
    "token_revoked": "The app was removed or its token revoked; install it again and paste the new token.",
    "token_expired": "Paste a fresh bot token.",
    "account_inactive": "The app or its workspace was deactivated; install it again.",
    "not_in_channel": "Invite the bot to the channel: /invite @your-app.",
    "channel_not_found": "Check the channel id, and invite the bot if the channel is private.",
    "is_archived": "The channel is archived; choose another one.",
    "missing_scope": "Add the scope that this needs (chat:write to post; see the documentation) and install the app again.",
    "restricted_action": "A workspace setting keeps apps from posting here; ask a workspace admin.",
    "msg_too_long": "The message is too long for Slack.",
    "invalid_blocks": "Slack refused the form of the message; please report it with this delivery.",
}
#: The main message is gone or may no longer be edited: the thread or a new message tells it.
GONE, FROZEN = (
    frozenset({"message_not_found", "thread_not_found"}),
    frozenset({"edit_window_closed", "cant_update_message"}),
)


class Slack(Listening):
    title = "Slack"
    docs = "https://docs.slack.dev/reference/methods/chat.postMessage"
    summary = (
        "Posts each incident to a channel, keeps that message current and tells the story in its thread; buttons, "
        "replies and a slash command come back."
    )
    outbound = True
    content_types = ("application/json", FORM)
    fields = (
        Field("bot_token", "Bot token", help="xoxb-…, with the scope chat:write.", secret=True),
        Field("channel", "Channel", help="The channel's id (C0123456789) or its name. Invite the bot to it."),
        Field("base_url", "Web API address", kind="url", required=False, default=f"{API}/"),
        Field(
            "signing_secret", "Signing secret", secret=True, required=False,
            help="Of the app, when buttons, replies and /holdfast shall come back. Two, separated by a comma, while it is "
            "replaced.",
        ),
        Field(
            "people_by_email", "Know people by e-mail address", kind="bool", required=False, default=False,
            help="Asks hourly who has which address (scopes users:read and users:read.email). Else say on this page who "
            "is who.",
        ),
        Field(
            "room_severities", "Channels of their own", required=False,
            help="Severities whose incidents get a channel of their own, e.g. 1,2 (scope channels:manage).",
        ),
        Field("room_people", "Invited there", "E-mail addresses or member ids, separated by commas.", required=False),
        Field(
            "room_private", "Private channels", kind="bool", required=False, default=False,
            help="Make those channels private (scope groups:write).",
        ),
    )  # fmt: skip
    carries = frozenset({*HAPPENED, "answer"})
    proved_by = ("signing_secret",)
    idempotency = (
        "Slack has no key for posts. The first message's channel and ts are kept and later changes update "
        "it; a post whose answer was lost on the way can appear twice. Each post carries the idempotency "
        "key in its metadata."
    )
    limits = (
        "About one message a second per channel; header 150, section 3,000, button 75 characters, 50 blocks. "
        "https://docs.slack.dev/apis/web-api/rate-limits"
    )
    rate = (1, 1.0)
    digests = True
    accepted = Reply(200)
    polls_every = 3600.0
    examples = (
        Example(
            "acknowledge button",
            b"payload=%7B%22type%22%3A%22block_actions%22%2C%22user%22%3A%7B%22id%22%3A%22U1%22%2C%22name%22%3A%22ann%22%7D%2C"
            b"%22trigger_id%22%3A%221.2.a%22%2C%22response_url%22%3A%22https%3A%2F%2Fhooks.slack.com%2Factions%2FT1%2F2%2F3%22%2C"
            b"%22actions%22%3A%5B%7B%22action_id%22%3A%22holdfast_acknowledge%22%2C%22value%22%3A%22INC-7%22%2C"
            b"%22action_ts%22%3A%221770091506.000100%22%7D%5D%7D",
            {"content-type": FORM}, alerts=0, others=1,
        ),
        Example(
            "slash command",
            b"command=%2Fholdfast&text=note+INC-7+looking&user_id=U1&user_name=ann&channel_name=ops&trigger_id=1.3.b"
            b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1%2F2%2F3",
            {"content-type": FORM}, alerts=0, others=1,
        ),
        Example(
            "reply in a thread",
            b'{"type":"event_callback","event_id":"Ev1","authorizations":[{"user_id":"UBOT","is_bot":true}],"event":{'
            b'"type":"message","channel":"C1","user":"U1","text":"Rolled back &amp; watching","ts":"1770091507.1","thread_ts":'
            b'"1770091506.1","parent_user_id":"UBOT"}}',
            alerts=0, others=1,
        ),
        Example("address check", b'{"type":"url_verification","challenge":"abc"}', alerts=0),
    )  # fmt: skip

    # --- inbound -------------------------------------------------------------------------------

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        """https://docs.slack.dev/authentication/verifying-requests-from-slack"""
        if not settings.get("signing_secret"):
            return
        stamp = inbound.headers.get("x-slack-request-timestamp", "")
        offered = inbound.headers.get("x-slack-signature", "").removeprefix("v0=")
        signed = b"v0:" + stamp.encode(errors="replace") + b":" + inbound.body
        require_hmac(signed, [offered], settings["signing_secret"], "X-Slack-Signature")
        require_recent(moment(stamp), inbound.received_at)

    def delivery_key(self, inbound: Inbound) -> str:
        try:
            return slack_events.key_of(self._body(inbound))
        except Refusal:
            return ""

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Said]:
        return slack_events.read(body)

    def handshake(self, inbound: Inbound, settings: Mapping[str, Any]) -> Reply | None:
        """The challenge of the Events API; how to use the command; and nothing where nothing is asked of us."""
        try:
            body = self._body(inbound)
        except Refusal:
            return None
        if inbound.method != "POST":
            return None
        if found := slack_events.challenge(body):
            return Reply(200, found.encode(), {"Content-Type": "text/plain"})
        if slack_events.is_command(body):
            return Reply(200, slack_events.USAGE.encode(), {"Content-Type": "text/plain"})
        return Reply(200)

    def poll(self, settings: Mapping[str, Any], memory: Mapping[str, Any], now: datetime) -> Polling:
        """Who has which e-mail address. Memory: `people`, address by member id."""
        if settings.get("people_by_email") is not True:
            return Polled()
        call, people, cursor = _Calls(settings), dict[str, str](), ""
        for _ in range(PAGES):
            page = yield from call.read("users.list", limit="200", cursor=cursor)
            for one in entries(page.get("members")):
                mail = text(mapping(one.get("profile")).get("email"))
                if mail and one.get("deleted") is not True and one.get("is_bot") is not True:
                    people[text(one.get("id"))] = mail
            cursor = text(mapping(page.get("response_metadata")).get("next_cursor"))
            if not cursor:
                break
        return Polled(memory={"people": people})

    # --- outbound ------------------------------------------------------------------------------

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """First a message; then its update together with a reply in its thread.

        The link keeps `channel` and `ts` of the main message, those of messages in channels of routes
        (`elsewhere`), and the incident's own channel (`room`). The update goes first: it may be repeated without
        harm when the reply fails.
        """
        if what.kind == "answer":
            return (yield from _answer(what, settings))
        call = _Calls(settings)
        known = {**(link or {})} if what.incident_key else {}
        sent = yield from _told(what, settings, known, call)
        if what.channel:
            return sent
        notes, data = [sent.note], dict(sent.data)
        pressable = bool(settings.get("signing_secret"))
        try:
            if room := text(known.get("room")):
                yield from call("chat.postMessage", channel=room, **reply(what, pressable=pressable))
            elif slack_room.wanted(what, settings):
                data["room"], note = yield from slack_room.opened(what, settings, call, call.read)
                notes.append(note)
                yield from call(
                    "chat.postMessage", channel=data["room"], **message(what, pressable=pressable)
                )
        except SendError as error:  # the message itself is out: failing now would post it a second time
            notes.append(f"its own channel: {error}")
        return Sent(sent.remote_id, sent.url, data, "; ".join(note for note in notes if note), sent.part)


class _Answered(SendError):
    """Slack said `ok: false`; `code` is its word for it."""

    def __init__(self, code: str, message: str, *, retryable: bool, retry_after: float | None):
        super().__init__(message, retryable=retryable, retry_after=retry_after)
        self.code = code


class _Calls:
    """Calls of the Web API with one connection's token. Raises SendError."""

    def __init__(self, settings: Mapping[str, Any]):
        self.base = address(settings, "base_url", API)
        self.headers = {"Authorization": f"Bearer {str(settings.get('bot_token') or '').strip()}"}

    def __call__(self, method: str, **arguments: Any) -> Generator[Request, Response, dict[str, Any]]:
        response = yield Request("POST", f"{self.base}/{method}", headers=self.headers, json=arguments)
        return _read(method, response)

    def read(self, method: str, **arguments: str) -> Generator[Request, Response, dict[str, Any]]:
        given = {name: value for name, value in arguments.items() if value}
        response = yield Request("GET", f"{self.base}/{method}", headers=self.headers, params=given)
        return _read(method, response)


def _told(
    what: Announcement, settings: Mapping[str, Any], known: Mapping[str, Any], call: _Calls
) -> Generator[Request, Response, Sent]:
    """The message of the incident in the channel of the route or of the settings, or what became of it."""
    pressable, note = bool(settings.get("signing_secret")), ""
    channel, ts = _kept(known, what.channel)
    if channel and ts:
        try:
            if what.kind not in ASIDE:
                yield from call("chat.update", channel=channel, ts=ts, **message(what, pressable=pressable))
        except _Answered as error:
            if error.code in GONE:
                ts = ""
            elif error.code not in FROZEN:
                raise
            note = f"the main message could not be updated ({error.code})"
        if ts:
            answer = yield from call(
                "chat.postMessage",
                channel=channel,
                thread_ts=ts,
                reply_broadcast=what.kind in LOUD,
                **reply(what, pressable=pressable),
            )
            part = f"{channel}:{answer.get('ts') or ''}"
            return _sent(known, what.channel, channel, ts, str(known.get("url") or ""), note, part)
    answer = yield from call(
        "chat.postMessage",
        channel=channel or what.channel or str(settings.get("channel") or "").strip(),
        **message(what, pressable=pressable),
    )
    channel, ts = str(answer.get("channel") or settings.get("channel") or ""), str(answer.get("ts") or "")
    try:
        shown = yield from call.read("chat.getPermalink", channel=channel, message_ts=ts)
    except SendError as error:
        return _sent(known, what.channel, channel, ts, "", f"posted; its address is not known: {error}")
    return _sent(known, what.channel, channel, ts, str(shown.get("permalink") or ""), note)


def _answer(what: Announcement, settings: Mapping[str, Any]) -> Conversation:
    """To the person who asked, seen by nobody else; only ever to Slack itself."""
    here = urlsplit(what.channel)
    if (here.scheme, here.hostname) not in {("https", host) for host in ANSWERS}:
        own = urlsplit(address(settings, "base_url", API))
        if (here.scheme, here.netloc) != (own.scheme, own.netloc):
            raise SendError(
                "The address to answer to is not Slack's, so nothing was sent there.", retryable=False
            )
    told = {
        "response_type": "ephemeral",
        "replace_original": False,
        "text": clip(what.text, SECTION, escaped) or "Done.",
    }
    response = yield Request("POST", what.channel, json=told)
    if not 200 <= response.status < 300:
        hint = "The person was not answered: Slack takes five answers within 30 minutes."
        raise failure(response, "Slack", line(response.text, 100), hint if response.status == 404 else "")
    return Sent()


def _read(method: str, response: Response) -> dict[str, Any]:
    answer = response.json if isinstance(response.json, dict) else {}
    code = str(answer.get("error") or "")
    if not 200 <= response.status < 300:
        raise failure(response, "Slack", code, HELP.get(code, ""))
    if answer.get("ok") is True:
        return answer
    if not code:
        raise SendError(
            f"Slack answered {method} with something that is not its API. Check the Web API address.",
            retryable=False,
        )
    metadata = answer.get("response_metadata")
    messages = metadata.get("messages") if isinstance(metadata, dict) else None
    said = "; ".join(map(str, messages)) if isinstance(messages, list) else ""
    raise _Answered(
        code,
        f"Slack refused {method}: {code}. {HELP.get(code, '')} {line(said, 500)}".strip(),
        retryable=code in PASSING,
        retry_after=retry_after(response),
    )


def _kept(known: Mapping[str, Any], place: str) -> tuple[str, str]:
    """Channel and ts of the incident's message at that place."""
    if not place:
        return text(known.get("channel")), text(known.get("ts"))
    pair = mapping(known.get("elsewhere")).get(place)
    return (text(pair[0]), text(pair[1])) if isinstance(pair, list) and len(pair) == 2 else ("", "")


def _sent(
    known: Mapping[str, Any], place: str, channel: str, ts: str, url: str = "", note: str = "", part: str = ""
) -> Sent:
    here = f"{channel}:{ts}"
    if not place:
        return Sent(here, url, {"channel": channel, "ts": ts}, note, part)
    others = {**mapping(known.get("elsewhere")), place: [channel, ts]}
    return Sent(
        text(known.get("remote_id")) or here,
        text(known.get("url")) or url,
        {"elsewhere": others},
        note,
        part or here,
    )
