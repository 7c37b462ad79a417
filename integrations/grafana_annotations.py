"""Incidents as annotations in Grafana: made once when they open, and given their end.

https://grafana.com/docs/grafana/latest/developers/http_api/annotations/
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from typing import Any

from integrations import normalise
from integrations.contract import Announcement, Conversation, Request, Response, SendError, Sent
from integrations.listening import entries, mapping
from integrations.normalise import text
from integrations.vendor import HAPPENED, address, clip, failure, heading, line, web_links

VENDOR = "Grafana"
OVER = frozenset({"mitigated", "resolved", "closed"})
CARRIES = frozenset({"opened", "test", *OVER})
#: Characters of an annotation's text; Grafana shows it in a tooltip.
TEXT = 1000
TAG = "holdfast"
LABEL = 100  #: characters of a tag


def compose(what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None) -> Conversation:
    """One announcement. What was annotated before is found by its tag, so that it is there once. Raises SendError."""
    api = f"{address(settings, 'base_url')}/api/annotations"
    headers = {"Authorization": f"Bearer {text(settings.get('api_token'))}"}
    if what.kind == "test":
        yield from _asked(Request("GET", api, headers, params={"tags": TAG, "limit": "1"}))
        return Sent(note="Grafana answered; nothing was annotated.")
    if what.kind not in CARRIES:
        raise SendError(f"{VENDOR} does not carry {what.kind!r}.", retryable=False)
    at = _milliseconds(what.at)
    number = text((link or {}).get("remote_id"))
    if not number:
        number = yield from _found(api, headers, what)
    if not number:
        end = {"timeEnd": at} if what.kind in OVER else {}
        made = yield from _asked(
            Request("POST", api, headers, json={**_place(settings), "time": at, **end, **_told(what)})
        )
        number = text(mapping(made).get("id"))
        if not number:
            raise SendError(f"{VENDOR} named no annotation in its answer: look there.", retryable=True)
    elif what.kind in OVER:
        yield from _asked(Request("PATCH", f"{api}/{number}", headers, json={"timeEnd": at, **_told(what)}))
    return Sent(remote_id=number, url=_url(settings))


def _asked(request: Request) -> Generator[Request, Response, Any]:
    response = yield request
    if not 200 <= response.status < 300:
        raise failure(response, VENDOR, text(mapping(response.json).get("message")))
    return response.json


def _found(api: str, headers: Mapping[str, str], what: Announcement) -> Generator[Request, Response, str]:
    """The number of the annotation that this installation made of the incident; empty where there is none."""
    listed = yield from _asked(
        Request("GET", api, headers, params={"tags": _tag(what), "type": "annotation", "limit": "100"})
    )
    ours = [
        one
        for one in entries(listed)
        # another installation may have an incident of the same number
        if _tag(what) in (one.get("tags") or ()) and _link_back(what) in text(one.get("text"), TEXT * 2)
    ]
    numbers = sorted(number for one in ours if (number := normalise.whole(one.get("id"))))
    return str(numbers[0]) if numbers else ""


def _tag(what: Announcement) -> str:
    return line(f"incident:{what.incident_key or what.idempotency_key}", LABEL)


def _told(what: Announcement) -> dict[str, Any]:
    """Text and tags: what an annotation shows, and what dashboards filter by."""
    end = HAPPENED[what.kind] if what.kind in OVER else ""
    link = _link_back(what)
    told = clip("\n".join(part for part in (heading(what), end, what.text) if part), TEXT - len(link) - 1)
    tags = [TAG, _tag(what), f"sev{what.severity}"]
    if what.system:
        tags.append(line(f"system:{what.system}", LABEL))
    return {"text": f"{told}\n{link}" if link else told, "tags": tags}


def _link_back(what: Announcement) -> str:
    return "".join(url for _, url in web_links((("", what.url),), TEXT // 2))


def _place(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The dashboard and panel it is tied to; empty: the organisation."""
    uid, panel = text(settings.get("dashboard")), normalise.whole(settings.get("panel"))
    if not uid:
        return {}
    return {"dashboardUID": uid, **({"panelId": panel} if panel else {})}


def _url(settings: Mapping[str, Any]) -> str:
    uid = text(settings.get("dashboard"))
    return f"{address(settings, 'base_url')}/d/{uid}" if uid else ""


def _milliseconds(at: str) -> int:
    moment = normalise.moment(at) or datetime.now(UTC)
    return int(moment.timestamp() * 1000)
