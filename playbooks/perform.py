"""Does one step: asks, acts, reads back. What it means for the run is decided by the conductor."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from django.db import DatabaseError

from incidents.models import Incident
from playbooks import family, forms, holds, shelf, waits
from playbooks.conductor import Asked, Expired, Failed, Later, Outdated, Succeeded
from playbooks.contract import Action, ActionError, Ask, Done, Exhibit, StepContext, Unverified, Wait
from playbooks.definition import Concurrency, StepDef
from playbooks.definition.consent import whose_yes
from playbooks.definition.model import EXPIRES
from playbooks.definition.rules import effective_risk, wrong_value
from playbooks.electorate import asks_first
from playbooks.expressions import Conditions, ExpressionError, substitute
from playbooks.models import Approval, Step
from playbooks.result import Request, Result, Session, Superseded
from playbooks.timebox import TookTooLong, within

log = logging.getLogger(__name__)
T = TypeVar("T")
#: Seconds between renewals of the lease while an action is at work; a third of the lease.
RENEW = 10.0


def perform(session: Session, step: StepDef, row: Step) -> Result:
    """Do the step as far as it goes now. Raises only what must end the worker's attempt."""
    if row.error and not row.tries:  # its parameters could not be put together
        return Result(Failed(row.error))
    late = row.deadline_at is not None and session.now >= row.deadline_at
    if late and row.deadline_at and step.kind not in ("wait", "human"):
        return Result(Failed(f"Not finished within {_span(row.deadline_at - row.started_at)}.", "permanent"))
    if step.kind in ("decide", "gate", "wait"):  # what they judge may have changed since the run was read
        session.look_again()
    try:
        if step.concurrency is not None and (queues := _queue(session, step.concurrency, row)) is not None:
            return queues
        match step.kind:
            case "decide":
                return Result(Succeeded())
            case "gate":
                return _gate(session, step)
            case "wait":
                return waits.look(session, step, row)
            case "human":
                return _human(session, step, row)
            case "parallel" | "for_each" | "playbook":
                return family.look(session, step, row)
            case _:
                return _act(session, step, row)
    except (ExpressionError, shelf.UnknownAction) as error:
        return Result(Failed(_storable(str(error))))
    except TookTooLong as error:
        doubt = "" if row.phase != "prepared" else (
            " Whether its effect happened is not known; the next try carries the same idempotency key."
        )  # fmt: skip
        return Result(Failed(f"{error}{doubt}", "timeout", row.tries, deadline=row.deadline_at))
    except Unverified as error:
        return Result(
            Failed(_storable(f"The effect could not be read back: {error}"), "unverified", row.tries, error.retry_after, row.deadline_at)
        )  # fmt: skip
    except ActionError as error:
        cause: Any = "retryable" if error.retryable else "permanent"
        found = _storable(json.loads(json.dumps(error.outputs, default=str)))
        return Result(
            Failed(_storable(str(error)), cause, row.tries, error.retry_after, row.deadline_at), found
        )


def undo(session: Session, step: StepDef, row: Step) -> Done:
    """Take the step's effect back. Raises ActionError (also for a time-out)."""
    action = shelf.action(row.action)
    ctx = _context(session, row, key=f"{row.idempotency_key}-undo")
    try:
        return _call(session, _timeout(step, action), lambda: action.undo(ctx, row.outputs), action)
    except TookTooLong as error:
        raise ActionError(str(error), retryable=True) from error


def input_hash(inputs: Mapping[str, Any]) -> str:
    """SHA-256 of the parameters as shown to whoever approves them."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _queue(session: Session, rule: Concurrency, row: Step) -> Result | None:
    """What to do while somebody else holds the step's key; None when the step holds it."""
    if session.run.dry_run:
        return None
    key = str(substitute(rule.key, session.scope()))
    holder = session.take(key, row)
    if not holder:
        return None
    why = f"“{key}” is held by {holder}."
    if rule.on_conflict == "cancel_new":
        return Result(Failed(why))
    return Result(Later(session.now + timedelta(seconds=holds.LOOK), f"Queues: {why}"))


# --- kinds ---------------------------------------------------------------------------------------
def _gate(session: Session, step: StepDef) -> Result:
    if step.needs_evidence and not session.incident.evidence.exists():
        return Result(Failed("The incident has no evidence yet. Keep a snapshot, then retry the step."))
    conditions = Conditions(session.scope())
    checks = [
        {"name": check.title, "value": "", "limit": check.when, "ok": conditions.test(check.when)}
        for check in step.checks
    ]
    failed = [check["name"] for check in checks if not check["ok"]]
    outputs = {"passed": not failed, "failed": failed}
    if failed:
        advice = f" {step.text}" if step.text else ""
        return Result(Failed(f"Not met: {'; '.join(map(str, failed))}.{advice}"), outputs, checks=checks)
    return Result(Succeeded(), outputs, summary=f"All {len(checks)} checks hold.", checks=checks)


def _human(session: Session, step: StepDef, row: Step) -> Result:
    if session.run.dry_run:
        return Result(Succeeded(), forms.blank(step.form), summary="Dry run: nobody was asked.")
    asked = Approval.objects.filter(step=row).first()
    if asked is None:
        request = Request(
            "form",
            str(substitute(step.text, session.scope())) or step.title,
            roles=step.roles,
            form=forms.as_json(step.form),
            until=row.deadline_at,
        )
        return Result(Asked(request.until), request=request)
    return _reply(session, asked, row) or Result(
        Succeeded(),
        dict(asked.answer),
        summary=f"Answered by {asked.decided_by}.",
        actor_id=asked.decided_by_id,
    )


def _act(session: Session, step: StepDef, row: Step) -> Result:
    action = shelf.action(step.action) if step.action else None
    risk = effective_risk(step, action) if action else max(step.risk, "R1")
    said: dict[str, Any] = {}
    actor: int | None = None
    if session.run.dry_run:
        if action is None or action.changes_world or step.kind == "notify":
            return _rehearse(session, step, action, row)
    elif row.phase != "executed" and _must_ask(session, step, action, risk):
        asked = Approval.objects.select_related("decided_by").filter(step=row).first()
        if asked is None:
            return _ask(session, step, action, row, risk)
        if (reply := _reply(session, asked, row)) is not None:
            return reply
        shown = asked.input_hash
        if input_hash(row.inputs) != shown or input_hash(session.inputs_of(step)) != shown:
            return Result(Outdated("The parameters changed after the approval."))
        actor = asked.decided_by_id
        if step.kind == "approve":
            said = {"approved": True, "by": str(asked.decided_by), "reason": asked.reason}
    if action is None:
        return Result(Succeeded(), said, summary=f"Approved by {said['by']}.", actor_id=actor)
    result = _run(session, step, action, row, said)
    result.actor_id = actor
    return result


def _run(session: Session, step: StepDef, action: Action, row: Step, said: Mapping[str, Any]) -> Result:
    ctx = _context(session, row)
    limit = _timeout(step, action)
    if row.phase != "executed":
        _allowed(session, step, action, row)
        if action.changes_world:
            exhibits = _call(session, limit, lambda: _look_before(action, ctx), action)
            session.checkpoint(row, exhibits, state="running", phase="prepared")
            outcome = _call(session, limit, lambda: action.run(ctx), action)
        else:
            outcome = _call(session, limit, lambda: _look_and_run(action, ctx), action)
        match outcome:
            case Wait(until, note, state):
                return Result(Later(until, note), memory=dict(state))
            case Ask() as ask:
                return _action_asks(session, row, ask)
            case Done():
                pass
            case other:
                raise ActionError(
                    f"The action {action.slug} answered {other!r:.80}, not an outcome. Report it."
                )
        outputs = {**said, **_json(outcome.outputs, action)}
        summary = _storable(outcome.summary)
        result = Result(Succeeded(), outputs, outcome.verdict or "", summary, outcome.exhibits)
        if not action.changes_world:
            return result
        # from here on a restart reads back; it does not act again
        session.checkpoint(row, outcome.exhibits, phase="executed", outputs=outputs,
                           verdict=result.verdict, summary=result.summary)  # fmt: skip
        result.exhibits = ()
    else:
        result = Result(Succeeded(), dict(row.outputs), row.verdict, row.summary)
    outputs = dict(result.outputs)
    found = _call(session, limit, lambda: action.verify(ctx, outputs), action)
    result.verified, result.phase = _json(found, action), "verified"
    if step.verify:
        if not Conditions({**session.scope(), "verified": result.verified, "outputs": outputs}).test(
            step.verify
        ):
            raise Unverified(f"{step.verify} does not hold; read back: {json.dumps(result.verified)[:500]}")
        result.checks = [{"name": step.title, "value": "read back", "limit": step.verify, "ok": True}]
    return result


# --- asking --------------------------------------------------------------------------------------
def _must_ask(session: Session, step: StepDef, action: Action | None, risk: str) -> bool:
    if action is not None and action.changes_world and risk == "R1":
        session.look_again()
    return asks_first(step, action, risk, session.incident, session.run.started_by)


def _ask(session: Session, step: StepDef, action: Action | None, row: Step, risk: str) -> Result:
    """Ask for a yes, after a look whether the step could succeed, with the state before as evidence."""
    exhibits: Sequence[Exhibit] = ()
    if action is not None:
        _allowed(session, step, action, row)
        ctx = _context(session, row)
        exhibits = _call(session, _timeout(step, action), lambda: _look_before(action, ctx), action)
    rule = step.approve
    seconds = rule.expires if rule and rule.expires is not None else EXPIRES[risk]
    whose = whose_yes(rule, risk, session.incident.incident_class)
    request = Request(
        "approve", str(substitute(step.text, session.scope())) or f"{step.title}?", risk, whose.roles, whose.quorum,
        until=session.now + timedelta(seconds=seconds), all_of=whose.all_of,
    )  # fmt: skip
    return Result(Asked(request.until), exhibits=exhibits, request=request)


def _action_asks(session: Session, row: Step, ask: Ask) -> Result:
    asked = Approval.objects.select_related("decided_by").filter(step=row).first()
    if asked is None:
        seconds = EXPIRES[ask.risk] if ask.expires_in is None else ask.expires_in
        until = session.now + timedelta(seconds=seconds)
        request = Request(ask.kind, ask.prompt, ask.risk, tuple(ask.roles), form=ask.form, until=until)
        return Result(Asked(until), request=request)
    if (reply := _reply(session, asked, row)) is not None:
        return reply
    if "answer" in row.memory:
        raise ActionError("The action asks although it was answered. Report it to whoever wrote it.")
    answer = {"approved": True, "by": str(asked.decided_by), **asked.answer}
    return Result(Later(session.now, "Answered."), memory={**row.memory, "answer": answer})


def _reply(session: Session, asked: Approval, row: Step) -> Result | None:
    """What the approval says, or None when it lets the step go on."""
    if asked.decision in ("approved", "answered"):
        return None
    if asked.decision == "rejected":
        who = asked.decided_by or "somebody"
        why = asked.reason.strip() or "no reason given"
        return Result(
            Failed(f"Rejected by {who}: {why}" + ("" if why.endswith((".", "!", "?", "…")) else ".")),
            {"approved": False, "by": str(who), "reason": asked.reason},
        )
    if asked.decision == "pending" and (asked.expires_at is None or session.now < asked.expires_at):
        return Result(Asked(asked.expires_at))
    return Result(Expired(row.attempt))


# --- acting --------------------------------------------------------------------------------------
def _allowed(session: Session, step: StepDef, action: Action, row: Step) -> None:
    """Raise ActionError when the step may not run now."""
    if step.needs_evidence and not session.incident.evidence.exists():
        raise ActionError("The incident has no evidence yet. Keep a snapshot, then retry the step.")
    if (
        action.destroys_evidence
        and Incident.objects.filter(pk=session.incident.pk, evidence_hold=True).exists()
    ):
        raise ActionError(
            "An evidence hold is open on this incident and this step would destroy evidence. Have the hold "
            "lifted by whoever placed it, then retry the step."
        )
    for param in action.params:
        if param.name not in row.inputs:
            if param.required and param.default is None:
                raise ActionError(f"{action.slug} needs {param.name!r}, which the playbook does not give.")
        elif trouble := wrong_value(param, row.inputs[param.name], final=True):
            raise ActionError(f"{action.slug}: {trouble} Correct the value and retry the step.")


def _look_before(action: Action, ctx: StepContext) -> Sequence[Exhibit]:
    action.precheck(ctx)
    return action.before(ctx)


def _look_and_run(action: Action, ctx: StepContext) -> Any:
    action.precheck(ctx)
    return action.run(ctx)


def _rehearse(session: Session, step: StepDef, action: Action | None, row: Step) -> Result:
    if action is not None:
        ctx = _context(session, row)
        _call(session, _timeout(step, action), lambda: action.precheck(ctx), action)
    outputs: dict[str, Any] = {"dry_run": True}
    if step.kind == "approve":
        outputs |= {"approved": True, "by": "dry run", "reason": ""}
    what = (
        f"run {action.slug} with {json.dumps(row.inputs, ensure_ascii=False)[:500]}"
        if action
        else "ask for approval"
    )
    return Result(Succeeded(), outputs, summary=f"Dry run: would {what}.")


def _context(session: Session, row: Step, key: str = "") -> StepContext:
    action = shelf.action(row.action)
    defaults = {p.name: p.default for p in action.params if p.default is not None or not p.required}
    given = {name: value for name, value in row.inputs.items() if value is not None}
    outputs = {name: value for name, value in session.scope()["steps"].items() if value.get("state")}
    return StepContext(
        params={**defaults, **given}, idempotency_key=key or row.idempotency_key, now=session.now,
        incident=session.incident, system=session.incident.system, run=session.run, step=row, memory=row.memory,
        outputs=outputs, dry_run=session.run.dry_run, renew=session.renew,
    )  # fmt: skip


def _timeout(step: StepDef, action: Action) -> float:
    return action.timeout if step.timeout is None else step.timeout


def _call(session: Session, limit: float, call: Callable[[], T], action: Action) -> T:
    try:
        return within(limit, call, every=RENEW, meanwhile=session.renew)
    except (ActionError, TookTooLong, Superseded):
        raise
    except DatabaseError as error:
        raise ActionError(f"The database refused: {error}", retryable=True) from error
    except Exception as error:
        log.exception("action %s failed in run %s", action.slug, session.run.pk)
        raise ActionError(
            f"The action {action.slug} broke ({type(error).__name__}: {str(error)[:300]}). This is a fault in the "
            "action or its settings; the log of the worker has the details."
        ) from error


def _json(value: Mapping[str, Any] | None, action: Action) -> dict[str, Any]:
    """The value as JSON carries it, so that a restart sees exactly the same."""
    try:
        clean: dict[str, Any] = json.loads(json.dumps(dict(value or {}), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ActionError(
            f"The action {action.slug} answered with values that JSON cannot carry ({error}). Report it to whoever wrote it."
        ) from error
    found: dict[str, Any] = _storable(clean)
    return found


def _storable(value: Any) -> Any:
    """The JSON value without what PostgreSQL cannot store: NUL and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_storable(name): _storable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value


def _span(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    return (
        f"{seconds // 3600} h {seconds % 3600 // 60} min"
        if seconds >= 3600
        else f"{seconds // 60} min {seconds % 60} s"
    )
