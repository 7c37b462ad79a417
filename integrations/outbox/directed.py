"""Messages that a playbook directs at one connection: queued once, waited for, believed when delivered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from incidents.matchers import parse
from incidents.models import Event
from integrations import shelf
from integrations.models import Connection, Delivery, RemoteLink
from integrations.outbox.announce import announcement_of, queue
from integrations.platforms.settle import settled
from playbooks.contract import Action, ActionError, Done, Outcome, Param, StepContext, Unverified, Wait

FIRST, LONGEST = 3, 60  #: seconds between looks, doubling


class Directed(Action):
    """Base of the actions that tell one connection something about the incident."""

    kind: ClassVar[str]  #: of the announcement
    #: what is announced to take it back, where the step was the first to tell the connection of the incident, and
    #: where it was not; empty: nothing can be taken back, and undoing says so
    back: ClassVar[tuple[str, str]]
    params = (
        Param("connection", help="Name of the connection."),
        Param("text", help="What is said."),
        Param("channel", required=False, help="Where at the vendor. Default: the connection's own."),
    )
    outputs = ("delivery", "remote_id", "url", "first")
    changes_world = True

    def precheck(self, ctx: StepContext) -> None:
        """The connection is there, carries such messages, and may be told of this incident."""
        connection = self._connection(ctx)
        provider = shelf.provider(connection.provider)
        if not provider.takes(self.kind, connection.settings):
            raise ActionError(
                f"{connection} ({provider.title}) does not carry {self.kind!r}, or lacks the settings for it: name another "
                "connection."
            )
        if ctx.incident.restricted and not _may_know(connection):
            raise ActionError(
                f"{ctx.incident.key} is restricted and no route to {connection} names `restricted`: make one that does, "
                "or name another connection."
            )

    def run(self, ctx: StepContext) -> Outcome:
        if ctx.incident.is_muted:
            outputs: dict[str, Any] = {"delivery": None, "remote_id": "", "url": "", "first": False}
            return Done(outputs, summary="Nothing was sent: the incident is silenced.")
        delivery = self._told(ctx, self.kind, str(ctx.params["text"]))
        if delivery.state in ("queued", "sending"):
            looks = int(ctx.memory.get("looks", 0))
            until = ctx.now + timedelta(seconds=min(FIRST * 2**looks, LONGEST))
            why = delivery.last_error or f"{delivery.connection} has not been reached yet."
            return Wait(until, why, {"looks": looks + 1})
        if delivery.state != "delivered":
            raise ActionError(
                f"{delivery.connection} was not told: {delivery.last_error or delivery.get_state_display()} Mend the cause, "
                "send it again from Deliveries, then retry the step."
            )
        link = RemoteLink.objects.filter(connection=delivery.connection, incident=ctx.incident).first()
        earlier = Delivery.objects.filter(
            connection=delivery.connection, incident=ctx.incident, id__lt=delivery.pk, state="delivered"
        )
        outputs = {
            "delivery": delivery.pk,
            "remote_id": delivery.remote_id,
            "url": link.url if link else "",
            "first": not earlier.exists(),
        }
        return Done(outputs, summary=f"{delivery.connection} was told ({delivery.remote_id}).")

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The vendor took it and gave it an id."""
        if outputs["delivery"] is None:
            return {"state": "silenced"}
        delivery = Delivery.objects.get(pk=outputs["delivery"])
        if delivery.state != "delivered" or not delivery.remote_id:
            raise Unverified(
                f"{delivery.connection} answered without an id (the delivery is {delivery.state}): look whether it is there."
            )
        return {"state": delivery.state, "remote_id": delivery.remote_id}

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        """Say that it no longer holds; what was read cannot be unread."""
        if outputs["delivery"] is None:
            return Done(summary="Nothing had been sent.")
        kind = self.back[0] if outputs["first"] else self.back[1]
        if not kind:
            return Done(
                summary=f"{ctx.params['connection']} had been told before: what is open there stays open."
            )
        delivery = self._told(ctx, kind, f"No longer holds: {ctx.params['text']}")
        state, over = settled(
            ctx,
            lambda: Delivery.objects.values_list("state", flat=True).get(pk=delivery.pk),
            lambda seen: seen not in ("queued", "sending"),
        )
        if not over:
            raise ActionError(
                f"{delivery.connection} has not been reached yet.", retryable=True, retry_after=30
            )
        if state != "delivered":
            raise ActionError(
                f"{delivery.connection} could not be told ({state}): send it again from Deliveries."
            )
        return Done(
            {"delivery": delivery.pk}, summary=f"{delivery.connection} was told that it no longer holds."
        )

    def _connection(self, ctx: StepContext) -> Connection:
        name = str(ctx.params["connection"])
        found = Connection.objects.filter(name=name).first()
        if found is None:
            known = ", ".join(Connection.objects.values_list("name", flat=True))
            raise ActionError(
                f"There is no connection {name!r} (there are: {known or 'none'}): correct the name."
            )
        if not found.enabled:
            raise ActionError(f"The connection {name} is switched off: switch it on, then retry the step.")
        return found

    def _told(self, ctx: StepContext, kind: str, text: str) -> Delivery:
        """The delivery with this step's key, queued if it is not there; and its entry on the timeline."""
        connection, key = self._connection(ctx), ctx.idempotency_key
        found = Delivery.objects.filter(connection=connection, idempotency_key=key).first()
        if found is not None:
            return found
        event = Event.objects.filter(incident=ctx.incident, kind="message.directed", data__key=key).first()
        if event is None:
            event = ctx.incident.record(
                "message.directed",
                text=text,
                actor=ctx.run.ref,
                at=ctx.now,
                data={"key": key, "run": ctx.run.pk, "connection": connection.pk},
            )
        what = replace(
            announcement_of(event, kind),
            idempotency_key=key,
            channel=str(ctx.params.get("channel") or ""),
            worded=True,
        )
        return queue(connection, what, incident=ctx.incident, event=event)


def _may_know(connection: Connection) -> bool:
    routes = connection.routes.filter(active=True)
    return any(m.name == "restricted" for route in routes for line in parse(route.matchers) for m in line)
