"""Event: a fact that happened. People read it as the timeline, machines as the outbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from .audit import AppendOnly, AuditEntry

_origin: ContextVar[str] = ContextVar("origin", default="")


@contextmanager
def told_by(origin: str) -> Iterator[None]:
    """Within it, what incidents record says that `origin` (e.g. "connection:7") told it: so that it is not
    told back."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


def origin_of_now() -> dict[str, str]:
    """What `told_by` adds to the data of an event."""
    return {"origin": origin} if (origin := _origin.get()) else {}


class Event(models.Model):
    """Written in the same transaction as the change it tells of; never changed afterwards.

    `published_at` is the outbox mark of the relay, the only column that is ever updated.
    """

    incident = models.ForeignKey(
        "incidents.Incident",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="events",
        db_index=False,
    )
    kind = models.CharField(max_length=60)
    at = models.DateTimeField(
        default=timezone.now, help_text="When it happened (may lie before it was recorded)."
    )
    recorded_at = models.DateTimeField(default=timezone.now)
    by = models.ForeignKey(
        "incidents.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    actor = models.CharField(
        max_length=120, blank=True, help_text="Who acted when it was not a user: a rule, a run."
    )
    text = models.TextField(blank=True, help_text="One sentence (or a Markdown note) for people.")
    data = models.JSONField(default=dict, blank=True)
    corrects = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="corrections", db_index=False
    )
    published_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["at", "id"]
        indexes = [
            models.Index(fields=["incident", "at", "id"], name="timeline_of_incident"),
            models.Index(fields=["id"], condition=Q(published_at=None), name="unpublished_events"),
            models.Index(fields=["kind", "at"], name="events_by_kind"),
            models.Index(fields=["corrects"], condition=~Q(corrects=None), name="corrections"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.kind}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise AppendOnly("An event never changes; record a correction that points to it.")
        super().save(*args, **kwargs)
        # what people set up in the house itself belongs in the audit log too
        if self.incident_id is None and (
            self.by_id or self.kind.startswith(("config.", "connection.", "sign_in."))
        ):
            AuditEntry.objects.create(
                at=self.at, kind=self.kind, by_id=self.by_id, actor=self.actor, text=self.text, data=self.data
            )

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnly("An event is never deleted; record a correction that points to it.")
