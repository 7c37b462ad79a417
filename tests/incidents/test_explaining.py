"""Why an alert is where it is, in words that need no look into the code."""

from __future__ import annotations

import pytest

from incidents import explaining, regrouping
from incidents.models import Alert, Incident
from tests.incidents.api import Caller
from tests.incidents.intake_scenes import anna, at, signal, system, tell

pytestmark = pytest.mark.django_db


def words(fingerprint: str) -> str:
    return " ".join(explaining.sentences(Alert.objects.get(fingerprint=fingerprint)))


def test_an_alert_that_opened_or_joined_says_by_what() -> None:
    system("recs-home")
    tell(signal("first"))
    tell(signal("second", observed_at=at(3)), now=at(3))
    assert "opened an incident at once, as critical alerts do" in words("first")
    assert "same environment prod, system recs-home and class model drift" in words("first")
    assert "An incident with the same key was open, so it joined" in words("second")
    assert "belongs to recs-home: its source names it so" in words("second")


def test_a_warning_that_waits_says_what_it_waits_for() -> None:
    system("recs-home")
    tell(signal("lonely", level="warning"))
    said = words("lonely")
    assert said.startswith("It is in no incident: watched: not promoted yet.")
    assert "waits for company: 1 of 2 independent signals" in said


def test_an_unknown_system_and_a_missing_value_are_named_as_such() -> None:
    tell(signal("stray", system="ghost"))
    assert "The system it names, ghost, is not in the inventory." in words("stray")
    assert "system ghost (not in the inventory)" in words("stray")


def test_a_consequence_of_broken_data_names_the_data_set() -> None:
    system("recs-home", "clicks")
    tell(signal("nulls", family="DATAQ", dataset="clicks", system=""), now=at(0))
    tell(signal("drift", observed_at=at(5)), now=at(5))
    assert "consumes the data set clicks, which has an open data-quality incident" in words("drift")


def test_a_moved_alert_says_who_moved_it_and_why_first() -> None:
    system("recs-home")
    system("search")
    tell(signal("r1"), signal("r2"), signal("s1", system="search"))
    recs, search = Incident.objects.order_by("grouping_key")
    regrouping.move_alerts(
        recs, [Alert.objects.get(fingerprint="r2").pk], into=search, by=anna(), note="One index", at=at(7)
    )
    assert words("r2").startswith(f"anna moved it here from {recs.key} on 2026-11-02 12:07 UTC: One index.")


def test_what_an_older_version_recorded_in_another_shape_is_still_told() -> None:
    odd = Alert(
        disposition="attached",
        incident_id=1,
        why={"promoted": {"by": "signals"}, "rule": "drift", "colour": {"is": ["red"]}},
    )
    assert explaining.sentences(odd) == ["by: signals", "drift"]
    assert explaining.others(odd) == [("Colour", "is: red")]
    assert "No rule decided" in explaining.sentences(Alert(incident_id=1))[0]


def test_the_api_tells_the_same_words() -> None:
    system("recs-home")
    tell(signal("first"))
    found = Alert.objects.get()
    answer = Caller(anna()).get(f"alerts/{found.pk}/why/").json()
    assert answer["words"] == explaining.sentences(found)
    assert answer["rule"]["version"] == 1
