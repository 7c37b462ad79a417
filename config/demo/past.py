"""Forty incidents that are over, so that lists, search and key figures have something to show."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from config.demo import world
from config.demo.clock import Clock
from incidents import postmortem
from incidents.models import (
    ActionItem,
    AISystem,
    Event,
    Evidence,
    Incident,
    PostMortem,
    Review,
    User,
)  # fmt: skip

HOW_MANY = 40
FIRST, LAST = 175.0, 44.0  #: days before the end


@dataclass(frozen=True)
class Kind:
    """A kind of incident as it comes again and again."""

    system: str
    incident_class: str
    title: str
    factor: str
    cause: str
    action: str
    done_when: str
    severities: tuple[int, ...] = (3, 4)


KINDS = (
    Kind("recs-home", "DRIFT", "Campaign changes what visitors look at", "CF-EXTERNAL-EVENT", "The campaign calendar is not known to the drift job.",
         "Feed the campaign calendar to the drift job", "A replayed campaign raises no critical alert"),
    Kind("recs-home", "INTEG", "Feature store answers slowly", "CF-CAPACITY", "The feature store had no headroom for the evening peak.",
         "Alert at 70 % of the feature store's capacity", "The alert fires in a load test at 70 %"),
    Kind("retail-credit", "COMPL", "Validation report overdue", "CF-POLICY", "Nobody owned the date of the yearly validation.",
         "Put validation dates into the inventory with an owner", "Each high-risk system shows its next date", (4, 5)),
    Kind("retail-credit", "DATAQ", "Bureau scores missing for a region", "CF-VENDOR", "The bureau changed a region code without notice.",
         "Check region coverage in the bureau contract", "A missing region fails the contract in staging", (2, 3)),
    Kind("fraud-card", "PERF", "Precision of declines below target", "CF-THRESHOLD", "The threshold was set on last year's mix of merchants.",
         "Recalibrate the threshold every month", "Precision stays within 2 points for three months", (2, 3, 3)),
    Kind("fraud-card", "INTEG", "Scoring timeouts at the gateway", "CF-CONFIG", "A retry policy doubled the load on a slow replica.",
         "Cap retries of the scoring client at one", "No more than 1.1 calls per decision in the trace"),
    Kind("fraud-p2p", "ADVERS", "Transfers split below the review limit", "CF-EVAL-GAP", "The test set had no split transfers.",
         "Add split transfers to the red-team suite", "Recall on split transfers is at least 0.9", (2, 3)),
    Kind("limit-setter", "DATAQ", "Spending history arrives a day late", "CF-MONITOR-MISSING", "Freshness of the history was not watched.",
         "Watch freshness of the spending history", "A late partition is reported within 2 hours", (3, 4, 5)),
    Kind("limit-setter", "BIAS", "Lower limits for customers without a landline", "CF-REPRESENT", "The field stood in for age and region.",
         "Remove the landline feature", "Ratio of mean limits between regions is above 0.9", (2,)),
    Kind("support-bot", "HALLUC", "Invented opening hours", "CF-KNOWLEDGE", "The index held pages of closed shops.",
         "Remove withdrawn pages from the index nightly", "No withdrawn page is found by 50 test questions"),
    Kind("support-bot", "INJECT", "Instruction hidden in a customer's mail", "CF-GUARDRAIL", "Quoted mail was not marked as foreign text.",
         "Mark quoted text as data before the model sees it", "The injection suite passes with 0 of 120", (2, 3)),
    Kind("support-bot", "LEAK", "Internal ticket number in an answer", "CF-GUARDRAIL", "The output filter did not know ticket numbers.",
         "Teach the output filter our ticket numbers", "The filter masks 20 of 20 test answers", (3, 4)),
    Kind("demand-forecast", "DRIFT", "Bank holiday moves demand", "CF-DATA-SHIFT", "Moving holidays were not a feature.",
         "Add moving holidays to the features", "Error on last year's holidays is below 15 %", (4, 4, 5)),
    Kind("demand-forecast", "DATAQ", "Double counting of returns", "CF-DATA-CONTRACT", "Returns were booked twice after a change of the till.",
         "Agree on a contract for returns with the till team", "Duplicate returns fail the contract"),
    Kind("readmit-risk", "PERF", "Calibration off after a new ward", "CF-REPRESENT", "The new ward was not in the training data.",
         "Recalibrate when a ward joins", "Calibration error per ward is below 0.05", (2, 3)),
)  # fmt: skip
SOURCES = ("alertmanager", "alertmanager", "generic", "cloudevents", "generic", "person")


def live_through(clock: Clock, people: dict[str, User], systems: dict[str, AISystem]) -> None:
    """Play HOW_MANY incidents from detection to their end, each by its real verbs with the times of then."""
    rng = random.Random(7)  # noqa: S311  the same past for everybody
    step = (FIRST - LAST) / HOW_MANY
    with transaction.atomic():
        for number in range(HOW_MANY):
            kind = KINDS[(number * 7) % len(KINDS)]
            end = clock.at(days=FIRST - number * step)
            incident = _one(kind, rng.choice(kind.severities), rng, people, systems[kind.system], end)
            _date_back(incident, end)


def _date_back(incident: Incident, end: datetime) -> None:
    """The post-mortem's verbs know only the present: their facts belong to the last two days of the incident. What was
    told then is not told again now."""
    told = Event.objects.filter(incident=incident)
    told.filter(Q(kind__startswith="postmortem.") | Q(kind__startswith="action.")).update(
        at=end - timedelta(hours=30)
    )
    told.update(recorded_at=F("at"), published_at=F("at"))
    PostMortem.objects.filter(incident=incident).update(
        created_at=end - timedelta(hours=40), updated_at=end - timedelta(hours=30)
    )
    ActionItem.objects.filter(incident=incident).update(
        created_at=end - timedelta(hours=30), closed_at=end - timedelta(hours=2)
    )
    Review.objects.filter(postmortem__incident=incident).update(at=end - timedelta(hours=6))
    approved = end - timedelta(hours=6) if incident.pm_approved_at else None
    Incident.objects.filter(pk=incident.pk).update(pm_approved_at=approved, updated_at=end)


def _one(
    kind: Kind, severity: int, rng: random.Random, people: dict[str, User], system: AISystem, now: datetime
) -> Incident:  # fmt: skip
    ann = people["ann"]
    closed_after = timedelta(days=rng.uniform(2.5, 9))
    detected = now - closed_after
    pace = {1: 0.3, 2: 0.5, 3: 1.0, 4: 2.0, 5: 3.0}[severity]

    def after(minutes: float) -> timedelta:
        return timedelta(minutes=minutes * pace * rng.uniform(0.5, 1.6))

    incident = Incident.declare(
        title=f"{system.name}: {kind.title[0].lower()}{kind.title[1:]}", by=people["sre"], incident_class=kind.incident_class,
        system=system, severity=severity, at=detected, summary=f"{kind.title}. {kind.cause}",
    )  # fmt: skip
    source = rng.choice(SOURCES)
    Incident.objects.filter(pk=incident.pk).update(
        detection_source=source, alert_count=0 if source == "person" else rng.randint(1, 9)
    )
    acked = detected + after(18)
    triaged = acked + after(70)
    incident.acknowledge(by=ann, at=acked)
    plan = world.plan_of(kind.system)
    given = world.answers(plan)
    if rng.random() < 0.12:
        incident.move(
            "false_positive",
            by=ann,
            at=triaged,
            note="Checked by hand: the monitor compared the wrong windows.",
        )
        return incident
    incident.move(
        "triaged", by=ann, at=triaged, owner=ann, onset_at=detected - after(rng.choice((40, 240, 1500))), onset_confidence="medium",
        serious_incident="no", personal_data="no", realisation="incident", intent="accidental",
        assessment={**given, "chosen": severity, "reason": "Small share of the traffic, seen early."},
    )  # fmt: skip
    contained = triaged + after(120)
    mitigated = min(contained + after(420), now - timedelta(hours=30))
    Evidence.keep(
        incident,
        "figures.json",
        f'{{"system": "{system.slug}", "severity": {severity}}}'.encode(),
        source="monitor",
        at=triaged,
    )
    incident.contain(by=ann, at=contained)
    incident.verified(
        passed=True,
        source="manual check",
        checks=[{"name": "Main figure is back within its range", "ok": True}],
        at=mitigated,
    )
    incident.move(
        "mitigated",
        by=ann,
        at=mitigated,
        no_playbook_reason="Handled by the runbook; playbooks were introduced later.",
    )
    incident.move(
        "post_mortem", by=ann, at=mitigated + timedelta(hours=3), harm_stopped=True, affected_frozen=True,
        affected_people=rng.choice((0, 0, 12, 140)) if severity <= 3 else 0, measures_planned=True,
        no_remediation_reason="Nothing had to be corrected for anybody.", estimated_loss=rng.randint(1, 60) * 500,
    )  # fmt: skip
    _learn(kind, severity, incident, people, now)
    incident.move("closed", by=ann, at=now)
    return incident


def _learn(kind: Kind, severity: int, incident: Incident, people: dict[str, User], now: datetime) -> None:
    mo = people["mo"]
    pm = postmortem.draft(incident, by=mo)
    postmortem.write(
        pm,
        {
            "impact": f"Users of {incident.system} were served worse until the containment; nobody was harmed.",
            "root_cause": f"{kind.cause} It was not seen earlier because the limit in force was too generous.",
        },
        by=mo,
    )
    factor = postmortem.name_factor(pm, by=mo, code=kind.factor, statement=kind.cause)
    if severity <= 3:
        item = postmortem.add_action(
            incident, by=mo, title=kind.action, kind="prevent", owner=people["dana"],
            due_at=(now + timedelta(days=30)).date(), done_when=kind.done_when, factor=factor, priority="P2",
        )  # fmt: skip
        postmortem.finish_action(
            item, by=people["dana"], evidence=f"Change merged and tested: {kind.done_when}."
        )
    else:
        PostMortem.objects.filter(pk=pm.pk).update(
            no_actions_because="The cause is known and its cost is below the effort."
        )
    pm.refresh_from_db()
    for username, role in (("mrc", "MRC"), ("bo", "BO"), ("eth", "ETH")):
        if severity <= 2:
            postmortem.review(pm, by=people[username], role=role, approved=True)
    incident.refresh_from_db()
