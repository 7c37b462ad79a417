"""Opens the incident's ticket through one connection and waits until it is there."""

from __future__ import annotations

from integrations.outbox.directed import Directed


class OpenTicket(Directed):
    title = "Open a ticket"
    summary = "Opens the incident's ticket (once: a later step finds it) and keeps its key and address."
    kind = "opened"
    back = ("resolved", "updated")
