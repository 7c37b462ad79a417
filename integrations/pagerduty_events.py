"""PagerDuty's webhooks read: acts on our own incidents become instructions, foreign incidents alerts.

Version 3: https://developer.pagerduty.com/docs/webhooks-overview; the messages of version 2, which extensions of old
services still send, are read into the same form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from incidents.intake.signal import Level, Status
from integrations import normalise
from integrations.contract import Inbound, Instruction, Said, Unreadable
from integrations.listening import entries, mapping
from integrations.normalise import first, text
from integrations.on_call import own_key, rank

_SIGNALS: dict[str, Status] = {"triggered": "firing", "reopened": "firing", "resolved": "resolved"}
#: What version 2 calls the events of version 3.
_OLD = {
    "trigger": "triggered", "acknowledge": "acknowledged", "unacknowledge": "unacknowledged", "resolve": "resolved",
    "assign": "reassigned", "delegate": "delegated", "escalate": "escalated", "annotate": "annotated",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Happened:
    """One event, whichever version told it."""

    kind: str  #: without `incident.`
    id: str
    at: datetime | None
    agent: Mapping[str, Any]
    data: Mapping[str, Any]  #: what it is about: the incident, or a note or reply that names it
    incident: Mapping[str, Any]

    @property
    def key(self) -> str:
        return own_key(self.incident.get("incident_key"), self.data.get("incident_key"))

    @property
    def by_a_person(self) -> bool:
        return text(self.agent.get("type")).startswith("user")


def read(body: Any, inbound: Inbound) -> list[Said]:
    """What a webhook says; nothing where the event is none of ours. Raises Unreadable."""
    message = mapping(body)
    if isinstance(message.get("messages"), list):
        return [one for old in entries(message["messages"]) for one in _said(_of_version_2(old), inbound)]
    event = mapping(message.get("event"))
    kind = text(event.get("event_type"))
    if not kind:
        raise Unreadable("This is no webhook of PagerDuty: it has no event with an event_type.")
    if not kind.startswith("incident."):
        return []  # a ping, or an event of a service
    data = mapping(event.get("data"))
    if not data:
        raise Unreadable(f'The event "{text(kind, 60)}" has no data.')
    about = data if text(data.get("type")) in ("incident", "") else mapping(data.get("incident"))
    return _said(
        _Happened(
            kind.removeprefix("incident."),
            text(event.get("id")) or inbound.headers.get("x-webhook-id", ""),
            normalise.moment(event.get("occurred_at")),
            mapping(event.get("agent")),
            data,
            about,
        ),
        inbound,
    )


def _of_version_2(message: Mapping[str, Any]) -> _Happened:
    incident = mapping(message.get("incident"))
    if not incident:
        raise Unreadable("A message of PagerDuty's webhook (version 2) has no incident.")
    entry = mapping(next(iter(entries(message.get("log_entries"))), None))
    kind = text(message.get("event")).removeprefix("incident.")
    note = mapping(entry.get("channel"))
    data = {**incident, "content": first(note, "content", "summary", "note")}
    assigned = [mapping(one.get("assignee")) for one in entries(incident.get("assignments"))]
    return _Happened(
        _OLD.get(kind, kind),
        text(message.get("id")),
        normalise.moment(first(message, "created_on") or entry.get("created_at")),
        mapping(entry.get("agent")),
        {**data, "assignees": assigned},
        incident,
    )


def _said(what: _Happened, inbound: Inbound) -> list[Said]:
    # our own calls come back as events without a person: they change nothing here
    if what.key and not what.by_a_person:
        return []
    if not what.key and what.kind in _SIGNALS:
        return [_foreign(what, inbound)]
    return _instructed(what)


def _foreign(what: _Happened, inbound: Inbound) -> Said:
    incident, status = what.incident, _SIGNALS[what.kind]
    service = text(first(mapping(incident.get("service")), "summary", "name"))
    identity = text(incident.get("id"))
    title = text(first(incident, "title", "summary", "description")) or "PagerDuty incident without a name"
    return normalise.signal(
        inbound,
        "pagerduty",
        fingerprint=identity or normalise.fingerprint("incident", incident.get("incident_key"), title),
        status=status,
        title=title,
        level=_level(incident),
        system=service,
        labels={
            name: told
            for name, told in (
                ("alertname", title),
                ("service", service),
                ("urgency", text(incident.get("urgency"))),
                ("priority", text(mapping(incident.get("priority")).get("summary"))),
            )
            if told
        },
        observed_at=what.at,
        starts_at=normalise.moment(incident.get("created_at")) or (what.at if status == "firing" else None),
        ends_at=what.at if status == "resolved" else None,
        links=normalise.links(("PagerDuty", incident.get("html_url"))),
        delivery_key=what.id,
        extra={"number": first(incident, "number", "incident_number"), "key": text(incident.get("incident_key"))},
    )  # fmt: skip


def _level(incident: Mapping[str, Any]) -> Level | None:
    ranked = rank(mapping(incident.get("priority")).get("summary"))
    if ranked:
        return normalise.level(f"p{ranked}")
    return {"high": "critical", "low": "warning"}.get(text(incident.get("urgency")))  # type: ignore[return-value]


def _instructed(what: _Happened) -> list[Said]:
    agent, data = what.agent, what.data
    identity = text(what.incident.get("id"))
    told: dict[str, Any] = {
        # an event without an id of its own is told apart by what it says
        "delivery_key": what.id or normalise.fingerprint(what.kind, identity, what.key, what.at, agent, data),
        "incident_key": what.key,
        "remote_id": identity,
        "by_id": text(agent.get("id")),
        "by_name": text(agent.get("summary")),
        "at": what.at,
        "url": next((url for _, url in normalise.links(("", what.incident.get("html_url")))), ""),
    }
    match what.kind:
        case "acknowledged":
            return [Instruction(verb="acknowledge", **told)]
        case "resolved":
            return [Instruction(verb="state", value="mitigated", text="Resolved in PagerDuty.", **told)]
        case "reopened":
            return [Instruction(verb="state", value="triaged", text="Reopened in PagerDuty.", **told)]
        case "reassigned" | "delegated":
            # webhooks name people by id only: whoever it is handed to takes it
            people = entries(data.get("assignees"))
            if not people:
                return []
            who = text(agent.get("summary")) or "Somebody"
            taken = {**told, "by_id": text(people[0].get("id")), "by_name": text(people[0].get("summary"))}
            return [Instruction(verb="assign", text=f"{who} reassigned it in PagerDuty.", **taken)]
        case "priority_updated":
            ranked = rank(mapping(data.get("priority")).get("summary"))
            words = "Priority changed in PagerDuty."
            return [Instruction(verb="priority", value=ranked, text=words, **told)] if ranked else []
        case "annotated":
            note = text(data.get("content"))
            cut = " […]" if data.get("trimmed") is True else ""
            mark = text(data.get("id")) if data is not what.incident else ""
            return [Instruction(verb="comment", text=note + cut, remote_part=mark, **told)] if note else []
        case "responder.replied":
            who = text(first(mapping(data.get("user")), "summary")) or "A responder"
            answer = text(first(data, "response", "status")) or "replied"
            return [
                Instruction(verb="comment", text=f"{who}: {answer} ({text(data.get('message'))})", **told)
            ]
    return []
