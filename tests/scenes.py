"""People, systems and incidents that tests talk about; each call shows what the world contains."""

from __future__ import annotations

from typing import Any

from incidents.models import AISystem, Incident, RoleGrant, User

ALL_ONES = {"SA": 1, "RI": 1, "OP": 1, "FI": 1, "SC": 1, "RG": 1, "RP": 1}
CALM = {"harm": 0, "velocity": 0, "reversibility": 0, "workaround": 0}


def person(name: str, *roles: str, **fields: Any) -> User:
    """A user who holds `roles` everywhere."""
    user = User.objects.create_user(username=name, password="correct horse battery", **fields)
    for role in roles:
        RoleGrant.objects.create(user=user, role=role)
    return user


def system(slug: str = "credit-risk", **fields: Any) -> AISystem:
    return AISystem.objects.create(slug=slug, **{"name": slug.replace("-", " ").title(), **fields})


def incident(by: User | None = None, **fields: Any) -> Incident:
    """An incident that `by` (or a commander made for it) declared."""
    by = by or User.objects.filter(username="ann").first() or person("ann", "IC")
    return Incident.declare(
        by=by, **{"title": "Income drifts", "incident_class": "DRIFT", "severity": 3, **fields}
    )


def triaged(by: User, **fields: Any) -> Incident:
    """An incident that `by` has triaged at SEV3 on a linked system."""
    found = incident(by, **{"system": system("triaged-system"), **fields})
    found.acknowledge(by=by)
    found.move(
        "triaged",
        by=by,
        assessment={
            "impact": {**ALL_ONES, "OP": 3},
            "urgency": {"harm": 2, "velocity": 1, "reversibility": 0, "workaround": 1},
        },
    )
    return found
