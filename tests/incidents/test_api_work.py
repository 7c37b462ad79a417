"""What people do on an incident by call: facts, tasks, need-to-know, evidence, silences, a try of the matrix."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from incidents.models import Incident, Silence
from tests.incidents.api import Caller, problem
from tests.scenes import ALL_ONES, CALM, person, triaged

pytestmark = pytest.mark.django_db


@pytest.fixture
def scene() -> tuple[Incident, Caller]:
    ann = person("ann", "IC")
    return triaged(ann), Caller(ann)


def test_ann_changes_facts_and_leaves_the_rest(scene: Any) -> None:
    incident, ann = scene
    answer = ann.patch(f"incidents/{incident.key}/", {"title": "Income halves", "affected_people": 40})
    assert (answer.json()["title"], answer.json()["affected_people"]) == ("Income halves", 40)
    assert answer.json()["incident_class"] == "DRIFT"
    assert incident.events.filter(kind="incident.edited", by__username="ann").count() == 1
    assert set(problem(ann.patch(f"incidents/{incident.key}/", {"intent": "rage"}), 422)["errors"]) == {
        "intent"
    }


def test_a_task_is_given_and_done(scene: Any) -> None:
    incident, ann = scene
    person("bob", "SRE")
    made = ann.post(
        f"incidents/{incident.key}/tasks/", {"title": "Look at the logs", "assignee": "bob"}
    ).json()
    assert made["assignee"] == "bob"
    done = ann.post(f"incidents/{incident.key}/tasks/{made['id']}/done/")
    assert (done.status_code, done.json()["done_by"]) == (200, "ann")
    assert [row["title"] for row in ann.get(f"incidents/{incident.key}/tasks/").json()] == [
        "Look at the logs"
    ]


def test_a_restriction_takes_the_incident_out_of_sight(scene: Any) -> None:
    incident, ann = scene
    bob = Caller(person("bob", "SRE"))
    assert bob.get(f"incidents/{incident.key}/").status_code == 200
    assert ann.post(f"incidents/{incident.key}/restriction/", {"reason": "Names a person"}).json()[
        "restricted"
    ]
    assert bob.get(f"incidents/{incident.key}/").status_code == 404


def test_evidence_goes_in_and_comes_out_unchanged(scene: Any) -> None:
    incident, ann = scene
    content = b"a,b\n1,2\n"
    sent = {"name": "rates.csv", "content": base64.b64encode(content).decode(), "media_type": "text/csv"}
    made = ann.post(f"incidents/{incident.key}/evidence/", sent).json()
    assert made["sha256"] == hashlib.sha256(content).hexdigest()
    answer = ann.get(f"incidents/{incident.key}/evidence/{made['id']}/content/", Accept="text/csv")
    assert answer.content == content
    assert answer["Content-Disposition"] == 'attachment; filename="rates.csv"'
    refused = problem(ann.post(f"incidents/{incident.key}/evidence/", {**sent, "content": "???"}), 422)
    assert refused["errors"]["content"] == ["This is not base64."]
    snapshot = ann.post(f"incidents/{incident.key}/evidence/snapshots/").json()
    assert snapshot["media_type"] == "application/json"


def test_a_try_of_the_matrix_keeps_nothing(scene: Any) -> None:
    incident, ann = scene
    answers = {"impact": {**ALL_ONES, "SA": 5}, "urgency": CALM, "facts": {"personal_data_breach": True}}
    before = incident.assessments.count()
    told = ann.post(f"incidents/{incident.key}/assessments/preview/", answers).json()
    kept = ann.post(f"incidents/{incident.key}/assessments/", answers).json()
    assert told["computed"] == kept["computed_severity"]
    assert told["floors"] == ["F4"]
    assert incident.assessments.count() == before + 1


def test_a_silence_is_made_listed_and_ended(scene: Any) -> None:
    _, ann = scene
    until = (timezone.now() + timedelta(hours=2)).isoformat()
    made = ann.post("silences/", {"matchers": 'system="a"', "reason": "Work", "ends_at": until}).json()
    assert [row["id"] for row in ann.get("silences/?active=true").json()["results"]] == [made["id"]]
    assert ann.post(f"silences/{made['id']}/end/").status_code == 204
    assert Silence.objects.get().ends_at <= timezone.now()
    assert ann.get("silences/?active=true").json()["results"] == []
    refused = problem(ann.post("silences/", {"matchers": "=", "reason": "x", "ends_at": until}), 422)
    assert "matchers" in refused["errors"]


def test_a_system_gets_its_team_its_serving_and_a_link() -> None:
    mo = Caller(person("mia", "MO"))
    mo.post("systems/", {"slug": "credit", "name": "Credit", "serving": {"gateway_url": "https://g.example"}})
    assert mo.post(
        "systems/credit/links/", {"kind": "runbook", "title": "How to", "url": "https://example.com/r"}
    ).status_code == 201  # fmt: skip
    shown = mo.get("systems/credit/").json()
    assert (shown["serving"]["gateway_url"], shown["links"][0]["title"]) == ("https://g.example", "How to")
    assert "slug" in problem(mo.post("systems/", {"slug": "new", "name": "N"}), 422)["errors"]
