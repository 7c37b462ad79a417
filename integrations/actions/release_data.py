"""Brings a batch of data back from quarantine, if it is still what was put there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations.actions.quarantine_data import batch_at, gone, returned
from integrations.platforms.before import tried_before
from integrations.platforms.held import Batch, items_of
from playbooks.contract import Action, ActionError, Done, Param, StepContext, Unverified


class ReleaseData(Action):
    title = "Release data"
    summary = "Compares a quarantined batch with its manifest and moves it back to where it came from."
    params = (
        Param("held_at", help="Where it is held: an output of quarantine_data."),
        Param("connection", required=False, help="AWS account, for s3://. Default: the only one."),
    )
    outputs = ("origin", "held_at", "items")
    risk = "R2"
    changes_world = True
    timeout = 900.0

    def precheck(self, ctx: StepContext) -> None:
        """What is held has the hashes of the manifest, and its place is free."""
        batch = _batch(ctx)
        batch.check()
        if tried_before(ctx):
            return
        batch.check_held(batch.manifest or {})
        if batch.present():
            raise ActionError(f"There is data at {batch.origin} again: move it away first.")

    def run(self, ctx: StepContext) -> Done:
        batch = _batch(ctx)
        if batch.held():
            batch.give_back()
        items = len(items_of(batch.manifest or {}))
        outputs = {"origin": batch.origin, "held_at": batch.held_at, "items": items}
        return Done(outputs, summary=f"{items} items are back at {batch.origin}.")

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        batch = _batch(ctx)
        if batch.held():
            raise Unverified(f"{batch.held_at} still holds data: look at it.")
        return returned(batch)

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        """Put it into quarantine again, at the same place."""
        batch = _batch(ctx)
        batch.take(batch.manifest or {})
        gone(batch)
        return Done({"held_at": batch.held_at}, summary=f"The batch is held in {batch.held_at} again.")


def _batch(ctx: StepContext) -> Batch:
    return batch_at(ctx, str(ctx.params["held_at"]).strip())
