"""Carries runs on: leases a run, does its steps one after another, commits each with its successor.

A lease is a conditional update that raises the run's fence; every later commit is refused when the fence has
moved on. A step's row, with its idempotency key, is committed before the step acts. Timers are due-times in
rows: `sweep` finds them, and runs whose lease ran out because their worker died.
"""

from __future__ import annotations

import logging
import os
import socket
import uuid
from datetime import datetime, timedelta

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from incidents import wake
from playbooks import claim, compensation
from playbooks.conductor import Failed, decide
from playbooks.models import Run, Step
from playbooks.perform import perform
from playbooks.result import Result, Superseded
from playbooks.session import LEASE, Working

log = logging.getLogger(__name__)

#: Seconds that a woken run has before the sweeper wakes it again.
AGAIN = 30
#: Runs woken per sweep.
BATCH = 200
#: Starts of one try after which a step is given up: something about it kills its workers.
MOST_STARTS = 5


def advance(run_id: int, *, owner: str = "", now: datetime | None = None) -> None:
    """Do what is due in the run, as far as it goes without waiting. Any number of workers may call it for
    the same run at the same time; one works, the others return.

    `now` fixes the clock (tests). A run whose own data cannot be worked with ends as failed with the
    reason; a failing database is raised, and the run is found again when its lease has run out.
    """
    work = _claim(run_id, owner or f"{socket.gethostname()}:{os.getpid()}", now)
    if work is None:
        return
    try:
        _work(work)
    except Superseded as gone:
        log.info("run %s: %s", run_id, gone)
    except DatabaseError:
        raise
    except Exception as error:
        log.exception("run %s cannot go on", run_id)
        work.give_up(
            f"The run cannot go on ({type(error).__name__}: {str(error)[:500]}). The worker's log has the "
            "details; retry the step when the cause is removed."
        )


def sweep(now: datetime | None = None) -> int:
    """Wake the runs that are due, and return how many. A woken row is stamped, so that it is not woken
    again before a worker had the time to look."""
    moment = now or timezone.now()
    with transaction.atomic():
        due = Run.objects.filter(state__in=("queued", "running", "waiting", "asking"), wake_at__lte=moment)
        if connection.features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True)
        ids = list(due.order_by("wake_at", "id").values_list("pk", flat=True)[:BATCH])
        # nobody takes a lease for so long: the clock went back, and its worker may be gone
        absurd = Run.objects.filter(state="running", lease_until__gt=moment + 2 * timedelta(seconds=LEASE))
        ids += list(absurd.order_by("id").values_list("pk", flat=True)[:BATCH])
        if ids:
            Run.objects.filter(pk__in=ids).update(wake_at=moment + timedelta(seconds=AGAIN))
        for id in ids:
            wake.wake("run", id)
    return len(ids)


def _claim(run_id: int, owner: str, now: datetime | None) -> Working | None:
    moment = now or timezone.now()
    mine = f"{owner[:60]}:{uuid.uuid4().hex[:12]}"
    run = claim.claim(run_id, mine, moment, moment + timedelta(seconds=LEASE))
    return None if run is None else Working(run, now)


def _work(work: Working) -> None:
    if not work.enter():
        return
    if "undo" not in work.run.cursor:
        row = _resume(work)
        while row is not None:
            row = work.settle(row, perform(work, work.definition.step(row.key), row))
    if "undo" in work.run.cursor:
        compensation.take_back(work)


def _resume(work: Working) -> Step | None:
    """The step to do now: the one under way when it is due, else the one that the run arrives at."""
    row = work.under_way()
    if row is None:
        decision, _ = decide(work.definition, work.progress(), None, work.now)
        return work.go(decision)
    if row.state == "waiting" and row.wake_at is not None and row.wake_at > work.now:
        work.release("waiting", row.wake_at)
        return None
    step = work.definition.step(row.key)
    unreadable = row.error and not row.tries
    if row.state == "asking" or unreadable or step.kind not in ("auto", "approve", "notify"):
        return row
    if row.state == "running" and row.tries >= max(MOST_STARTS, step.retry.count + 1):
        lost = Failed(
            f"Started {row.tries} times without coming back: it seems to end its worker. Look at the worker's "
            "log and memory before retrying the step."
        )
        return work.settle(row, Result(lost))
    work.checkpoint(row, state="running", tries=row.tries + 1)
    return row
