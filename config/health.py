"""`/healthz` and `/readyz`: is the process alive, and is everything it needs there.

`/healthz` touches nothing, so a supervisor does not kill a healthy process because the database restarts.
`/readyz` looks at each part and names the one that is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from config.insiders import is_insider
from config.logs import mask
from config.worker import HEARTBEAT

#: A worker is silent after six missed heartbeats.
SILENT_AFTER = 6 * HEARTBEAT
#: Seconds an accepted message or a fact may lie before the installation counts as lagging.
LAGGING_AFTER = 60.0


class NotReady(Exception):
    """A part is missing; the message says which and what to look at."""


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when every part answers, else 503. `checks` says which one does not; insiders are told why."""
    checks = {name: _look(check) for name, check in CHECKS.items()}
    ready = all(check["ok"] for check in checks.values())
    if not is_insider(request):
        checks = {name: {"ok": check["ok"]} for name, check in checks.items()}
    return JsonResponse({"ready": ready, "checks": checks}, status=200 if ready else 503)


def _look(check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    started = monotonic()
    try:
        found: dict[str, Any] = {"ok": True, **check()}
    except NotReady as error:
        found = {"ok": False, "error": str(error)}
    except Error as error:
        found = {"ok": False, "error": mask(f"The database does not answer: {error}".strip())}
    return {**found, "milliseconds": round((monotonic() - started) * 1000, 1)}


def database() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
    return {"vendor": connection.vendor}


@lru_cache(maxsize=1)
def _broker_connection() -> Any:
    from config.celery import app

    return app.connection_for_write(connect_timeout=2)


def broker() -> dict[str, Any]:
    """Embedded: inside this process, always there. Otherwise a connection is opened and closed."""
    if settings.EMBEDDED:
        return {"kind": "embedded"}
    probe = _broker_connection().clone()
    try:
        probe.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=2)
    except Exception as error:  # each client library has its own errors; all mean the same here
        raise NotReady(
            mask(f"The broker does not answer ({error}). Work goes on through the sweeper, more slowly.")
        ) from error
    finally:
        probe.release()
    return {"kind": probe.transport_cls}


def worker() -> dict[str, Any]:
    from config.models import WorkerHeartbeat

    now = timezone.now()
    newest = WorkerHeartbeat.objects.order_by("-at").first()
    if newest is None:
        raise NotReady("No worker has reported. Start `python manage.py work`, or `up` for embedded mode.")
    age = (now - newest.at).total_seconds()
    if age > SILENT_AFTER:
        raise NotReady(
            f"The last worker ({newest.name}) was heard {age:.0f} s ago. Look at its log, restart it."
        )
    return {"name": newest.name, "seconds_ago": round(age, 1)}


def inbox() -> dict[str, Any]:
    return _lag(oldest_message_seconds(), "inbox message", "Look at the worker's log and its database load.")


def events() -> dict[str, Any]:
    return _lag(oldest_event_seconds(), "event", "Listeners are not told; look at the worker's log.")


def oldest_message_seconds() -> float:
    """Age of the oldest unread inbox message, 0.0 when there is none."""
    from integrations.models import InboxMessage

    rows = InboxMessage.objects.filter(status="new").order_by("id")
    return _age(rows.values_list("received_at", flat=True).first())


def oldest_event_seconds() -> float:
    """Age of the oldest event that listeners were not told yet, 0.0 when there is none."""
    from incidents.models import Event

    rows = Event.objects.filter(published_at__isnull=True).order_by("id")
    return _age(rows.values_list("recorded_at", flat=True).first())


def _age(moment: datetime | None) -> float:
    return 0.0 if moment is None else max(0.0, (timezone.now() - moment).total_seconds())


def _lag(seconds: float, what: str, advice: str) -> dict[str, Any]:
    if seconds > LAGGING_AFTER:
        raise NotReady(f"The oldest waiting {what} is {seconds:.0f} s old. {advice}")
    return {"oldest_seconds": round(seconds, 1)}


CHECKS: dict[str, Callable[[], dict[str, Any]]] = {
    "database": database,
    "broker": broker,
    "worker": worker,
    "inbox": inbox,
    "events": events,
}
