"""Impact in time, and the worklist of decisions that are taken again."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from incidents import rescoring
from incidents.access import NotAllowed
from incidents.lifecycle import Refused
from incidents.models import Incident, User
from incidents.report import export
from incidents.report.facts import report_of
from tests import scenes
from tests.incidents.api import Caller, problem
from tests.incidents.test_pages import browser, text

pytestmark = pytest.mark.django_db

CSV = """decision_id,decided_at,outcome
app-1,2026-11-20T09:00:00Z,refused
app-2,2026-11-20T10:00:00Z,refused
app-3,2026-11-01,granted
"""


def unfair(ann: User) -> Incident:
    """Credit was decided wrongly from 19 November until it was contained on the 21st."""
    incident = scenes.incident(ann)
    incident.fill(
        by=ann,
        last_good_at=datetime.fromisoformat("2026-11-19T00:00:00+00:00"),
        affected_decisions=3,
    )
    incident.contain(by=ann, at=datetime.fromisoformat("2026-11-21T06:00:00+00:00"))
    return incident


def test_the_interval_runs_from_the_last_good_moment_to_the_containment() -> None:
    ann = scenes.person("ann", "IC")
    interval = rescoring.interval_of(unfair(ann))
    assert (interval.since, interval.lasted) == ("last known good", timedelta(hours=54))
    young = scenes.incident(ann)
    assert rescoring.interval_of(young).since == "detection"
    assert rescoring.interval_of(young).end is None


def test_ann_brings_decisions_in_as_a_file_and_those_outside_the_interval_stay_out() -> None:
    ann = scenes.person("ann", "IC")
    incident = unfair(ann)
    file = SimpleUploadedFile("decisions.csv", CSV.encode())
    shown = text(browser(ann).post(f"/incidents/{incident.key}/decisions/", {"file": file}, follow=True))
    assert "Decisions: 2 listed; 1 outside the affected interval, left out." in shown
    assert "app-1" in shown
    assert "app-3" not in shown
    assert incident.events.get(kind="impact.decisions_listed").data["added"] == 2


def test_what_is_taken_out_scored_again_and_brought_back_is_done() -> None:
    ann = scenes.person("ann", "IC")
    incident = unfair(ann)
    rescoring.list_decisions(incident, rescoring.read_csv(CSV), by=ann)
    answer = browser(ann).get(f"/incidents/{incident.key}/decisions/?format=csv")
    lines = b"".join(answer.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
    assert lines[0] == "decision_id,decided_at,outcome,new_outcome"
    scored = "\n".join([lines[0], lines[1] + "granted", lines[2] + "refused"])
    brought, _ = rescoring.list_decisions(incident, rescoring.read_csv(scored), by=ann)
    assert (brought.added, brought.rescored) == (0, 2)
    assert rescoring.progress_of(incident) == rescoring.Progress(2, 2, 1, listed=True)
    again, event = rescoring.list_decisions(incident, rescoring.read_csv(scored), by=ann)
    assert (again.rescored, event) == (0, None)


def test_ticked_decisions_are_marked_with_one_outcome() -> None:
    ann = scenes.person("ann", "IC")
    incident = unfair(ann)
    rescoring.list_decisions(incident, rescoring.read_csv("app-1\napp-2\n"), by=ann)
    first = incident.decisions.get(key="app-1")
    answer = browser(ann).post(
        f"/incidents/{incident.key}/decisions/rescorings/",
        {"decision": first.pk, "new_outcome": "granted"},
        follow=True,
    )
    assert "1 marked as re-scored." in text(answer)
    first.refresh_from_db()
    assert (first.new_outcome, first.rescored_by, first.changed) == ("granted", ann, True)
    refused = browser(ann).post(f"/incidents/{incident.key}/decisions/rescorings/", {})
    assert "Tick the decisions first." in text(refused, 422)


def test_where_nobody_can_list_them_a_number_is_kept() -> None:
    ann = scenes.person("ann", "IC")
    incident = unfair(ann)
    rescoring.count_rescored(incident, 2, by=ann)
    assert rescoring.progress_of(incident) == rescoring.Progress(3, 2, 0, listed=False)
    with pytest.raises(Refused, match="Only 3 decisions"):
        rescoring.count_rescored(incident, 4, by=ann)
    shown = text(browser(ann).get(f"/incidents/{incident.key}/"))
    assert "2 of 3 decisions re-scored" in " ".join(shown.split())
    assert "2 of 3" in export(report_of(incident), "md").content.decode()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "nothing to read"),
        ("name,outcome\na,b\n", "one of them is decision_id"),
        ("decision_id,decided_at\na,yesterday\n", "Line 2: 'yesterday' is not a time"),
        ("decision_id,outcome\n,x\n", "Line 2 has no decision id"),
        ("decision_id\n" + "x" * 201, "longer than 200"),
    ],
)
def test_a_file_that_cannot_be_read_says_which_line(typed: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        rescoring.read_csv(typed)


def test_semicolons_tabs_and_a_byte_order_mark_are_read() -> None:
    for sign in ";\t":
        lines = rescoring.read_csv(f"\ufeffid{sign}after\nd-1{sign}granted\n")
        assert lines == [rescoring.Line("d-1", new_outcome="granted")]


def test_a_formula_leaves_as_text_and_comes_back_as_it_was() -> None:
    ann = scenes.person("ann", "IC")
    incident = unfair(ann)
    rescoring.list_decisions(incident, [rescoring.Line("=1+1")], by=ann)
    answer = browser(ann).get(f"/incidents/{incident.key}/decisions/?format=csv")
    content = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    assert "'=1+1" in content
    assert rescoring.read_csv(content)[0].key == "=1+1"


def test_who_may_not_edit_the_incident_may_not_list_decisions() -> None:
    incident = unfair(scenes.person("ann", "IC"))
    with pytest.raises(NotAllowed):
        rescoring.list_decisions(incident, [rescoring.Line("a")], by=scenes.person("aude", "AUD"))


def test_the_api_lists_marks_and_tells_the_impact() -> None:
    ann = scenes.person("ann", "IC")
    incident = unfair(ann)
    call = Caller(ann)
    where = f"incidents/{incident.key}"
    decisions = [
        {"decision_id": "a", "outcome": "refused"},
        {"decision_id": "b", "decided_at": "2026-11-01T00:00:00Z"},
    ]
    told = call.post(f"{where}/decisions/", {"decisions": decisions}).json()
    assert told == {"added": 1, "rescored": 0, "outside": 1, "known": 0}
    call.post(f"{where}/decisions/", {"decisions": [{"decision_id": "a", "new_outcome": "granted"}]})
    listed = call.get(f"{where}/decisions/").json()["results"]
    assert [(one["decision_id"], one["new_outcome"]) for one in listed] == [("a", "granted")]
    impact = call.get(f"{where}/impact/").json()
    assert (impact["since"], impact["to_rescore"], impact["rescored"], impact["changed"]) == (
        "last known good", 1, 1, 1,
    )  # fmt: skip
    assert "listed" in problem(call.put(f"{where}/impact/", {"done": 1}), 409)["detail"]
