"""Storms: one record and few messages when an origin floods; and the sweeps that time brings."""

from __future__ import annotations

import pytest

from incidents import sweeps
from incidents.models import Alert, Event, Incident, Storm
from tests.incidents.intake_scenes import (
    at,
    counters_are_exact,
    kinds,
    put,
    signal,
    system,
    tell,
    the_incident,
)

pytestmark = pytest.mark.django_db
SEVERE = {"impact": {"SA": 5}, "urgency": {"harm": 2, "velocity": 3, "reversibility": 2, "workaround": 2}}


def flood(n: int, minutes: float = 0, prefix: str = "f", **said: object) -> None:
    tell(*[signal(f"{prefix}{i}", observed_at=at(minutes), **said) for i in range(n)], now=at(minutes))


def test_twenty_new_alerts_are_no_storm_and_twenty_one_are() -> None:
    system()
    flood(20)
    assert not Storm.objects.exists()
    flood(1, 1, "g")
    storm = Storm.objects.get()
    assert (storm.alerts, storm.origin, storm.open_key) == (21, "connection:1", "connection:1")
    assert kinds().count("storm.started") == 1


def test_reports_of_known_alerts_are_no_storm() -> None:
    system()
    for minute in range(5):
        flood(20, minute)
    assert not Storm.objects.exists()


def test_slow_rain_is_no_storm() -> None:
    system()
    for i in range(6):
        flood(10, i * 6, f"r{i}-")
    assert not Storm.objects.exists()


def test_two_origins_of_fifteen_each_are_no_storm() -> None:
    system()
    flood(15, origin="connection:1")
    flood(15, origin="connection:2")
    assert not Storm.objects.exists()


def test_a_storm_counts_on_and_begins_once() -> None:
    system()
    flood(30)
    flood(30, 1, "g")
    assert Storm.objects.get().alerts == 60
    assert kinds().count("storm.started") == 1
    assert Alert.objects.exclude(storm=None).count() == 60
    assert Alert.objects.filter(fingerprint="g1").get().why["storm"] == Storm.objects.get().pk


def test_incidents_of_a_storm_are_announced_one_by_one_only_when_severe() -> None:
    system()
    system("vital", baseline_assessment={**SEVERE, "facts": {}})
    tell(
        *[signal(f"n{i}", system="recs-home") for i in range(30)],
        *[signal(f"v{i}", system="vital") for i in range(3)],
    )
    announced = {
        e.incident.system.slug: e.data["announce"] for e in Event.objects.filter(kind="incident.opened")
    }  # type: ignore[union-attr]
    assert announced == {"recs-home": False, "vital": True}
    assert Event.objects.get(kind="storm.started").data["announce"] is True
    assert Incident.objects.filter(storm=Storm.objects.get()).count() == 2


def test_a_storm_ends_after_ten_quiet_minutes_with_a_sum() -> None:
    system()
    flood(30)
    assert sweeps.end_storms(at(9)) == 0
    assert sweeps.end_storms(at(10)) == 1
    assert sweeps.end_storms(at(11)) == 0
    storm = Storm.objects.get()
    assert storm.ended_at == at(10)
    assert storm.open_key is None
    event = Event.objects.get(kind="storm.ended")
    assert event.data["alerts"] == 30
    assert event.data["incidents"] == [the_incident().pk]
    flood(30, 20, "again")
    assert Storm.objects.count() == 2
    assert counters_are_exact()


def test_the_grouping_key_is_given_up_when_the_time_for_recurrence_is_over() -> None:
    system()
    tell(signal())
    put(the_incident(), "closed", mitigated_at=at(0))
    assert sweeps.release_keys(at(days=6)) == 0
    assert the_incident().open_key is not None
    assert sweeps.release_keys(at(days=7, minutes=1)) == 1
    assert sweeps.release_keys(at(days=8)) == 0
    assert the_incident().open_key is None
    tell(signal(status="resolved", observed_at=at(days=8)), now=at(days=8))
    tell(signal(observed_at=at(days=9)), now=at(days=9))
    assert Incident.objects.latest("pk").recurrence_of == Incident.objects.earliest("pk")


def test_incidents_being_worked_on_keep_their_key() -> None:
    system()
    tell(signal())
    assert sweeps.release_keys(at(days=99)) == 0
    assert the_incident().open_key is not None


def test_a_storm_adds_to_the_explanation_and_takes_nothing_from_it() -> None:
    system()
    tell(signal("first"))
    flood(20, 1, "joins")
    flood(20, 1, "waits", level="warning", system="another", metric="m")
    storm = Storm.objects.get().pk
    joins, waits = (Alert.objects.get(fingerprint=name).why for name in ("joins3", "waits3"))
    assert (joins["promoted"], joins["storm"]) == ({"by": "open incident"}, storm)
    assert (waits["waiting"]["have"], waits["storm"]) == ({"signals": 1, "windows": 1}, storm)
