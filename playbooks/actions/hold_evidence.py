"""Opens an evidence hold: from then on no step may destroy data, indexes or versions."""

from __future__ import annotations

from playbooks.contract import Action, Done, Param, StepContext


class HoldEvidence(Action):
    title = "Hold evidence"
    summary = "Blocks every step that destroys evidence until people lift the hold."
    params = (Param("reason", help="Why; kept on the timeline."),)
    outputs = ("held",)

    def run(self, ctx: StepContext) -> Done:
        if ctx.dry_run:
            return Done({"held": ctx.incident.evidence_hold}, summary="Dry run: no hold was opened.")
        done = ctx.incident.hold_evidence(reason=str(ctx.params["reason"]), actor=ctx.run.ref, at=ctx.now)
        return Done({"held": True}, summary="Evidence is held." if done else "It was held already.")
