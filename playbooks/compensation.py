"""Takes the effects of a run back, the newest first, one commit each; then the run has failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction

from incidents import wake
from playbooks.contract import ActionError, Exhibit
from playbooks.models import Step
from playbooks.perform import undo
from playbooks.session import FREE, Working, definition_of

#: Tries of one undo before it is left to people.
TRIES = 4


def take_back(work: Working) -> None:
    """Undo what the run's cursor lists. A worker that dies in between is followed by one that goes on: an undo
    may then run twice, with the same idempotency key. What cannot be undone is named, the rest still is."""
    while (todo := work.run.cursor["undo"])["left"]:
        row = work.effects().get(todo["left"][0])
        if row is None:
            todo["left"].pop(0)
            continue
        fields, exhibits = _one(work, row, todo)
        with transaction.atomic():
            work.fenced({**fields, "cursor": work.run.cursor})
            row.evidence = [*row.evidence, *work.keep(row, exhibits)]
            row.save(update_fields=["state", "summary", "evidence"])
            work.publish()
        if work.paused or fields["state"] == "waiting":
            return
        if wake.closing.is_set():
            work.release("queued", work.now)
            return
    reason = todo["reason"]
    if todo["done"]:
        reason += f" Undone: {', '.join(todo['done'])}."
    if todo["kept"]:
        reason += f" Could NOT be undone, do it by hand: {', '.join(todo['kept'])}."
    work.run.cursor = {"next": work.run.cursor["next"]}
    ended = work.ended("failed", reason)
    with transaction.atomic():
        work.fenced(ended)
        work.publish()


def _one(work: Working, row: Step, todo: dict[str, Any]) -> tuple[dict[str, Any], Sequence[Exhibit]]:
    """Undo one step and note it in `todo`; the run's columns, and what is kept as evidence."""
    what = f"{row.key} {row.title}"
    try:
        mine = row.run_id == work.run.pk
        definition = work.definition if mine else definition_of(row.run)
        done = undo(work, definition.step(row.key), row)
    except ActionError as error:
        todo["tries"] += 1
        if error.retryable and todo["tries"] < TRIES:
            pause = timedelta(seconds=max(10 * 2 ** todo["tries"], error.retry_after or 0))
            work.tell("step.retry", f"Undoing {what}: {error} It is tried again.", step=row.key)
            return {"state": "waiting", "wake_at": work.now + pause, **FREE}, ()
        todo["kept"].append(what)
        exhibits: Sequence[Exhibit] = ()
        work.tell("step.not_undone", f"{what} could not be undone: {error}", step=row.key)
    else:
        row.state, row.summary, exhibits = "undone", done.summary or row.summary, done.exhibits
        todo["done"].append(row.key)
        work.tell("step.undone", f"{what}: undone. {done.summary}".strip(), step=row.key)
    todo["left"].pop(0)
    todo["tries"] = 0
    return {"state": "running", **work.lease()}, exhibits
