"""Running connections and routes by call: as much as on the pages, with the same rights."""

from __future__ import annotations

import pytest

from incidents.models import Event
from integrations.models import Connection, Delivery, PersonLink, RemoteAct, Route
from tests.incidents.api import Caller, problem
from tests.integrations.test_api import SLACK, admin
from tests.integrations.test_running_pages import received
from tests.scenes import incident, person

pytestmark = pytest.mark.django_db


def slack(by: Caller) -> Connection:
    return Connection.objects.get(pk=by.post("connections/", SLACK).json()["id"])


def test_a_test_is_queued_and_the_health_tells_that_it_waits() -> None:
    root = admin()
    row = slack(root)
    assert root.post(f"connections/{row.pk}/test/").json()["kind"] == "test"
    assert root.get(f"connections/{row.pk}/health/").json()["waiting"] == 1
    am = root.post("connections/", {"provider": "generic", "name": "JSON"}).json()["id"]
    assert "does not send" in problem(root.post(f"connections/{am}/test/"), 409)["detail"]


def test_sending_is_held_and_goes_on_and_silence_is_set() -> None:
    root = admin()
    path = f"connections/{slack(root).pk}/"
    assert root.patch(path, {"sending_paused": "Moving"}).json()["sending_paused"] == "Moving"
    assert root.patch(path, {"expect_every": 900}).json()["expect_every"] == 900
    assert "expect_every" in problem(root.patch(path, {"expect_every": 5}), 422)["errors"]
    after = root.patch(path, {"sending_paused": "", "expect_every": None}).json()
    assert (after["sending_paused"], after["expect_every"]) == ("", None)


def test_the_last_message_is_read_again_by_call() -> None:
    root = admin()
    am = Connection.objects.get(
        pk=root.post("connections/", {"provider": "alertmanager", "name": "AM"}).json()["id"]
    )
    problem(root.post(f"connections/{am.pk}/replay/"), 409)
    message = received(am)
    answer = root.post(f"connections/{am.pk}/replay/").json()
    assert (answer["id"], answer["status"]) == (message.pk, "new")


def test_all_dead_letters_of_a_connection_go_out_again() -> None:
    root = admin()
    row = slack(root)
    for n in range(3):
        Delivery.objects.create(
            connection=row, kind="notice", idempotency_key=str(n), announcement={}, state="dead"
        )
    assert root.post(f"connections/{row.pk}/redelivery/").json() == {"count": 3}
    assert set(Delivery.objects.values_list("state", flat=True)) == {"queued"}


def test_people_are_linked_once_and_forgotten() -> None:
    root = admin()
    path = f"connections/{slack(root).pk}/people/"
    person("mia", "MLE")
    made = root.post(path, {"remote_id": "U7", "user": "mia"})
    assert made.status_code == 201
    assert root.get(path).json() == [{"id": made.json()["id"], "remote_id": "U7", "user": "mia"}]
    assert "remote_id" in problem(root.post(path, {"remote_id": "U7", "user": "mia"}), 422)["errors"]
    assert "user" in problem(root.post(path, {"remote_id": "U8", "user": "nobody"}), 422)["errors"]
    assert root("DELETE", f"{path}{made.json()['id']}/").status_code == 204
    assert not PersonLink.objects.exists()


def test_acts_from_outside_are_listed_but_not_about_incidents_that_one_may_not_see() -> None:
    root = admin()
    row, secret = slack(root), incident(restricted=True)
    RemoteAct.objects.create(
        connection=row, key="1", verb="list", by="Mal", result="refused", text="Not known."
    )
    RemoteAct.objects.create(
        connection=row, key="2", verb="comment", by="Eve", result="done", incident=secret
    )
    found = root.get(f"connections/{row.pk}/acts/").json()["results"]
    assert [(one["by"], one["text"]) for one in found] == [("Mal", "Not known.")]
    assert root.get(f"connections/{row.pk}/acts/?result=done").json()["results"] == []


def test_a_route_is_added_tried_changed_and_removed_by_call() -> None:
    root = Caller(person("eve", "ADM", "IC"))
    row, about = slack(root), incident(title="Income drifts")
    made = root.post("routes/", {"name": "Room", "connection": row.pk, "kinds": ["opened"], "channel": "C42",
                                 "template": "{{ incident.key }} smells"})  # fmt: skip
    assert made.status_code == 201, made.content
    path = f"routes/{made.json()['id']}/"
    paper = root.post(f"{path}preview/", {"incident": about.key, "kind": "opened"}).json()
    assert paper["text"] == f"{about.key} smells"
    assert paper["fits"]
    assert paper["requests"][0]["body"]["channel"] == "C42"
    assert "very-secret" not in str(paper)
    assert not Delivery.objects.exists()
    past = root.get(f"{path}past/").json()
    assert (past["total"], past["newest"][0]["incident"]) == (1, about.key)
    assert root.patch(path, {"matchers": 'severity="9"'}).status_code == 200
    assert root.get(f"{path}past/").json()["total"] == 0
    assert "matchers" in problem(root.patch(path, {"matchers": "severity ~~ 1"}), 422)["errors"]
    assert "kinds" in problem(root.patch(path, {"kinds": ["sung"]}), 422)["errors"]
    assert [one["name"] for one in root.get(f"routes/?connection={row.pk}").json()["results"]] == ["Room"]
    assert root("DELETE", path).status_code == 204
    assert not Route.objects.exists()
    assert Event.objects.filter(kind="route.changed").count() == 3


def test_no_route_leads_to_what_only_listens_and_no_preview_shows_what_one_may_not_see() -> None:
    root = admin()
    am = root.post("connections/", {"provider": "generic", "name": "JSON"}).json()["id"]
    assert "connection" in problem(root.post("routes/", {"name": "R", "connection": am}), 422)["errors"]
    route = Route.objects.create(name="R", connection=slack(root))
    secret = incident(restricted=True)
    problem(root.post(f"routes/{route.pk}/preview/", {"incident": secret.key, "kind": "opened"}), 404)


def test_who_may_see_but_not_change_is_refused_by_every_act() -> None:
    root, mia = admin(), Caller(person("mia", "MLE"))
    row = slack(root)
    route = Route.objects.create(name="R", connection=row)
    assert mia.get(f"connections/{row.pk}/health/").status_code == 200
    for act in ("test/", "replay/", "redelivery/", "people/"):
        problem(mia.post(f"connections/{row.pk}/{act}", {"remote_id": "U1", "user": "mia"}), 403)
    problem(mia.patch(f"connections/{row.pk}/", {"expect_every": 900}), 403)
    problem(mia.post("routes/", {"name": "x", "connection": row.pk}), 403)
    problem(mia("DELETE", f"routes/{route.pk}/"), 403)
    problem(Caller(person("rep", "REP")).get(f"connections/{row.pk}/acts/"), 403)


def test_providers_tell_how_they_are_set_up() -> None:
    kinds = {kind["slug"]: kind for kind in admin().get("connections/providers/").json()}
    assert "webhook_configs" in kinds["alertmanager"]["setup"]
    assert "alerts" in kinds["alertmanager"]["example"]
