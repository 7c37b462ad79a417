"""What people do with a run: pause, resume, cancel, skip a step, retry one."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from incidents.access import require
from incidents.lifecycle import Refused
from incidents.models import Incident
from incidents.wake import wake
from playbooks.models import Approval, Run, Step
from playbooks.session import FREE, UNDER_WAY, definition_of

RIGHT = "run.control"


def pause(run: Run, by: Any, reason: str = "") -> None:
    """Stop after the step in hand; timers and answers wait. Raises NotAllowed, Refused."""
    with transaction.atomic():
        _locked(run, by, "pause", ("queued", "running", "waiting", "asking"))
        _set(run, state="paused", reason=reason or f"Paused by {by}.")
        _tell(run, "run.paused", f"{by} paused the playbook “{run.playbook}”. {reason}".strip(), by)


def resume(run: Run, by: Any) -> None:
    """Go on with a paused run. Raises NotAllowed, Refused."""
    with transaction.atomic():
        _locked(run, by, "resume", ("paused",))
        _set(run, state="queued", reason="", wake_at=timezone.now())
        _tell(run, "run.resumed", f"{by} resumed the playbook “{run.playbook}”.", by)
        wake("run", run.pk)


def cancel(run: Run, by: Any, reason: str) -> None:
    """End the run now. Effects stay in place. Raises NotAllowed, Refused."""
    _reasoned("cancel", reason)
    with transaction.atomic():
        _locked(run, by, "cancel", Run.LIVE)
        _end(run, by, f"{by} cancelled the playbook “{run.playbook}”: {reason}")


def call_off(incident: Incident, reason: str) -> int:
    """End the live runs of an incident that turned out to be none, or another one. How many there were."""
    with transaction.atomic():
        live = list(
            Run.objects.select_for_update(of=("self",))
            .select_related("playbook", "incident")
            .filter(incident=incident, state__in=Run.LIVE)
            .order_by("pk")
        )
        for run in live:
            _end(run, None, f"The playbook “{run.playbook}” was called off: {reason}")
    return len(live)


def skip(step: Step, by: Any, reason: str) -> None:
    """Go past the step at which the run stands. Raises NotAllowed, Refused."""
    _reasoned("skip", reason)
    run = step.run
    with transaction.atomic():
        _locked(run, by, "skip", ("running", "waiting", "asking", "paused", "failed"))
        _at_hand(run, step, "skip", (*UNDER_WAY, "failed"))
        definition = definition_of(run)
        now = timezone.now()
        Approval.objects.filter(step=step, decision="pending").update(decision="cancelled", decided_at=now)
        step.state, step.summary, step.actor, step.ended_at = "skipped", f"Skipped by {by}: {reason}", by, now
        step.save(update_fields=["state", "summary", "actor", "ended_at"])
        _restart(run, definition.after(definition.step(step.key)))
        _tell(run, "step.skipped", f"{by} skipped {step}: {reason}", by, step=step.key)


def retry(step: Step, by: Any) -> None:
    """Try a failed step once more, as a new attempt of the same effect. Raises NotAllowed, Refused."""
    run = step.run
    with transaction.atomic():
        _locked(run, by, "retry", ("failed", "paused", "waiting"))
        _at_hand(run, step, "retry", ("failed", "waiting"))
        step.actor = by
        step.state, step.ended_at = "failed", step.ended_at or timezone.now()
        step.save(update_fields=["actor", "state", "ended_at"])
        _restart(run, step.key)
        _tell(run, "step.retried", f"{by} tries {step} again.", by, step=step.key)


def _end(run: Run, by: Any, say: str) -> None:
    now = timezone.now()
    _stop(run, state="cancelled", reason=say, ended_at=now, wake_at=None)
    run.steps.filter(state="running", phase="prepared").update(
        summary="Cancelled while it acted: look whether its effect happened."
    )
    run.steps.filter(state__in=UNDER_WAY).update(state="cancelled", ended_at=now, actor=by)
    run.approvals.filter(decision="pending").update(decision="cancelled", decided_at=now)
    _tell(run, "run.cancelled", say, by)


def _locked(run: Run, by: Any, verb: str, states: tuple[str, ...]) -> None:
    require(by, RIGHT, run.incident)
    fresh = Run.objects.select_for_update().get(pk=run.pk)
    if fresh.state not in states:
        raise Refused(
            verb, [f"The run is {fresh.get_state_display().lower()}; {verb} needs {' or '.join(states)}."]
        )
    for name in ("state", "cursor", "fence", "wake_at"):
        setattr(run, name, getattr(fresh, name))


def _at_hand(run: Run, step: Step, verb: str, states: tuple[str, ...]) -> None:
    step.refresh_from_db(fields=["state", "attempt"])
    newest = run.steps.filter(key=step.key).order_by("-attempt").first()
    here = run.cursor.get("next")
    if newest is None or newest.pk != step.pk or step.key != here or step.state not in states:
        raise Refused(
            verb, [f"The run stands at {here or 'its start'}; to {verb} {step.key} is not possible now."]
        )
    if "undo" in run.cursor:
        raise Refused(verb, ["The run takes its effects back; wait until it has ended."])


def _reasoned(verb: str, reason: str) -> None:
    if not reason.strip():
        raise Refused(verb, [f"Give the reason to {verb}."])


def _restart(run: Run, at: str) -> None:
    """Let a worker carry the run on from `at`; a worker that is still at it is refused by the fence."""
    _stop(run, state="queued", cursor={"next": at}, reason="", ended_at=None, wake_at=timezone.now())
    wake("run", run.pk)


def _stop(run: Run, **fields: Any) -> None:
    _set(run, fence=F("fence") + 1, **FREE, **fields)
    run.refresh_from_db(fields=["fence"])


def _set(run: Run, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(run, name, value)
    run.save(update_fields=list(fields))


def _tell(run: Run, kind: str, text: str, by: Any, **data: Any) -> None:
    run.incident.record(kind, text=text, by=by, actor=run.ref, data={"run": run.pk, **data})
    wake("outbox")
