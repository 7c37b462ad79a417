"""`/metrics` for Prometheus: the state of the house from the database, requests from this process.

Numbers about work are counted in the database at scrape time, so every web process answers the same. Requests
are counted where they happen; with several web processes prometheus_client adds them up through files
(`PROMETHEUS_MULTIPROC_DIR`, set by `manage.py up`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from config.insiders import is_insider
from integrations.inbox import counters as inbound

disable_created_metrics()
requests_registry = CollectorRegistry()
REQUESTS = Counter(
    "holdfast_http_requests",
    "Requests answered, by method, route and status.",
    ("method", "route", "status"),
    registry=requests_registry,
)
SECONDS = Histogram(
    "holdfast_http_request_seconds",
    "Time to answer a request, in seconds.",
    ("route",),
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=requests_registry,
)
for collector in inbound.COLLECTORS:
    requests_registry.register(collector)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered request. `route` is a pattern, never an address with ids in it."""
    REQUESTS.labels(method if method in _METHODS else "other", route, str(status)).inc()
    SECONDS.labels(route).observe(seconds)


class House(Collector):
    """Backlogs and states, read from the database once per scrape."""

    def collect(self) -> Iterator[Metric]:
        from config import connection_metrics
        from config.health import oldest_event_seconds, oldest_message_seconds
        from config.models import WorkerHeartbeat
        from incidents.lifecycle import OPEN
        from incidents.models import Event, Incident
        from integrations.models import Delivery, InboxMessage
        from playbooks.models import Run
        from playbooks.stuck import stuck

        yield _gauge(
            "holdfast_inbox_messages",
            "Inbox messages by status; done ones are not counted.",
            ("status",),
            _counts(InboxMessage.objects.exclude(status="done"), "status", ("new", "set_aside")),
        )
        yield _single(
            "holdfast_inbox_oldest_seconds", "Age of the oldest unread message.", oldest_message_seconds()
        )
        yield _single(
            "holdfast_events_unpublished",
            "Events that listeners were not told yet.",
            Event.objects.filter(published_at__isnull=True).count(),
        )
        yield _single(
            "holdfast_events_oldest_seconds", "Age of the oldest unpublished event.", oldest_event_seconds()
        )
        yield _gauge(
            "holdfast_deliveries",
            "Deliveries by state.",
            ("state",),
            _counts(Delivery.objects.all(), "state", ("queued", "sending", "delivered", "dead")),
        )
        yield _single(
            "holdfast_deliveries_overdue",
            "Queued deliveries whose next attempt is due.",
            Delivery.objects.filter(state="queued", next_attempt_at__lte=timezone.now()).count(),
        )
        yield _gauge(
            "holdfast_runs", "Playbook runs by state.", ("state",), _counts(Run.objects.all(), "state")
        )
        open_by_severity = Incident.objects.filter(state__in=OPEN).order_by().values_list("severity")
        yield _gauge(
            "holdfast_incidents_open",
            "Open incidents by severity.",
            ("severity",),
            {f"SEV{level}": number for level, number in open_by_severity.annotate(n=Count("pk"))},
        )
        yield _single(
            "holdfast_runs_stuck",
            "Runs that go on only when a person does something.",
            stuck(Run.objects.all()).count(),
        )
        yield from connection_metrics.collect()
        newest = WorkerHeartbeat.objects.order_by("-at").values_list("at", flat=True).first()
        if newest is not None:
            yield _single(
                "holdfast_worker_heartbeat_age_seconds",
                "Seconds since the most recent sign of life of any worker.",
                (timezone.now() - newest).total_seconds(),
            )


def _counts(rows: QuerySet[Any, Any], field: str, always: Iterable[str] = ()) -> dict[str, int]:
    counted = dict(rows.order_by().values_list(field).annotate(n=Count("pk")))
    return dict.fromkeys(always, 0) | {str(value): number for value, number in counted.items()}


def _gauge(name: str, help: str, labels: tuple[str, ...], values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, help, labels=labels)
    for label, value in values.items():
        family.add_metric([label], value)
    return family


def _single(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, value=value)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Open to this machine; others need `Authorization: Bearer <HOLDFAST_METRICS_TOKEN>`."""
    if not is_insider(request):
        return HttpResponse(
            "Metrics are open to this machine only. From elsewhere, set HOLDFAST_METRICS_TOKEN and send it as "
            "a bearer token.\n",
            status=403,
            content_type="text/plain",
        )
    work = CollectorRegistry()
    work.register(House())
    requests = requests_registry
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        requests = CollectorRegistry()
        MultiProcessCollector(requests)
    return HttpResponse(generate_latest(work) + generate_latest(requests), content_type=CONTENT_TYPE_LATEST)
