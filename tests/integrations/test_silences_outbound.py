"""Alertmanager: while Ann works on an incident, its alerts are silent; on paper, and in a real Alertmanager."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from pytest_django.fixtures import Settings

from integrations import http
from integrations.contract import SendError, Sent
from integrations.shelf import provider
from tests.integrations.chat_vendors import Alertmanager
from tests.integrations.wire import answered, converse, in_turn, told
from tests.services import Alertmanager as RealAlertmanager
from tests.services import wait_until

pytestmark = pytest.mark.once

ALERTMANAGER = provider("alertmanager")
SETTINGS = {"api_url": "http://alertmanager.example.org:9093", "silence_hours": 2}
PSI = {"alertname": "FeaturePSIHigh", "model": "churn", "feature": "tenure", "empty": ""}
SLOW = {"alertname": "Slow", "model": "churn"}


def tell(server: Alertmanager, kind: str = "acknowledged", **facts: Any) -> Sent:
    return converse(
        ALERTMANAGER.compose(told(kind, **{"alerts": (PSI, SLOW), **facts}), SETTINGS, None), server
    )[0]


def states(server: Alertmanager) -> list[str]:
    return [one["status"]["state"] for one in server.silences.values()]


def test_an_acknowledged_incident_silences_exactly_its_alerts_for_a_while() -> None:
    server = Alertmanager()
    tell(server)
    first, second = server.silences.values()
    assert [(one["name"], one["value"]) for one in first["matchers"]] == [
        ("alertname", "FeaturePSIHigh"), ("feature", "tenure"), ("model", "churn"),
    ]  # fmt: skip
    assert all((one["isRegex"], one["isEqual"]) == (False, True) for one in first["matchers"])
    assert (first["startsAt"], first["endsAt"]) == ("2026-03-04T10:12:13+00:00", "2026-03-04T12:12:13+00:00")
    assert first["comment"].startswith("Holdfast INC-7: ")
    assert len(second["matchers"]) == 2


def test_telling_it_again_makes_no_second_silence() -> None:
    server = Alertmanager()
    tell(server)
    tell(server)
    assert states(server) == ["active", "active"]


@pytest.mark.parametrize("kind", ["mitigated", "resolved", "closed", "reopened"])
def test_when_it_is_over_its_silences_expire_and_no_others(kind: str) -> None:
    server = Alertmanager()
    tell(server)
    tell(server, incident_key="INC-77", alerts=({"alertname": "Other"},))
    tell(server, kind, alerts=())
    assert states(server) == ["expired", "expired", "active"]


@pytest.mark.parametrize("alerts", [(), ({},), ({"empty": ""},)])
def test_nothing_is_silenced_where_no_alert_is_named(alerts: tuple[dict[str, str], ...]) -> None:
    """A silence without a matcher would be one for everything."""
    server = Alertmanager()
    tell(server, alerts=alerts)
    assert server.silences == {}


def test_a_silence_that_came_too_late_is_told() -> None:
    late = answered(400, "invalid silence: end time can't be in the past")
    with pytest.raises(SendError, match="in the past") as caught:
        converse(
            ALERTMANAGER.compose(told("acknowledged", alerts=(PSI,)), SETTINGS, None),
            in_turn(answered(200, []), late),
        )
    assert not caught.value.retryable


def test_a_connection_without_the_api_only_listens() -> None:
    assert ALERTMANAGER.takes("acknowledged", SETTINGS)
    assert not ALERTMANAGER.takes("acknowledged", {})
    assert not ALERTMANAGER.takes("opened", SETTINGS)


def test_a_real_alertmanager_is_silent_while_somebody_works_on_it(settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    now = datetime.now(UTC)
    with RealAlertmanager("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n") as server:
        base = f"http://127.0.0.1:{server.port}"
        fires = [
            {"labels": SLOW, "startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat()}
        ]
        assert requests.post(f"{base}/api/v2/alerts", json=fires, timeout=5).ok

        def is_shown(state: str) -> bool:
            listed = requests.get(f"{base}/api/v2/alerts", timeout=5).json()
            return [one["status"]["state"] for one in listed] == [state]

        def hold(kind: str) -> Sent:
            what = told(kind, alerts=(SLOW,), at=now.isoformat())
            return http.run(ALERTMANAGER.compose(what, {**SETTINGS, "api_url": base}, None))[0]

        wait_until(lambda: is_shown("active"), 20, "the alert fires")
        assert "answered" in hold("test").note
        assert hold("acknowledged").note == "1 alerts silenced"
        wait_until(lambda: is_shown("suppressed"), 20, "the alert is silent")
        assert hold("acknowledged").note == "0 alerts silenced"
        assert hold("mitigated").note == "1 silences expired"
        wait_until(lambda: is_shown("active"), 20, "the alert is heard again")
