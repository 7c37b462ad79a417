"""Asks for a message to people outside: one entry on the timeline, which the routes turn into deliveries."""

from __future__ import annotations

from incidents.models import Event
from incidents.wake import wake
from playbooks.contract import Action, Done, Param, StepContext


class Notify(Action):
    title = "Notify"
    summary = "Tells everybody to whom a route for notices leads, and the timeline."
    params = (
        Param("text", help="What is sent."),
        Param("audience", required=False, help="Whom it is meant for; shown with the text."),
    )
    outputs = ("event",)

    def run(self, ctx: StepContext) -> Done:
        """Write the notice once per idempotency key: a repeated step finds the one that is there."""
        text, audience = str(ctx.params["text"]), str(ctx.params.get("audience") or "")
        if ctx.dry_run:
            return Done({"event": None}, summary=f"Dry run: nobody was told “{text[:200]}”.")
        event = Event.objects.filter(
            incident=ctx.incident, kind="notice.requested", data__key=ctx.idempotency_key
        ).first()
        if event is None:
            facts = [["For", audience]] if audience else []
            event = ctx.incident.record(
                "notice.requested",
                text=text,
                actor=ctx.run.ref,
                at=ctx.now,
                data={"key": ctx.idempotency_key, "facts": facts, "run": ctx.run.pk},
            )
            wake("outbox")
        return Done({"event": event.pk}, summary=f"Told{f' {audience}' if audience else ''}: {text[:200]}")
