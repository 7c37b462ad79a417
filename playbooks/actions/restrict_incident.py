"""Makes the incident need-to-know, so that an attacker or a gossip learns nothing from it."""

from __future__ import annotations

from playbooks.contract import Action, Done, Param, StepContext


class RestrictIncident(Action):
    title = "Restrict the incident"
    summary = "Only named people, commanders and security see it; notices leave by routes for restricted incidents only."
    params = (Param("reason", help="Why; kept on the timeline."),)
    outputs = ("restricted",)

    def run(self, ctx: StepContext) -> Done:
        if ctx.dry_run:
            return Done(
                {"restricted": ctx.incident.restricted}, summary="Dry run: visibility stays as it is."
            )
        done = ctx.incident.restrict(reason=str(ctx.params["reason"]), actor=ctx.run.ref, at=ctx.now)
        said = "Restricted." if done else "It was restricted already."
        return Done({"restricted": True}, summary=said)
