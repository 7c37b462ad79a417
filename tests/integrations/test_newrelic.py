"""New Relic on paper: issues of workflows and incidents of channels."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.contract import Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "incident_acknowledged_new": "1 firing",
    "incident_active_new": "1 firing",
    "incident_closed_new": "1 resolved",
    "incident_opened_old": "1 firing",
    "incident_state_not_recognized_new": "set aside",
}


def issue(**more: Any) -> dict[str, Any]:
    return {"id": "i-1", "title": "Latency of churn", "state": "ACTIVATED", "priority": "HIGH", **more}


def test_an_issue_keeps_its_fingerprint_until_it_is_closed() -> None:
    told = [
        read("newrelic", request(issue(state=state)))[0]
        for state in ("CREATED", "ACTIVATED", "ACKNOWLEDGED", "CLOSED")
    ]
    assert [one.status for one in told] == ["firing", "firing", "firing", "resolved"]
    assert {one.fingerprint for one in told} == {"i-1"}
    assert told[0].level == "critical"


def test_an_incident_of_a_channel_is_read_by_its_old_names() -> None:
    [signal] = read("newrelic", sample("newrelic", "incident_opened_old"))
    assert (signal.fingerprint, signal.title, signal.labels["policy"]) == (
        "1234",
        "Server Down",
        "Test policy name",
    )
    assert signal.links[0] == ("Issue", "https://alerts.newrelic.com/accounts/2941966/incidents/1234")
    assert signal.starts_at is not None


def test_values_of_a_workflow_are_lists() -> None:
    body = issue(title=["Latency"], priority=["CRITICAL"], impactedEntities=["churn-api", "other"], alertConditionNames=["p99"],
                 alertPolicyNames=[], labels={"env": "staging"})  # fmt: skip
    [signal] = read("newrelic", request(body))
    assert (signal.title, signal.level, signal.system, signal.env) == (
        "Latency",
        "critical",
        "churn-api",
        "staging",
    )
    assert signal.metric == "p99"
    assert "policy" not in signal.labels


def test_labels_name_the_system_before_entities_do() -> None:
    targets = [{"name": "host-1", "labels": {"model": "churn", "model_version": "9"}}]
    [signal] = read("newrelic", request(issue(targets=targets)))
    assert (signal.system, signal.version) == ("churn", "9")


@pytest.mark.parametrize(
    "created", [None, "soon", "", -5, 10**30, {"a": 1}, "2020-11-11T22:32:11Z", 1605133931151, 1605133931]
)
def test_a_time_in_any_form_is_borne(created: Any) -> None:
    [signal] = read("newrelic", request(issue(createdAt=created)))
    assert signal.starts_at is None or signal.starts_at.year in (1969, 2020)


def test_an_issue_without_a_state_fires() -> None:
    body = issue()
    del body["state"]
    assert read("newrelic", request(body))[0].status == "firing"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (issue(state="hello world"), 'in the state "hello world"'),
        (issue(id="{{issueId}}"), "not filled in"),
        ({"priority": "HIGH", "state": "ACTIVATED"}, "no issue"),
    ],
)
def test_what_is_no_issue_is_set_aside(body: dict[str, Any], words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        provider("newrelic").parse(request(body), {})
