"""Hexnode UEM: devices that are out of compliance or fell silent, asked for by its API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import orjson

from incidents.intake.signal import Signal
from integrations import normalise
from integrations.contract import (
    Example,
    Fetched,
    Field,
    Inbound,
    Polled,
    Polling,
    Request,
    SendError,
    Unreadable,
)
from integrations.listening import Listening, entries, mapping
from integrations.normalise import first, text
from integrations.vendor import address, failure

#: https://www.hexnode.com/mobile-device-management/developers/: at most 100 devices a page
PAGE, MOST_PAGES = 100, 200
#: Devices whose state changed, of one message.
BATCH = 500
_WORDS = {
    "noncompliant": "is out of compliance",
    "silent": "has not reported for days",
    "gone": "is no longer enrolled",
}


class Hexnode(Listening):
    """Its API tells the state of every device; each round tells only those whose state is another than before."""

    title = "Hexnode UEM"
    docs = "https://www.hexnode.com/mobile-device-management/developers/"
    summary = "Devices out of compliance, not reporting, or no longer enrolled."
    polls_every = 900.0
    fields = (
        Field("base_url", "Portal", "E.g. https://acme.hexnodemdm.com.", kind="url"),
        Field("api_key", "API key", "Admin, API, of the portal.", secret=True),
        Field("silent_days", "Days of silence", "A device that has not reported for longer is told; 0: never.",
              kind="number", required=False, default=7),
        Field("system", "AI system", "What the devices belong to.", required=False),
        *Listening.fields,
    )  # fmt: skip
    idempotency = "A round that is repeated finds the same changes under the same key."
    limits = (
        "Hexnode has no webhooks. A device is well again when the API says so; one that vanished from the list "
        "changes nothing. The API answers 429 beyond its rate."
    )
    examples = (
        Example(
            "devices of a round",
            b'{"devices":[{"id":7,"device_name":"Kiosk 7","state":"noncompliant","last_reported":"2026-02-03T04:05:06Z"},'
            b'{"id":8,"device_name":"Kiosk 8","state":"silent"},{"id":9,"device_name":"Kiosk 9","state":"ok","was":"gone"}]}',
            alerts=3,
        ),
        Example("list of the API", b'{"count":1,"next":null,"results":[{"id":7,"device_name":"K","compliant":false}]}'),
    )  # fmt: skip

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Signal]:
        told = mapping(body)
        devices = told.get("devices", told.get("results")) if told else body
        if not isinstance(devices, list):
            raise Unreadable("This is no list of devices of Hexnode's API.")
        return [
            _signal(device, condition, device.get("state") != "ok", inbound, settings)
            for device in entries(devices)
            if first(device, "id", "udid", "serial_number") is not None
            for condition in _conditions(device)
        ]

    def poll(self, settings: Mapping[str, Any], memory: Mapping[str, Any], now: datetime) -> Polling:
        """Every device, page by page. Memory: `bad`, the state of those that are not well, by id, and `round`."""
        before = dict(mapping(memory.get("bad")))
        number = int(normalise.whole(memory.get("round")) or 0) + 1
        devices = yield from _devices(settings)
        bad, changed = dict(before), []
        for device in devices:
            name, state = text(first(device, "id", "udid")), _state(device, settings, now)
            was = before.get(name, "ok")
            if state != was:
                changed.append({**device, "state": state, "was": was})
                bad[name] = state
        messages = [
            Fetched(
                orjson.dumps({"devices": some}),
                f"hexnode {number} {start}",
                items=sum(len(_conditions(device)) for device in some),
            )
            for start in range(0, len(changed), BATCH)
            if (some := changed[start : start + BATCH])
        ]
        return Polled(messages, {"bad": {k: v for k, v in bad.items() if v != "ok"}, "round": number})


def _devices(settings: Mapping[str, Any]) -> Any:
    """Yields requests and returns the devices. Raises SendError."""
    base = address(settings, "base_url")
    headers = {"Authorization": text(settings.get("api_key"))}
    url = f"{base}/api/v1/devices/?per_page={PAGE}"
    found: list[Mapping[str, Any]] = []
    for _ in range(MOST_PAGES):
        response = yield Request("GET", url, headers=headers, timeout=20.0)
        page = response.json
        if response.status != 200:
            raise failure(response, "Hexnode", text(first(mapping(page), "detail", "message")))
        if not isinstance(page, dict) or not isinstance(page.get("results"), list):
            raise SendError(
                "Hexnode answered with something that is not its API. Check the portal.", retryable=False
            )
        found += entries(page["results"])
        after = text(page.get("next"), 2000)
        if not after:
            return found
        # the key goes only where the connection says
        if urlsplit(after).netloc.lower() != urlsplit(base).netloc.lower():
            raise SendError(
                "Hexnode named a next page at another address. Check the portal.", retryable=False
            )
        url = after.replace("http://", "https://", 1) if base.startswith("https://") else after
    raise SendError(
        f"Hexnode has more than {PAGE * MOST_PAGES:,} devices; that many are not read.", retryable=False
    )


def _state(device: Mapping[str, Any], settings: Mapping[str, Any], now: datetime) -> str:
    if device.get("compliant") is False:
        return "noncompliant"
    if (status := text(device.get("enrollment_status")).lower()) and status != "enrolled":
        return "gone"
    days = normalise.number(settings.get("silent_days", 7)) or 0
    reported = normalise.moment(device.get("last_reported"))
    if days > 0 and reported is not None and now - reported > timedelta(days=min(days, 36500)):
        return "silent"
    return "ok"


def _conditions(device: Mapping[str, Any]) -> list[str]:
    """What is told of a device: the state it has now, and the end of the one it had. A device of the plain list
    is judged by its compliance alone."""
    state, was = text(device.get("state")), text(device.get("was"))
    if not state:
        return ["noncompliant"] if isinstance(device.get("compliant"), bool) else []
    return [one for one in dict.fromkeys((was, state)) if one in _WORDS]


def _signal(
    device: Mapping[str, Any], condition: str, bad: bool, inbound: Inbound, settings: Mapping[str, Any]
) -> Signal:
    state = text(device.get("state")) or ("noncompliant" if device.get("compliant") is False else "ok")
    firing = bad and state == condition
    name = text(first(device, "device_name", "serial_number", "udid", "id"))
    identity = text(first(device, "udid", "serial_number", "id"))
    reported = normalise.moment(device.get("last_reported"))
    return normalise.signal(
        inbound,
        "hexnode",
        fingerprint=normalise.fingerprint("device", identity, condition),
        status="firing" if firing else "resolved",
        title=f"{name} {_WORDS[condition]}",
        level="warning",
        family="COMPL" if condition == "noncompliant" else None,
        system=settings.get("system") or "",
        labels={
            "alertname": condition,
            **{
                label: text(device.get(field))
                for label, field in (("device", "device_name"), ("os", "os_name"), ("os_version", "os_version"),
                                     ("model_name_of_device", "model_name"), ("serial", "serial_number"))
                if device.get(field)
            },
        },
        description=f"Last reported {reported:%Y-%m-%d %H:%M} UTC." if reported else "",
        extra={"device": {k: v for k, v in device.items() if k not in ("imei", "user")}},
    )  # fmt: skip
