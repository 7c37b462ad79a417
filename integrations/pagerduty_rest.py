"""PagerDuty's REST API: notes on an incident, and asking more people to respond; paging goes by events.

https://developer.pagerduty.com/api-reference/
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import quote

from integrations.contract import Announcement, OnDuty, Request, Response, SendError
from integrations.listening import entries, mapping
from integrations.normalise import text
from integrations.vendor import address, clip, failure, heading, line

API = "https://api.pagerduty.com"
NOTE, MESSAGE = 25_000, 500
#: What begins or grows worse: then more people are asked.
BEGINS = frozenset({"opened", "escalated", "reopened"})


def is_set_up(settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("api_token")) and bool(settings.get("from_email"))


def more_people(what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None) -> bool:
    """Whether responders are to be asked now: once per incident, at the severities of the settings."""
    severities = re.findall(r"[1-5]", str(settings.get("responder_severities") or ""))
    asked = (link or {}).get("responders") is True
    return (
        is_set_up(settings)
        and bool(_targets(settings))
        and what.kind in BEGINS
        and str(what.severity) in severities
        and not asked
    )


def note(
    what: Announcement, settings: Mapping[str, Any], key: str
) -> Generator[Request, Response, tuple[str, str]]:
    """Write a note on the incident of that key; the ids of the incident and of the note. Raises SendError."""
    incident = yield from _incident(settings, key)
    written = {"note": {"content": clip(what.text, NOTE) or line(heading(what), NOTE)}}
    answer = yield from _call("POST", f"/incidents/{quote(incident, safe='')}/notes", settings, json=written)
    return incident, text(mapping(answer.get("note")).get("id"))


def ask(what: Announcement, settings: Mapping[str, Any], key: str) -> Generator[Request, Response, None]:
    """Ask the responders of the settings to join. Raises SendError."""
    incident = yield from _incident(settings, key)
    sender = text(settings.get("from_email"))
    found = yield from _call("GET", "/users", settings, params={"query": sender, "limit": "1"})
    people = entries(found.get("users"))
    if not people:
        raise SendError(f"PagerDuty has no user {sender}: correct `from_email`.", retryable=False)
    asked = {
        "requester_id": text(people[0].get("id")),
        "message": line(f"{heading(what)} {what.url}", MESSAGE),
        "responder_request_targets": [{"responder_request_target": one} for one in _targets(settings)],
    }
    yield from _call(
        "POST", f"/incidents/{quote(incident, safe='')}/responder_requests", settings, json=asked
    )


def on_duty(settings: Mapping[str, Any]) -> Generator[Request, Response, list[OnDuty]]:
    """Who is on call now, of the policies among the responders, else of all. Raises SendError.

    https://developer.pagerduty.com/api-reference/3a6b910f11050-list-all-of-the-on-calls
    """
    policies = [one["id"] for one in _targets(settings) if one["type"].startswith("escalation_policy")]
    asked: dict[str, Any] = {"earliest": "true", "limit": "100", "include[]": "users"}
    if policies:
        asked["escalation_policy_ids[]"] = policies
    found = yield from _call("GET", "/oncalls", settings, params=asked)
    people = [
        OnDuty(
            name=text(mapping(one.get("user")).get("summary") or mapping(one.get("user")).get("name"), 120),
            email=text(mapping(one.get("user")).get("email"), 200),
            level=int(one["escalation_level"]) if str(one.get("escalation_level")).isdecimal() else 1,
            of=text(mapping(one.get("escalation_policy")).get("summary"), 120),
            until=text(one.get("end"), 40),
        )
        for one in entries(found.get("oncalls"))
    ]
    return sorted((one for one in people if one.name), key=lambda one: (one.of, one.level, one.name))


def _targets(settings: Mapping[str, Any]) -> list[dict[str, str]]:
    """`PUSER1, policy:PESC1` as PagerDuty names them."""
    targets = []
    for one in text(settings.get("responders")).split(","):
        kind, _, id = one.strip().rpartition(":")
        if id:
            targets.append(
                {"id": id, "type": f"{'escalation_policy' if kind == 'policy' else 'user'}_reference"}
            )
    return targets


def _incident(settings: Mapping[str, Any], key: str) -> Generator[Request, Response, str]:
    """The id of the latest incident with our key: events are worked on later, and one that is over is made anew."""
    asked = {"incident_key": key, "sort_by": "created_at:desc", "limit": "1"}
    found = entries((yield from _call("GET", "/incidents", settings, params=asked)).get("incidents"))
    if not found or not found[0].get("id"):
        raise SendError(
            f"PagerDuty has no incident with the key {key} (yet): it has to be paged first, by a route that opens.",
            retryable=False,
        )
    return text(found[0].get("id"))


def _call(
    method: str, path: str, settings: Mapping[str, Any], **more: Any
) -> Generator[Request, Response, Mapping[str, Any]]:
    headers = {
        "Authorization": f"Token token={text(settings.get('api_token'))}",
        "Accept": "application/vnd.pagerduty+json;version=2",
        "Content-Type": "application/json",
        "From": text(settings.get("from_email")),
    }
    response = yield Request(method, address(settings, "api_url", API) + path, headers=headers, **more)
    if not 200 <= response.status < 300:
        error = mapping(mapping(response.json).get("error"))
        told = error.get("errors")
        said = [error.get("message"), *(told if isinstance(told, list) else [])]
        hint = "Check the REST API token and `from_email`." if response.status in (401, 403) else ""
        raise failure(response, "PagerDuty", "; ".join(text(one) for one in said if one), hint)
    return mapping(response.json)
