"""Runs that go on only when a person does something: which, why, and what would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from incidents import lifecycle
from playbooks.definition.consent import in_words
from playbooks.models import Approval, Run, Step

#: A run that is due and was not touched for this long has no worker.
OVERDUE = timedelta(minutes=5)
#: A step that is tried again and again for this long needs somebody.
TRYING = timedelta(minutes=15)
#: A question, or a step that polls, is expected to be over after this time.
LONG = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Stuck:
    """A run, why it does not go on, the step at which it stands, and verbs that help (retry, skip, resume, cancel)."""

    run: Run
    why: str
    step: Step | None
    verbs: tuple[str, ...]


def stuck(rows: QuerySet[Run]) -> QuerySet[Run]:
    """Those of `rows` that failed on an open incident, are paused or overdue, fail again and again, or wait longer than
    expected; dry runs aside. The worst incidents first.

    Of failed runs only the newest of a playbook on an incident counts: a later one has taken over.
    """
    now = timezone.now()
    later = Run.objects.filter(
        playbook=OuterRef("playbook"),
        incident=OuterRef("incident"),
        pk__gt=OuterRef("pk"),
        dry_run=False,
        parent=None,
    )
    failed = Q(state="failed", parent=None, incident__state__in=lifecycle.OPEN) & ~Exists(later)
    overdue = Q(state__in=("queued", "running", "waiting"), wake_at__lt=now - OVERDUE)
    own = Step.objects.filter(run=OuterRef("pk"))
    trying = Q(state="waiting") & Exists(
        own.exclude(error="").filter(state="waiting", started_at__lt=now - TRYING)
    )
    polling = Q(state="waiting") & Exists(own.filter(state="waiting", kind="auto", started_at__lt=now - LONG))
    return rows.filter(
        failed | Q(state="paused", parent=None) | overdue | trying | polling | _unanswered(now - LONG),
        dry_run=False,
    ).order_by("incident__severity", "-id")


def explain(run: Run) -> Stuck:
    """Why the run is stuck, and what would help. A run that is not stuck is explained by what it waits for."""
    return explain_all([run])[0]


def explain_all(runs: Sequence[Run]) -> list[Stuck]:
    """The same for many, with as many queries as for one."""
    ids = [run.pk for run in runs]
    standing = Step.objects.filter(run__in=ids, key__in={run.cursor.get("next", "") for run in runs})
    steps = {(step.run_id, step.key): step for step in standing.order_by("attempt")}
    pending = Approval.objects.filter(
        run__in=[run.pk for run in runs if run.state == "asking"], decision="pending"
    )
    asked = {one.run_id: one for one in pending.order_by("requested_at")}
    return [
        _explained(run, steps.get((run.pk, run.cursor.get("next", ""))), asked.get(run.pk)) for run in runs
    ]


def _explained(run: Run, here: Step | None, asked: Approval | None) -> Stuck:
    now = timezone.now()
    if run.state == "failed":
        return Stuck(run, run.reason or "It failed.", here, ("retry", "skip"))
    if run.state == "paused":
        return Stuck(run, run.reason or "It is paused.", here, ("resume", "cancel"))
    if run.state == "asking":
        return Stuck(run, _unanswered_why(run, asked), here, ("skip", "cancel"))
    if run.wake_at is not None and run.wake_at < now - OVERDUE:
        why = "It is due, and no worker has taken it. Look whether a worker is running (/readyz says it)."
        return Stuck(run, why, here, ("cancel",))
    if here is not None and here.state == "waiting" and here.error:
        why = f"{here.key} is tried again and again ({here.tries} times): {here.error}"
        return Stuck(run, why, here, ("retry", "skip", "cancel"))
    if here is not None and here.state == "waiting":
        return Stuck(
            run, f"{here.key} has been waiting for long: {here.summary}", here, ("retry", "skip", "cancel")
        )
    return Stuck(run, run.reason, here, ("cancel",))


def _unanswered(before: datetime) -> Q:
    """Asked long ago, or handed on because nobody answered."""
    asked = Approval.objects.filter(run=OuterRef("pk"), decision="pending")
    late = asked.filter(Q(requested_at__lt=before) | ~Q(handed_to=[]))
    return Q(Exists(late), state="asking")


def _unanswered_why(run: Run, asked: Approval | None) -> str:
    if asked is None:
        return run.reason
    roles = " or ".join([*asked.roles, *map(in_words, asked.all_of)]) or "somebody who may"
    told = f"; {' and '.join(asked.handed_to)} may answer as well by now" if asked.handed_to else ""
    return f"Nobody has answered the question to {roles}{told}: {asked.prompt[:200]}"
