"""Silences: messages wait, state does not, and what still fires is told again."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from incidents import silences, sweeps
from incidents.access import NotAllowed
from incidents.models import Alert, Event, Silence, User
from tests.incidents.intake_scenes import (
    anna,
    at,
    counters_are_exact,
    kinds,
    signal,
    system,
    tell,
    the_incident,
)

pytestmark = pytest.mark.django_db


def quiet(matchers: str = 'system="recs-home"', minutes: float = 60, **said: object) -> Silence:
    by = User.objects.filter(username="anna").first() or anna()
    return silences.create(
        matchers=matchers, reason="Maintenance", ends_at=at(minutes), by=by, now=said.get("now", at())
    )  # type: ignore[arg-type]


def test_a_silenced_alert_opens_a_muted_incident() -> None:
    system()
    silence = quiet()
    tell(signal(observed_at=at(1)), now=at(1))
    incident, alert = the_incident(), Alert.objects.get()
    assert alert.silence == silence
    assert incident.muted_until == at(60)
    assert incident.state == "detected"
    assert "incident.opened" in kinds(incident)
    assert alert.why["silence"]["reason"] == "Maintenance"


def test_one_loud_alert_unmutes_the_incident() -> None:
    system()
    quiet('metric="psi"')
    tell(signal("a", metric="psi", value=0.4, sample_size=9000), now=at(1))
    assert the_incident().muted_until == at(60)
    tell(signal("b", metric="auc"), now=at(2))
    assert the_incident().muted_until is None
    tell(signal("b", metric="auc", status="resolved", observed_at=at(3)), now=at(3))
    assert the_incident().muted_until is None
    tell(signal("a", metric="psi", value=0.4, sample_size=9000, observed_at=at(4)), now=at(4))
    assert the_incident().muted_until == at(60)


def test_a_silence_covers_what_fires_already() -> None:
    system()
    tell(signal())
    quiet(now=at(5))
    assert the_incident().muted_until == at(60)
    assert Event.objects.get(kind="silence.created").data["alerts"] == 1


def test_a_resolve_passes_through_a_silence() -> None:
    system()
    quiet()
    tell(signal(), now=at(1))
    tell(signal(status="resolved", observed_at=at(2)), now=at(2))
    assert Alert.objects.get().status == "resolved"
    assert the_incident().recovered_at == at(2)
    assert "incident.recovered" in kinds()
    assert counters_are_exact()


def test_after_the_silence_what_still_fires_is_told_again_once() -> None:
    system()
    quiet()
    tell(signal("a"), signal("b"), now=at(1))
    assert sweeps.end_silences(at(59)) == 0
    assert sweeps.end_silences(at(61)) == 1
    assert sweeps.end_silences(at(62)) == 0
    event = Event.objects.get(kind="silence.ended")
    assert event.incident == the_incident()
    assert event.data["announce"] is True
    assert event.data["alerts"] == 2
    assert the_incident().muted_until is None
    assert not Alert.objects.exclude(silence=None).exists()


def test_what_recovered_under_the_silence_is_not_told_again() -> None:
    system()
    quiet()
    tell(signal(), now=at(1))
    tell(signal(status="resolved", observed_at=at(2)), now=at(2))
    sweeps.end_silences(at(61))
    assert "silence.ended" not in kinds()


def test_a_longer_silence_over_the_same_alert_keeps_it_quiet() -> None:
    system()
    first = quiet(minutes=30)
    longer = quiet('env="prod"', minutes=90)
    tell(signal(), now=at(1))
    Alert.objects.update(silence=first)
    sweeps.end_silences(at(31))
    assert Alert.objects.get().silence == longer
    assert the_incident().muted_until == at(90)
    assert "silence.ended" not in kinds()


def test_ending_a_silence_early_tells_at_once_and_only_once() -> None:
    system()
    silence = quiet()
    tell(signal(), now=at(1))
    silences.expire(silence, by=User.objects.get(username="anna"), now=at(10))
    silences.expire(silence, by=User.objects.get(username="anna"), now=at(11))
    assert kinds().count("silence.ended") == 1
    assert the_incident().muted_until is None
    tell(signal(observed_at=at(12)), now=at(12))
    assert Alert.objects.get().silence is None


def test_a_silence_that_never_began_leaves_nothing() -> None:
    by = anna()
    silence = silences.create(
        matchers='a="b"', reason="Later", starts_at=at(60), ends_at=at(90), by=by, now=at()
    )
    silences.expire(silence, by=by, now=at(1))
    assert not Silence.objects.exists()


def test_only_responders_silence_and_only_with_readable_matchers() -> None:
    stranger = User.objects.create_user("stranger")
    with pytest.raises(NotAllowed):
        silences.create(matchers='a="b"', reason="x", ends_at=at(1), by=stranger, now=at())
    by = anna()
    with pytest.raises(ValidationError):
        silences.create(matchers="(((", reason="x", ends_at=at(1), by=by, now=at())
    with pytest.raises(ValidationError):
        silences.create(matchers='a="b"', reason="x", ends_at=at(-1), by=by, now=at())
