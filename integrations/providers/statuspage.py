"""Statuspage: tells the public on our own page; hears of the pages of others by their webhook subscription."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from incidents.intake.signal import Level, Status
from integrations import normalise
from integrations.authenticity import SHARED_SECRET
from integrations.contract import (
    Announcement,
    Change,
    Conversation,
    Example,
    Field,
    Inbound,
    Request,
    Response,
    Said,
    SendError,
    Sent,
    Unreadable,
)
from integrations.listening import Listening, entries, mapping
from integrations.normalise import first, text
from integrations.vendor import address, clip, failure, line

API = "https://api.statuspage.io/v1"
#: https://developer.statuspage.io/: characters of a name; of a text, ours
NAME, BODY = 250, 5000
#: What the public reads where nobody wrote words for it, and the state it reads beside them.
WORDS = {
    "opened": ("investigating", "We are looking into a problem with {system}."),
    "updated": ("investigating", "We are still working on the problem with {system}."),
    "escalated": ("investigating", "The problem with {system} affects more than was seen at first."),
    "reopened": ("investigating", "The problem with {system} is back. We are looking into it."),
    "mitigated": (
        "monitoring",
        "The effects of the problem with {system} are contained. We are watching it.",
    ),
    "resolved": ("resolved", "The problem with {system} is over."),
    "closed": ("resolved", "The problem with {system} is over."),
}
_IMPACTS = {1: "critical", 2: "major", 3: "minor"}
_INCIDENT: dict[str, Status] = {
    **dict.fromkeys(("investigating", "identified", "monitoring"), "firing"),
    **dict.fromkeys(("resolved", "postmortem"), "resolved"),
}
#: States of planned maintenance: announced on purpose, so it is a change.
_PLANNED = frozenset({"scheduled", "in_progress", "verifying", "completed"})
_IMPACT: dict[str, Level] = {
    "critical": "critical", "major": "critical", "major_outage": "critical", "partial_outage": "critical",
    "minor": "warning", "degraded_performance": "warning", "none": "info", "maintenance": "info",
}  # fmt: skip
_COMPONENT: dict[str, Status] = {
    "operational": "resolved",
    **dict.fromkeys(("degraded_performance", "partial_outage", "major_outage"), "firing"),
}


class Statuspage(Listening):
    """What a vendor tells its subscribers: the first sign that a dependency is down."""

    title = "Statuspage"
    docs = "https://support.atlassian.com/statuspage/docs/enable-webhook-notifications/"
    summary = "Tells the public on your status page; hears of incidents on the pages that vendors keep."
    outbound = True
    fields = (
        SHARED_SECRET,
        Field("system", "AI system", "The system that depends on this page's services.", required=False),
        Field("api_key", "API key", "When incidents shall be told on your own page.", secret=True, required=False),
        Field("page_id", "Page", "The id of your own page.", required=False),
        Field("public_title", "Public title", "Of incidents on your page; empty: Problem with {the system}.", required=False),
        Field("component_ids", "Components", "Ids of the components that are affected, separated by commas.", required=False),
        Field("api_url", "API address", kind="url", required=False, default=API),
    )  # fmt: skip
    carries = frozenset({*WORDS, "test"})
    rate = (1, 1.0)
    idempotency = (
        "The page's unresolved incidents are searched for ours (its metadata names the incident's key) before one is made. An "
        "update that comes in names its incident and its update; the same one again changes nothing."
    )
    limits = (
        "Subscriptions carry no signature: put ?secret=… at the end of the address. Planned maintenance is kept as a "
        "change and raises no alert. One request a second to the API. https://developer.statuspage.io/"
    )
    examples = (
        Example(
            "incident",
            b'{"meta":{},"page":{"id":"p1","status_description":"Partial Outage"},"incident":{"id":"i1","name":"API errors",'
            b'"status":"investigating","impact":"major","created_at":"2026-02-03T04:05:06Z","updated_at":"2026-02-03T04:05:06Z",'
            b'"shortlink":"https://stspg.io/i1","incident_updates":[{"id":"u1","body":"We look into it.","status":"investigating"}],'
            b'"components":[{"name":"Completions"}]}}',
        ),
        Example(
            "component",
            b'{"page":{"id":"p1"},"component_update":{"id":"c1","new_status":"operational","old_status":"major_outage",'
            b'"created_at":"2026-02-03T04:05:06Z","component_id":"k1"},"component":{"id":"k1","name":"API","status":"operational"}}',
        ),
        Example(
            "maintenance",
            b'{"page":{"id":"p1"},"incident":{"id":"i2","name":"Upgrade","status":"scheduled","impact":"maintenance",'
            b'"scheduled_for":"2026-02-04T04:00:00Z"}}',
            alerts=0,
            others=1,
        ),
    )  # fmt: skip

    def takes(self, kind: str, settings: Mapping[str, Any]) -> bool:
        return (
            super().takes(kind, settings) and bool(settings.get("api_key")) and bool(settings.get("page_id"))
        )

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """Make the public incident, or update it. What stands on the timeline stays inside: the page says what a route's
        template or a playbook worded for it, else a plain sentence."""
        page = f"{address(settings, 'api_url', API)}/pages/{quote(text(settings.get('page_id')), safe='')}"
        headers = {"Authorization": f"OAuth {text(settings.get('api_key'))}"}
        if what.kind == "test":
            _taken((yield Request("GET", page, headers=headers)), self.title)
            return Sent(note="The page was found; nothing was published.")
        if what.kind not in WORDS:
            raise SendError(f"Statuspage does not carry {what.kind!r}.", retryable=False)
        known, created = text((link or {}).get("remote_id")), ""
        if not known:
            listed = _taken(
                (yield Request("GET", f"{page}/incidents/unresolved", headers=headers)), self.title
            )
            known = _ours(listed, what)
        told = {"incident": _public(what, settings)}
        if known:
            one = f"{page}/incidents/{quote(known, safe='')}"
            answer = _taken((yield Request("PATCH", one, headers=headers, json=told)), self.title)
        else:
            answer = _taken(
                (yield Request("POST", f"{page}/incidents", headers=headers, json=told)), self.title
            )
            created = text(mapping(answer).get("id"))
        if not known and not created:
            raise SendError(
                "Statuspage answered without an incident. Check the API address.", retryable=False
            )
        return Sent(remote_id=known or created, url=text(mapping(answer).get("shortlink")))

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Said]:
        message = mapping(body)
        page = mapping(message.get("page"))
        labels = {
            name: told
            for name, told in (
                ("page", text(page.get("id"))),
                ("page_status", text(page.get("status_description"))),
            )
            if told
        }
        if incident := mapping(message.get("incident")):
            return [_incident(incident, labels, inbound, settings)]
        if component := mapping(message.get("component")):
            return _component(component, mapping(message.get("component_update")), labels, inbound, settings)
        if "page" in message and "meta" in message:
            return []
        raise Unreadable(
            "This is no message of a Statuspage subscription: it has no incident and no component."
        )


def _taken(response: Response, title: str) -> Any:
    """The parsed answer. Statuspage says 420 as well as 429 when it is asked too often."""
    if 200 <= response.status < 300:
        return response.json
    if response.status == 420:
        response = replace(response, status=429)
    hint = "Check the API key and the page's id." if response.status in (401, 403, 404) else ""
    said = mapping(response.json).get("error") or mapping(response.json).get("message")
    raise failure(response, title, text(said), hint)


def _ours(listed: Any, what: Announcement) -> str:
    """The id of the public incident that was made for this one, whose answer was lost."""
    for one in entries(listed):
        if text(mapping(mapping(one.get("metadata")).get("holdfast")).get("incident")) == what.incident_key:
            return text(one.get("id"))
    return ""


def _public(what: Announcement, settings: Mapping[str, Any]) -> dict[str, Any]:
    state, sentence = WORDS[what.kind]
    system = line(what.system, 100) or "the service"
    if state == "investigating" and what.state == "triaged":
        state = "identified"
    return {
        "name": line(text(settings.get("public_title")) or f"Problem with {system}", NAME),
        "status": state,
        "impact_override": _IMPACTS.get(what.severity, "none"),
        "body": clip(what.text, BODY)
        if what.worded and what.text.strip()
        else sentence.format(system=system),
        "component_ids": [
            one.strip() for one in text(settings.get("component_ids")).split(",") if one.strip()
        ],
        "metadata": {"holdfast": {"incident": what.incident_key}},
    }


def _incident(
    incident: Mapping[str, Any], labels: Mapping[str, str], inbound: Inbound, settings: Mapping[str, Any]
) -> Said:
    state, identity = text(incident.get("status")).lower(), text(incident.get("id"))
    name = text(incident.get("name")) or "Incident without a name"
    at = normalise.moment(first(incident, "updated_at", "created_at"))
    url = next((url for _, url in normalise.links(("", incident.get("shortlink")))), "")
    system = text(settings.get("system"))
    if state in _PLANNED or text(incident.get("impact")) == "maintenance":
        key = f"{labels.get('page', '')} {identity} {state}".strip() or name
        title = f"Maintenance {state.replace('_', ' ')}: {name}"
        return Change(
            key, "other", title[:300], at or inbound.received_at, system[:200], url=url, labels=dict(labels)
        )
    status = _INCIDENT.get(state)
    if status is None:
        raise Unreadable(f'The incident has the status "{text(state, 40)}", which Statuspage has not.')
    updates = entries(incident.get("incident_updates"))
    latest = updates[0] if updates else {}
    components = [text(one.get("name")) for one in entries(incident.get("components")) if one.get("name")]
    return normalise.signal(
        inbound,
        "statuspage",
        fingerprint=normalise.fingerprint("incident", labels.get("page", ""), identity or name),
        status=status,
        title=name,
        level=_IMPACT.get(text(first(incident, "impact_override", "impact")).lower()),
        description=latest.get("body") or "",
        system=system,
        labels={**labels, "alertname": name, **({"components": ", ".join(components)} if components else {})},
        observed_at=at,
        starts_at=normalise.moment(first(incident, "started_at", "created_at")),
        ends_at=normalise.moment(incident.get("resolved_at")) or at if status == "resolved" else None,
        links=normalise.links(("Status page", url)),
        delivery_key=latest.get("id"),
        extra={"state": state},
    )  # fmt: skip


def _component(
    component: Mapping[str, Any],
    update: Mapping[str, Any],
    labels: Mapping[str, str],
    inbound: Inbound,
    settings: Mapping[str, Any],
) -> list[Said]:
    state = text(first(update, "new_status") or component.get("status")).lower()
    name = text(component.get("name")) or "a component"
    at = normalise.moment(first(update, "created_at") or component.get("updated_at"))
    key = text(update.get("id"))
    if state == "under_maintenance":
        title = f"{name} is under maintenance"
        return [
            Change(
                key or title,
                "other",
                title[:300],
                at or inbound.received_at,
                text(settings.get("system"), 200),
            )
        ]
    status = _COMPONENT.get(state)
    if status is None:
        raise Unreadable(f'The component has the status "{text(state, 40)}", which Statuspage has not.')
    identity = text(first(component, "id", "code") or update.get("component_id")) or name
    return [
        normalise.signal(
            inbound,
            "statuspage",
            fingerprint=normalise.fingerprint("component", labels.get("page", ""), identity),
            status=status,
            title=f"{name}: {state.replace('_', ' ')}",
            level=_IMPACT.get(state),
            system=settings.get("system") or "",
            labels={**labels, "alertname": name, "component": name},
            observed_at=at,
            starts_at=at if status == "firing" else None,
            ends_at=at if status == "resolved" else None,
            delivery_key=key,
        )
    ]
