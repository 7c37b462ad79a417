"""Any monitor that can send JSON: our documented shape, or the sender's own with declared paths."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from incidents.intake.signal import Signal
from integrations import normalise
from integrations.authenticity import is_among, secrets_in
from integrations.contract import Example, Field, Inbound, Provider, Refusal, Unreadable
from integrations.paths import BadPath, Paths
from integrations.shape import Unfit, signal_of

#: Items of one message; more of them are refused as a whole, so that one message stays one short transaction.
MOST_ITEMS = 1000
#: Seconds a signed message may be old or early (Standard Webhooks, "Verifying timestamp").
TOLERANCE = 300


class Generic(Provider):
    """JSON webhooks of any kind. A list is taken as a whole or refused as a whole."""

    title = "JSON webhook"
    docs = "https://www.standardwebhooks.com/"
    summary = "Alerts from any monitor that can POST JSON, in our shape or with paths into its own."
    inbound = True
    content_types = ("application/json",)
    fields = (
        Field(
            "secret",
            "Signing secret",
            "Standard Webhooks secret (whsec_…). When set, unsigned messages are refused.",
            secret=True,
            required=False,
        ),
        Field(
            "paths",
            "Paths",
            'Where the fields are in the sender\'s JSON, e.g. {"title": "alert.name", "status": "$.state"}.',
            required=False,
            kind="json",
        ),
        Field(
            "status_map",
            "Words for status",
            'E.g. {"ALARM": "firing", "OK": "resolved"}.',
            required=False,
            kind="json",
        ),
        Field(
            "level_map",
            "Words for level",
            'E.g. {"sev-a": "critical", "sev-b": "warning"}.',
            required=False,
            kind="json",
        ),
    )
    idempotency = "Idempotency-Key or webhook-id: the same key on the same connection is stored once."
    limits = f"{MOST_ITEMS} items per message; size by HOLDFAST_INBOUND_MAX_BYTES."
    examples = (
        Example(
            "firing",
            b'{"dedup_key": "churn/psi/tenure", "title": "PSI of tenure is 0.31", "severity": "warning",'
            b' "model": {"name": "churn", "version": "9"}, "feature": "tenure", "env": "prod",'
            b' "metric": {"name": "psi", "value": 0.31, "threshold": 0.25, "comparator": ">", "n": 12000},'
            b' "started_at": "2026-02-03T04:05:06Z", "links": [{"text": "Board", "url": "https://example.org/b/1"}]}',
        ),
        Example("resolved", b'{"dedup_key": "churn/psi/tenure", "status": "resolved"}'),
        Example("list", b'[{"title": "Null rate of age"}, {"title": "Volume of orders"}]', alerts=2),
        Example(
            "own shape",
            b'{"org": "acme", "events": [{"rule": {"name": "Latency"}, "state": "ALARM", "tags": ["search"]}]}',
            settings={
                "paths": {"items": "$.events", "title": "rule.name", "status": "state", "system": "tags[0]",
                          "labels.org": "$.org"},
                "status_map": {"ALARM": "firing"},
            },
        ),
    )  # fmt: skip

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        wrong = {}
        try:
            Paths.declared(settings)
        except BadPath as error:
            name = str(error).split(" ", 1)[0]
            wrong[name if name in ("status_map", "level_map") else "paths"] = str(error)
        if any(_key(one) is None for one in secrets_in(settings.get("secret"))):
            wrong["secret"] = "A secret is whsec_ followed by base64."  # noqa: S105
        return wrong

    def admit(self, inbound: Inbound, settings: Mapping[str, Any]) -> int:
        if secret := settings.get("secret"):
            verify(inbound, str(secret))
        return len(_signals(inbound, settings))

    def delivery_key(self, inbound: Inbound) -> str:
        return inbound.headers.get("idempotency-key") or inbound.headers.get("webhook-id", "")

    def parse(self, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        try:
            return _signals(inbound, settings)
        except Refusal as error:  # it was admitted under other settings
            raise Unreadable(str(error)) from error


def try_paths(
    paths: Mapping[str, Any],
    body: bytes | str,
    *,
    status_map: Mapping[str, str] | None = None,
    level_map: Mapping[str, str] | None = None,
) -> list[Signal]:
    """What a message would become under these paths, before they are saved. Raises Refusal with the reason."""
    settings = {"paths": paths, "status_map": status_map or {}, "level_map": level_map or {}}
    data = body.encode() if isinstance(body, str) else body
    inbound = Inbound({"content-type": "application/json"}, data, datetime.now(UTC), origin="trial")
    return _signals(inbound, settings)


def _signals(inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
    """All items as signals; one unfit item refuses all, so that a sender never wonders which were taken."""
    try:
        paths = Paths.declared(settings)
        body = normalise.read_json(inbound.body)
        items = paths.split(body)
    except (BadPath, normalise.NotJSON) as error:
        raise Refusal(str(error)) from error
    if not items:
        raise Refusal("The list is empty. Send at least one alert.")
    if len(items) > MOST_ITEMS:
        raise Refusal(f"{len(items)} items in one message; send at most {MOST_ITEMS}.", 413)
    found, wrong = [], []
    for position, item in enumerate(items):
        shaped = paths.shape(item, body) if paths and isinstance(item, Mapping) else item
        try:
            found.append(signal_of(shaped, inbound, "generic"))
        except Unfit as error:
            where = f"item {position}" if isinstance(body, list) or paths.items else "the message"
            wrong.append(f"{where}: {error}")
    if wrong:
        more = f" (and {len(wrong) - 5} more)" if len(wrong) > 5 else ""
        nothing = "Nothing of it was taken. " if len(items) > 1 else ""
        raise Refusal(
            f"{nothing}{'; '.join(wrong[:5])}{more}. See docs/integrations/generic.md for the shape, or declare paths."
        )
    return found


def verify(inbound: Inbound, secret: str) -> None:
    """Check a Standard Webhooks v1 signature over the raw body. Raises Refusal 401.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    headers = inbound.headers
    identity, stamp, offered = (
        headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")
    )
    if not (identity and stamp and offered):
        raise Refusal(
            "This connection takes signed messages only. Sign them as Standard Webhooks do (webhook-id, "
            "webhook-timestamp, webhook-signature), or take the secret out of the connection.",
            401,
        )
    keys = [_key(one) for one in secrets_in(secret)]
    if None in keys or not keys:
        raise Refusal("The secret of this connection is not whsec_ and base64. Enter it again.", 401)
    content = f"{identity}.{stamp}.".encode("latin-1", "replace") + inbound.body
    right = [
        base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys if key
    ]
    signatures = [part[3:] for part in offered.split() if part.startswith("v1,")]
    if not any(is_among(signature, right) for signature in signatures):
        raise Refusal("The signature does not fit. Compare the secret here with the sender's.", 401)
    if not stamp.isdecimal() or abs(inbound.received_at.timestamp() - float(stamp[:18])) > TOLERANCE:
        raise Refusal(
            f"The message was signed more than {TOLERANCE // 60} minutes away from our time. Check the "
            "sender's clock; repeat old messages with a new signature.",
            401,
        )


def _key(secret: str) -> bytes | None:
    try:
        return base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True) or None
    except (binascii.Error, ValueError):
        return None
