"""Microsoft Teams: one Adaptive Card per piece of news, through the webhook of a workflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from integrations.contract import Announcement, Conversation, Field, Provider, Request, SendError, Sent
from integrations.listening import mapping
from integrations.vendor import HAPPENED, clip, facts, failure, heading, line, web_links

#: https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using: 28 KB a message
BYTES = 28 * 1024
TITLE, TEXT, VALUE, FACTS, BUTTON, BUTTONS, URL = 300, 3000, 300, 12, 60, 6, 2000
#: A text that is cut to these sizes in turn until the message fits.
SHORTER = (TEXT, 1000, 200)
#: The schema's words: https://adaptivecards.io/explorer/Container.html
STYLES = {1: "attention", 2: "warning", 3: "accent"}


class Teams(Provider):
    title = "Microsoft Teams"
    docs = "https://support.microsoft.com/office/create-incoming-webhooks-with-workflows-for-microsoft-teams-8ae491c7-0394-4861-ba59-055e33f75498"
    summary = "Posts a card for each piece of news to a channel or chat, with links back."
    outbound = True
    fields = (
        Field(
            "webhook_url",
            "Webhook of the workflow",
            help="From the workflow “Send webhook alerts to a channel”. Whoever has it can post: it is kept like a password.",
            kind="url",
            secret=True,
        ),
    )
    carries = frozenset(HAPPENED) - {"items"}
    idempotency = (
        "Teams has no key for posts and no updates by webhook: a post whose answer was lost on the way can appear twice. The "
        "card names the incident and the time, so that doubles can be recognised."
    )
    limits = (
        "28 KB a message; 202 means that the workflow took it, not that it is shown; a few requests a second. "
        "https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using"
    )
    rate = (4, 1.0)
    digests = True

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        if what.kind not in self.carries:
            raise SendError(f"Microsoft Teams does not carry {what.kind!r}.", retryable=False)
        response = yield Request("POST", str(settings.get("webhook_url") or "").strip(), json=message(what))
        if not 200 <= response.status < 300:
            error = mapping(mapping(response.json).get("error"))
            hint = (
                "Make the workflow's webhook anew and enter its address."
                if response.status in (400, 401, 403, 404)
                else ""
            )
            raise failure(response, self.title, str(error.get("message") or ""), hint)
        return Sent(
            remote_id=what.incident_key or what.idempotency_key,
            note="The workflow took it; Teams does not say whether it was shown.",
        )


def message(what: Announcement) -> dict[str, Any]:
    """The envelope with its card, cut until it fits."""
    made: dict[str, Any] = {}
    for characters in SHORTER:
        made = {
            "type": "message",
            "attachments": [
                {"contentType": "application/vnd.microsoft.card.adaptive", "content": card(what, characters)}
            ],
        }
        if len(json.dumps(made, ensure_ascii=False).encode()) <= BYTES:
            break
    return made


def card(what: Announcement, characters: int = TEXT) -> dict[str, Any]:
    """An Adaptive Card 1.4. What came from outside stands in text runs, which show it as it is: text blocks would read
    Markdown in it. https://adaptivecards.io/explorer/RichTextBlock.html
    """
    happened = HAPPENED[what.kind]
    head = [
        _rich(_run(happened, weight="Bolder", isSubtle=True)),
        _rich(_run(line(heading(what), TITLE) or happened, weight="Bolder", size="Medium")),
    ]
    body: list[dict[str, Any]] = [
        {"type": "Container", "style": STYLES.get(what.severity, "default"), "bleed": True, "items": head}
    ]
    if text := clip(what.text, characters).strip():
        body += [_rich(_run(part)) for part in text.split("\n") if part.strip()]
    value = VALUE if characters == TEXT else characters // 5
    body += [
        _rich(_run(f"{line(name, 50)}: ", weight="Bolder"), _run(line(told, value) or "–"))
        for name, told in facts(what)[:FACTS]
    ]
    if when := line(what.at, 50):
        body.append(_rich(_run(when, isSubtle=True, size="Small")))
    opened = web_links((*what.actions, ("Open in Holdfast", what.url), *what.links), URL)[:BUTTONS]
    return {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": line(f"{happened}: {heading(what)}", TITLE),
        "body": body,
        "actions": [
            {"type": "Action.OpenUrl", "title": line(text or url, BUTTON), "url": url} for text, url in opened
        ],
    }


def _rich(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, **look: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **look}
