"""Event → deliveries: who hears what, by routes. Writes rows only; called by the relay."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.conf import settings
from django.utils import timezone

from incidents.matchers import any_line_matches, parse
from incidents.report import export
from incidents.report.facts import report_of
from incidents.wake import wake
from integrations import shelf
from integrations.contract import Announcement
from integrations.models import Connection, Delivery, RemoteLink, Route
from playbooks import facts, links
from playbooks.expressions import ExpressionError, substitute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from incidents.models import Event, Incident, User

#: event kind → announcement kind. Severity changes are decided in `kind_of`.
KINDS = {
    "incident.opened": "opened",
    "incident.acknowledged": "acknowledged",
    "incident.assigned": "updated",
    "incident.escalated": "escalated",
    "incident.triaged": "updated",
    "incident.contained": "updated",
    "incident.unverified": "updated",
    "incident.mitigated": "mitigated",
    "incident.recovered": "updated",
    "incident.refired": "updated",
    "incident.reopened": "reopened",
    "incident.post_mortem": "updated",
    "incident.closed": "closed",
    "incident.false_positive": "resolved",
    "incident.duplicate": "resolved",
    "incident.merged": "resolved",
    "approval.requested": "approval",
    "approval.handed_on": "approval",
    "note.added": "comment",
    "action.added": "items",
    "action.done": "items",
    "postmortem.published": "postmortem",
    "connection.paused": "notice",
    "notice.requested": "notice",
    "storm.started": "notice",
    "storm.ended": "notice",
    "silence.ended": "opened",
}
#: Alerts of one incident that are named to the tool they came from.
ALERTS = 20
#: These tell an outside tool that something it shows is over: they pass through silence.
ENDINGS = frozenset({"mitigated", "resolved", "closed"})


def kind_of(event: Event) -> str | None:
    """The announcement kind of an event, or None when nobody outside is told."""
    if event.data.get("announce") is False:
        return None
    if event.kind == "incident.severity_changed":
        return "escalated" if event.data.get("to", 5) < event.data.get("from", 1) else "updated"
    return KINDS.get(event.kind)


def labels_of(incident: Incident | None) -> dict[str, str]:
    """What a route's matchers see."""
    if incident is None:
        return {"restricted": "false"}
    system = incident.system
    return {
        "severity": str(incident.severity),
        "class": incident.incident_class,
        "state": incident.state,
        "restricted": str(incident.restricted).lower(),
        "system": system.slug if system else "",
        "environment": system.environment if system else "",
        "team": system.team.slug if system and system.team else "",
        "risk_tier": system.risk_tier if system else "",
    }


def routes_for(kind: str, incident: Incident | None) -> list[Route]:
    """Active routes that carry this kind for this incident. A restricted incident leaves the house
    only by routes that name `restricted` themselves."""
    labels = labels_of(incident)
    active = Route.objects.filter(active=True, connection__enabled=True).select_related("connection")
    return [route for route in active if leads(route, kind, labels)]


def leads(route: Route, kind: str, labels: Mapping[str, str]) -> bool:
    """Whether news of this kind, about an incident with these labels, goes by the route."""
    if route.kinds and kind not in route.kinds:
        return False
    if not shelf.provider(route.connection.provider).takes(kind, route.connection.settings):
        return False
    named = any(m.name == "restricted" for line in parse(route.matchers) for m in line)
    if labels["restricted"] == "true" and not named:
        return False
    return not route.matchers.strip() or any_line_matches(route.matchers, labels)


def on_event(event: Event) -> None:
    """Queue one delivery per connection and channel that some route leads to; never back to the connection that
    told it."""
    kind = kind_of(event)
    if kind is None:
        return
    incident = event.incident
    seen: set[tuple[int, str]] = set()
    for route in routes_for(kind, incident):
        connection = route.connection
        if (connection.pk, route.channel) in seen or event.data.get("origin") == connection.origin:
            continue
        seen.add((connection.pk, route.channel))
        told_before = (
            incident is not None
            and Delivery.objects.filter(connection=connection, incident=incident).exists()
        )
        if incident is not None and incident.is_muted and not (kind in ENDINGS and told_before):
            continue
        if kind in ENDINGS and not told_before:
            continue
        what = routed(announcement_of(event, kind), route, incident)
        if kind == "approval":
            offered = links.offered(event.data.get("approval"), route.channel)
            what = replace(what, actions=(*what.actions, *offered))
        queue(connection, what, incident=incident, event=event)


def routed(what: Announcement, route: Route, incident: Incident | None) -> Announcement:
    """The announcement as this route sends it: to its channel, in its words."""
    if what.kind == "acknowledged" and incident is not None:
        what = replace(what, alerts=alerts_of(incident, route.connection))
    if not route.channel and not route.template.strip():
        return what
    key = f"{what.idempotency_key}:{route.channel}"[:200] if route.channel else what.idempotency_key
    text = worded(route.template, what, incident)
    return replace(
        what, channel=route.channel, idempotency_key=key, text=text or what.text, worded=bool(text)
    )


def alerts_of(incident: Incident, connection: Connection) -> tuple[dict[str, str], ...]:
    """The labels of the incident's firing alerts that came in by this connection, ALERTS at most."""
    firing = incident.alerts.filter(status="firing", origin=connection.origin).order_by("pk")
    return tuple(firing.values_list("labels", flat=True)[:ALERTS])


def worded(template: str, what: Announcement, incident: Incident | None) -> str:
    """The template with its places filled: {{ incident.title }}, {{ system.name }}, {{ message.text }} and the
    like. A place that cannot be filled says so in the text: a message is never lost for its wording."""
    if not template.strip():
        return ""
    scope = {
        "incident": facts.of_incident(incident) if incident else {},
        "system": facts.of_system(incident.system if incident else None),
        "message": {name: value for name, value in asdict(what).items() if isinstance(value, str | int)},
    }
    try:
        return str(substitute(template, scope))
    except ExpressionError as error:
        return f"{what.text}\n(The template of this route could not be filled: {error})"


def announcement_of(event: Event, kind: str) -> Announcement:
    """The facts of an event as a provider gets them."""
    incident = event.incident
    base = settings.HOLDFAST_BASE_URL.rstrip("/")
    key = f"event:{event.pk}"
    if incident is None:
        return Announcement(
            kind=kind, idempotency_key=key, incident_key="", title=event.text[:200], severity=5, state="", text=event.text,
            url=base, source="Holdfast", at=event.at.isoformat(),
        )  # fmt: skip
    served = incident.serving[0] if incident.serving else {}
    url = base + incident.get_absolute_url()
    actions = [("Decide", base + event.data["url"])] if kind == "approval" and event.data.get("url") else []
    lines = [("Alerts", f"{incident.alert_count} ({incident.firing_count} firing)")]
    if incident.contained_at:
        lines.append(("Contained", incident.contained_at.strftime("%Y-%m-%d %H:%M UTC")))
    for name, value in event.data.get("facts", []):
        lines.append((str(name), str(value)))
    return Announcement(
        kind=kind,
        idempotency_key=key,
        incident_key=incident.key,
        title=incident.title,
        severity=incident.severity,
        state=incident.state,
        text=event.text,
        system=incident.system.name if incident.system else "",
        version=str(served.get("version", "")),
        incident_class=incident.class_title,
        owner=str(incident.owner) if incident.owner else "",
        url=url,
        source=incident.detection_source or "Holdfast",
        at=event.at.isoformat(),
        facts=tuple(lines),
        actions=tuple(actions),
        document=document_of(incident) if kind == "postmortem" else "",
        items=items_of(incident) if kind in ("postmortem", "items") else (),
        approval=str(event.data.get("approval") or ""),
        owner_email=incident.owner.email if incident.owner else "",
    )


def items_of(incident: Incident) -> tuple[dict[str, str], ...]:
    """The incident's action items as providers that carry them get them."""
    items = incident.action_items.select_related("owner").order_by("pk")
    return tuple(
        {
            "key": f"{incident.key}-A{one.pk}", "title": one.title, "owner": one.owner.email or str(one.owner),
            "due": one.due_at.isoformat(), "state": one.status, "priority": one.priority, "done_when": one.done_when,
        }
        for one in items
    )  # fmt: skip


def document_of(incident: Incident) -> str:
    """The post-mortem as Markdown."""
    return export(report_of(incident), "md").content.decode()


def queue(
    connection: Connection,
    what: Announcement,
    *,
    incident: Incident | None = None,
    event: Event | None = None,
) -> Delivery:
    """One row per connection and idempotency key; asking twice returns the row that is there."""
    delivery, made = Delivery.objects.get_or_create(
        connection=connection,
        idempotency_key=what.idempotency_key,
        defaults={
            "incident": incident,
            "event": event,
            "kind": what.kind,
            "place": what.kind
            if what.kind == "answer"
            else what.channel[:200],  # each has a place of its own
            "announcement": asdict(what),
            "next_attempt_at": timezone.now(),
        },
    )
    if made:
        wake("delivery", delivery.pk)
    return delivery


def queue_test(connection: Connection, *, by: User) -> Delivery:
    """Queue a message that says it is a test; each is a delivery of its own."""
    what = Announcement(
        kind="test", idempotency_key=f"test:{uuid4()}", incident_key="TEST", title="Test from Holdfast", severity=5,
        state="", text=f"{by} tested this connection. Nothing is wrong.", url=settings.HOLDFAST_BASE_URL,
        source="Holdfast", at=timezone.now().isoformat(),
    )  # fmt: skip
    return queue(connection, what)


def restore(data: Mapping[str, Any]) -> Announcement:
    """The announcement again from its stored JSON."""
    pairs = {
        name: tuple((str(a), str(b)) for a, b in data.get(name, ())) for name in ("facts", "links", "actions")
    }
    listed = {
        name: tuple({str(key): str(value) for key, value in one.items()} for one in data.get(name, ()))
        for name in ("items", "alerts")
    }
    return Announcement(**{**data, **pairs, **listed})


def link_of(connection: Connection, incident: Incident | None) -> dict[str, Any] | None:
    """What earlier deliveries for the incident left at this connection."""
    if incident is None:
        return None
    link = RemoteLink.objects.filter(connection=connection, incident=incident).first()
    return link.as_mapping() if link else None
