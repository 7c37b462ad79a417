"""The demo's people, teams, AI systems and what feeds and serves them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib.auth.hashers import make_password
from django.utils import timezone

from config.demo.clock import Clock
from incidents.models import (
    AISystem,
    Dataset,
    Deployment,
    ModelVersion,
    RoleGrant,
    SystemLink,
    Team,
    User,
)  # fmt: skip

GATEWAY = "Demo model gateway"
BOARD = "https://grafana.example.org/d"

#: user name → (name, roles, team)
PEOPLE: dict[str, tuple[str, tuple[str, ...], str]] = {
    "ann": ("Ann Lindqvist", ("IC",), "response"),
    "mo": ("Mo Okafor", ("MO",), "ml"),
    "bo": ("Bo Hartmann", ("BO",), "business"),
    "sre": ("Sam Reyes", ("SRE",), "platform"),
    "sec": ("Selin Aksoy", ("SEC",), "security"),
    "mrc": ("Marc Dubois", ("MRC",), "risk"),
    "eth": ("Edith Moreau", ("ETH",), "risk"),
    "rep": ("Rita Pereira", ("REP",), "business"),
    "aud": ("Aude Keller", ("AUD",), "risk"),
    "dana": ("Dana Scholz", ("DSC", "MLE"), "ml"),
    "dev": ("Dev Nair", ("DE", "DST"), "data"),
    "saf": ("Sara Fonseca", ("SAF",), "clinical"),
    "leg": ("Lena Gruber", ("LEG", "DPO"), "risk"),
    "exe": ("Erik Solberg", ("EXE",), "business"),
}
TEAMS = {
    "response": "Incident response", "ml": "Machine learning", "platform": "Platform", "data": "Data platform",
    "security": "Security", "risk": "Risk and compliance", "business": "Product and business", "clinical": "Clinical safety",
}  # fmt: skip


#: S1: features that move with the season, and by how many standard deviations.
SEASONAL = {
    "price_band": 0.53, "category_affinity": 0.57, "days_since_last_visit": 0.44, "basket_value": 0.41,
    "discount_share": 0.46, "gift_flag_rate": 0.52, "session_minutes": 0.38, "search_share": 0.39, "evening_share": 0.42,
}  # fmt: skip
STEADY = (
    "account_age", "returns_12m", "device_score", "region_index", "page_depth", "scroll_rate", "newsletter_opens",
    "review_count", "wishlist_size", "brand_loyalty", "delivery_distance", "payment_speed", "support_contacts",
    "morning_share", "app_share",
)  # fmt: skip


@dataclass(frozen=True)
class Served:
    """One version: `since` and `until` are days before the end of the demo."""

    version: str
    since: float
    until: float | None = None
    trained: float = 0
    approved: bool = True
    notes: str = ""
    share: int = 100


@dataclass(frozen=True)
class Plan:
    """One AI system as it is set up."""

    slug: str
    name: str
    purpose: str
    tier: str
    decisions: str
    team: str
    served: tuple[Served, ...]
    upstream: tuple[str, ...]
    #: severity answers: SA RI OP FI SC RG RP, then harm, velocity, reversibility, workaround
    answers: tuple[str, str]
    fallback: str = "rules"
    data: dict[str, Any] = field(default_factory=dict)


_TX = {
    "reference": "tx_reference.csv", "current": "tx_current.csv", "required": ["tx_id", "amount", "currency"],
    "ranges": {"amount": [0, 10_000]}, "key_columns": ["tx_id"], "time_column": "at", "verification_minutes": 60,
}  # fmt: skip

SYSTEMS = (
    Plan(
        "recs-home", "Home page recommendations", "Ranks products on the shop's home page", "minimal", "low_stakes", "ml",
        (Served("v3.13", 160, 75, 168), Served("v3.14", 75, None, 80)),
        ("clickstream_daily", "product_catalogue"), ("1123312", "2101"), "popularity-blend",
        {"reference": "recs_reference.parquet", "current": "recs_current.parquet", "season_reference": "recs_season.parquet",
         "prediction_column": "score", "kpi_column": "clicked", "key_columns": ["session_id"], "features": [*SEASONAL, *STEADY],
         "verification_minutes": 1440},
    ),
    Plan(
        "retail-credit", "Retail credit scoring", "Decides on consumer loans up to EUR 25,000", "high", "consequential", "ml",
        (Served("v6.9", 430, 84, 450, notes="Scorecard; last fairness audit passed, ratio 0.87."),
         Served("v7.2", 84, None, 92, notes="Gradient boosting with device and location features.")),
        ("loan_applications", "bureau_scores"), ("1423444", "2111"), "scorecard-v6.9",
        {"reference": "credit_reference.parquet", "current": "credit_current.parquet", "group_column": "group",
         "prediction_column": "approved", "positive_label": 1, "label_column": "repaid", "stratum_column": "risk_band",
         "key_columns": ["application_id"], "features": ["device_price_tier", "postcode_cluster", "income_k", "utilisation"],
         "verification_minutes": 120},
    ),
    Plan(
        "readmit-risk", "Readmission risk", "Flags patients for follow-up care after discharge", "high", "consequential",
        "clinical",
        (Served("v2.3", 70, 46, 53, notes="Gold-set recall 0.86."), Served("v2.4", 46, None, 46, notes="Nightly increments.")),
        ("discharge_feed", "feedback_labels"), ("4333344", "2221"), "clinical-score",
        {"reference": "readmit_reference.csv", "current": "readmit_current.csv", "label_column": "readmitted_30d",
         "source_column": "source", "prediction_column": "risk_score", "key_columns": ["encounter_id"],
         "baseline_rate": 0.006, "verification_minutes": 120},
    ),
    Plan(
        "fraud-card", "Card fraud detection", "Declines card payments that look like fraud", "high", "consequential", "ml",
        (Served("v11", 190, 55, 200), Served("v12", 55, None, 63)), ("tx_enriched", "card_profiles"),
        ("1344433", "2211"), "rules-2", _TX,
    ),
    Plan(
        "fraud-p2p", "Transfer fraud detection", "Holds transfers between people for review", "limited", "consequential", "ml",
        (Served("v4", 120, None, 130),), ("tx_enriched",), ("1233322", "1111"), "rules-1", _TX,
    ),
    Plan(
        "limit-setter", "Spending limits", "Sets daily card limits", "limited", "consequential", "ml",
        (Served("v8", 210, 95, 216, share=100), Served("v9", 95, None, 101)), ("tx_enriched", "card_profiles"),
        ("1223322", "1101"), "static-limits", _TX,
    ),
    Plan(
        "support-bot", "Support assistant", "Answers customers in chat", "limited", "low_stakes", "business",
        (Served("2026-08", 100, 30, 101), Served("2026-10", 30, None, 31, share=100)), ("help_centre_index",),
        ("1122212", "1111"), "human-handover",
    ),
    Plan(
        "demand-forecast", "Demand forecast", "Plans stock per store and day", "minimal", "internal", "ml",
        (Served("v21", 140, 40, 147), Served("v22", 40, None, 44)), ("sales_hourly", "product_catalogue"),
        ("1122211", "1101"), "last-week",
    ),
)  # fmt: skip

DIMENSIONS = ("SA", "RI", "OP", "FI", "SC", "RG", "RP")
QUESTIONS = ("harm", "velocity", "reversibility", "workaround")


def answers(plan: Plan) -> dict[str, dict[str, int]]:
    """The plan's severity answers as `Incident.assess` takes them."""
    impact, urgency = plan.answers
    return {
        "impact": {code: int(level) for code, level in zip(DIMENSIONS, impact, strict=True)},
        "urgency": {code: int(score) for code, score in zip(QUESTIONS, urgency, strict=True)},
    }


def plan_of(slug: str) -> Plan:
    return next(plan for plan in SYSTEMS if plan.slug == slug)


def make_people(password: str) -> dict[str, User]:
    """Everybody with the same password, by user name."""
    teams = {slug: Team.objects.create(slug=slug, name=name) for slug, name in TEAMS.items()}
    hashed = make_password(password)  # slow on purpose, so once
    people = {}
    for username, (name, roles, team) in PEOPLE.items():
        first, _, last = name.partition(" ")
        person = User.objects.create(
            username=username, first_name=first, last_name=last, display_name=name, password=hashed,
            email=f"{username}@example.org", is_staff="IC" in roles,
        )  # fmt: skip
        person.teams.add(teams[team])
        RoleGrant.objects.bulk_create(RoleGrant(user=person, role=role) for role in roles)
        people[username] = person
    return people


def make_systems(clock: Clock, people: dict[str, User]) -> dict[str, AISystem]:
    """The inventory; returns systems by slug."""
    datasets: dict[str, Dataset] = {}
    data_team = Team.objects.get(slug="data")
    systems = {}
    for plan in SYSTEMS:
        system = AISystem.objects.create(
            slug=plan.slug, name=plan.name, purpose=plan.purpose, risk_tier=plan.tier, decision_type=plan.decisions,
            owner=people["mo"], team=Team.objects.get(slug=plan.team), data=plan.data,
            serving={"connection": GATEWAY, "fallback_version": plan.fallback},
            baseline_assessment=answers(plan), matchers=f'model="{plan.slug}"', created_at=clock.at(days=plan.served[0].since),
        )  # fmt: skip
        for name in plan.upstream:
            if name not in datasets:
                kind = "feature_view" if name.endswith(("profiles", "scores")) else "dataset"
                datasets[name] = Dataset.objects.create(
                    name=name, kind=kind, owner_team=data_team, location=f"s3://lake.example.org/{name}/"
                )
            system.upstream.add(datasets[name])
        for served in plan.served:
            _serve(system, served, clock, people)
        SystemLink.objects.bulk_create(
            [
                SystemLink(
                    system=system, kind="dashboard", title="Model dashboard", url=f"{BOARD}/{plan.slug}"
                ),
                SystemLink(
                    system=system,
                    kind="registry",
                    title="Registry",
                    url=f"https://mlflow.example.org/#/models/{plan.slug}",
                ),
                SystemLink(
                    system=system,
                    kind="runbook",
                    title="Runbook",
                    url=f"https://wiki.example.org/runbooks/{plan.slug}",
                ),
            ]
        )
        systems[plan.slug] = system
    return systems


def traffic() -> dict[str, dict[str, Any]]:
    """What the gateway serves at the beginning."""
    serving = {plan.slug: plan.served[-1].version for plan in SYSTEMS}
    return {slug: {"version": v, "weights": {v: 100}, "mode": "normal"} for slug, v in serving.items()}


def add_version(system: AISystem, version: str, author: User, notes: str) -> ModelVersion:
    """A candidate that is registered now and serves nowhere."""
    return ModelVersion.objects.create(
        system=system, version=version, registry_uri=f"models:/{system.slug}/{version}", trained_at=timezone.now(),
        training_data=f"{system.slug}@{version}", approved=True, author=author, notes=notes,
    )  # fmt: skip


def serve(system: AISystem, version: str) -> None:
    """From now on `version` takes all traffic of the system; what served before ends."""
    now = timezone.now()
    system.deployments.filter(ended_at=None).update(ended_at=now)
    Deployment.objects.create(
        system=system, version=system.versions.get(version=version),
        endpoint=f"https://models.example.org/{system.slug}", started_at=now,
    )  # fmt: skip


def _serve(system: AISystem, served: Served, clock: Clock, people: dict[str, User]) -> None:
    start, trained = clock.at(days=served.since), clock.at(days=served.trained or served.since + 6)
    version = ModelVersion.objects.create(
        system=system, version=served.version, registry_uri=f"models:/{system.slug}/{served.version}", trained_at=trained,
        training_data=f"{system.slug}@{served.version}", approved=served.approved, author=people["dana"],
        notes=served.notes, created_at=trained + timedelta(hours=5),
    )  # fmt: skip
    endpoint = f"https://models.example.org/{system.slug}"
    canary = start - timedelta(hours=22)
    Deployment.objects.create(
        system=system, version=version, endpoint=endpoint, traffic=10, started_at=canary, ended_at=start
    )
    Deployment.objects.create(
        system=system, version=version, endpoint=endpoint, traffic=served.share, started_at=start,
        ended_at=None if served.until is None else clock.at(days=served.until),
    )  # fmt: skip
