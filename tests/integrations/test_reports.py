"""Reports that jobs post, from the inbox to the alerts: what failed fires, what passes later resolves it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from incidents.models import Alert
from integrations.inbox.drain import drain
from integrations.models import Connection, InboxMessage
from integrations.reports import about, opened
from tests.contracts import contract_path
from tests.integrations.inbound import monitor, request

pytestmark = pytest.mark.django_db(transaction=True)


def post(connection: Connection, body: Any) -> InboxMessage:
    """A message as the front door stores it."""
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"content-type": "application/json"}
    return InboxMessage.objects.create(connection=connection, headers=headers, body=text, items=1)


def sample(vendor: str, name: str) -> str:
    return contract_path(vendor, "inbound", f"{name}.json").read_text(encoding="utf-8")


def alerts() -> dict[str, int]:
    return dict(Counter(Alert.objects.values_list("status", flat=True)))


@pytest.mark.parametrize(
    ("vendor", "failed", "passed", "fires", "left"),
    [
        ("evidently", "v2_tests_fail", "v2_tests_pass", 4, 0),
        ("evidently", "v2_report_drift_detected", "v2_report_drift_none", 4, 0),
        ("great_expectations", "validation_failed_complete", "validation_passed", 5, 0),
        ("soda", "core_scan_results_fail", "core_scan_results_warn", 4, 5),
        ("dbt", "run_results_v6_mixed", "run_results_v6_success", 4, 4),
        ("anodot", "anomaly_open_two_alerts", "anomaly_closed_two_alerts", 2, 0),
        ("datadog", "monitor_triggered", "monitor_recovered", 1, 0),
        ("sentry", "metric_alert_critical", "metric_alert_resolved", 1, 0),
    ],
)
def test_a_later_message_resolves_what_an_earlier_one_fired(
    vendor: str, failed: str, passed: str, fires: int, left: int
) -> None:
    sender = monitor(vendor).connection
    first = post(sender, sample(vendor, failed))
    assert drain() == 1
    assert alerts().get("firing", 0) == fires
    second = post(sender, sample(vendor, passed))
    assert drain() == 1
    assert alerts().get("firing", 0) == left
    assert [InboxMessage.objects.get(pk=one.pk).status for one in (first, second)] == ["done", "done"]


def test_a_report_that_comes_again_changes_nothing() -> None:
    sender = monitor("dbt").connection
    post(sender, sample("dbt", "run_results_v6_mixed"))
    drain()
    before = alerts()
    post(sender, sample("dbt", "run_results_v6_mixed"))
    drain()
    assert alerts() == before


def test_a_message_that_no_reader_knows_is_set_aside_and_its_neighbours_are_not() -> None:
    sender = monitor("evidently").connection
    odd = post(sender, {"summary": "all good"})
    post(sender, sample("evidently", "v2_tests_fail"))
    assert drain() == 2
    odd.refresh_from_db()
    assert odd.status == "set_aside"
    assert "no report of Evidently" in odd.error
    assert alerts() == {"firing": 4}


def test_chunks_that_end_at_different_times_are_one_alert_with_its_newest_state() -> None:
    sender = monitor("nannyml", system="loans").connection
    now = timezone.now()
    table = [
        {
            "chunk.key": f"week {number}",
            "chunk.end_date": (now - timedelta(weeks=3 - number)).isoformat(),
            "f1.value": 0.7,
            "f1.alert": alerting,
        }
        for number, alerting in enumerate((False, True, True, False))
    ]
    post(sender, table[:3])
    drain()
    assert alerts() == {"firing": 1}
    post(sender, table)
    drain()
    assert alerts() == {"resolved": 1}


def test_an_envelope_is_opened_and_a_bare_report_is_not() -> None:
    assert opened({"system": "s", "report": {"tests": []}}, "tests") == ({"tests": []}, {"system": "s"})
    bare = {"tests": [], "result": {"a": 1}}
    assert opened(bare, "tests") == (bare, bare)
    assert opened([1], "tests") == ([1], {})


def test_odd_companions_of_a_report_are_no_facts() -> None:
    beside = {"system": {"a": 1}, "version": ["x"], "labels": "none", "timestamp": "soon", "env": None}
    whom = about(beside, request({}), {"system": "churn"})
    assert (whom.system, whom.version, whom.labels, whom.at, whom.env) == ("churn", "", {}, None, "")
