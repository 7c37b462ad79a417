"""Runs below a run: the branches of a `parallel` step, the items of a `for_each`, a called playbook.

Each is a run of its own, with its own lease, so that several workers do them at the same time. The step above
waits; a run that ends wakes it in its last commit. Locks are taken from above to below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F

from incidents import wake
from playbooks import forms, holds
from playbooks.conductor import Failed, Later, Succeeded
from playbooks.definition import StepDef
from playbooks.definition.model import DEEPEST
from playbooks.expressions import listed
from playbooks.known import FREE, UNDER_WAY, ancestors, definition_of_version, seen
from playbooks.models import Approval, Playbook, PlaybookVersion, Run, Step
from playbooks.result import Result, Session

#: Seconds after which a step looks at the runs below although none of them has woken it.
LOOK = 60.0
ENDED = ("succeeded", "failed", "cancelled")


def look(session: Session, step: StepDef, row: Step) -> Result:
    """Start what may start, or say what came of the runs below. Raises ExpressionError (items, inputs)."""
    plan: list[dict[str, Any]] | None = row.memory.get("plan")
    adopts = None
    if plan is None:
        try:
            plan, adopts = _plan(session, step, row), _adopted(row)
        except (Impossible, forms.InvalidForm) as error:
            return Result(Failed(str(error)))
    children = {run.branch: run for run in Run.objects.filter(parent_step__in=[adopts or row.pk, row.pk])}
    if adopts is not None:
        # as they are now; they go on when the step is written down
        going = {name: run for name, run in children.items() if run.state != "succeeded"}
    else:
        going = {name: run for name, run in children.items() if run.is_live}
    over = [run for name, run in children.items() if name not in going]
    done = [run for run in over if run.state == "succeeded"]
    needed, left = step.needed(len(plan)), len(plan) - len(over) + len(done)
    decided = step.join != "all" and (len(done) >= needed or left < needed)
    if decided or len(over) == len(plan):
        return _judged(step, plan, children, len(done) >= needed)
    again = session.now + timedelta(seconds=LOOK)
    free = (step.limit if step.kind == "for_each" else len(plan)) - len(going)
    ahead = [one for one in plan if one["branch"] not in children][: max(free, 0)]
    return Result(
        Later(min(again, row.deadline_at or again), f"{len(over)} of {len(plan)} {_words(step)} have ended."),
        memory={"plan": plan},
        children=[_child(session, step, row, one) for one in ahead],
        adopts=adopts,
        ended=len(over),
    )


def begin(row: Step, children: Sequence[Run], adopts: int | None, now: datetime) -> None:
    """Write the runs below the step, inside the commit that writes the step. Those of an earlier attempt that
    failed go on where they stood, with the same idempotency keys."""
    if adopts is not None:
        Run.objects.filter(parent_step=adopts).update(parent_step=row)
        again = Run.objects.filter(parent_step=row).exclude(state="succeeded")
        for run in again.select_for_update().order_by("pk"):
            _queue(run, now)
    for run in children:
        run.parent_step = row
    Run.objects.bulk_create(children)
    for run in children:
        wake.wake("run", run.pk)


def settled(row: Step, result: Result, now: datetime) -> None:
    """After the step was written down, inside the same commit: the rest is cancelled when the step has ended; a run
    that ended while the step was looked at wakes it again."""
    if row.state not in UNDER_WAY:
        cancel_below(row.run, f"{row.key} {row.title} has ended without it.", now, step=row)
    elif Run.objects.filter(parent_step=row, state__in=ENDED).count() != result.ended:
        _look_again(row.run_id, row.pk, now)


def locked_above(run: Run) -> None:
    """Take the lock of the run above, before that of this one."""
    if run.parent_id is not None:
        Run.objects.select_for_update().filter(pk=run.parent_id).order_by().values_list("pk").first()


def tell_above(run: Run, now: datetime) -> None:
    """The run has ended: wake the step above, inside the commit that ended it."""
    if run.parent_id is not None and run.parent_step_id is not None:
        _look_again(run.parent_id, run.parent_step_id, now)


def live_below(run: Run) -> list[Run]:
    """Live runs below this one, from above to below; their rows are locked. Call it inside a transaction that holds
    the run's own lock."""
    found: list[Run] = []
    above = [run.pk]
    while above:
        level = Run.objects.select_for_update(of=("self",)).select_related("playbook", "incident")
        below = list(level.filter(parent__in=above, state__in=Run.LIVE).order_by("pk"))
        found += below
        above = [one.pk for one in below]
    return found


def cancel_below(run: Run, why: str, now: datetime, *, by: Any = None, step: Step | None = None) -> list[Run]:
    """Cancel the live runs below the run, or below one of its steps, and all that is below them."""
    cancelled = [
        one
        for one in live_below(run)
        if step is None or one.parent_id != run.pk or one.parent_step_id == step.pk
    ]
    for one in cancelled:
        stop(one, why, now, by=by)
    return cancelled


def stop(run: Run, why: str, now: datetime, *, by: Any = None) -> None:
    """Cancel one run, whose row is locked: what its worker still writes is refused. Effects stay in place."""
    Run.objects.filter(pk=run.pk).update(
        state="cancelled", reason=why, ended_at=now, wake_at=None, wants="", fence=F("fence") + 1, **FREE
    )
    run.steps.filter(state="running", phase="prepared").update(
        summary="Cancelled while it acted: look whether its effect happened."
    )
    run.steps.filter(state__in=UNDER_WAY).update(state="cancelled", ended_at=now, actor=by)
    Approval.objects.filter(run=run, decision="pending").update(decision="cancelled", decided_at=now)
    holds.release(run, None, now)


class Impossible(Exception):
    """The runs below cannot be started; the message says why and what to do."""


def _plan(session: Session, step: StepDef, row: Step) -> list[dict[str, Any]]:
    """What is to run below the step, decided once. Raises Impossible, ExpressionError, InvalidForm."""
    above = [session.run, *ancestors(session.run)]
    if len(above) > DEEPEST:
        raise Impossible(f"Runs stand {DEEPEST} deep below one another already. Make the playbook flatter.")
    if step.kind == "parallel":
        return [{"branch": lane.name, "part": f"{step.id}/{lane.name}"} for lane in step.lanes]
    if step.kind == "for_each":
        items = listed(step.items, session.scope())
        if len(items) > step.most:
            raise Impossible(
                f"There are {len(items)} items, more than the {step.most} that “most” allows. Narrow them down, or raise it."
            )
        return [{"branch": str(at), "part": f"{step.id}/", "item": item} for at, item in enumerate(items)]
    if step.playbook in {run.playbook.slug for run in above}:
        chain = " in ".join(run.playbook.slug for run in above)
        raise Impossible(f"“{step.playbook}” runs already, around this step ({chain}). Take the circle out.")
    called = Playbook.objects.filter(slug=step.playbook, active=True).first()
    version = called.published if called else None
    if version is None:
        raise Impossible(
            f"There is no published playbook “{step.playbook}”. Publish it, then retry the step."
        )
    inputs = forms.fill(definition_of_version(version).inputs, row.inputs)
    return [{"branch": step.playbook, "part": "", "version": version.pk, "inputs": inputs}]


def _adopted(row: Step) -> int | None:
    """The attempt before that failed, when nothing below it has been undone: its runs are gone on with."""
    before = Step.objects.filter(run=row.run_id, key=row.key, attempt=row.attempt - 1, state="failed").first()
    if before is None or not before.children.exists():
        return None
    undone = Step.objects.filter(run__parent_step=before, state="undone").exists()
    return None if undone else before.pk


def _child(session: Session, step: StepDef, row: Step, one: Mapping[str, Any]) -> Run:
    run = session.run
    version = run.version
    if "version" in one:
        version = (
            PlaybookVersion.objects.select_related("playbook")
            .defer("source", "frozen")
            .get(pk=one["version"])
        )
    loop = dict(run.loop) if one["part"] else {}
    if "item" in one:
        loop = {"item": one["item"], "items": {**loop.get("items", {}), step.name: one["item"]}}
    return Run(
        version=version, playbook_id=version.playbook_id, incident=session.incident, started_by_id=run.started_by_id,
        dry_run=run.dry_run, inputs=one.get("inputs", run.inputs), parent=run, parent_step=row, branch=one["branch"],
        part=one["part"], loop=loop, wake_at=session.now, created_at=session.now,
        cursor={"next": definition_of_version(version, one["part"]).steps[0].id},
    )  # fmt: skip


def _judged(
    step: StepDef, plan: Sequence[Mapping[str, Any]], children: Mapping[str, Run], enough: bool
) -> Result:
    """The end of the step, with what came of each run below it."""
    rows: dict[int, list[Step]] = {}
    for row in Step.objects.filter(run__in=[run.pk for run in children.values()]).order_by(
        "position", "attempt"
    ):
        rows.setdefault(row.run_id, []).append(row)
    results = []
    for one in plan:
        run = children.get(one["branch"])
        found = {
            "branch": one["branch"],
            "state": "not started" if run is None else "cancelled" if run.is_live else run.state,
            "reason": run.reason if run is not None and not run.is_live else "",
            "run": run.pk if run else None,
            "steps": seen(rows.get(run.pk, ())) if run else {},
        }
        results.append(found | ({"item": one["item"]} if "item" in one else {}))
    names: dict[str, list[str]] = {
        state: [one["branch"] for one in results if one["state"] == state]
        for state in ("succeeded", "failed")
    }
    outputs: dict[str, Any] = {"results": results, **names}
    if step.kind == "parallel":
        outputs["branches"] = {one["branch"]: one for one in results}
    elif step.kind == "for_each":
        outputs["count"] = len(plan)
    else:
        outputs |= {"run": results[0]["run"], "version": plan[0]["version"]}
    said = f"{len(names['succeeded'])} of {len(plan)} {_words(step)} went through."
    if enough:
        return Result(Succeeded(), outputs, summary=said)
    wrong = [
        f"{one['branch']} {one['state']}: {one['reason']}"
        for one in results
        if one["state"] in ("failed", "cancelled")
    ]
    return Result(Failed(f"{said} {' '.join(wrong)}"[:4000]), outputs)


def _words(step: StepDef) -> str:
    return {"parallel": "branches", "for_each": "items"}.get(step.kind, "playbooks")


def _look_again(run: int, step: int, now: datetime) -> None:
    Step.objects.filter(pk=step, state="waiting").update(wake_at=now)
    if Run.objects.filter(pk=run, state="waiting").update(wake_at=now):
        wake.wake("run", run)


def _queue(run: Run, now: datetime) -> None:
    Run.objects.filter(pk=run.pk).update(
        state="queued", reason="", ended_at=None, wake_at=now, fence=F("fence") + 1, **FREE
    )
    wake.wake("run", run.pk)
