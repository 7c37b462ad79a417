"""One lease of a run: how what happens is written down, always under the fence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from incidents import wake
from playbooks import commit, family, holds, raw
from playbooks.conductor import (
    Asked,
    AskPerson,
    Compensate,
    Decision,
    Expired,
    Fail,
    Finish,
    Outcome,
    Outdated,
    Passed,
    RunStep,
    Succeeded,
    WaitUntil,
    decide,
    route,
)
from playbooks.contract import Exhibit
from playbooks.definition import END, FAMILY, StepDef
from playbooks.expressions import ExpressionError, substitute
from playbooks.known import FREE, UNDER_WAY, definition_of, definition_of_version
from playbooks.models import Approval, Run, Step
from playbooks.perform import RENEW
from playbooks.result import Result, Superseded
from playbooks.telling import Telling, capped

#: Seconds of a lease. It is renewed while a step is at work, so this is how long a run waits after its
#: worker died.
LEASE = 30.0
#: Seconds that a step may take in all when the playbook does not say.
DEADLINE = 30 * 86_400.0
#: States of a run whose step in hand may be written down; queued: paused and resumed while we were at work.
WORKABLE = ("running", "queued")
RENEWABLE = (*WORKABLE, "paused")
GONE = "somebody else carries it on, or a person stopped it."
SETTLED = [
    "state", "outputs", "verdict", "summary", "verified", "phase", "memory", "error", "tries", "wake_at",
    "ended_at", "evidence", "actor",
]  # fmt: skip
#: The same, as attributes that no look-up hides behind.
WRITTEN = [*SETTLED[:-1], "actor_id"]


__all__ = ["FREE", "LEASE", "UNDER_WAY", "Working", "definition_of", "definition_of_version"]


class Working(Telling):
    """A run under our lease: every write first checks the fence."""

    def __init__(self, run: Run, clock: datetime | None) -> None:
        super().__init__(run, clock)
        self._fence = run.fence
        self.paused = False
        if run.started_at is None and not run.part:
            how = " as a dry run." if run.dry_run else "."
            self.tell("run.started", f"Playbook “{run.version.playbook.title}” started{how}")

    # --- writing -------------------------------------------------------------------------------
    def checkpoint(self, row: Step, exhibits: Sequence[Exhibit] = (), **fields: Any) -> None:
        """Keep how far the step has come, with evidence, and renew the lease. Raises Superseded."""
        if raw.possible() and not exhibits:
            self._set(row, fields)
            kept = (row, tuple(fields))
            if not commit.write(self.run, self._fence, self._renewed(), states=RENEWABLE, settled=kept):
                raise Superseded(GONE)
            return
        with transaction.atomic():
            self.renew()
            if exhibits:
                fields["evidence"] = [*row.evidence, *self.keep(row, exhibits)]
            self._set(row, fields)
            row.save(update_fields=list(fields))

    def renew(self) -> None:
        """Renew the lease, while an action is at work. Raises Superseded."""
        ours = Run.objects.filter(pk=self.run.pk, fence=self._fence, state__in=RENEWABLE)
        if not ours.update(**self._renewed()):
            raise Superseded(GONE)

    def release(self, state: str, wake_at: datetime | None) -> None:
        """Give the lease back; nothing was due."""
        with transaction.atomic():
            self.fenced({"state": state, "wake_at": wake_at, **FREE})

    def enter(self) -> bool:
        """Hold the key of the playbook, where it names one. False: the run queues for it, or was cancelled.
        Raises ExpressionError (the key), Superseded."""
        rule = self.definition.concurrency
        if rule is None or self.run.dry_run:
            return True
        key = str(substitute(rule.key, self.scope()))[:200]
        with transaction.atomic():
            holder = self._taken(key, None)
            if not holder:
                return True
            why = f"“{key}” is held by {holder}."
            if rule.on_conflict == "cancel_new":
                self.tell("run.cancelled", f"Playbook “{self.run.version.playbook.title}” was not run: {why}")
                self.fenced(
                    {"state": "cancelled", "reason": why, "ended_at": self.now, "wake_at": None, **FREE}
                )
            else:
                at = self.now + timedelta(seconds=holds.LOOK)
                self.fenced({"state": "waiting", "reason": f"Queues: {why}", "wake_at": at, **FREE})
            self.publish()
        return False

    def take(self, key: str, row: Step) -> str:
        """Hold a key for a step; who holds it instead, or "". Raises Superseded."""
        with transaction.atomic():
            return self._taken(key[:200], row)

    def _taken(self, key: str, row: Step | None) -> str:
        self.renew()
        holder = holds.take(key, self.run, row, self.now)
        wants = key if holder else ""
        if wants != self.run.wants:
            self.run.wants = wants
            Run.objects.filter(pk=self.run.pk).update(wants=wants)
        return holder

    def give_up(self, reason: str) -> None:
        """End the run as failed, whatever else is wrong with it."""
        with transaction.atomic():
            family.locked_above(self.run)
            fields = {"state": "failed", "reason": reason, "ended_at": self.now, "wake_at": None, **FREE}
            if Run.objects.filter(pk=self.run.pk, fence=self._fence).update(**fields):
                self.tell("run.failed", reason)
                self.publish()
                family.cancel_below(self.run, reason, self.now)
                self._over()

    def go(self, decision: Decision) -> Step | None:
        """Follow a decision that no step's result led to; the step to do, if any."""
        fields, ahead = self._ahead(decision)
        if self._at_once(fields, None, ahead):
            return self._next(ahead)
        with transaction.atomic():
            return self._follow(fields, ahead)

    def settle(self, row: Step, result: Result) -> Step | None:
        """Write down, in one commit, what came of the step and what comes next; the next step to do, if any."""
        before = [getattr(row, name) for name in WRITTEN]
        exhibits, row.outputs = capped(row, result)
        row.verdict = result.verdict or row.verdict
        row.summary = result.summary or row.summary
        row.verified = row.verified if result.verified is None else result.verified
        row.phase = row.phase if result.phase is None else result.phase
        row.memory = row.memory if result.memory is None else result.memory
        row.state = "done" if isinstance(result.outcome, Succeeded) else "failed"
        if result.actor_id is not None and isinstance(result.outcome, Succeeded):
            row.actor_id = result.actor_id
        if row.action:
            self._facts = None  # the action may have told the incident something
        if row.kind in FAMILY:
            self._below = None
        decision, wrong = decide(self.definition, self.progress(), result.outcome, self.now)
        if row.kind == "decide" and not wrong and isinstance(result.outcome, Succeeded):
            row.outputs = {"goto": route(self.definition, self.definition.step(row.key), self.progress())}
        self._judge(row, result.outcome, decision, wrong)
        self._report(row, result, decision)
        fields, ahead = self._ahead(decision)
        marks, expired = self._marks(row, result), isinstance(result.outcome, Expired)
        held = row.state not in UNDER_WAY and self.definition.step(row.key).concurrency is not None
        more = exhibits or marks or expired or result.request is not None or row.kind in FAMILY or held
        if not more:
            changed = [name for name, was in zip(WRITTEN, before, strict=True) if getattr(row, name) != was]
            if self._at_once(fields, (row, changed), ahead):
                return self._next(ahead)
        with transaction.atomic():
            self.fenced(fields)  # first: locks are taken in the order run, incident, the rest
            if marks:
                self._mark(row, result)
                wake.wake("outbox")
            row.evidence = [*row.evidence, *self.keep(row, exhibits)]
            row.save(update_fields=SETTLED)
            if row.kind in FAMILY:
                family.begin(row, result.children, result.adopts, self.now)
                family.settled(row, result, self.now)
            if held:
                holds.release(self.run, row, self.now)
            if result.request is not None:
                self._ask(row, result.request)
            if expired:
                Approval.objects.filter(step=row, decision="pending").update(
                    decision="expired", decided_at=self.now
                )
            return self._follow(None, ahead)

    def _judge(self, row: Step, outcome: Outcome, decision: Decision, wrong: str) -> None:
        """How the row stands after the outcome."""
        row.error = ""
        if isinstance(decision, WaitUntil):
            row.state, row.wake_at = "waiting", decision.at
            if decision.retry:
                row.error = decision.why
            else:
                row.tries, row.summary = 0, decision.why
            return
        row.wake_at = None
        if isinstance(outcome, Asked):
            row.state, row.wake_at = "asking", outcome.until
            return
        row.ended_at = self.now
        if isinstance(outcome, Outdated):
            row.state, row.summary = "cancelled", outcome.why
        elif wrong:
            row.state, row.error = "failed", wrong

    def _ahead(self, decision: Decision) -> tuple[dict[str, Any], list[Step]]:
        """The run's columns after the decision, and the rows of the steps passed and of the one to do."""
        passed = getattr(decision, "passed", ())
        rows = [self._passed(one, len(self._rows) + at) for at, one in enumerate(passed)]
        match decision:
            case RunStep(id):
                self.run.cursor = {"next": id}
                if wake.closing.is_set():
                    return {"state": "queued", "cursor": self.run.cursor, "wake_at": self.now, **FREE}, rows
                row = self._begun(self.definition.step(id), len(self._rows) + len(rows))
                return {"state": "running", "cursor": self.run.cursor, **self.lease()}, [*rows, row]
            case WaitUntil(at, why):
                return {"state": "waiting", "wake_at": at, "reason": why, **FREE}, rows
            case AskPerson(until):
                return {"state": "asking", "wake_at": until, "reason": "Waits for a person.", **FREE}, rows
            case Finish():
                self.run.cursor = {"next": END}
                return self.ended("succeeded", self._rehearsed()), rows
            case Fail(reason, at):
                self.run.cursor = {"next": at or self.at}
                return self.ended("failed", reason + self._in_force()), rows
            case Compensate(steps, reason, at):
                undo = {"left": list(steps), "done": [], "kept": [], "reason": reason, "tries": 0}
                self.run.cursor = {"next": at or self.at, "undo": undo}
                self.tell("run.undoing", f"{reason} Undoing {', '.join(steps)}.")
                return {
                    "state": "running",
                    "cursor": self.run.cursor,
                    "reason": reason,
                    **self.lease(),
                }, rows

    def _follow(self, fields: dict[str, Any] | None, ahead: list[Step]) -> Step | None:
        if fields is not None:
            self.fenced(fields)
        if self.paused:  # the step to do is made when the run goes on
            ahead = [row for row in ahead if row.state != "running"]
        if ahead:
            Step.objects.bulk_create(ahead)
        self.publish()
        return self._next(ahead)

    def _at_once(
        self, fields: dict[str, Any], settled: tuple[Step, Sequence[str]] | None, ahead: list[Step]
    ) -> bool:
        """Write it all in one statement, where that is possible. False when nothing was written: the longer way
        finds out why and says so."""
        if len(ahead) > 1 or self._matters(fields) or not raw.possible():
            return False
        done = commit.write(
            self.run, self._fence, self._stamped(fields), states=WORKABLE, told=self._told,
            settled=settled, ahead=ahead[0] if ahead else None,
        )  # fmt: skip
        if done:
            self._published()
        return done

    def _next(self, ahead: list[Step]) -> Step | None:
        """Know the steps that were written; the one to do, if any."""
        self._rows.extend(ahead)
        return ahead[-1] if ahead and ahead[-1].state == "running" else None

    def ended(self, state: str, reason: str) -> dict[str, Any]:
        """The columns of a run that has ended; the timeline hears of it."""
        say = {"succeeded": "went through", "failed": "failed"}[state]
        if not self.run.part:
            self.tell(f"run.{state}", f"Playbook “{self.run.version.playbook.title}” {say}. {reason}".strip())
        return {
            "state": state, "cursor": self.run.cursor, "reason": reason, "ended_at": self.now, "wake_at": None, **FREE,
        }  # fmt: skip

    # --- the fence -----------------------------------------------------------------------------
    def fenced(self, fields: dict[str, Any]) -> None:
        """Write the run's columns if the run is still ours. Raises Superseded. A run that a person paused
        meanwhile stays paused, unless it has just ended."""
        fields = self._stamped(fields)
        if self._matters(fields):
            family.locked_above(self.run)
        ours = Run.objects.filter(pk=self.run.pk, fence=self._fence)
        if ours.filter(state__in=WORKABLE).update(**fields):
            if self._matters(fields):
                self._over()
            return
        if fields["state"] in ("running", "queued", "waiting", "asking"):
            fields = {**fields, "state": "paused", "wake_at": None, **FREE}
            self.paused = True
        if not ours.filter(state="paused").update(**fields):
            raise Superseded(GONE)
        if self._matters(fields):
            self._over()

    def _matters(self, fields: dict[str, Any]) -> bool:
        """Whether the run ends here, and others wait for that."""
        return "ended_at" in fields and (self.run.parent_id is not None or self.definition.holds)

    def _over(self) -> None:
        """Tell those who wait for the end of this run."""
        holds.release(self.run, None, self.now)
        family.tell_above(self.run, self.now)

    def _stamped(self, fields: dict[str, Any]) -> dict[str, Any]:
        self.run.started_at = self.run.started_at or self.now
        return {**fields, "started_at": self.run.started_at}

    def lease(self) -> dict[str, Any]:
        """The lease, renewed when a good part of it is over: its columns are indexed, and short steps follow
        fast. An action that starts under what remains renews it in time."""
        until = self.run.lease_until
        fresh = until is not None and (until - self.now).total_seconds() > LEASE - RENEW / 2
        return {} if fresh else self._renewed()

    def _renewed(self) -> dict[str, Any]:
        until = self.run.lease_until = self.now + timedelta(seconds=LEASE)
        return {"lease_until": until, "wake_at": until}

    # --- rows ----------------------------------------------------------------------------------
    def _begun(self, step: StepDef, position: int) -> Step:
        before = self.newest(step.id)
        attempt = before.attempt + 1 if before else 1
        again = before.idempotency_key if before and before.state in ("failed", "cancelled") else ""
        if self.run.again.get(step.id, {}).get("fresh") == attempt:
            again = ""  # a person gave other parameters: that is another effect
        limit = step.deadline
        if limit is None and (step.kind in ("auto", "notify") or step.until or step.until_event):
            limit = DEADLINE
        row = Step(
            run=self.run, key=step.id, attempt=attempt, position=position, kind=step.kind, title=step.title,
            action=step.action, state="running", tries=1, started_at=self.now,
            # what did not succeed is tried again as the same effect
            idempotency_key=again or f"holdfast-run-{self.run.pk}-{step.id}-{attempt}",
            # whoever asked for another attempt is one of the four eyes
            actor_id=before.actor_id if before is not None and again else None,
            deadline_at=None if limit is None else self.now + timedelta(seconds=limit),
        )  # fmt: skip
        try:
            row.inputs = self.inputs_of(step)
        except ExpressionError as error:
            row.error, row.tries = str(error), 0
        return row

    def _passed(self, passed: Passed, position: int) -> Step:
        step, before = self.definition.step(passed.id), self.newest(passed.id)
        self.tell(f"step.{passed.state}", f"{step.id} {step.title}: {passed.why}", step=step.id)
        return Step(
            run=self.run, key=step.id, attempt=before.attempt + 1 if before else 1, position=position,
            kind=step.kind, title=step.title, action=step.action, state=passed.state, started_at=self.now,
            ended_at=self.now, **{"summary" if passed.state == "skipped" else "error": passed.why},
        )  # fmt: skip

    def _set(self, row: Step, fields: dict[str, Any]) -> None:
        for name, value in fields.items():
            setattr(row, name, value)
