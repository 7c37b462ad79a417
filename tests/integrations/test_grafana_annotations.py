"""Incidents on Grafana's dashboards: one annotation each, from the opening to the end."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.contract import SendError, Sent
from integrations.shelf import provider
from tests.integrations.chat_vendors import Grafana
from tests.integrations.wire import answered, converse, told

SETTINGS = {
    "base_url": "https://grafana.example.org/",
    "api_token": "glsa_1",
    "dashboard": "drift",
    "panel": 4,
}
OPENED, ENDED = 1772619133000, 1772626333000
LATER = {"at": "2026-03-04T12:12:13+00:00"}


def tell(vendor: Grafana, kind: str, link: Sent | None = None, **facts: Any) -> Sent:
    settings = facts.pop("settings", SETTINGS)
    left = {"remote_id": link.remote_id, "url": link.url} if link else None
    return converse(provider("grafana").compose(told(kind, **facts), settings, left), vendor)[0]


def test_an_incident_is_one_annotation_from_its_opening_to_its_end() -> None:
    vendor = Grafana()
    sent = tell(vendor, "opened")
    [made] = vendor.annotations.values()
    assert (made["time"], made["dashboardUID"], made["panelId"]) == (OPENED, "drift", 4)
    assert made["tags"] == ["holdfast", "incident:INC-7", "sev2", "system:credit-risk"]
    assert made["text"].startswith("SEV2 · INC-7 · Score drift in credit-risk")
    assert sent.url == "https://grafana.example.org/d/drift"
    again = tell(vendor, "mitigated", sent, **LATER)
    assert again.remote_id == sent.remote_id
    [ended] = vendor.annotations.values()
    assert (ended["time"], ended["timeEnd"]) == (OPENED, ENDED)
    assert "Mitigated" in ended["text"]


def test_a_repeated_opening_makes_no_second_one_although_nothing_was_kept() -> None:
    """The worker died between Grafana's answer and our commit."""
    vendor = Grafana()
    first = tell(vendor, "opened")
    assert tell(vendor, "opened").remote_id == first.remote_id
    assert [one for one in vendor.asked if one.startswith("POST")] == ["POST /api/annotations"]


def test_the_incident_of_another_installation_with_the_same_number_is_left_alone() -> None:
    vendor = Grafana()
    theirs = tell(vendor, "opened", url="https://holdfast.elsewhere.example/incidents/INC-7/")
    ours = tell(vendor, "opened")
    assert theirs.remote_id != ours.remote_id
    tell(vendor, "closed", **LATER)
    ends = {number: one["timeEnd"] for number, one in vendor.annotations.items()}
    assert ends == {int(theirs.remote_id): OPENED, int(ours.remote_id): ENDED}


def test_an_end_whose_opening_never_arrived_is_a_point_of_its_own() -> None:
    vendor = Grafana()
    tell(vendor, "resolved", **LATER)
    [made] = vendor.annotations.values()
    assert made["time"] == made["timeEnd"] == ENDED


def test_without_a_dashboard_the_whole_organisation_sees_it() -> None:
    vendor = Grafana()
    settings = {"base_url": "https://grafana.example.org", "api_token": "glsa_1"}
    assert tell(vendor, "opened", settings=settings).url == ""
    [made] = vendor.annotations.values()
    assert "dashboardUID" not in made


def test_an_annotation_that_somebody_deleted_is_told_with_what_grafana_says() -> None:
    with pytest.raises(SendError, match="Grafana answered 404: Could not find annotation to update"):
        tell(Grafana(), "closed", Sent("77"))


def test_an_answer_without_a_number_is_tried_again() -> None:
    with pytest.raises(SendError, match="named no annotation") as caught:
        converse(provider("grafana").compose(told(), SETTINGS, None), lambda request: answered(200, {}))
    assert caught.value.retryable


def test_a_connection_that_only_listens_is_told_of_nothing() -> None:
    grafana = provider("grafana")
    assert not grafana.takes("opened", {"secret": "s"})
    assert not grafana.takes("opened", {"base_url": "https://grafana.example.org"}), (
        "it only links dashboards"
    )
    assert grafana.takes("opened", SETTINGS)
    assert not grafana.takes("comment", SETTINGS)
