"""What reaches whom: marks on every page, letters to those who want them, nothing of what one may not see."""

from __future__ import annotations

import pytest

from config import wiring
from incidents import notices, outbox
from incidents.models import Notice, Task, Team, User
from integrations.models import Connection, Delivery
from tests import scenes
from tests.incidents.api import Caller
from tests.incidents.test_pages import browser, text

pytestmark = pytest.mark.django_db


def relay() -> None:
    while outbox.relay(wiring.LISTENERS):
        pass


def kinds(user: User) -> list[str]:
    return sorted(user.notices.values_list("kind", flat=True))


def test_a_hand_over_a_task_and_a_mention_mark_bobs_pages_until_he_reads_them() -> None:
    ann, bob = scenes.person("ann", "IC"), scenes.person("bob", "IC")
    incident = scenes.incident(ann)
    incident.assign(bob, by=ann, note="Watch income.")
    Task.give(incident, by=ann, title="Call the vendor", assignee=bob)
    incident.note("@bob, the vendor answered. Not @bobby.", by=ann)
    relay()
    assert kinds(bob) == ["handed", "mention", "task"]
    assert kinds(ann) == []
    client = browser(bob)
    assert '<span class="count">3</span>' in text(client.get("/incidents/"))
    shown = text(client.get("/notices/"))
    assert "Call the vendor" in shown
    one = bob.notices.first()
    assert one is not None
    client.post("/notices/reading/", {"notice": one.pk})
    assert notices.unread(bob) == 2
    assert "2 marked as read." in text(client.post("/notices/reading/", follow=True))
    assert '<span class="count">3</span>' not in text(client.get("/incidents/"))


def test_the_system_s_people_hear_of_a_sev1_and_not_of_a_sev3() -> None:
    ann, mo, kim = scenes.person("ann", "IC"), scenes.person("mo", "MO"), scenes.person("kim", "MLE")
    team = Team.objects.create(name="Credit", slug="credit")
    kim.teams.add(team)
    credit = scenes.system(owner=mo, team=team)
    scenes.incident(ann, system=credit, severity=1)
    scenes.incident(ann, system=credit, severity=3)
    relay()
    assert (kinds(mo), kinds(kim)) == (["opened"], ["opened"])


def test_nobody_is_told_of_what_they_may_not_see_or_do_not_want() -> None:
    ann, bob, eve = scenes.person("ann", "IC"), scenes.person("bob", "MLE"), scenes.person("eve", "MLE")
    secret, plain = scenes.incident(ann, restricted=True), scenes.incident(ann)
    secret.note("@bob look", by=ann)
    eve.notify = {"mention": "off"}
    eve.save()
    plain.note("@eve look", by=ann)
    relay()
    assert Notice.objects.count() == 0
    assert kinds(bob) == []


def test_an_event_that_is_told_twice_makes_one_notice() -> None:
    ann, bob = scenes.person("ann", "IC"), scenes.person("bob", "IC")
    event = scenes.incident(ann).assign(bob, by=ann)
    notices.on_event(event)
    notices.on_event(event)
    assert kinds(bob) == ["handed"]


def test_who_wants_letters_gets_one_through_the_connection_that_sends() -> None:
    ann, bob = scenes.person("ann", "IC"), scenes.person("bob", "IC", email="bob@example.com")
    incident = scenes.incident(ann)
    incident.assign(bob, by=ann, note="Watch income.")
    relay()
    assert Delivery.objects.count() == 0, "no connection sends letters"
    assert "no e-mail connection sends yet" in text(browser(bob).get("/settings/"))
    mail = Connection.objects.create(
        provider="email",
        name="Mail",
        settings={"smtp_host": "smtp.example.com", "sender": "holdfast@example.com"},
    )
    incident.assign(ann, by=bob)
    incident.assign(bob, by=ann, note="Again.")
    relay()
    letter = Delivery.objects.get(connection=mail)
    assert letter.announcement["channel"] == "bob@example.com"
    assert "Again." in letter.announcement["text"]
    assert "Letters go to bob@example.com." in text(browser(bob).get("/settings/"))


def test_no_letter_tells_of_a_restricted_incident() -> None:
    ann, bob = scenes.person("ann", "IC"), scenes.person("bob", "IC", email="bob@example.com")
    Connection.objects.create(
        provider="email",
        name="Mail",
        settings={"smtp_host": "smtp.example.com", "sender": "holdfast@example.com"},
    )
    scenes.incident(ann, restricted=True).assign(bob, by=ann, note="Names people.")
    relay()
    assert kinds(bob) == ["handed"]
    assert Delivery.objects.count() == 0


def test_bob_sets_what_reaches_him() -> None:
    bob = scenes.person("bob", "IC")
    wishes = dict.fromkeys(notices.KINDS, "page") | {"task": "off"}
    assert browser(bob).post("/settings/notices/", wishes).status_code == 302
    bob.refresh_from_db()
    assert (notices.way_of(bob, "task"), notices.way_of(bob, "handed")) == ("off", "page")
    assert browser(bob).post("/settings/notices/", wishes | {"task": "shout"}).status_code == 422


def test_the_api_tells_and_marks_one_s_own() -> None:
    ann, bob = scenes.person("ann", "IC"), scenes.person("bob", "IC")
    incident = scenes.incident(ann)
    notices.on_event(incident.assign(bob, by=ann))
    told = Caller(bob).get("notices/").json()["results"]
    assert [(one["kind"], one["incident"]) for one in told] == [("handed", incident.key)]
    assert Caller(ann).post("notices/reading/", {"notices": [told[0]["id"]]}).json() == {"read": 0}
    assert Caller(bob).post("notices/reading/", {}).json() == {"read": 1}
    wishes = Caller(bob).put("notices/wishes/", {"task": "off"}).json()
    assert (wishes["task"], wishes["handed"]) == ("off", "mail")
