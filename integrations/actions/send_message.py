"""Sends a message about the incident through one connection and waits until it is delivered."""

from __future__ import annotations

from integrations.outbox.directed import Directed


class SendMessage(Directed):
    title = "Send a message"
    summary = "Tells one connection (a channel, a mailbox) something about the incident."
    kind = "notice"
    back = ("notice", "notice")
