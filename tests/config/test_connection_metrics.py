"""What Prometheus is told of each connection, and that dashboard and alarms ask only for what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from config import connection_metrics
from config.metrics import observe_request
from config.models import WorkerHeartbeat
from integrations.models import Connection, Delivery, InboxMessage
from tests.binaries import program
from tests.integrations.inbound import knock, monitor
from tests.playbooks.scenes import started
from tests.processes import ROOT

pytestmark = pytest.mark.django_db
NOW = timezone.now()
DASHBOARD = json.loads((ROOT / "docs/grafana/holdfast.json").read_text(encoding="utf-8"))
RULES = ROOT / "docs/prometheus/holdfast.rules.yml"
LOOK = "- {id: A, kind: human, title: Look, form: [{name: found, kind: text}]}"
#: metrics of Prometheus itself, and words of PromQL in front of a bracket or brace
FOREIGN = frozenset({"up"})


def told() -> dict[str, list[Any]]:
    """Name → samples, as a scrape reads them."""
    families = text_string_to_metric_families(Client().get("/metrics").content.decode())
    found: dict[str, list[Any]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def of(found: Mapping[str, list[Any]], name: str, connection: str, **labels: str) -> float:
    wanted = {"connection": connection, **labels}
    [value] = [s.value for s in found[name] if wanted.items() <= s.labels.items()]
    return float(value)


def delivery(row: Connection, state: str, *, minutes: float = 5, took: float = 1, attempts: int = 1) -> None:
    made = timezone.now() - timedelta(minutes=minutes)
    Delivery.objects.create(
        connection=row, kind="opened", announcement={}, state=state, attempts=attempts, created_at=made,
        idempotency_key=f"k{Delivery.objects.count()}",
        delivered_at=made + timedelta(seconds=took) if state == "delivered" else None,
    )  # fmt: skip


def message(row: Connection, status: str = "done", minutes: float = 5) -> None:
    InboxMessage.objects.create(
        connection=row, body="{}", status=status, received_at=timezone.now() - timedelta(minutes=minutes)
    )


def busy() -> tuple[Connection, Connection]:
    """Slack answers now and then; Grafana went silent."""
    slack = Connection.objects.create(
        provider="slack", name="ops", last_success_at=NOW, sending_paused="Too many failures"
    )
    grafana = Connection.objects.create(
        provider="grafana", name="boards", last_received_at=NOW, expect_every=300, silent_since=NOW
    )
    for took in (1, 2, 3, 40):
        delivery(slack, "delivered", took=took)
    delivery(slack, "delivered", minutes=120, took=900)
    delivery(slack, "queued", minutes=20, attempts=3)
    delivery(slack, "sending", attempts=1)
    delivery(slack, "dead", attempts=8)
    for status in ("done", "done", "new", "set_aside"):
        message(grafana, status)
    message(grafana, minutes=90)
    return slack, grafana


def test_each_connection_tells_what_went_what_waits_and_what_failed() -> None:
    busy()
    found = told()
    for state, n in (("queued", 1), ("sending", 1), ("dead", 1)):
        assert of(found, "holdfast_connection_deliveries", "ops", state=state, provider="slack") == n
    assert of(found, "holdfast_connection_tries", "ops", result="accepted") == 4
    assert of(found, "holdfast_connection_tries", "ops", result="failed") == 3 + 8
    assert of(found, "holdfast_connection_delivery_seconds", "ops", quantile="0.5") == pytest.approx(2)
    assert of(found, "holdfast_connection_delivery_seconds", "ops", quantile="0.95") == pytest.approx(40)
    assert of(found, "holdfast_connection_oldest_queued_seconds", "ops") == pytest.approx(1200, abs=30)
    assert of(found, "holdfast_connection_oldest_queued_seconds", "boards") == 0
    assert of(found, "holdfast_connection_last_success_timestamp_seconds", "ops") == pytest.approx(
        NOW.timestamp()
    )
    assert of(found, "holdfast_connection_sending_paused", "ops") == 1
    assert of(found, "holdfast_connection_received", "boards") == 4
    assert of(found, "holdfast_connection_inbox", "boards", status="set_aside") == 1
    assert of(found, "holdfast_connection_silent", "boards") == 1
    assert [s.labels["connection"] for s in found["holdfast_connection_silent"]] == ["boards"]
    assert found["holdfast_runs_stuck"][0].value == 0


@pytest.mark.django_db(transaction=True)
def test_refusals_are_counted_by_connection() -> None:
    def refused() -> float:
        samples = told().get("holdfast_inbound_messages_total", [])
        wanted = {"connection": "guarded", "provider": "grafana", "answer": "401"}
        return sum(s.value for s in samples if wanted.items() <= s.labels.items())

    guarded = monitor("grafana", name="guarded", secret="s3cr3t")
    before = refused()
    assert knock(guarded.path, b'{"title": "x"}').status == 401
    assert refused() == before + 1


def test_a_scrape_asks_as_often_for_many_rows_and_connections_as_for_none() -> None:
    with CaptureQueriesContext(database) as before:
        list(connection_metrics.collect())
    busy()
    for number in range(30):
        delivery(Connection.objects.create(provider="webhook", name=f"hook {number}"), "delivered")
    with CaptureQueriesContext(database) as after:
        list(connection_metrics.collect())
    assert len(after) == len(before)


def test_the_window_gets_shorter_when_more_happened_than_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slack, _ = busy()
    assert told()["holdfast_connections_sent_window_seconds"][0].value == 3600
    monkeypatch.setattr(connection_metrics, "LOOKED", 5)
    for _ in range(5):
        delivery(slack, "delivered", minutes=10)
    found = told()
    assert found["holdfast_connections_sent_window_seconds"][0].value == pytest.approx(600, abs=30)
    assert of(found, "holdfast_connection_tries", "ops", result="accepted") == 5


def test_connections_beyond_the_limit_have_no_series(monkeypatch: pytest.MonkeyPatch) -> None:
    busy()
    monkeypatch.setattr(connection_metrics, "CONNECTIONS", 1)
    found = told()
    named = {
        s.labels["connection"]
        for name, samples in found.items()
        if name.startswith("holdfast_connection_")
        for s in samples
    }
    assert named == {"ops"}


# --- dashboard and alarms --------------------------------------------------------------------------


def queries() -> list[str]:
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    asked += [
        variable["definition"] for variable in DASHBOARD["templating"]["list"] if "definition" in variable
    ]
    return asked


def expressions() -> list[str]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def exposed() -> dict[str, set[str]]:
    """Metric → names of its labels, of an installation where something of everything happened."""
    busy()
    knock(monitor("grafana", name="guarded", secret="s3cr3t").path, b"{}")
    started(LOOK)
    observe_request("GET", "/", 200, 0.1)
    WorkerHeartbeat.objects.create(name="one", at=timezone.now())
    found: dict[str, set[str]] = {}
    for name, samples in told().items():
        found[name] = {label for sample in samples for label in sample.labels}
    return found


@pytest.mark.django_db(transaction=True)
def test_every_query_of_dashboard_and_alarms_names_metrics_and_labels_that_there_are() -> None:
    there = exposed()
    named: set[str] = set()
    for query in [*queries(), *expressions()]:
        asked = set(re.findall(r"\bholdfast_\w+|\bup\b", query))
        assert asked, query
        assert asked <= there.keys() | FOREIGN, query
        labels = {label for metric in asked - FOREIGN for label in there[metric]} | {"job", "instance", "le"}
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query))
        for group in re.findall(r"\bby \(([^)]*)\)", query):
            used |= {one.strip() for one in group.split(",")}
        assert used <= labels, query
        named |= asked
    for metric in (
        "last_success_timestamp_seconds",
        "tries",
        "delivery_seconds",
        "deliveries",
        "received",
        "silent",
    ):
        assert f"holdfast_connection_{metric}" in named, f"nobody looks at {metric}"


def promtool(*arguments: str | Path) -> str:
    program("prometheus")  # the package brings both
    found = shutil.which("promtool", path="/usr/bin:/usr/sbin:/bin")
    assert found is not None, "promtool comes with the package prometheus"
    done = subprocess.run(
        [found, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_alarms_and_every_query_of_the_dashboard(tmp_path: Path) -> None:
    assert f"SUCCESS: {len(expressions())} rules found" in promtool("check", "rules", RULES)
    asked = [
        query.replace("$connection", ".*") for query in queries() if not query.startswith("label_values")
    ]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(asked)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"SUCCESS: {len(asked)} rules found" in promtool("check", "rules", tmp_path / "panels.yml")


def test_alarms_ring_when_something_is_wrong_and_only_then(tmp_path: Path) -> None:
    """Twenty minutes of an installation whose Slack fails and whose Grafana is silent, judged by Prometheus."""
    series = {
        'holdfast_connection_tries{connection="ops",provider="slack",result="failed"}': "9x30",
        'holdfast_connection_tries{connection="ops",provider="slack",result="accepted"}': "1x30",
        'holdfast_connection_tries{connection="mail",provider="email",result="failed"}': "1x30",
        'holdfast_connection_tries{connection="mail",provider="email",result="accepted"}': "0x30",
        'holdfast_connection_silent{connection="boards",provider="grafana"}': "1x30",
        "holdfast_runs_stuck": "2x30", "holdfast_inbox_oldest_seconds": "3x30",
        "holdfast_worker_heartbeat_age_seconds": "5x30",
    }  # fmt: skip
    ringing = {
        "HoldfastConnectionFailing": [{"connection": "ops", "provider": "slack"}],
        "HoldfastSourceSilent": [{"connection": "boards", "provider": "grafana"}],
        "HoldfastRunsStuck": [{}], "HoldfastInboxLag": [], "HoldfastNoWorker": [], "HoldfastDeadLetters": [],
    }  # fmt: skip
    summaries = {
        "HoldfastConnectionFailing": "90% of the tries to send to ops fail.",
        "HoldfastSourceSilent": "Nothing comes from boards, of which something is expected.",
        "HoldfastRunsStuck": "2 playbook runs go on only when somebody helps.",
    }
    rules = {rule["alert"]: rule for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}
    expected = [
        {"eval_time": "20m", "alertname": name, "exp_alerts": [
            {"exp_labels": {**labels, **rules[name]["labels"]},
             "exp_annotations": {"summary": summaries[name], "description": rules[name]["annotations"]["description"]}}
            for labels in rung
        ]}
        for name, rung in ringing.items()
    ]  # fmt: skip
    test = {
        "rule_files": [str(RULES)], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": [{"series": s, "values": v} for s, v in series.items()], "alert_rule_test": expected}],
    }  # fmt: skip
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "test.yml")
