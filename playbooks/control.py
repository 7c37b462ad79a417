"""What people do with a run: pause, resume, cancel; retry, skip or do again one of its steps.

What is done to a run is done to the runs below it as well; locks are taken from above to below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from incidents.access import require
from incidents.lifecycle import Refused
from incidents.models import Incident
from incidents.wake import wake
from playbooks import family, shelf
from playbooks.definition import Definition, StepDef
from playbooks.definition.rules import wrong_value
from playbooks.known import FREE, UNDER_WAY, definition_of
from playbooks.models import Approval, Run, Step

RIGHT = "run.control"


def pause(run: Run, by: Any, reason: str = "") -> None:
    """Stop after the step in hand; timers and answers wait. Raises NotAllowed, Refused."""
    with transaction.atomic():
        _locked(run, by, "pause", ("queued", "running", "waiting", "asking"))
        _set(run, state="paused", reason=reason or f"Paused by {by}.")
        below = [one.pk for one in family.live_below(run) if one.state != "paused"]
        Run.objects.filter(pk__in=below).update(state="paused", reason=f"Paused with run {run.pk}.")
        _tell(run, "run.paused", f"{by} paused the playbook “{run.playbook}”. {reason}".strip(), by)


def resume(run: Run, by: Any) -> None:
    """Go on with a paused run. Raises NotAllowed, Refused."""
    with transaction.atomic():
        _locked(run, by, "resume", ("paused",))
        _under_a_live_run(run, "resume")
        _set(run, state="queued", reason="", wake_at=timezone.now())
        below = [one.pk for one in family.live_below(run) if one.state == "paused"]
        Run.objects.filter(pk__in=below).update(state="queued", reason="", wake_at=timezone.now())
        _tell(run, "run.resumed", f"{by} resumed the playbook “{run.playbook}”.", by)
        for pk in (run.pk, *below):
            wake("run", pk)


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
            .filter(incident=incident, parent=None, state__in=Run.LIVE)
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
        _under_a_live_run(run, "skip")
        definition = definition_of(run)
        now = timezone.now()
        family.cancel_below(run, f"{by} skipped {step}.", now, by=by, step=step)
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
        _under_a_live_run(run, "retry")
        step.actor = by
        step.state, step.ended_at = "failed", step.ended_at or timezone.now()
        step.save(update_fields=["actor", "state", "ended_at"])
        _restart(run, step.key)
        _tell(run, "step.retried", f"{by} tries {step} again.", by, step=step.key)


def rerun(
    run: Run, key: str, by: Any, reason: str, *, inputs: Mapping[str, Any] | None = None, stored: bool = False
) -> None:
    """Go on from any step of the playbook, as a new attempt of it: with the parameters that it would look up now, with
    those of its last attempt (`stored`), or with `inputs`. What follows it is done again too; effects that are in
    place stay, and whoever asks for this approves none of it.

    Raises NotAllowed, Refused (no reason, no such step, parameters that do not fit, a run that may not go on).
    """
    _reasoned("do a step again", reason)
    with transaction.atomic():
        # the incident's row is the lock between this and whoever starts the same playbook
        Incident.objects.select_for_update().filter(pk=run.incident_id).values_list("pk").get()
        _locked(run, by, "rerun", ("waiting", "asking", "paused", "failed", "succeeded", "cancelled"))
        _may_go_on(run)
        definition = _readable(run)
        if not definition.knows(key):
            raise Refused(
                "rerun",
                [f"The playbook has no step {key!r}; there are {', '.join(s.id for s in definition.steps)}."],
            )
        before = run.steps.filter(key=key).order_by("-attempt").first()
        given = dict(inputs) if inputs is not None else dict(before.inputs) if stored and before else None
        if given is not None:
            _fitting(definition.step(key), given)
        _leave(run, by, f"{by} goes on from {key}.")
        run.again = {**run.again, key: {
            "by": by.pk, "name": str(by), "at": timezone.now().isoformat(), "reason": reason, "inputs": given,
            "fresh": (before.attempt if before else 0) + 1 if inputs is not None else None,
        }}  # fmt: skip
        _set(run, again=run.again)
        _restart(run, key)
        how = (
            "other parameters"
            if inputs is not None
            else "the parameters of its last attempt"
            if given is not None
            else ""
        )
        _tell(
            run, "step.rerun", f"{by} goes on from {key}{f' with {how}' if how else ''}: {reason}", by, step=key,
            inputs=given,
        )  # fmt: skip


def _may_go_on(run: Run) -> None:
    """Raise Refused when the run may not go on from another step."""
    if "undo" in run.cursor:
        raise Refused("rerun", ["The run takes its effects back; wait until it has ended."])
    _under_a_live_run(run, "rerun")
    if run.is_live:
        return
    if not run.incident.is_open:
        raise Refused("rerun", [f"{run.incident.key} is not open any more. Re-open it first."])
    same = Run.objects.filter(playbook=run.playbook_id, incident=run.incident_id, parent=None, dry_run=False)
    other = same.filter(state__in=Run.LIVE).exclude(pk=run.pk).first()
    if other is not None and not run.dry_run and run.parent_id is None:
        raise Refused(
            "rerun",
            [f"Run {other.pk} of “{run.playbook}” is at work on this incident. Cancel it, or act on it."],
        )


def _readable(run: Run) -> Definition:
    try:
        return definition_of(run)
    except ValueError as error:
        raise Refused("rerun", [str(error)]) from error


def _fitting(step: StepDef, inputs: Mapping[str, Any]) -> None:
    """Raise Refused when the action cannot take these parameters."""
    action = shelf.actions().get(step.action) if step.action else None
    if action is None:
        if inputs:
            raise Refused("rerun", [f"{step.id} takes no parameters."])
        return
    params = {param.name: param for param in action.params}
    wrong = [f"{action.slug} has no parameter {name!r}." for name in inputs if name not in params]
    wrong += [
        said
        for name, value in inputs.items()
        if name in params and (said := wrong_value(params[name], value, final=True))
    ]
    wrong += [
        f"{param.name!r} is needed." for param in action.params
        if param.required and param.default is None and param.name not in inputs
    ]  # fmt: skip
    if wrong:
        raise Refused("rerun", wrong)


def _leave(run: Run, by: Any, why: str) -> None:
    """Give up where the run stands."""
    now = timezone.now()
    family.cancel_below(run, why, now, by=by)
    run.steps.filter(state__in=UNDER_WAY).update(state="cancelled", summary=why, ended_at=now)
    run.approvals.filter(decision="pending").update(decision="cancelled", decided_at=now)


def _end(run: Run, by: Any, say: str) -> None:
    now = timezone.now()
    family.stop(run, say, now, by=by)
    family.cancel_below(run, say, now, by=by)
    run.refresh_from_db(
        fields=["state", "reason", "ended_at", "wake_at", "fence", "lease_owner", "lease_until"]
    )
    family.tell_above(run, now)
    _tell(run, "run.cancelled", say, by)


def _locked(run: Run, by: Any, verb: str, states: tuple[str, ...]) -> None:
    require(by, RIGHT, run.incident)
    family.locked_above(run)
    fresh = Run.objects.select_for_update().get(pk=run.pk)
    if fresh.state not in states:
        raise Refused(
            verb, [f"The run is {fresh.get_state_display().lower()}; {verb} needs {' or '.join(states)}."]
        )
    for name in ("state", "cursor", "fence", "wake_at", "again"):
        setattr(run, name, getattr(fresh, name))


def _under_a_live_run(run: Run, verb: str) -> None:
    """Raise Refused when the run above does not wait for this one any more."""
    above = Run.objects.filter(children=run).first()
    if above is None:
        return
    waits = Step.objects.filter(children=run, state__in=UNDER_WAY).exists()
    if above.state == "paused":
        raise Refused(verb, [f"Run {above.pk}, which this one belongs to, is paused. Resume that one."])
    if not above.is_live or not waits:
        raise Refused(
            verb, [f"Run {above.pk}, which this one belongs to, no longer waits for it. Act on that one."]
        )


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
    _set(
        run,
        state="queued",
        cursor={"next": at},
        reason="",
        ended_at=None,
        wake_at=timezone.now(),
        fence=F("fence") + 1,
        **FREE,
    )
    run.refresh_from_db(fields=["fence"])
    wake("run", run.pk)


def _set(run: Run, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(run, name, value)
    run.save(update_fields=list(fields))


def _tell(run: Run, kind: str, text: str, by: Any, **data: Any) -> None:
    run.incident.record(kind, text=text, by=by, actor=run.ref, data={"run": run.pk, **data})
    wake("outbox")
