"""The form of messages in Slack: Block Kit, escaped and within its limits."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Any
from urllib.parse import quote

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    ContextBlock,
    HeaderBlock,
    InputBlock,
    MarkdownTextObject,
    PlainTextInputElement,
    PlainTextObject,
    SectionBlock,
)

from integrations.contract import Announcement
from integrations.slack_events import ACKNOWLEDGE, APPROVE, REASON, REJECT
from integrations.vendor import HAPPENED, clip, facts, heading, line, web_links

#: https://docs.slack.dev/reference/block-kit/blocks and .../block-elements/button-element
HEADER, SECTION, CONTEXT, BUTTON, URL, FIELDS, BUTTONS = 150, 3000, 2000, 75, 3000, 10, 5
#: One fact as a field; Slack takes 2,000 characters, but a message should stay readable.
FIELD = 300

ICONS = {1: "🔴", 2: "🟠", 3: "🟡", 4: "🔵", 5: "⚪"}


def escaped(text: str) -> str:
    """Slack's three special characters. https://docs.slack.dev/messaging/formatting-message-text"""
    return escape(text, quote=False)


def message(what: Announcement, *, pressable: bool) -> dict[str, Any]:
    """The incident as it stands. `pressable`: what people press reaches us."""
    icon = ICONS.get(what.severity, ICONS[5])
    fields = [
        MarkdownTextObject(text=f"*{line(name, 50, escaped)}*\n{line(value, FIELD, escaped)}")
        for name, value in facts(what)[:FIELDS]
    ]
    blocks: list[Block] = [
        HeaderBlock(text=PlainTextObject(text=line(f"{icon} {heading(what)}", HEADER, escaped), emoji=True)),
        SectionBlock(fields=fields),
    ]
    return _written(what, f"{icon} {heading(what)}", blocks, pressable)


def reply(what: Announcement, *, pressable: bool) -> dict[str, Any]:
    """What happened just now, for the thread."""
    happened = HAPPENED[what.kind]
    text = f"*{happened}* · SEV{what.severity} · {line(what.state.replace('_', ' '), 50, escaped)}"
    blocks: list[Block] = [SectionBlock(text=MarkdownTextObject(text=text))]
    return _written(what, f"{happened}: {heading(what)}", blocks, pressable)


def _written(what: Announcement, plain: str, blocks: list[Block], pressable: bool) -> dict[str, Any]:
    if what.text.strip():
        blocks.append(SectionBlock(text=MarkdownTextObject(text=clip(what.text, SECTION, escaped))))
    if what.kind == "items" and what.items:
        told = "\n".join(f"• {one.get('title', '')}: {_owed(one)}" for one in what.items)
        blocks.append(SectionBlock(text=MarkdownTextObject(text=clip(told, SECTION, escaped))))
    told = " · ".join(part for part in (HAPPENED[what.kind], _when(what.at)) if part)
    blocks.append(ContextBlock(elements=[MarkdownTextObject(text=told)]))
    pressed: list[ButtonElement] = []
    if pressable and what.incident_key:
        if what.kind == "approval" and what.approval:
            blocks.append(_reason(what))
            pressed = [
                _decision(APPROVE, "Approve", "primary", what),
                _decision(REJECT, "Reject", "danger", what),
            ]
        elif what.state == "detected" and not what.owner:
            pressed = [
                ButtonElement(
                    text=PlainTextObject(text="Acknowledge"),
                    action_id=ACKNOWLEDGE,
                    value=what.incident_key,
                    style="primary",
                )
            ]
    opened = web_links((*what.actions, ("Open in Holdfast", what.url), *what.links), URL)[:BUTTONS]
    buttons = pressed + [
        ButtonElement(
            text=PlainTextObject(text=line(text or url, BUTTON, escaped), emoji=True),
            url=url,
            action_id=f"open_{number}",
        )
        for number, (text, url) in enumerate(opened)
    ]
    if buttons:
        blocks.append(ActionsBlock(elements=buttons))
    return {
        "text": line(plain, SECTION, escaped),
        "blocks": [block.to_dict() for block in blocks],
        "metadata": {
            "event_type": "holdfast_announcement",
            "event_payload": {"incident": what.incident_key, "key": what.idempotency_key, "kind": what.kind},
        },
    }


def _owed(item: Any) -> str:
    return ", ".join(
        part for part in (item.get("owner", ""), item.get("due", "")[:10], item.get("state", "")) if part
    )


def _reason(what: Announcement) -> InputBlock:
    return InputBlock(
        label=PlainTextObject(text="Why (needed to reject)"),
        element=PlainTextInputElement(action_id=REASON, multiline=True, max_length=2000),
        block_id=f"{REASON}_{what.approval}"[:255],
        optional=True,
    )


def _decision(action_id: str, word: str, style: str, what: Announcement) -> ButtonElement:
    """A button that asks back: it takes effect on a running system."""
    return ButtonElement(
        text=PlainTextObject(text=word),
        action_id=action_id,
        value=f"{what.incident_key} {what.approval}",
        style=style,
        confirm=ConfirmObject(
            title=PlainTextObject(text=f"{word} this step?"),
            text=PlainTextObject(text=line(what.text, 300) or heading(what)[:300]),
            confirm=PlainTextObject(text=word),
            deny=PlainTextObject(text="Not now"),
            style=style,
        ),
    )


def _when(at: str) -> str:
    """Slack shows a time in the reader's own zone.
    https://docs.slack.dev/messaging/formatting-message-text#date-formatting
    """
    try:
        seconds = int(datetime.fromisoformat(at).timestamp())
    except ValueError:
        return line(at, 50, escaped)
    return f"<!date^{seconds}^{{date_short_pretty}} {{time}}|{quote(at, safe=':-+ ')}>"
