"""AuditEntry: who did what to the house itself, in a chain of hashes that nobody can change unnoticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone


class AppendOnly(Exception):
    """History is corrected by adding to it, never by changing it."""


#: The request at work, so that an entry tells who sent it and from where.
_request: ContextVar[Any] = ContextVar("request", default=None)


@contextmanager
def within(request: Any) -> Iterator[None]:
    """Within it, entries that name nobody are those of the request's person."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


#: The hash before the first entry.
START = "0" * 64


class AuditEntry(models.Model):
    """Written in the transaction of what it tells of; never changed afterwards, which triggers of the database
    refuse as well (see its migration).

    `seq`, `before` and `hash` are set once, when the entry is sealed (`incidents.audit.seal`): entries are
    written without waiting for each other, and put in line afterwards.
    """

    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=60)
    by = models.ForeignKey(
        "incidents.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    actor = models.CharField(max_length=150, blank=True, help_text="Who acted when it was not a user.")
    address = models.CharField(max_length=45, blank=True, help_text="Where the request came from.")
    incident = models.ForeignKey(
        "incidents.Incident", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    text = models.TextField()
    data = models.JSONField(default=dict, blank=True)
    #: SHA-256 of the entry's own content; it stands for what a reader may not see
    content = models.CharField(max_length=64)
    seq = models.BigIntegerField(null=True, blank=True, unique=True, help_text="Place in the chain.")
    before = models.CharField(max_length=64, blank=True, help_text="Hash of the entry before.")
    hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of before, seq and content.")

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["id"], condition=models.Q(seq=None), name="unsealed_audit_entries"),
            models.Index(fields=["kind", "-id"], name="audit_by_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.kind}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise AppendOnly("An entry of the audit log never changes.")
        request = _request.get()
        if request is not None:
            user = getattr(request, "user", None)
            if self.by_id is None and not self.actor and user is not None and user.is_authenticated:
                self.by = user
            self.address = self.address or str(request.META.get("REMOTE_ADDR", ""))[:45]
        self.actor, self.text = _clean(self.actor)[:150], _clean(self.text)
        # as the database gives it back, whichever it is: numbers with a point become texts
        self.data = json.loads(_clean(json.dumps(self.data, cls=DjangoJSONEncoder)), parse_float=str)
        self.content = self.content_hash()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnly("An entry of the audit log is never deleted.")

    def content_hash(self) -> str:
        """SHA-256 of what the entry says, in one canonical form on every database."""
        said = {
            "at": moment(self.at), "kind": self.kind, "by": self.by_id, "actor": self.actor, "address": self.address,
            "incident": self.incident_id, "text": self.text, "data": self.data,
        }  # fmt: skip
        return _sha(json.dumps(said, sort_keys=True, ensure_ascii=False, cls=DjangoJSONEncoder))

    def link_hash(self) -> str:
        """SHA-256 that ties the entry to its place and to the one before."""
        return _sha(f"{self.before}|{self.seq}|{self.content}")


def moment(at: datetime) -> str:
    """A time to the microsecond in UTC, as it is hashed and exported."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _clean(text: str) -> str:
    """Without what no database keeps."""
    return text.replace("\0", "").replace("\\u0000", "").encode("utf-8", "replace").decode()


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
