"""The events of a batch: a few per incident, whatever the number of alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from incidents import lifecycle
from incidents.models import Event

from .case import Case
from .opening import lacks_system, link_title

#: Ids named in an event; the rest is a count.
NAMED = 20
#: During a storm only incidents at least as bad as this are announced one by one.
ANNOUNCED_IN_STORM = 2


def opened(case: Case, now: datetime) -> Event:
    lead = case.lead
    alerts = len(case.members) + case.joined
    text = f"{_alerts(alerts)} opened the incident: {_promotion(case)}."
    data: dict[str, Any] = {
        "severity": case.severity,
        "level": case.worst,
        "family": lead.item.family,
        "alerts": alerts,
        "alert_ids": _ids(case),
        "promoted": case.promoted,
        "by_hand": False,
        "announce": case.storm_id is None or case.severity <= ANNOUNCED_IN_STORM,
    }
    if case.storm_id is not None:
        data["storm"] = case.storm_id
    if lacks_system(lead):
        text += f" {link_title(lead)}."
        data["unlinked_system"] = lead.item.found.name
    return _event(case, "incident.opened", text, now, now, data)


def reopened(case: Case, now: datetime) -> Event:
    assert case.found is not None
    before = lifecycle.TITLES[case.found["state"]]
    text = f"It fires again within the time for recurrence: {before} → {lifecycle.TITLES[lifecycle.TRIAGED]}."
    data = {
        "from": case.found["state"], "to": "triaged", "move": "reopen", "alerts": len(case.members) + case.joined,
        "alert_ids": _ids(case), "announce": True,
    }  # fmt: skip
    return _event(case, "incident.reopened", text, now, now, data)


def attached(case: Case, now: datetime) -> Event:
    """New alerts of an incident that was there, and the consequences that were attached to it."""
    new = len(case.members) + case.joined
    said = []
    if new and not case.is_new:
        said.append(f"{_alerts(new)} joined the incident.")
    data: dict[str, Any] = {"alerts": 0 if case.is_new else new, "alert_ids": _ids(case), "suppressed": 0}
    if case.children:
        systems = sorted({e.item.system.slug for e in case.children if e.item.system})
        sets = sorted({e.why["topology"]["dataset"] for e in case.children if e.why})
        said.append(
            f"{_alerts(len(case.children))} of {', '.join(systems)} suppressed as consequences: "
            f"{'they consume' if len(systems) > 1 else 'it consumes'} {', '.join(sets)}."
        )
        data |= {"suppressed": len(case.children), "systems": systems, "datasets": sets}
    return _event(case, "alerts.attached", " ".join(said), now, now, {**data, "announce": False})


def recovered(case: Case, at: datetime, now: datetime) -> Event:
    return _event(
        case, "incident.recovered", "All alerts of the incident have resolved.", at, now,
        {"announce": case.storm_id is None or case.severity <= ANNOUNCED_IN_STORM},
    )  # fmt: skip


def refired(case: Case, now: datetime) -> Event:
    ids = [e.row["id"] for e in case.reported if e.turned and e.status == "firing"] + _ids(case)
    return _event(
        case, "incident.refired", "It had gone quiet and fires again.", now, now, {"alert_ids": ids[:NAMED]}
    )


def _event(case: Case, kind: str, text: str, at: datetime, now: datetime, data: dict[str, Any]) -> Event:
    return Event(incident_id=case.id, kind=kind, text=text, at=at, recorded_at=now, actor="intake", data=data)


def _ids(case: Case) -> list[int]:
    return [e.row["id"] for e in case.members + case.children][:NAMED]


def _alerts(n: int) -> str:
    return "1 alert" if n == 1 else f"{n} alerts"


def _promotion(case: Case) -> str:
    match case.promoted.get("by"):
        case "critical":
            return "a critical alert needs no second"
        case "signals":
            return f"{case.promoted['have']['signals']} independent warnings"
        case _:
            return f"the same warning in {case.promoted['have']['windows']} windows"
