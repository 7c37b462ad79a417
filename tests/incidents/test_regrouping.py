"""Alerts moved, split off and merged by people, and each of these taken back."""

from __future__ import annotations

import pytest

from incidents import regrouping
from incidents.access import NotAllowed
from incidents.lifecycle import Refused
from incidents.models import Alert, Event, Incident, User
from tests import scenes
from tests.incidents.api import Caller, problem
from tests.incidents.intake_scenes import at, counters_are_exact, signal, system, tell
from tests.incidents.test_pages import browser, text

pytestmark = pytest.mark.django_db


def two_incidents() -> tuple[User, Incident, Incident]:
    """Ann commands; recommendations drift by two alerts, search by one."""
    ann = scenes.person("ann", "IC")
    system("recs-home")
    system("search")
    tell(signal("r1", observed_at=at(0)), signal("r2", observed_at=at(1)), now=at(1))
    tell(signal("s1", system="search", observed_at=at(5)), now=at(5))
    first, second = Incident.objects.order_by("id")
    return ann, first, second


def ids(*fingerprints: str) -> list[int]:
    return list(Alert.objects.filter(fingerprint__in=fingerprints).values_list("pk", flat=True))


def fresh(incident: Incident) -> Incident:
    return Incident.objects.get(pk=incident.pk)


def homes() -> dict[str, int | None]:
    return dict(Alert.objects.values_list("fingerprint", "incident_id"))


class TestMovingAlerts:
    def test_both_timelines_tell_it_and_the_counters_stay_exact(self) -> None:
        ann, recs, search = two_incidents()
        event = regrouping.move_alerts(recs, ids("r2"), into=search, by=ann, note="It is the search index.")
        assert homes() == {"r1": recs.pk, "r2": search.pk, "s1": search.pk}
        assert counters_are_exact()
        assert event.text == f"1 alert moved to {search.key}. It is the search index."
        assert search.events.get(kind="alerts.came").text.startswith(f"1 alert came over from {recs.key}.")
        assert Alert.objects.get(fingerprint="r2").why["moved"]["from"] == recs.key

    def test_later_reports_of_a_moved_alert_follow_it(self) -> None:
        ann, recs, search = two_incidents()
        regrouping.move_alerts(recs, ids("r2"), into=search, by=ann)
        tell(signal("r2", status="resolved", observed_at=at(9)), now=at(9))
        assert homes()["r2"] == search.pk
        assert fresh(search).firing_count == 1
        assert counters_are_exact()

    def test_undoing_brings_back_what_is_still_there_once(self) -> None:
        ann, recs, search = two_incidents()
        event = regrouping.move_alerts(recs, ids("r1", "r2"), into=search, by=ann)
        assert fresh(recs).recovered_at is not None
        regrouping.move_alerts(fresh(search), ids("r1"), into=recs, by=ann)
        back = regrouping.undo(fresh(recs), event, by=ann)
        assert back.corrects == event
        assert back.data["alert_ids"] == ids("r2")
        assert homes() == {"r1": recs.pk, "r2": recs.pk, "s1": search.pk}
        assert counters_are_exact()
        with pytest.raises(Refused, match="undone already"):
            regrouping.undo(fresh(recs), event, by=ann)

    def test_refused_without_the_right_into_itself_into_the_closed_and_for_strangers(self) -> None:
        ann, recs, search = two_incidents()
        with pytest.raises(NotAllowed):
            regrouping.move_alerts(recs, ids("r1"), into=search, by=scenes.person("rex", "REP"))
        with pytest.raises(Refused, match="this incident"):
            regrouping.move_alerts(recs, ids("r1"), into=recs, by=ann)
        with pytest.raises(Refused, match="None of the chosen"):
            regrouping.move_alerts(recs, ids("s1"), into=search, by=ann)
        with pytest.raises(Refused, match="Not all"):
            regrouping.move_alerts(recs, ids("r1", "s1"), into=search, by=ann)
        search.move("false_positive", by=ann, note="Nothing.")
        with pytest.raises(Refused, match="is false positive"):
            regrouping.move_alerts(recs, ids("r1"), into=search, by=ann)
        assert homes()["r1"] == recs.pk


class TestSplitting:
    def test_an_incident_of_its_own_with_the_facts_of_the_old_one(self) -> None:
        ann, recs, _ = two_incidents()
        recs.acknowledge(by=ann)
        new = regrouping.split(recs, ids("r2"), title="Only the ranking", by=ann)
        assert (new.title, new.severity, new.incident_class, new.system, new.owner) == (
            "Only the ranking", recs.severity, "DRIFT", recs.system, ann,
        )  # fmt: skip
        assert new.detected_at == at(1)
        assert new.dues.filter(kind="ack").exists()
        assert counters_are_exact()
        assert new.events.get(kind="incident.opened").data["split_from"] == recs.pk
        tell(signal("r3", observed_at=at(7)), now=at(7))
        assert homes()["r3"] == recs.pk, "new alerts of the key stay with the old one"

    def test_all_or_none_of_the_alerts_is_refused(self) -> None:
        ann, recs, _ = two_incidents()
        with pytest.raises(Refused, match="leave at least one"):
            regrouping.split(recs, ids("r1", "r2"), title="", by=ann)
        with pytest.raises(Refused, match="Choose the alerts"):
            regrouping.split(recs, [], title="", by=ann)
        assert Incident.objects.count() == 2

    def test_a_restricted_incident_stays_restricted_for_the_same_people(self) -> None:
        ann, recs, _ = two_incidents()
        mia = scenes.person("mia", "MLE")
        recs.roles.create(role="MLE", user=mia)
        recs.restrict(reason="Personal data.", by=ann)
        new = regrouping.split(recs, ids("r2"), title="", by=mia)
        assert new.restricted
        assert list(new.roles.values_list("user__username", flat=True)) == ["mia"]

    def test_undoing_merges_the_new_one_back(self) -> None:
        ann, recs, _ = two_incidents()
        new = regrouping.split(recs, ids("r2"), title="", by=ann)
        regrouping.undo(fresh(recs), recs.events.get(kind="incident.split"), by=ann)
        assert fresh(new).merged_into == recs
        assert homes()["r2"] == recs.pk
        assert counters_are_exact()


class TestMerging:
    def test_alerts_come_along_and_the_earliest_detection_counts(self) -> None:
        ann, recs, search = two_incidents()
        recs.move("merged", by=ann, into=search, note="One cause.")
        assert set(homes().values()) == {search.pk}
        assert counters_are_exact()
        assert fresh(search).detected_at == at(0)
        assert search.events.get(kind="incident.absorbed").text.endswith("with 2 alerts.")
        assert recs.events.filter(kind="incident.opened").exists(), "its own timeline stays"

    def test_a_declared_incident_takes_over_the_key_so_new_alerts_find_it(self) -> None:
        ann, recs, _ = two_incidents()
        declared = scenes.incident(ann)
        key = recs.open_key
        recs.move("merged", by=ann, into=declared)
        assert fresh(declared).open_key == key
        tell(signal("r3", observed_at=at(8)), now=at(8))
        assert homes()["r3"] == declared.pk
        fresh(recs).move("detected", by=ann)
        assert (fresh(recs).open_key, fresh(declared).open_key) == (key, None)
        assert homes() | {"s1": 0} == {"r1": recs.pk, "r2": recs.pk, "r3": declared.pk, "s1": 0}

    def test_undoing_gives_back_alerts_times_and_due_times(self) -> None:
        ann, recs, search = two_incidents()
        recs.move("merged", by=ann, into=search)
        event = regrouping.undo(fresh(recs), recs.events.get(kind="incident.merged"), by=ann)
        assert event.kind == "incident.unmerged"
        recs, search = fresh(recs), fresh(search)
        assert (recs.state, recs.merged_into, recs.closed_at) == ("detected", None, None)
        assert recs.open_key == recs.grouping_key
        assert search.detected_at == at(5)
        assert homes() == {"r1": recs.pk, "r2": recs.pk, "s1": search.pk}
        assert counters_are_exact()
        assert recs.dues.filter(kind="triage").exists()

    def test_into_one_that_is_over_is_refused_and_changes_nothing(self) -> None:
        ann, recs, search = two_incidents()
        search.move("false_positive", by=ann)
        with pytest.raises(Refused, match="choose an open incident"):
            recs.move("merged", by=ann, into=search)
        assert fresh(recs).state == "detected"
        assert homes()["r1"] == recs.pk
        assert not Event.objects.filter(kind__in=("incident.merged", "incident.absorbed")).exists()


class TestOverTheApi:
    def test_each_verb_and_its_undoing(self) -> None:
        user, recs, search = two_incidents()
        ann = Caller(user)
        moved = ann.post(f"incidents/{recs.key}/alert-moves/", {"alerts": ids("r2"), "into": search.key})
        assert moved.status_code == 201
        undone = ann.post(f"incidents/{recs.key}/undoings/", {"event": moved.json()["id"]})
        assert undone.json()["corrects"] == moved.json()["id"]
        new = ann.post(f"incidents/{recs.key}/splits/", {"alerts": ids("r2"), "title": "Ranking"})
        assert (new.status_code, new.json()["title"], new.json()["alert_count"]) == (201, "Ranking", 1)
        merged = ann.post(f"incidents/{new.json()['id']}/transitions/", {"to": "merged", "into": recs.key})
        assert merged.json()["state"] == "merged"
        assert homes()["r2"] == recs.pk

    def test_what_is_wrong_is_said(self) -> None:
        user, recs, search = two_incidents()
        ann = Caller(user)
        refused = problem(ann.post(f"incidents/{recs.key}/splits/", {"alerts": ids("r1", "r2")}), 409)
        assert "leave at least one" in refused["reasons"][0]
        note = recs.note("Look", by=user)
        assert "Only moved alerts" in problem(
            ann.post(f"incidents/{recs.key}/undoings/", {"event": note.pk}), 409
        )["reasons"][0]  # fmt: skip
        assert ann.post(f"incidents/{search.key}/undoings/", {"event": note.pk}).status_code == 404
        problem(ann.post(f"incidents/{recs.key}/alert-moves/", {"alerts": [], "into": search.key}), 422)


class TestOnThePage:
    def test_chosen_alerts_are_moved_split_off_and_brought_back(self) -> None:
        ann, recs, search = two_incidents()
        client, place = browser(ann), f"/incidents/{recs.key}/"
        shown = text(client.get(place))
        assert f'name="alert" value="{ids("r1")[0]}"' in shown
        answer = client.post(f"{place}alert-moves/", {"alert": ids("r2"), "into": search.key.lower()})
        assert answer.status_code == 302
        assert homes()["r2"] == search.pk
        event = recs.events.get(kind="alerts.moved")
        assert "undoings/" in text(client.get(place))
        client.post(f"{place}undoings/", {"event": event.pk})
        assert homes()["r2"] == recs.pk
        assert "undoings/" not in text(client.get(place))
        answer = client.post(f"{place}splits/", {"alert": ids("r2"), "title": "Ranking"})
        new = Incident.objects.get(title="Ranking")
        assert answer["Location"] == new.get_absolute_url()

    def test_a_refusal_is_shown_with_its_reason(self) -> None:
        ann, recs, _ = two_incidents()
        client, place = browser(ann), f"/incidents/{recs.key}/"
        assert "no INC-99 that you may see" in text(
            client.post(f"{place}alert-moves/", {"alert": ids("r2"), "into": "INC-99"}), 422
        )
        assert "Choose at least one alert" in text(client.post(f"{place}splits/", {"title": "x"}), 422)

    def test_who_may_not_edit_gets_no_boxes(self) -> None:
        _, recs, _ = two_incidents()
        shown = text(browser(scenes.person("aud", "AUD")).get(f"/incidents/{recs.key}/"))
        assert 'name="alert"' not in shown
