"""Incident → Report: what the facts say, beside what people wrote."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, cast

from django.utils import timezone

from incidents.models import Evidence, Incident, PostMortem
from incidents.models.people import ROLES
from incidents.postmortem import WRITTEN
from incidents.report import document as doc
from incidents.rescoring import progress_of

if TYPE_CHECKING:
    from incidents.models import Event

#: event kind → the mark of the timeline line
MARKS = {
    "incident.opened": "detected",
    "incident.acknowledged": "acked",
    "incident.triaged": "triaged",
    "incident.contained": "contained",
    "incident.mitigated": "mitigated",
    "incident.post_mortem": "review",
    "incident.closed": "closed",
    "incident.reopened": "reopened",
}
#: events that matter to machines or to the page, not to a reader of the report
LEFT_OUT = ("delivery.delivered", "delivery.retrying", "alerts.attached")


def report_of(incident: Incident) -> doc.Report:
    """The whole post-mortem of an incident as it stands now."""
    pm = PostMortem.objects.filter(incident=incident).first()
    events = list(incident.events.select_related("by").order_by("at", "id"))
    return doc.Report(
        header=_header(incident, pm),
        sections=tuple(_sections(incident, pm, events)),
        timeline=tuple(_line(e) for e in events if e.kind not in LEFT_OUT and e.text),
        times=doc.Times(
            onset=incident.onset_at, detected=incident.detected_at, opened=incident.opened_at, acked=incident.acked_at,
            triaged=incident.triaged_at, contained=incident.contained_at, mitigated=incident.mitigated_at,
            remediated=incident.remediated_at, review_started=incident.postmortem_at, approved=incident.pm_approved_at,
            closed=incident.closed_at,
        ),
        actions=tuple(
            doc.ActionLine(
                title=a.title, owner=str(a.owner), due=a.due_at, type=a.kind.replace("_", "-"), done_when=a.done_when,
                priority=a.priority, factor=a.factor.code if a.factor else "", status=a.status,
            )
            for a in incident.action_items.select_related("owner", "factor")
        ),
        evidence=tuple(
            doc.EvidenceLine(name=e.name, sha256=e.sha256, size=e.size, source=e.source or e.run_ref, at=e.at)
            for e in incident.evidence.defer("content")
        ),
        signoffs=tuple(
            doc.Signoff(
                name=str(r.by), role=ROLES.get(r.role, r.role), decision="approved" if r.approved else "declined", at=r.at,
                statement=r.comment,
            )
            for r in (pm.reviews.select_related("by") if pm else ())
        ),
    )  # fmt: skip


def _header(incident: Incident, pm: PostMortem | None) -> doc.Header:
    history = tuple(
        doc.SeverityChange(at=a.at, severity=f"SEV{a.chosen}", by=str(a.by or "matrix"), reason=a.reason)
        for a in incident.assessments.select_related("by").order_by("at", "id")
    )
    return doc.Header(
        id=incident.key,
        title=incident.title,
        severity=f"SEV{incident.severity}",
        state=incident.get_state_display(),
        status=cast("doc.Status", pm.status if pm else "draft"),
        generated_at=timezone.now(),
        family=incident.class_title,
        subtype=incident.subtype.replace("_", " "),
        systems=(str(incident.system),) if incident.system else (),
        commander=str(incident.owner or ""),
        owner=str(incident.system.owner or "") if incident.system else "",
        authors=tuple(str(a) for a in pm.authors.all()) if pm else (),
        reviewers=tuple(str(r.by) for r in pm.reviews.select_related("by")) if pm else (),
        classification="Restricted"
        if incident.restricted
        else (pm.classification.capitalize() if pm else "Internal"),
        severity_history=history,
    )


def _sections(incident: Incident, pm: PostMortem | None, events: list[Event]) -> list[doc.Section]:
    texts = pm.sections if pm else {}

    def written(
        key: str, tables: tuple[doc.Table, ...] = (), figures: tuple[doc.Figure, ...] = ()
    ) -> doc.Section:
        return doc.Section(
            key=key, title=WRITTEN[key][0], body_markdown=texts.get(key, ""), source="both" if tables or figures else "people",
            tables=tables, figures=figures,
        )  # fmt: skip

    def facts(key: str, title: str, tables: tuple[doc.Table, ...] = (), body: str = "") -> doc.Section:
        return doc.Section(key=key, title=title, body_markdown=body, source="facts", tables=tables)

    return [
        written("summary"),
        written("impact", (_impact(incident),)),
        facts("system", "System and lineage", _lineage(incident), "" if incident.system else "The AI system is not known."),
        facts("times", "Times"),
        facts("timeline", "Timeline"),
        written("detection", (_alerts(incident),)),
        doc.Section(
            key="diagnosis", title="Diagnosis", source="facts", figures=_figures(incident),
            tables=_steps("Checks and verdicts", [e for e in events if e.kind.startswith("step.") and e.data.get("verdict")]),
            body_markdown="" if incident.runs_attached else "No playbook ran.",
        ),
        written("root_cause", _factors(pm)),
        facts(
            "response", "Response", _steps("Steps of the playbook", [e for e in events if e.kind.startswith(("run.", "step.", "approval."))]),
            incident.no_playbook_reason,
        ),
        facts("mitigation", "Mitigation and verification", _verification(incident), _verification_text(incident)),
        written("fairness"),
        facts("regulatory", "Regulatory and notification log", _clocks(incident), "" if incident.clocks.exists() else "No clock ran."),
        facts("communications", "Communications", _comms(incident)),
        written("lessons"),
        doc.Section("actions", "Action items", pm.no_actions_because if pm else "", "people"),
        written("changes"),
        facts("similar", "Similar incidents", _similar(incident)),
        written("remedy"),
        written("questions"),
        doc.Section("signoffs", "Sign-offs", "", "people"),
        facts("evidence", "Evidence"),
    ]  # fmt: skip


def _line(event: Event) -> doc.TimelineLine:
    return doc.TimelineLine(
        at=event.at,
        text=event.text,
        mark=MARKS.get(event.kind, ""),
        actor=str(event.by) if event.by else event.actor,
        evidence=", ".join(f"E{pk}" for pk in event.data.get("evidence", [])),
    )


def _impact(incident: Incident) -> doc.Table:
    def number(value: object) -> str:
        return f"{value:,}" if value is not None else "not yet known"

    progress = progress_of(incident)
    return doc.Table(
        title="Impact in figures",
        columns=("Measure", "Value"),
        rows=(
            ("People adversely affected (best estimate)", number(incident.affected_people)),
            ("Exposed population", number(incident.exposed_population)),
            ("Decisions affected", number(incident.affected_decisions)),
            (
                "Decisions re-scored",
                f"{progress.done:,} of {progress.total:,}" if progress.total else "none listed",
            ),
            ("Estimated loss", number(incident.estimated_loss)),
            ("Serious incident, Art. 3(49)", incident.get_serious_incident_display()),
            ("Personal data involved", incident.get_personal_data_display()),
        ),
    )


def _lineage(incident: Incident) -> tuple[doc.Table, ...]:
    system = incident.system
    if system is None:
        return ()
    rows = [
        ("System", str(system)), ("Environment", system.environment), ("Risk tier", system.get_risk_tier_display()),
        ("Decisions", system.get_decision_type_display()), ("Owner", str(system.owner or "none")),
        ("Upstream data", ", ".join(str(d) for d in system.upstream.all()) or "none recorded"),
    ]  # fmt: skip
    tables = [doc.Table("System", ("Field", "Value"), tuple(rows))]
    if incident.serving:
        served = tuple((s["version"], s["endpoint"], f"{s['traffic']:g} %") for s in incident.serving)
        tables.append(doc.Table("Serving at detection", ("Version", "Endpoint", "Traffic"), served))
    return tuple(tables)


def _alerts(incident: Incident) -> doc.Table:
    rows = tuple(
        (doc.moment(a.first_seen), a.source, a.title, "" if a.value is None else f"{a.value:g}", "" if a.threshold is None else f"{a.threshold:g}", str(a.count))
        for a in incident.alerts.order_by("first_seen", "id")[:200]
    )  # fmt: skip
    return doc.Table("Alerts", ("First seen (UTC)", "Source", "Alert", "Value", "Limit", "Reports"), rows)


def _steps(title: str, events: list[Event]) -> tuple[doc.Table, ...]:
    if not events:
        return ()
    rows = tuple(
        (doc.moment(e.at), str(e.data.get("step", "")), e.text, str(e.data.get("verdict", "")))
        for e in events
    )
    return (doc.Table(title, ("Time (UTC)", "Step", "What", "Verdict"), rows),)


def _figures(incident: Incident) -> tuple[doc.Figure, ...]:
    plots: list[Evidence] = list(incident.evidence.filter(media_type="image/svg+xml").order_by("id")[:12])
    return tuple(doc.Figure(title=p.name, svg=bytes(p.content).decode(), alt=p.note or p.name) for p in plots)


def _factors(pm: PostMortem | None) -> tuple[doc.Table, ...]:
    if pm is None or not pm.factors.exists():
        return ()
    rows = tuple((f.code, f.statement, f.get_contribution_display(), f.evidence) for f in pm.factors.all())
    return (doc.Table("Contributing factors", ("Code", "What contributed", "Weight", "Evidence"), rows),)


def _verification(incident: Incident) -> tuple[doc.Table, ...]:
    checks = incident.verification.get("checks", [])
    if not checks:
        return ()
    rows = tuple(
        (
            str(c.get("name", "")),
            str(c.get("value", "")),
            str(c.get("limit", "")),
            "passed" if c.get("ok") else "failed",
        )
        for c in checks
    )
    return (doc.Table("Checks read back", ("Check", "Value", "Limit", "Result"), rows),)


def _verification_text(incident: Incident) -> str:
    if incident.verification:
        at = doc.moment(datetime.fromisoformat(incident.verification["at"]))
        result = "passed" if incident.verification["passed"] else "failed"
        return f"Verification by {incident.verification['by']} {result} at {at} UTC."
    given = [
        f"{a.by} ({a.get_role_display()}): {a.statement}" for a in incident.attestations.select_related("by")
    ]
    return "\n\n".join(given) or "Not verified yet."


def _clocks(incident: Incident) -> tuple[doc.Table, ...]:
    rows = tuple(
        (
            c.regime,
            c.article,
            doc.moment(c.anchor_at),
            doc.moment(c.due_at),
            c.get_state_display(),
            c.receipt or c.reason,
        )
        for c in incident.clocks.all()
    )
    return (
        (
            doc.Table(
                "Clocks", ("Regime", "Article", "From (UTC)", "Due (UTC)", "State", "Receipt or reason"), rows
            ),
        )
        if rows
        else ()
    )


def _comms(incident: Incident) -> tuple[doc.Table, ...]:
    def at(value: str | None) -> str:
        return doc.moment(datetime.fromisoformat(value)) if value else "not yet"

    rows = tuple((p["audience"], at(p["due_at"]), at(p.get("done_at"))) for p in incident.comms_plan)
    return (doc.Table("Plan", ("Audience", "Due (UTC)", "Told (UTC)"), rows),) if rows else ()


def _similar(incident: Incident) -> tuple[doc.Table, ...]:
    if incident.system_id is None:
        return ()
    others = Incident.objects.filter(
        system=incident.system, incident_class=incident.incident_class, restricted=False
    ).exclude(pk=incident.pk)
    rows = tuple((o.key, o.title, doc.moment(o.detected_at), o.get_state_display()) for o in others[:5])
    return (
        (doc.Table("Same system and class", ("Incident", "Title", "Detected (UTC)", "State"), rows),)
        if rows
        else ()
    )
