"""Waiting: for a time, until a time of day, until a condition holds, until something happens on the incident."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q

from incidents.matchers import any_line_matches
from incidents.models import Alert, Event
from incidents.wake import wake
from playbooks.conductor import Failed, Later, Succeeded
from playbooks.definition import StepDef, UntilEvent
from playbooks.definition.reading import duration
from playbooks.expressions import Conditions, ExpressionError, substitute
from playbooks.models import Run, Step
from playbooks.result import Result, Session

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: Words by which outside systems call a ticket that is done.
CLOSED = ("closed", "done", "resolved", "complete", "completed")
_CLOCK = re.compile(r"(?:(mon|tue|wed|thu|fri|sat|sun)\w*\s+)?([01]?\d|2[0-3]):([0-5]\d)", re.IGNORECASE)


def look(session: Session, step: StepDef, row: Step) -> Result:
    """Whether all that the step waits for has come. Raises ExpressionError."""
    waited = session.now - row.started_at
    done = Result(Succeeded(), {"waited_seconds": round(waited.total_seconds())})
    if session.run.dry_run:
        done.summary = "Dry run: not waited for."
        return done
    memory = dict(row.memory) or {"earliest": _earliest(session, step, row).isoformat()}
    earliest = datetime.fromisoformat(memory["earliest"])
    if session.now < earliest:
        return Result(Later(earliest, step.text or step.title), memory=memory)
    missing = ""
    if step.until and not Conditions(session.scope()).test(step.until):
        missing = step.until
    look_at = session.now + timedelta(seconds=step.every)
    if not missing and step.until_event is not None:
        missing, found, at = _event(session, step.until_event, row, memory)
        done.outputs |= found
        look_at = at or look_at
    if not missing:
        return done
    if row.deadline_at and session.now >= row.deadline_at:
        minutes = int(waited.total_seconds()) // 60
        return Result(
            Failed(f"After {minutes // 60} h {minutes % 60} min this still does not hold: {missing}."),
            done.outputs,
        )
    return Result(Later(min(look_at, row.deadline_at or look_at), f"Until {missing}."), memory=memory)


def on_event(event: Event) -> None:
    """Wake the runs that wait for something on the event's incident. Called by the relay; writes rows only."""
    if event.incident_id is None or event.kind.startswith(("step.", "run.started")):
        return
    for step in Step.objects.filter(
        run__incident=event.incident_id,
        run__state="waiting",
        state="waiting",
        kind="wait",
        memory__has_key="event",
    ).only("pk", "run_id"):
        Step.objects.filter(pk=step.pk, state="waiting").update(wake_at=event.recorded_at)
        if Run.objects.filter(pk=step.run_id, state="waiting").update(wake_at=event.recorded_at):
            wake("run", step.run_id)


def next_time(text: str, now: datetime) -> datetime:
    """The ISO time, or the next time the clock (UTC) says so: `02:00`, `Sun 02:00`. Raises ExpressionError."""
    if hit := _CLOCK.fullmatch(text.strip()):
        at = now.astimezone(UTC).replace(hour=int(hit[2]), minute=int(hit[3]), second=0, microsecond=0)
        if hit[1]:
            at += timedelta(days=(DAYS.index(hit[1].lower()) - at.weekday()) % 7)
        return at if at > now else at + timedelta(days=7 if hit[1] else 1)
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ExpressionError(
            f"“{text}” is no time; write it as 2026-11-21T02:00:00+00:00, as 02:00 or as Sun 02:00 (UTC)."
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _earliest(session: Session, step: StepDef, row: Step) -> datetime:
    found = row.started_at + timedelta(seconds=step.duration or 0)
    if step.duration_from:
        said = str(substitute(step.duration_from, session.scope()))
        seconds = duration(said)
        if seconds is None:
            raise ExpressionError(f"“{said}” is no duration such as 90s, 15m, 24h or 7d; “for” finds it.")
        found = row.started_at + timedelta(seconds=seconds)
    if step.until_time:
        found = max(found, next_time(str(substitute(step.until_time, session.scope())), row.started_at))
    return found


def _event(
    session: Session, rule: UntilEvent, row: Step, memory: dict[str, Any]
) -> tuple[str, dict[str, Any], datetime | None]:
    """What is missing ("" when nothing is), what to put out, and when to look again."""
    memory["event"] = True  # the listener looks for it
    if rule.windows:
        return _clean(session, rule, memory)
    if rule.ticket:
        links = [link for link in session.incident.remote_links.select_related("connection")
                 if rule.provider in ("", link.connection.provider)]  # fmt: skip
        states = {link.remote_id: str(link.data.get("state", "")) for link in links}
        closed = [name for name, state in states.items() if state.lower() in CLOSED]
        return ("" if closed else "the ticket is closed", {"event": {"tickets": states}}, None)
    kinds = Q()
    for kind in rule.kinds:
        kinds |= Q(kind__startswith=kind) if kind.endswith(".") else Q(kind=kind)
    for event in session.incident.events.filter(kinds, recorded_at__gte=row.started_at).order_by("id"):
        told = {
            "id": event.pk,
            "kind": event.kind,
            "actor": event.actor,
            "text": event.text,
            "data": event.data,
        }
        if not rule.when or Conditions({**session.scope(), "event": told}).test(rule.when):
            return "", {"event": told}, None
    what = " or ".join(rule.kinds)
    return f"{what} with {rule.when}" if rule.when else what, {}, None


def _clean(
    session: Session, rule: UntilEvent, memory: dict[str, Any]
) -> tuple[str, dict[str, Any], datetime | None]:
    """Count windows in a row in which no alert fired and enough samples were reported."""
    now, span = session.now, timedelta(seconds=rule.window)
    begin = datetime.fromisoformat(memory.get("window_begin", memory["earliest"]))
    clean = memory.get("clean", 0)
    alerts = [alert for alert in Alert.objects.filter(incident=session.incident.pk) if _counts(rule, alert)]
    samples = sum(alert.sample_size or 0 for alert in alerts if begin <= alert.last_seen <= now)
    why = ""
    if any(alert.status == "firing" or _fired(alert, begin, now) for alert in alerts):
        clean, begin, why = 0, now, "an alert fires"
    elif now >= begin + span:
        if samples >= rule.samples:
            clean += 1
        else:
            clean, why = 0, f"only {samples} of {rule.samples} samples in the last window"
        begin = now
    memory |= {"clean": clean, "window_begin": begin.isoformat()}
    found = {"clean_windows": clean}
    if clean >= rule.windows:
        return "", found, None
    missing = f"{rule.windows} clean windows in a row ({clean} so far{'; ' + why if why else ''})"
    return missing, found, begin + span


def _fired(alert: Alert, begin: datetime, now: datetime) -> bool:
    """Whether it began to fire within the window, also when it is over by now."""
    return alert.starts_at is not None and begin < alert.starts_at <= now


def _counts(rule: UntilEvent, alert: Alert) -> bool:
    if not rule.monitor.strip():
        return True
    own = {
        name: getattr(alert, name) for name in ("source", "metric", "feature", "segment", "family", "level")
    }
    return any_line_matches(rule.monitor, {**{k: str(v) for k, v in alert.labels.items()}, **own})
