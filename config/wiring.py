"""Who listens to what: the one page on which the floors talk to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from incidents import audit, escalation, notices, outbox, retention, sweeps
from incidents.models import Event
from incidents.pages import changes as changed
from incidents.pages import panels
from integrations import databases, duty, http
from integrations import retention as kept
from integrations.inbox import drain, heartbeat, poll
from integrations.outbox import announce, deliver, personal
from playbooks import approvals, concerned, engine, triggers, waits
from playbooks.diagnostics import dataset

#: prefix of the event kind → listeners, told in this order
LISTENERS: Mapping[str, Sequence[Callable[[Event], None]]] = {
    "incident.": (triggers.on_event,),
    "": (waits.on_event, announce.on_event, notices.on_event, personal.on_event),
}


def _relay(_: int | None = None) -> int:
    return outbox.relay(LISTENERS)


def _drain(_: int | None = None) -> int:
    return drain.drain()


def _deliver(id: int | None) -> None:
    if id is not None:
        deliver.deliver(id)


def _advance(id: int | None) -> None:
    if id is not None:
        engine.advance(id)


def _duty(id: int | None) -> None:
    if id is not None:
        duty.ask(id)


def _poll(id: int | None) -> None:
    if id is not None:
        poll.poll(id)


#: kind of a wake-up → who looks
HANDLERS: Mapping[str, Callable[[int | None], Any]] = {
    "inbox": _drain,
    "outbox": _relay,
    "run": _advance,
    "delivery": _deliver,
    "poll": _poll,
    "duty": _duty,
}

#: what is looked for when nobody was woken; each returns how many rows it found
SWEEPS: Sequence[Callable[[], int]] = (
    deliver.sweep,
    poll.sweep,
    duty.sweep,
    heartbeat.sweep,
    engine.sweep,
    approvals.look,
    escalation.escalate,
    sweeps.release_keys,
    sweeps.end_storms,
    sweeps.end_silences,
    retention.sweep,
    audit.seal,
)


def _fetch(url: str) -> bytes:
    return http.fetch_bytes(url, dataset.MAX_BYTES)


def connect() -> None:
    """Give lower floors what only upper ones have. Called once per process, when Django is ready."""
    from config.sign_in import mine
    from integrations.pages import context
    from integrations.pages import panels as outside  # late: pages are of no use to a worker
    from playbooks.pages import panels as work

    for one in kept.KINDS:
        retention.register(one)
    for kind in ("approval.requested", "approval.handed_on"):
        notices.register(kind, "approval", concerned.asked_of)
    notices.mail_by(personal.ready)
    dataset.set_fetcher(_fetch)
    dataset.set_query_reader(databases.rows_of)
    panels.register("changes", changed.incident_panel, order=20)
    panels.register_urgent("questions", work.urgent_panel, order=10)
    panels.register("runs", work.incident_panel, order=10)
    panels.register("context", context.incident_panel, order=30)
    panels.register("deliveries", outside.incident_panel, order=60)
    panels.register_system("duty", outside.system_panel, order=10)
    panels.register_now("approvals", work.now_panel, order=10)
    panels.register_now("connections", outside.now_panel, order=60)
    panels.register_settings("sign-in", mine.panel)
