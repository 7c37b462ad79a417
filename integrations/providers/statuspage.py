"""Statuspage: incidents and components of the status pages of others, by the page's webhook subscription."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from incidents.intake.signal import Level, Status
from integrations import normalise
from integrations.authenticity import SHARED_SECRET
from integrations.contract import Change, Example, Field, Inbound, Said, Unreadable
from integrations.listening import Listening, entries, mapping
from integrations.normalise import first, text

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
    summary = "Incidents and component states of the status pages that vendors keep."
    fields = (
        SHARED_SECRET,
        Field("system", "AI system", "The system that depends on this page's services.", required=False),
    )
    idempotency = "An update names its incident and its update; the same one again changes nothing."
    limits = (
        "Subscriptions carry no signature: put ?secret=… at the end of the address. Planned maintenance is kept as a "
        "change and raises no alert."
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
