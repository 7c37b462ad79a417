"""Reading one incident: timeline narrowed and pinned, drafts of what is told, the viewer's own time zone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import drafts
from incidents.models import Clock, Event, Incident, ResponseDue, User
from tests import scenes
from tests.incidents.api import Caller, problem
from tests.incidents.test_pages import alert, browser, text

pytestmark = pytest.mark.django_db


def worked_on() -> tuple[User, Incident]:
    ann = scenes.person("ann", "IC", display_name="Ann")
    return ann, scenes.triaged(ann, system=scenes.system(), title="Scores are shifted")


class TestTheTimeline:
    def test_is_narrowed_by_who_and_by_words_and_keeps_that_on_its_pages(self) -> None:
        ann, incident = worked_on()
        bob = scenes.person("bob", "MLE", display_name="Bob")
        for n in range(45):
            incident.note(f"Looked at batch {n}", by=bob)
        incident.note("Asked the data team", by=ann)
        client, place = browser(ann), f"/incidents/{incident.key}/timeline/"
        shown = text(client.get(place, {"who": "bob", "find": "BATCH"}))
        assert "Looked at batch 44" in shown
        assert "Asked the data team" not in shown
        assert "who=bob&amp;find=BATCH&amp;timeline=" in shown
        assert "No entry matches" in text(client.get(place, {"who": "ann", "find": "batch"}))
        page = text(client.get(f"/incidents/{incident.key}/", {"who": "ann"}))
        assert '<option value="ann" selected>Ann</option>' in page

    def test_what_holdfast_itself_wrote_can_be_asked_for(self) -> None:
        ann, incident = worked_on()
        incident.record("incident.recovered", text="All is quiet.", actor="intake")
        shown = text(browser(ann).get(f"/incidents/{incident.key}/timeline/", {"who": "~intake"}))
        assert "All is quiet." in shown
        assert "acknowledged" not in shown

    def test_a_pinned_entry_stands_on_top_until_it_is_unpinned(self) -> None:
        ann, incident = worked_on()
        event = incident.note("The fix is ready", by=ann)
        client, place = browser(ann), f"/incidents/{incident.key}/"
        before = Event.objects.count()
        assert client.post(f"{place}pins/", {"event": event.pk, "pinned": "1"}).status_code == 302
        client.post(f"{place}pins/", {"event": event.pk, "pinned": "1"})
        assert "pinned by Ann" in text(client.get(place))
        client.post(f"{place}pins/", {"event": event.pk, "pinned": "0"})
        assert "pinned by Ann" not in text(client.get(place))
        assert Event.objects.count() == before, "a pin is no fact"

    def test_pins_over_the_api_and_only_of_this_incident(self) -> None:
        ann, incident = worked_on()
        other = scenes.incident(ann, title="Another")
        caller = Caller(ann)
        event = incident.events.first()
        assert event is not None
        pinned = caller.post(f"incidents/{incident.key}/pins/", {"event": event.pk})
        assert [row["id"] for row in pinned.json()] == [event.pk]
        assert caller.get(f"incidents/{incident.key}/pins/").json() == pinned.json()
        problem(caller.post(f"incidents/{other.key}/pins/", {"event": event.pk}), 404)
        assert (
            caller.post(f"incidents/{incident.key}/pins/", {"event": event.pk, "pinned": False}).json() == []
        )

    def test_times_are_in_the_browsers_zone_unless_the_settings_name_one(self) -> None:
        ann, incident = worked_on()
        client = browser(ann)
        client.cookies["tz"] = "Asia/Kolkata"
        assert "Times in Asia/Kolkata" in text(client.get(f"/incidents/{incident.key}/"))
        User.objects.filter(pk=ann.pk).update(time_zone="Asia/Tokyo")
        assert "Times in Asia/Tokyo" in text(client.get("/"))
        User.objects.filter(pk=ann.pk).update(time_zone="")
        for strange in ("../../etc/passwd", "Europe", "x" * 4000):
            client.cookies["tz"] = strange
            assert "Times in UTC" in text(client.get("/"))


class TestDrafts:
    def test_each_audience_gets_what_it_decides_on(self) -> None:
        ann, incident = worked_on()
        alert(incident, metric="psi", value=0.31)
        Incident.objects.filter(pk=incident.pk).update(firing_count=1)
        incident.fill(by=ann, affected_people=1200, personal_data="yes", estimated_loss="5000")
        now = timezone.now()
        Clock.objects.create(
            incident=incident,
            regime="GDPR",
            article="Art. 33",
            anchor_at=now,
            due_at=now + timedelta(hours=72),
        )
        incident.refresh_from_db()
        subject, technical = drafts.draft(incident, "Model owner, commander, platform")
        assert subject == f"[SEV3] {incident.key} Scores are shifted"
        assert "Firing: PSI of income 0 (psi 0.31)" in technical
        assert "Ann leads the response." in technical
        _, legal = drafts.draft(incident, "Data protection officer")
        assert "People affected: 1,200." in legal
        assert "Personal data involved: yes." in legal
        assert "Clock GDPR Art. 33: due" in legal
        _, board = drafts.draft(incident, "Executive sponsor")
        assert "Estimated loss: 5,000.00." in board
        assert "psi" not in board
        outside, support = drafts.draft(incident, "Support and customer-facing teams")
        assert outside == "Known issue: model drift"
        assert not any(word in support for word in ("1,200", "Ann", "psi", "Scores"))

    def test_what_is_not_known_is_said_to_be_not_known(self) -> None:
        ann = scenes.person("ann", "IC")
        _, said = drafts.draft(scenes.incident(ann), "Business owner")
        assert "when it began is not known yet" in said
        assert "How many people are affected is not known yet." in said
        assert "Nobody leads the response yet." in said

    def test_telling_keeps_the_words_and_starts_the_next_period(self) -> None:
        ann, incident = worked_on()
        place = [row["audience"] for row in incident.comms_plan].index("Model owner, commander, platform")
        due = ResponseDue.objects.get(incident=incident, kind="update")
        client = browser(ann)
        shown = text(client.get(f"/incidents/{incident.key}/"))
        assert "Next update" in shown
        assert "Told in these words" in shown
        later = timezone.now() + timedelta(hours=30)
        incident.tell_audience(place, by=ann, at=later, text="Rolled back to v3.")
        due.refresh_from_db()
        assert due.due_at == later + timedelta(days=1)
        assert incident.events.get(kind="comms.told").text.endswith("Rolled back to v3.")
        assert incident.tell_audience(place, by=ann) is None, "told already, and nothing new is said"
        incident.assess(
            impact={**scenes.ALL_ONES, "OP": 3}, urgency={"harm": 2, "velocity": 1, "reversibility": 0, "workaround": 1},
            chosen=4, reason="Only a report", by=ann,
        )  # fmt: skip
        assert drafts.next_update(incident) == later + timedelta(days=7), (
            "a new severity counts from the last update"
        )

    def test_the_plan_drafts_and_telling_over_the_api(self) -> None:
        ann, incident = worked_on()
        caller, place = Caller(ann), f"incidents/{incident.key}/communications/"
        shown = caller.get(place).json()
        assert shown["next_update_at"]
        assert all(row["draft"]["text"] for row in shown["audiences"])
        told = caller.post(place, {"index": 0, "text": "We are on it."}).json()
        assert told["audiences"][0]["done_by"] == "Ann"
        problem(caller.post(place, {"index": 99}), 422)
        assert caller.put(place).json()["audiences"][0]["done_at"] is None


def test_what_is_asked_stands_at_the_head_of_the_page() -> None:
    from tests.playbooks.page_scenes import asked_for_approval

    mia = scenes.person("mia", "MLE")
    asked = asked_for_approval(mia, title="Drift", system=scenes.system())
    shown = text(browser(scenes.person("bo", "BO")).get(asked.incident.get_absolute_url()))
    assert "An approval is needed" in shown
    assert shown.index(asked.get_absolute_url()) < shown.index('class="stepper"')
