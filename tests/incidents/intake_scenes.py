"""Scenes of intake: how signals, systems and incidents of the tests come about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, Q, Sum

from incidents.intake import ingest
from incidents.intake.signal import Signal
from incidents.models import AISystem, Alert, Dataset, Event, Incident, User

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


def at(minutes: float = 0, **span: float) -> datetime:
    """So many minutes (or days=…, hours=…) after noon."""
    return NOON + timedelta(minutes=minutes, **span)


def signal(fingerprint: str = "f1", **said: Any) -> Signal:
    """A critical drift alert of recs-home, unless told otherwise."""
    facts: dict[str, Any] = {
        "origin": "connection:1", "source": "alertmanager", "fingerprint": fingerprint, "status": "firing",
        "title": f"Alert {fingerprint}", "observed_at": NOON, "level": "critical", "family": "DRIFT",
        "system": "recs-home",
    }  # fmt: skip
    return Signal(**{**facts, **said})


def system(slug: str = "recs-home", *upstream: str, **said: Any) -> AISystem:
    found = AISystem.objects.create(slug=slug, name=said.pop("name", slug.title()), **said)
    found.upstream.set([Dataset.objects.get_or_create(name=name)[0] for name in upstream])
    return found


def anna() -> User:
    """An incident commander."""
    user = User.objects.create_user("anna")
    user.grants.create(role="IC")
    return user


def tell(*signals: Signal, now: datetime = NOON) -> Any:
    return ingest(signals, now)


def the_incident() -> Incident:
    return Incident.objects.get()


def kinds(incident: Incident | None = None) -> list[str]:
    events = Event.objects.order_by("id")
    return list((events.filter(incident=incident) if incident else events).values_list("kind", flat=True))


def put(incident: Incident, state: str, **columns: Any) -> None:
    """Set a state that people would have moved the incident to."""
    Incident.objects.filter(pk=incident.pk).update(state=state, **columns)


def counters_are_exact() -> bool:
    """The counters of every incident are what its alerts add up to."""
    for incident in Incident.objects.all():
        real = incident.alerts.aggregate(
            alerts=Count("id"), firing=Count("id", filter=Q(status="firing")), reports=Sum("count")
        )
        counted = (incident.alert_count, incident.firing_count, incident.report_count)
        if counted != (real["alerts"], real["firing"], real["reports"] or 0):
            raise AssertionError(f"{incident} counts {counted}, its alerts add up to {real}")
        assert (incident.recovered_at is not None) == (real["firing"] == 0)
    assert not Alert.objects.filter(disposition="attached", incident=None).exists()
    return True
