"""/healthz, /readyz and /metrics: what a supervisor, a load balancer and Prometheus are told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from config import health
from config.models import WorkerHeartbeat
from incidents.models import Event, Incident
from integrations.models import Connection, Delivery, InboxMessage

pytestmark = pytest.mark.django_db


def ago(seconds: float) -> Any:
    return timezone.now() - timedelta(seconds=seconds)


def a_worker_heard(seconds: float) -> WorkerHeartbeat:
    return WorkerHeartbeat.objects.create(name="host:1", kind="worker", at=ago(seconds))


def a_connection(name: str = "prometheus") -> Connection:
    return Connection.objects.create(provider="alertmanager", name=name)


def a_message(status: str = "new", seconds: float = 0) -> InboxMessage:
    source = Connection.objects.first() or a_connection()
    return InboxMessage.objects.create(connection=source, body="{}", status=status, received_at=ago(seconds))


def ready() -> tuple[int, dict[str, Any]]:
    answer = Client().get("/readyz")
    return answer.status_code, answer.json()["checks"]


def metrics(**request: Any) -> dict[tuple[str, ...], float]:
    answer = Client().get("/metrics", **request)
    assert answer.status_code == 200, answer.content
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_healthz_asks_nobody(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        answer = Client().get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


def test_with_a_worker_and_nothing_waiting_the_house_is_ready() -> None:
    a_worker_heard(2)
    status, checks = ready()
    assert status == 200
    assert set(checks) == {"database", "broker", "worker", "inbox", "events"}
    assert all(check["ok"] for check in checks.values())


def test_without_a_worker_it_is_not_ready_and_says_what_to_start() -> None:
    status, checks = ready()
    assert status == 503
    assert "python manage.py work" in checks["worker"]["error"]
    assert checks["database"]["ok"]


def test_a_worker_not_heard_of_for_a_minute_is_named() -> None:
    a_worker_heard(60)
    status, checks = ready()
    assert status == 503
    assert "host:1" in checks["worker"]["error"]


def test_a_message_that_lies_too_long_makes_it_not_ready() -> None:
    a_worker_heard(1)
    a_message(seconds=health.LAGGING_AFTER + 5)
    status, checks = ready()
    assert (status, checks["inbox"]["ok"], checks["events"]["ok"]) == (503, False, True)


def test_strangers_are_told_which_part_is_missing_but_not_its_name_or_error() -> None:
    a_worker_heard(60)
    answer = Client().get("/readyz", REMOTE_ADDR="203.0.113.7")
    assert answer.status_code == 503
    assert answer.json()["checks"]["worker"] == {"ok": False}
    assert "host:1" not in answer.content.decode()


def test_what_was_set_aside_or_done_does_not_count_as_waiting() -> None:
    a_worker_heard(1)
    a_message("set_aside", seconds=600)
    a_message("done", seconds=600)
    assert ready()[0] == 200


def test_an_event_nobody_was_told_of_makes_it_not_ready() -> None:
    a_worker_heard(1)
    Event.objects.create(kind="incident.opened", recorded_at=ago(health.LAGGING_AFTER + 5))
    status, checks = ready()
    assert (status, checks["events"]["ok"], checks["inbox"]["ok"]) == (503, False, True)


def test_a_broker_that_is_away_is_named(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from kombu.connection import Connection as Broker

    settings.EMBEDDED = False
    monkeypatch.setattr(health, "_broker_connection", lambda: Broker("redis://:hunter2@127.0.0.1:1/0"))
    a_worker_heard(1)
    status, checks = ready()
    assert status == 503
    assert "The broker does not answer" in checks["broker"]["error"]
    assert "hunter2" not in checks["broker"]["error"]


def test_a_database_that_is_away_is_named_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    def refuse(*args: object, **kwargs: object) -> None:
        raise OperationalError("connection refused, password=hunter2")

    monkeypatch.setattr(connection, "cursor", refuse)
    status, checks = ready()
    assert status == 503
    assert "The database does not answer: connection refused" in checks["database"]["error"]
    assert "hunter2" not in str(checks)


def test_metrics_count_the_work_in_the_database() -> None:
    a_message(seconds=30)
    a_message("set_aside")
    Incident.objects.create(title="Drift in credit model", severity=2)
    Incident.objects.create(title="Slow endpoint", severity=4)
    Event.objects.create(kind="incident.opened")
    source = Connection.objects.get()
    for number, state in enumerate(("queued", "queued", "dead")):
        Delivery.objects.create(
            connection=source, kind="opened", idempotency_key=str(number), announcement={}, state=state
        )
    a_worker_heard(3)
    found = metrics()
    assert found["holdfast_inbox_messages", "new"] == 1
    assert found["holdfast_inbox_messages", "set_aside"] == 1
    assert 30 <= found["holdfast_inbox_oldest_seconds",] < 40
    assert found["holdfast_deliveries", "queued"] == 2
    assert found["holdfast_deliveries", "dead"] == 1
    assert found["holdfast_deliveries_overdue",] == 2
    assert found["holdfast_incidents_open", "SEV2"] == 1
    assert found["holdfast_incidents_open", "SEV4"] == 1
    assert found["holdfast_events_unpublished",] >= 1
    assert 3 <= found["holdfast_worker_heartbeat_age_seconds",] < 10


def test_metrics_are_open_to_this_machine_only() -> None:
    refused = Client().get("/metrics", REMOTE_ADDR="203.0.113.7")
    assert refused.status_code == 403
    assert b"HOLDFAST_METRICS_TOKEN" in refused.content
    assert metrics(REMOTE_ADDR="127.0.0.1")


def test_a_caller_behind_a_local_proxy_is_not_this_machine() -> None:
    assert Client().get("/metrics", headers={"X-Forwarded-For": "203.0.113.7"}).status_code == 403


def test_the_metrics_token_opens_them_from_elsewhere(settings: Any) -> None:
    settings.HOLDFAST_METRICS_TOKEN = "a-token-for-prometheus"
    right = {"Authorization": "Bearer a-token-for-prometheus"}
    assert metrics(REMOTE_ADDR="203.0.113.7", headers=right)
    wrong = Client().get("/metrics", REMOTE_ADDR="203.0.113.7", headers={"Authorization": "Bearer guess"})
    assert wrong.status_code == 403
