"""Pages the people on call about the incident, through one connection, and waits until the vendor has taken it."""

from __future__ import annotations

from integrations.outbox.directed import Directed


class SendPage(Directed):
    title = "Page somebody"
    summary = "Raises the incident's alert at a pager; where it is raised already, the vendor adds to it."
    kind = "escalated"
    back = ("resolved", "")
