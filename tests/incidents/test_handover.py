"""A hand-over waits with its note until the next person has read it."""

from __future__ import annotations

import pytest

from incidents import handover
from incidents.lifecycle import Refused
from tests import scenes
from tests.incidents.api import Caller
from tests.incidents.test_pages import browser, text

pytestmark = pytest.mark.django_db


def test_bob_sees_anns_note_on_his_start_page_and_on_the_incident_until_he_has_it() -> None:
    ann, bob = scenes.person("ann", "IC"), scenes.person("bob", "IC")
    incident = scenes.incident(ann)
    incident.acknowledge(by=ann)
    incident.assign(bob, by=ann, note="The fallback serves; watch income.")
    assert "ann handed over INC-" in text(browser(bob).get("/"))
    page = text(browser(bob).get(incident.get_absolute_url()))
    assert "handed this over to you" in page
    assert "“The fallback serves; watch income.”" in page
    assert "Not read yet" in text(browser(ann).get(incident.get_absolute_url()))
    assert "ann handed over" not in text(browser(ann).get("/"))
    browser(bob).post(f"/incidents/{incident.key}/handover/")
    assert handover.of(incident) is None
    assert handover.waiting_for(bob) == []
    assert incident.events.get(kind=handover.READ).by == bob
    assert "handed this over to you" not in text(browser(bob).get(incident.get_absolute_url()))


def test_who_takes_over_by_themselves_needs_no_note() -> None:
    ann, bob = scenes.person("ann", "IC"), scenes.person("bob", "IC")
    incident = scenes.incident(ann)
    incident.assign(bob, by=bob)
    assert handover.of(incident) is None
    assert handover.waiting_for(bob) == []


def test_only_the_one_it_was_handed_to_can_say_that_they_have_it() -> None:
    ann, bob = scenes.person("ann", "IC"), scenes.person("bob", "IC")
    incident = scenes.incident(ann)
    incident.assign(bob, by=ann, note="x")
    with pytest.raises(Refused, match="handed over to bob"):
        handover.read(incident, by=ann)
    assert Caller(bob).post(f"incidents/{incident.key}/handover/", {}).status_code == 201
    assert Caller(bob).post(f"incidents/{incident.key}/handover/", {}).status_code == 409


def test_handed_on_once_more_only_the_last_one_waits() -> None:
    ann, bob, cy = (scenes.person(name, "IC") for name in ("ann", "bob", "cy"))
    incident = scenes.incident(ann)
    incident.assign(bob, by=ann, note="first")
    incident.assign(cy, by=bob, note="second")
    assert handover.waiting_for(bob) == []
    assert [one.data["note"] for one in handover.waiting_for(cy)] == ["second"]
