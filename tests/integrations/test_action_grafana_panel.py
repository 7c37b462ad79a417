"""grafana_panel: dashboards of a system and its alerts, at the time of an incident."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from incidents.models import AISystem, Alert, Incident, SystemLink
from integrations.actions.grafana_panel import GrafanaPanel
from integrations.connecting import connect
from integrations.context import dashboards
from playbooks.contract import Done, StepContext
from tests import scenes

pytestmark = pytest.mark.django_db
NOON = datetime(2030, 5, 6, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def incident(system: AISystem | None) -> Incident:
    found = scenes.incident(system=system)
    found.onset_at, found.detected_at = NOON, NOON + HOUR
    found.save()
    return found


def ran(found: Incident) -> Done:
    return GrafanaPanel().run(StepContext({}, "k", NOON + 2 * HOUR, found, found.system, None, None))


def window(url: str) -> tuple[str, str]:
    query = parse_qs(urlsplit(url).query)
    return query["from"][0], query["to"][0]


def test_the_systems_dashboards_open_at_the_time_of_the_incident() -> None:
    connect("grafana", "boards", {"base_url": "https://grafana.example.org/ops/"})
    system = scenes.system(serving={"grafana_dashboard": ["drift-1", "../admin"]})
    SystemLink.objects.create(
        system=system,
        kind="dashboard",
        title="Latency",
        url="https://g.example.org/d/lat/x?var-env=prod&from=now-1h&to=now",
    )
    SystemLink.objects.create(
        system=system, kind="runbook", title="Runbook", url="https://g.example.org/d/other"
    )
    SystemLink.objects.create(
        system=system, kind="dashboard", title="Wiki", url="https://wiki.example.org/drift"
    )
    done = ran(incident(system))
    found = {link["title"]: link["url"] for link in done.outputs["links"]}
    assert list(found) == ["Dashboard of Credit Risk", "Latency"]
    assert found["Dashboard of Credit Risk"].startswith("https://grafana.example.org/ops/d/drift-1?")
    begin = str(int((NOON - HOUR).timestamp() * 1000))
    assert {window(url) for url in found.values()} == {(begin, "now")}
    assert "var-env=prod" in found["Latency"]
    assert done.exhibits[0].name == "dashboards.json"


def test_an_incident_that_is_over_shows_its_own_time() -> None:
    found = incident(scenes.system(serving={"grafana_dashboard": "drift-1"}))
    found.mitigated_at = NOON + 3 * HOUR
    [(_, url)] = dashboards.links(found, "https://grafana.example.org")
    assert window(url)[1] == str(int((NOON + 4 * HOUR).timestamp() * 1000))


def test_the_panel_of_an_alert_is_linked_and_nothing_that_is_no_address() -> None:
    found = incident(None)
    links = [
        ["Panel", "https://g.example.org/d/psi?viewPanel=4"],
        ["Dashboard", "javascript:alert(1)//d/x"],
        ["Rule", "https://g.example.org/d/r"],
        "x",
    ]
    Alert.objects.create(
        origin="connection:1", source="grafana", fingerprint="f", status="firing", title="PSI of tenure", level="warning",
        first_seen=NOON, last_seen=NOON, incident=found, links=links,
    )  # fmt: skip
    [(title, url)] = dashboards.links(found)
    assert title == "Panel of PSI of tenure"
    assert "viewPanel=4" in url


def test_without_any_dashboard_the_step_is_skipped_with_the_reason() -> None:
    assert (
        "lead to a dashboard"
        in ran(incident(scenes.system(serving={"grafana_dashboard": "drift-1"}))).outputs["skipped"]
    )
