"""ServiceNow: one record per incident, found by its correlation id, told by work notes, resolved at the end."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.contract import SendError, Sent
from integrations.shelf import provider
from tests.contracts import contract_json
from tests.integrations.ticket_vendors import ServiceNow
from tests.integrations.wire import HOSTILE, answered, converse, in_turn, told

pytestmark = pytest.mark.once

DESK = provider("servicenow")
SETTINGS = {
    "instance": "https://acme.service-now.com/", "user": "holdfast", "password": "p4ss", "caller": "holdfast",
    "close_code": "Solution provided",
}  # fmt: skip


def tell(
    instance: ServiceNow, kind: str = "opened", link: Any = None, **facts: Any
) -> tuple[Sent, list[str]]:
    settings = {**SETTINGS, **facts.pop("settings", {})}
    sent, requests = converse(DESK.compose(told(kind, **facts), settings, link), instance)
    return sent, [f"{one.method} {one.url.rpartition('/table/')[2]}" for one in requests]


def link_of(sent: Sent) -> dict[str, Any]:
    return {"remote_id": sent.remote_id, "url": sent.url, **sent.data}


def test_an_opened_incident_is_looked_up_and_then_recorded() -> None:
    instance = ServiceNow()
    sent, steps = tell(instance)
    assert steps == ["GET incident", "POST incident"]
    (record,) = instance.records.values()
    assert record["short_description"] == "SEV2 · INC-7 · Score drift in credit-risk"
    assert (record["correlation_id"], record["correlation_display"]) == ("holdfast-INC-7", "Holdfast")
    assert (record["impact"], record["urgency"], record["caller_id"]) == ("1", "2", "holdfast")
    assert "https://holdfast.example.org/incidents/INC-7/" in record["description"]
    assert sent.data["number"] == record["number"]
    assert "sys_id%3D" + record["sys_id"] in sent.url


def test_a_record_whose_answer_was_lost_is_found_again() -> None:
    instance = ServiceNow()
    tell(instance)
    assert tell(instance)[1] == ["GET incident"]
    assert len(instance.records) == 1


def test_a_work_note_is_written_once_however_often_it_is_told() -> None:
    instance = ServiceNow()
    link = link_of(tell(instance)[0])
    for _ in range(3):
        tell(instance, "comment", link, text="Rolled back.")
    (record,) = instance.records.values()
    assert len(record["notes"]) == 1
    assert "Rolled back." in record["notes"][0]


def test_an_account_that_may_not_read_the_journal_still_tells_and_says_so() -> None:
    instance = ServiceNow(reads_journal=False)
    sent, _ = tell(instance, "comment", link_of(tell(instance)[0]))
    (record,) = instance.records.values()
    assert len(record["notes"]) == 1
    assert "journal could not be read" in sent.note


@pytest.mark.parametrize(
    ("kind", "state", "expected"),
    [("acknowledged", "detected", "2"), ("mitigated", "mitigated", "6"), ("resolved", "false_positive", "6"),
     ("closed", "closed", "7"), ("reopened", "triaged", "2")],
)  # fmt: skip
def test_states_follow_with_what_resolving_asks_for(kind: str, state: str, expected: str) -> None:
    instance = ServiceNow()
    sent, _ = tell(instance, kind, link_of(tell(instance)[0]), state=state)
    (record,) = instance.records.values()
    assert record["state"] == expected
    assert ("close_code" in record, "close_notes" in record) == (expected in "67", expected in "67")
    assert sent.data["state"] == ("closed" if kind in ("resolved", "closed") else "open")


def test_an_instance_with_states_of_its_own_gets_those() -> None:
    instance = ServiceNow()
    settings = {"states": {"mitigated": "18"}}
    tell(instance, "mitigated", link_of(tell(instance)[0]), state="mitigated", settings=settings)
    (record,) = instance.records.values()
    assert (record["state"], "close_code" in record) == ("18", False)


def test_a_new_severity_is_a_new_impact_and_urgency() -> None:
    instance = ServiceNow()
    tell(instance, "escalated", link_of(tell(instance)[0]), severity=1)
    (record,) = instance.records.values()
    assert (record["impact"], record["urgency"]) == ("1", "1")


def test_action_items_are_listed_in_a_note() -> None:
    instance = ServiceNow()
    tell(instance, "items", link_of(tell(instance)[0]))
    (record,) = instance.records.values()
    assert (
        "[ ] INC-7-A3 · Watch the income feature, owner ann@example.org, due 2026-03-20" in record["notes"][0]
    )
    assert "[x] INC-7-A4" in record["notes"][0]


def test_the_vendors_answers_are_read() -> None:
    created = contract_json("servicenow", "responses", "incident_created_201.json")
    sent, _ = converse(
        DESK.compose(told(), SETTINGS, None), in_turn(answered(200, {"result": []}), answered(201, created))
    )
    assert (sent.remote_id, sent.data["number"]) == (created["result"]["sys_id"], "INC0010042")
    refused = contract_json("servicenow", "responses", "error_400.json")
    with pytest.raises(SendError, match="ServiceNow answered 400: Invalid table foo"):
        converse(DESK.compose(told(), SETTINGS, None), in_turn(answered(400, refused)))


def test_a_sleeping_instance_does_not_make_a_second_record() -> None:
    with pytest.raises(SendError, match="wake the instance"):
        converse(DESK.compose(told(), SETTINGS, None), in_turn(answered(200, None)))


def test_names_cannot_break_out_of_the_look_up() -> None:
    request = next(
        DESK.compose(told(), {**SETTINGS, "prefix": "a^ORactive=true", "table": "incident/x?"}, None)
    )
    assert request.params["sysparm_query"] == "correlation_id=aORactivetrue-INC-7^ORDERBYsys_created_on"
    assert request.url == "https://acme.service-now.com/api/now/table/incidentx"


def test_long_text_stays_below_what_the_columns_take() -> None:
    instance = ServiceNow()
    tell(instance, "comment", link_of(tell(instance, text=HOSTILE, title=HOSTILE)[0]), text=HOSTILE)
    (record,) = instance.records.values()
    assert len(record["short_description"]) <= 160
    assert max(len(record["description"]), len(record["notes"][0])) <= 4000


def test_a_test_writes_nothing_and_a_missing_instance_is_named() -> None:
    instance = ServiceNow()
    assert tell(instance, "test")[1] == ["GET incident"]
    assert instance.records == {}
    with pytest.raises(SendError, match="instance is missing"):
        next(DESK.compose(told(), {}, None))
    assert "JSON object" in DESK.check({**SETTINGS, "states": "6"})["states"]
