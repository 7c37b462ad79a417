"""What status pages tell their subscribers, on paper."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.contract import Change, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {"incident_created": "1 firing", "incident_update": "1 resolved"}


def incident(**more: Any) -> dict[str, Any]:
    return {
        "page": {"id": "p"},
        "incident": {"id": "i", "name": "API errors", "status": "investigating", **more},
    }


def component(new: str, **more: Any) -> dict[str, Any]:
    return {
        "page": {"id": "p"},
        "component_update": {"id": "u", "new_status": new},
        "component": {"id": "c", "name": "API", **more},
    }


def test_an_incident_is_one_alert_from_the_first_update_to_the_last() -> None:
    [created] = read("statuspage", sample("statuspage", "incident_created"), system="support bot")
    [over] = read("statuspage", sample("statuspage", "incident_update"))
    assert created.fingerprint == over.fingerprint
    assert (created.title, created.system, created.level) == ("Database query delays", "support bot", "info")
    assert created.labels["components"] == "Management Portal (example)"
    assert over.description == "The database issue is resolved."
    assert created.links == (("Status page", "http://stspg.io/646947c1e"),)
    assert created.delivery_key != over.delivery_key


@pytest.mark.parametrize(
    ("state", "status"),
    [("investigating", "firing"), ("identified", "firing"), ("monitoring", "firing"), ("resolved", "resolved"),
     ("postmortem", "resolved")],
)  # fmt: skip
def test_monitoring_is_not_over_yet(state: str, status: str) -> None:
    assert read("statuspage", request(incident(status=state)))[0].status == status


def test_impact_is_the_level_and_an_override_counts_more() -> None:
    assert read("statuspage", request(incident(impact="minor")))[0].level == "warning"
    assert (
        read("statuspage", request(incident(impact="none", impact_override="critical")))[0].level
        == "critical"
    )
    assert read("statuspage", request(incident(impact=None)))[0].level is None


def test_planned_maintenance_is_a_change() -> None:
    [change] = provider("statuspage").parse(request(incident(status="in_progress")), {"system": "bot"})
    assert isinstance(change, Change)
    assert (change.title, change.system) == ("Maintenance in progress: API errors", "bot")
    [other] = provider("statuspage").parse(request(component("under_maintenance")), {})
    assert isinstance(other, Change)


def test_a_component_is_an_alert_of_its_own() -> None:
    [down] = read("statuspage", request(component("major_outage")))
    [up] = read("statuspage", request(component("operational")))
    assert (down.status, up.status, down.fingerprint) == ("firing", "resolved", up.fingerprint)
    assert (down.title, down.level) == ("API: major outage", "critical")


def test_a_confirmation_of_the_subscription_says_nothing() -> None:
    assert read("statuspage", request({"meta": {}, "page": {"id": "p"}})) == []


@pytest.mark.parametrize(
    "body", [[], {}, "x", incident(status="exploded"), component("exploded"), {"incident": [1]}]
)
def test_what_is_none_of_it_is_set_aside(body: Any) -> None:
    assert provider("statuspage").admit(request(body), {}) == 1
    with pytest.raises(Unreadable):
        provider("statuspage").parse(request(body), {})
