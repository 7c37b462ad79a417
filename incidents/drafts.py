"""Ready drafts of what each audience of the communications plan is told, from what is known now.

A draft says only what the incident records; what is not known is said to be not known.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.utils import timezone

from incidents import lifecycle

if TYPE_CHECKING:
    from incidents.models import Incident

#: who works on it, who decides on law and risk, who answers for the business; the rest talks to customers
TECHNICAL = frozenset(
    {"Model owner, commander, platform", "Data producer or steward", "Security on-call", "Model owner"}
)
GOVERNANCE = frozenset(
    {"Data protection officer", "Model risk and compliance", "Ethics reviewer", "Legal counsel"}
)
BUSINESS = frozenset({"Business owner", "Executive sponsor"})  # fmt: skip


def next_update(incident: Incident) -> datetime | None:
    """When the people who work on it hear next; None when no further update is owed."""
    return incident.dues.filter(kind="update", met_at=None).values_list("due_at", flat=True).first()


def draft(incident: Incident, audience: str) -> tuple[str, str]:
    """(subject, text) for one audience; the text is plain, one statement a line."""
    if audience in TECHNICAL:
        lines = [*_what(incident), *_technical(incident)]
    elif audience in GOVERNANCE:
        lines = [*_what(incident), *_effect(incident), *_governance(incident)]
    elif audience in BUSINESS:
        lines = [*_what(incident), *_effect(incident), *_work(incident)]
    else:
        return f"Known issue: {incident.class_title.lower()}", "\n".join(_outside(incident))
    due = next_update(incident)
    lines.append(f"Next update by {_time(due)}." if due else "No further update is planned.")
    lines.append(f"Reference: {incident.key}.")
    return f"[SEV{incident.severity}] {incident.key} {incident.title}", "\n".join(lines)


def _what(incident: Incident) -> list[str]:
    about = f" on {incident.system}" if incident.system else ""
    return [
        f"{incident.class_title}{about}: {incident.title}",
        f"Detected {_time(incident.detected_at)}; "
        + (f"it began {_time(incident.onset_at)}." if incident.onset_at else "when it began is not known yet."),
        f"State: {incident.get_state_display().lower()}"
        + (f", contained {_time(incident.contained_at)}." if incident.contained_at else ", not contained yet."
           if incident.state in (lifecycle.DETECTED, lifecycle.TRIAGED) else "."),
    ]  # fmt: skip


def _technical(incident: Incident) -> list[str]:
    lines = [
        f"Served at detection: {s['version']} with {s['traffic']:g} % on {s['endpoint']}."
        for s in incident.serving
    ]
    firing = list(incident.alerts.filter(status="firing").order_by("-last_seen")[:5])
    lines += [
        f"Firing: {a.title}" + (f" ({a.metric} {a.value:.4g})" if a.metric and a.value is not None else "")
        for a in firing
    ]
    if incident.firing_count > len(firing):
        lines.append(f"… and {incident.firing_count - len(firing)} more alerts.")
    elif not firing:
        lines.append("No alert fires now.")
    return [*lines, *_work(incident)]  # fmt: skip


def _effect(incident: Incident) -> list[str]:
    people = (
        f"People affected: {incident.affected_people:,}"
        if incident.affected_people is not None
        else "How many people are affected is not known yet"
    )
    exposed = f" of {incident.exposed_population:,} exposed" if incident.exposed_population else ""
    lines = [f"{people}{exposed}."]
    if incident.estimated_loss is not None:
        lines.append(f"Estimated loss: {incident.estimated_loss:,.2f}.")
    return lines


def _governance(incident: Incident) -> list[str]:
    lines = [
        f"Serious incident in the sense of Art. 3(49): {incident.get_serious_incident_display().lower()}.",
        f"Personal data involved: {incident.get_personal_data_display().lower()}.",
    ]
    lines += [
        f"Clock {clock}: due {_time(clock.due_at)}."
        for clock in incident.clocks.filter(state__in=("provisional", "running"))
    ]
    if incident.evidence_hold:
        lines.append("Evidence is on hold: nothing that destroys it runs.")
    return lines


def _work(incident: Incident) -> list[str]:
    led = f"{incident.owner} leads the response." if incident.owner else "Nobody leads the response yet."
    tasks = [t.title for t in incident.tasks.filter(done_at=None)[:3]]
    return [led, *([f"Open: {'; '.join(tasks)}."] if tasks else [])]


def _outside(incident: Incident) -> list[str]:
    """For those who talk to customers: no cause, no figures, no names."""
    about = f" of {incident.system}" if incident.system else ""
    solved = incident.state not in (lifecycle.DETECTED, lifecycle.TRIAGED)
    return [
        f"Since {_time(incident.onset_at or incident.detected_at)} results{about} may be wrong or missing.",
        "The cause of the disturbance is removed." if solved
        else "The effect is contained; we are working on the cause." if incident.contained_at
        else "We know about it and are working on it.",
        f"Please refer questions to us under {incident.key}, and do not promise a time of repair.",
    ]  # fmt: skip


def _time(moment: datetime | None) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M %Z}" if moment else "not known"
