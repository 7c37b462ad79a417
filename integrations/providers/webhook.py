"""Webhook: every announcement as JSON to an address of your own, signed the way Standard Webhooks describes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from integrations.authenticity import secrets_in
from integrations.contract import Announcement, Conversation, Field, Provider, Request, Sent
from integrations.vendor import clip, failure, line, web_links

#: Characters of a line, of the text, of a document; entries of a list. A message stays below 256 KB.
LINE, TEXT, DOCUMENT, ENTRIES, URL = 500, 20_000, 60_000, 50, 2000
#: Of the form below; it grows by fields only, and by a new number where one changes its meaning.
VERSION = 1


class Webhook(Provider):
    title = "Webhook"
    docs = "https://www.standardwebhooks.com/"
    summary = "Sends what happens as signed JSON to an address of your own."
    outbound = True
    fields = (
        Field("url", "Address", help="https://… that answers 2xx within 10 seconds.", kind="url"),
        Field(
            "signing_secret", "Signing secret", secret=True, required=False,
            help="whsec_ and base64 (24 to 64 bytes). Several, separated by commas, all sign while one is replaced.",
        ),
        Field(
            "authorization", "Authorization header", secret=True, required=False,
            help="Sent along as it is, such as Bearer …; empty: none.",
        ),
    )  # fmt: skip
    carries = frozenset(
        {
            *(
                "opened",
                "updated",
                "acknowledged",
                "escalated",
                "mitigated",
                "resolved",
                "closed",
                "reopened",
            ),
            *("approval", "notice", "comment", "items", "postmortem", "test"),
        }
    )
    idempotency = (
        "Each message has an id of its own (webhook-id), the same on every try: a receiver that keeps the ids it has seen "
        "takes each message once."
    )
    limits = "Any 2xx is a success; the address decides about rates with 429 and Retry-After. https://www.standardwebhooks.com/"
    digests = False

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        for secret in secrets_in(settings.get("signing_secret")):
            if _key(secret) is None:
                return {"signing_secret": "A signing secret is whsec_ followed by base64."}
        return {}

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        body = json.dumps(document(what), ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", "webhook-id": what.idempotency_key}
        if secrets := secrets_in(settings.get("signing_secret")):
            headers |= signed(what.idempotency_key, int(time.time()), body, secrets)
        if authorization := str(settings.get("authorization") or "").strip():
            headers["Authorization"] = authorization
        response = yield Request("POST", str(settings.get("url") or "").strip(), headers=headers, body=body)
        if not 200 <= response.status < 300:
            gone = (
                "The receiver wants no more messages: switch the routes off."
                if response.status == 410
                else ""
            )
            raise failure(response, self.title, response.text[:200], gone)
        return Sent(remote_id=what.incident_key or what.idempotency_key)


def document(what: Announcement) -> dict[str, Any]:
    """The message: `type`, `timestamp` and `data`, as Standard Webhooks has it; `docs/integrations/webhook.md` holds its
    schema."""
    return {
        "type": f"incident.{what.kind}",
        "timestamp": what.at,
        "data": {
            "version": VERSION,
            "key": what.idempotency_key,
            "incident": {
                "key": what.incident_key, "title": line(what.title, LINE), "severity": what.severity,
                "state": line(what.state, LINE), "class": line(what.incident_class, LINE),
                "owner": line(what.owner, LINE), "source": line(what.source, LINE),
                "url": next((url for _, url in web_links((("", what.url),), URL)), ""),
            },
            "system": {"name": line(what.system, LINE), "version": line(what.version, LINE)},
            "text": clip(what.text, TEXT),
            "facts": [
                {"name": line(name, 100), "value": clip(value, LINE)} for name, value in what.facts[:ENTRIES]
            ],
            "links": [
                {"text": line(text, 100), "url": url} for text, url in web_links(what.links, URL)[:ENTRIES]
            ],
            "approval": what.approval,
            "items": [
                {line(name, 50): clip(value, LINE) for name, value in one.items()} for one in what.items[:ENTRIES]
            ],
            "document": clip(what.document, DOCUMENT),
        },
    }  # fmt: skip


def signed(id: str, at: int, body: bytes, secrets: list[str]) -> dict[str, str]:
    """The headers that prove who sent it and when: one v1 signature for each secret.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    content = f"{id}.{at}.".encode() + body
    made = []
    for secret in secrets:
        key = _key(secret) or secret.encode()
        digest = hmac.new(key, content, hashlib.sha256).digest()
        made.append(f"v1,{base64.b64encode(digest).decode()}")
    return {"webhook-timestamp": str(at), "webhook-signature": " ".join(made)}


def _key(secret: str) -> bytes | None:
    try:
        return base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True) or None
    except (binascii.Error, ValueError):
        return None
