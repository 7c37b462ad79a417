"""Sends an update of the incident to one connection: to its ticket, thread or page."""

from __future__ import annotations

from integrations.outbox.directed import Directed


class SendUpdate(Directed):
    title = "Send an update"
    summary = "Adds to what a connection knows of the incident: its ticket, its thread, its page."
    kind = "updated"
    back = ("updated", "updated")
