"""Slack: one message per incident that stays current, and a thread that tells what happened."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import datetime
from html import escape
from typing import Any
from urllib.parse import quote

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)

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
from integrations.vendor import address, clip, facts, failure, heading, line, retry_after, web_links

API = "https://slack.com/api"
#: https://docs.slack.dev/reference/block-kit/blocks and .../block-elements/button-element
HEADER, SECTION, CONTEXT, BUTTON, URL, FIELDS, BUTTONS = 150, 3000, 2000, 75, 3000, 10, 5
#: One fact as a field; Slack takes 2,000 characters, but a message should stay readable.
FIELD = 300

ICONS = {1: "🔴", 2: "🟠", 3: "🟡", 4: "🔵", 5: "⚪"}
HAPPENED = {
    "opened": "Incident opened",
    "updated": "Update",
    "acknowledged": "Acknowledged",
    "escalated": "Escalated",
    "mitigated": "Mitigated",
    "resolved": "Resolved",
    "closed": "Closed",
    "reopened": "Reopened",
    "approval": "Approval needed",
    "notice": "Notice",
    "test": "Connection test",
}
#: What the whole channel should see although it is told in the thread.
LOUD = frozenset({"escalated", "reopened", "approval"})
#: What does not change what the main message says.
ASIDE = frozenset({"approval", "notice", "test"})

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
    "missing_scope": "Add the scope chat:write to the Slack app and install it again.",
    "restricted_action": "A workspace setting keeps apps from posting here; ask a workspace admin.",
    "msg_too_long": "The message is too long for Slack.",
    "invalid_blocks": "Slack refused the form of the message; please report it with this delivery.",
}
#: The main message is gone or may no longer be edited: the thread or a new message tells it.
GONE, FROZEN = (
    frozenset({"message_not_found", "thread_not_found"}),
    frozenset({"edit_window_closed", "cant_update_message"}),
)


class Slack(Provider):
    title = "Slack"
    docs = "https://docs.slack.dev/reference/methods/chat.postMessage"
    summary = (
        "Posts each incident to a channel, keeps that message current and tells the story in its thread."
    )
    outbound = True
    fields = (
        Field("bot_token", "Bot token", help="xoxb-…, with the scope chat:write.", secret=True),
        Field("channel", "Channel", help="The channel's id (C0123456789) or its name. Invite the bot to it."),
        Field("base_url", "Web API address", kind="url", required=False, default=f"{API}/"),
    )
    carries = frozenset(HAPPENED)
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

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """First a message; then its update together with a reply in its thread.

        The link keeps `channel` and `ts` of the main message. The update goes first: it may be
        repeated without harm when the reply fails.
        """
        call = _Calls(settings)
        known = {**(link or {})}
        channel, ts = str(known.get("channel") or ""), str(known.get("ts") or "")
        if channel and ts:
            note = ""
            try:
                if what.kind not in ASIDE:
                    yield from call("chat.update", channel=channel, ts=ts, **_message(what))
            except _Answered as error:
                if error.code in GONE:
                    ts = ""
                elif error.code not in FROZEN:
                    raise
                note = f"the main message could not be updated ({error.code})"
            if ts:
                yield from call(
                    "chat.postMessage",
                    channel=channel,
                    thread_ts=ts,
                    reply_broadcast=what.kind in LOUD,
                    **_reply(what),
                )
                return _sent(channel, ts, str(known.get("url") or ""), note)
        answer = yield from call(
            "chat.postMessage",
            channel=channel or str(settings.get("channel") or "").strip(),
            **_message(what),
        )
        channel, ts = str(answer.get("channel") or settings.get("channel") or ""), str(answer.get("ts") or "")
        try:
            shown = yield from call.read("chat.getPermalink", channel=channel, message_ts=ts)
        except SendError as error:
            return _sent(channel, ts, "", f"posted; its address is not known: {error}")
        return _sent(channel, ts, str(shown.get("permalink") or ""))


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
        response = yield Request("GET", f"{self.base}/{method}", headers=self.headers, params=arguments)
        return _read(method, response)


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


def _sent(channel: str, ts: str, url: str = "", note: str = "") -> Sent:
    return Sent(remote_id=f"{channel}:{ts}", url=url, data={"channel": channel, "ts": ts}, note=note)


# --- the form of a message -----------------------------------------------------------------------------


def escaped(text: str) -> str:
    """Slack's three special characters. https://docs.slack.dev/messaging/formatting-message-text"""
    return escape(text, quote=False)


def _message(what: Announcement) -> dict[str, Any]:
    """The incident as it stands."""
    icon = ICONS.get(what.severity, ICONS[5])
    fields = [
        MarkdownTextObject(text=f"*{line(name, 50, escaped)}*\n{line(value, FIELD, escaped)}")
        for name, value in facts(what)[:FIELDS]
    ]
    blocks: list[Block] = [
        HeaderBlock(text=PlainTextObject(text=line(f"{icon} {heading(what)}", HEADER, escaped), emoji=True)),
        SectionBlock(fields=fields),
    ]
    if what.text.strip():
        blocks.append(SectionBlock(text=MarkdownTextObject(text=clip(what.text, SECTION, escaped))))
    return _written(what, f"{icon} {heading(what)}", blocks)


def _reply(what: Announcement) -> dict[str, Any]:
    """What happened just now, for the thread."""
    happened = HAPPENED[what.kind]
    text = f"*{happened}* · SEV{what.severity} · {line(what.state.replace('_', ' '), 50, escaped)}"
    blocks: list[Block] = [SectionBlock(text=MarkdownTextObject(text=text))]
    if what.text.strip():
        blocks.append(SectionBlock(text=MarkdownTextObject(text=clip(what.text, SECTION, escaped))))
    return _written(what, f"{happened}: {heading(what)}", blocks)


def _written(what: Announcement, plain: str, blocks: list[Block]) -> dict[str, Any]:
    told = [part for part in (HAPPENED[what.kind], _when(what.at)) if part]
    blocks = [*blocks, ContextBlock(elements=[MarkdownTextObject(text=" · ".join(told))])]
    buttons = web_links((*what.actions, ("Open in Holdfast", what.url), *what.links), URL)[:BUTTONS]
    if buttons:
        blocks.append(
            ActionsBlock(
                elements=[
                    ButtonElement(
                        text=PlainTextObject(text=line(text or url, BUTTON, escaped), emoji=True),
                        url=url,
                        action_id=f"open_{number}",
                    )
                    for number, (text, url) in enumerate(buttons)
                ]
            )
        )
    return {
        "text": line(plain, SECTION, escaped),
        "blocks": [block.to_dict() for block in blocks],
        "metadata": {
            "event_type": "holdfast_announcement",
            "event_payload": {"incident": what.incident_key, "key": what.idempotency_key, "kind": what.kind},
        },
    }


def _when(at: str) -> str:
    """Slack shows a time in the reader's own zone.
    https://docs.slack.dev/messaging/formatting-message-text#date-formatting
    """
    try:
        seconds = int(datetime.fromisoformat(at).timestamp())
    except ValueError:
        return line(at, 50, escaped)
    return f"<!date^{seconds}^{{date_short_pretty}} {{time}}|{quote(at, safe=':-+ ')}>"
