"""Notices by e-mail: to people who want them so, through the first connection that sends letters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from incidents import notices
from incidents.models import Notice
from integrations import shelf
from integrations.models import Connection
from integrations.outbox.announce import announcement_of, kind_of, queue

if TYPE_CHECKING:
    from incidents.models import Event

PROVIDER = "email"


def ready() -> bool:
    """Whether a connection sends letters."""
    return _connection() is not None


def on_event(event: Event) -> None:
    """Queue one letter per person with a notice of the event who wants letters and has an address; never back to
    the connection that told it. News of restricted incidents leave the house by routes that name them alone."""
    if event.incident is None or event.incident.restricted:
        return
    wanted = [
        notice
        for notice in Notice.objects.filter(event=event).select_related("user")
        if notice.user.email and notices.way_of(notice.user, notice.kind) == "mail"
    ]
    connection = _connection() if wanted else None
    if connection is None or event.data.get("origin") == connection.origin:
        return
    what = announcement_of(event, kind_of(event) or "notice")
    for notice in wanted:
        letter = replace(what, channel=notice.user.email, idempotency_key=f"notice:{notice.pk}")
        queue(connection, letter, incident=event.incident, event=event)


def _connection() -> Connection | None:
    """The oldest enabled e-mail connection that can send."""
    for row in Connection.objects.filter(provider=PROVIDER, enabled=True).order_by("pk"):
        if shelf.provider(PROVIDER).takes("notice", row.settings):
            return row
    return None
