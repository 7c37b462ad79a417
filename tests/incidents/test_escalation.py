"""Escalation: who is told when nobody acknowledges, in which order, how often, and where it is seen."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from incidents.escalation import KIND, escalate, line_of
from incidents.models import Event, Incident, RoleGrant, User
from integrations.outbox.announce import kind_of
from tests.scenes import incident, person, system

pytestmark = pytest.mark.django_db


def scene(**fields: Any) -> tuple[Incident, dict[str, User]]:
    """A SEV1 on a system with two commanders, a model owner and a sponsor, that ann declared."""
    people = {
        "ann": person("ann", "IC"), "ben": person("ben", "IC"), "mo": person("mo", "MO"), "exe": person("exe", "EXE"),
    }  # fmt: skip
    found = incident(people["ann"], **{"severity": 1, "system": system(), **fields})
    return found, people


def told(found: Incident) -> list[list[int]]:
    return [
        data["to"] for data in found.events.filter(kind=KIND).order_by("id").values_list("data", flat=True)
    ]


def after(found: Incident, **span: float) -> datetime:
    return found.detected_at + timedelta(**span)


def test_each_rung_is_told_when_its_time_has_come_and_once() -> None:
    found, people = scene()
    assert escalate(after(found, minutes=4, seconds=59)) == 0
    assert escalate(after(found, minutes=5)) == 1
    assert escalate(after(found, minutes=9)) == 0
    assert escalate(after(found, minutes=10)) == 1
    assert escalate(after(found, minutes=20)) == 1
    assert escalate(after(found, days=9)) == 0
    ann, ben, mo, exe = (people[name].pk for name in ("ann", "ben", "mo", "exe"))
    assert [sorted(to) for to in told(found)] == [sorted([ann, ben]), [mo], [exe]]


def test_an_acknowledgement_ends_it() -> None:
    found, people = scene()
    escalate(after(found, minutes=5))
    found.acknowledge(by=people["ben"])
    assert escalate(after(found, hours=1)) == 0
    assert len(told(found)) == 1


def test_a_standstill_passes_nobody_over() -> None:
    found, people = scene()
    assert [escalate(after(found, hours=2)) for _ in range(5)] == [1, 1, 1, 0, 0]
    assert told(found)[-1] == [people["exe"].pk]


@pytest.mark.parametrize(
    ("severity", "first"), [(2, timedelta(minutes=15)), (3, timedelta(hours=2)), (4, None), (5, None)]
)
def test_the_severity_decides_when_it_begins(severity: int, first: timedelta | None) -> None:
    found, _ = scene(severity=severity)
    if first is None:
        assert escalate(after(found, days=30)) == 0
        return
    assert escalate(found.detected_at + first - timedelta(seconds=1)) == 0
    assert escalate(found.detected_at + first) == 1


def test_it_follows_the_target_that_an_administrator_set() -> None:
    found, _ = scene()
    due = found.dues.get(kind="ack")
    due.due_at = after(found, minutes=30)
    due.save()
    assert escalate(after(found, minutes=29)) == 0
    assert escalate(after(found, minutes=30)) == 1
    assert escalate(after(found, minutes=59)) == 0


def test_the_event_names_the_next_in_line_and_goes_outside() -> None:
    found, _ = scene()
    escalate(after(found, minutes=5))
    escalate(after(found, minutes=10))
    event = Event.objects.filter(kind=KIND).latest("id")
    assert event.text == "Nobody acknowledged for 10 min. Next in line as model owner: mo."
    assert kind_of(event) == "escalated"


def test_a_rung_that_nobody_holds_is_said_and_not_skipped_silently() -> None:
    found, people = scene()
    people["mo"].grants.all().delete()
    escalate(after(found, minutes=5))
    escalate(after(found, minutes=10))
    event = Event.objects.filter(kind=KIND).latest("id")
    assert "Nobody else in line holds the role model owner (MO)" in event.text
    assert event.data["to"] == []


def test_who_may_not_see_a_restricted_incident_is_not_told_of_it() -> None:
    found, people = scene(restricted=True)
    for minutes in (5, 10, 20):
        escalate(after(found, minutes=minutes))
    assert [sorted(to) for to in told(found)] == [sorted([people["ann"].pk, people["ben"].pk]), [], []]


def test_the_line_of_a_system_puts_its_own_people_first() -> None:
    _, people = scene()
    credit = Incident.objects.get().system
    assert credit is not None
    local, owner = person("zoe"), person("oli")
    RoleGrant.objects.create(user=local, role="IC", system=credit)
    credit.owner = owner
    person("gone", "IC", is_active=False)
    person("robot", "IC", is_service=True)
    line = line_of(credit)
    assert [one.role for one in line] == ["IC", "MO", "EXE"]
    assert line[0].people == (local, people["ann"], people["ben"])
    assert line[1].people == (owner, people["mo"])


def test_the_page_of_a_system_says_who_is_responsible_now() -> None:
    _, people = scene()
    browser = Client()
    browser.force_login(people["ann"])
    shown = browser.get("/systems/credit-risk/").content.decode()
    assert "Responsible now" in shown
    assert shown.index("Incident commander") < shown.index("Executive sponsor")
    assert "ben" in shown


def test_a_hand_over_is_on_the_record() -> None:
    found, people = scene()
    found.acknowledge(by=people["ann"])
    event = found.assign(people["ben"], by=people["ann"], note="My shift is over.")
    assert event.text == "ann handed over to ben. My shift is over."
    assert event.data["from"] == people["ann"].pk
