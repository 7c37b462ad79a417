"""An edited matrix tried on what happened: how it would have rated the incidents of the last days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from incidents import severity as rules
from incidents.models import Incident, SeverityAssessment

MOST = 5000


@dataclass(frozen=True, slots=True)
class Rated:
    """One incident whose severity would be another: as the saved matrix computes it, as the edited one would."""

    incident: Incident
    saved: int
    edited: int


@dataclass(slots=True)
class Trial:
    """`rated` incidents with answers; `changed` ones, the most raised first; `problems` what cannot be applied."""

    rated: int = 0
    without: int = 0
    worse: int = 0
    milder: int = 0
    changed: list[Rated] = field(default_factory=list)
    saved: Counter[int] = field(default_factory=Counter)
    edited: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def table(self) -> list[tuple[int, int, int]]:
        """(severity, how many by the saved matrix, how many by the edited one)."""
        return [(level, self.saved[level], self.edited[level]) for level in range(1, 6)]


def try_on_past(edited: Mapping[str, Any], saved: Mapping[str, Any], days: int = 30) -> Trial:
    """Rate each incident detected in the last `days` anew, with its newest answers, by both matrices."""
    since = timezone.now() - timedelta(days=days)
    newest = SeverityAssessment.objects.filter(incident=OuterRef("pk")).order_by("-at", "-id")
    incidents = (
        Incident.objects.filter(detected_at__gte=since)
        .annotate(assessment=Subquery(newest.values("pk")[:1]))
        .order_by("-detected_at", "-id")[:MOST]
    )
    found = list(incidents)
    answers = dict(
        SeverityAssessment.objects.filter(pk__in=[i.assessment for i in found if i.assessment]).values_list(
            "pk", "answers"
        )
    )
    trial = Trial()
    for incident in found:
        given = answers.get(incident.assessment)
        if given is None:
            trial.without += 1
            continue
        try:
            before, after = (_computed(profile, given) for profile in (saved, edited))
        except ValueError as error:
            trial.problems.append(f"{incident.key}: {error}")
            continue
        trial.rated += 1
        trial.saved[before] += 1
        trial.edited[after] += 1
        if before != after:
            trial.changed.append(Rated(incident, before, after))
            trial.worse += after < before
            trial.milder += after > before
    trial.changed.sort(key=lambda one: one.edited - one.saved)
    return trial


def _computed(profile: Mapping[str, Any], answers: Mapping[str, Any]) -> int:
    return rules.assess(
        profile, answers.get("impact", {}), answers.get("urgency", {}), answers.get("facts"),
        bool(answers.get("cap_approved")),
    ).computed  # fmt: skip
