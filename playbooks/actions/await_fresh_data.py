"""Waits until the system's data show the time after a change: a verification on old data proves nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from playbooks.contract import Action, ActionError, Done, Param, StepContext, Wait
from playbooks.diagnostics.dataset import fingerprint, shown_location
from playbooks.diagnostics.inputs import StepData, explained

WINDOW = 24 * 60.0  #: minutes, when neither the step nor the system says
LOOK = 10 * 60.0  #: longest pause between two looks, in seconds


class AwaitFreshData(Action):
    title = "Wait for fresh data"
    summary = (
        "Waits the verification window, and until the current data set is another one than before the change."
    )
    params = (
        Param("current", required=False, help="Data set to watch. Default: the system's."),
        Param("than", required=False, help="SHA-256 of the data known so far. Default: at the first look."),
        Param(
            "verification_minutes",
            "number",
            required=False,
            help="The window. Default: the system's verification_minutes, else a day.",
        ),
        Param("give_up_minutes", "number", required=False, help="Default: four windows, at least an hour."),
    )
    outputs = ("sha256", "waited_minutes")
    timeout = 120.0

    def run(self, ctx: StepContext) -> Wait | Done:
        if ctx.dry_run:
            return Done({"sha256": "", "waited_minutes": 0}, summary="Dry run: not waited for.")
        with explained():
            data = StepData(ctx)
            location = data.need("current", "the data set in which the change shows")
            minutes = data.number("verification_minutes")
            window = timedelta(minutes=WINDOW if minutes is None else minutes)
            longest = data.number("give_up_minutes")
            patience = max(4 * window, timedelta(hours=1)) if longest is None else timedelta(minutes=longest)
            digest = fingerprint(location, roots=settings.HOLDFAST_DATA_ROOTS, queries=data.queries())
        memory = self._memory(ctx, digest)
        begun = datetime.fromisoformat(memory["since"])
        waited = ctx.now - begun
        if waited < window:
            return Wait(begun + window, "The verification window is running.", memory)
        if digest != memory["known"]:
            minutes = waited.total_seconds() / 60
            return Done(
                {"sha256": digest, "waited_minutes": round(minutes, 1)},
                summary=f"New data after {minutes:.0f} minutes (SHA-256 {digest[:12]}…).",
            )
        if waited >= patience:
            raise ActionError(
                f"{shown_location(location)} has not changed for {waited.total_seconds() / 60:.0f} minutes "
                f"(SHA-256 {digest[:12]}…): check its producer, then retry the step."
            )
        pause = min(max(window.total_seconds() / 4, 5.0), LOOK)
        return Wait(
            ctx.now + timedelta(seconds=pause), "The data are still those from before the change.", memory
        )

    def _memory(self, ctx: StepContext, digest: str) -> dict[str, Any]:
        known = ctx.memory.get("known") or ctx.params.get("than") or digest
        return {"known": known, "since": ctx.memory.get("since") or ctx.now.isoformat()}
