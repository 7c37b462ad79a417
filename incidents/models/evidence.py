"""Evidence: a file or value kept as it was, with hash and source."""

from __future__ import annotations

import hashlib
from typing import Any

from django.db import models
from django.utils import timezone

from .audit import AppendOnly


class Evidence(models.Model):
    """Content is kept in the database (size-capped by the caller) and never changes."""

    incident = models.ForeignKey("incidents.Incident", on_delete=models.PROTECT, related_name="evidence")
    name = models.CharField(max_length=200)
    media_type = models.CharField(max_length=100, default="application/json")
    content = models.BinaryField()
    size = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    source = models.CharField(max_length=300, blank=True)
    note = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)
    by = models.ForeignKey(
        "incidents.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    run_ref = models.CharField(
        max_length=60, blank=True, help_text="Run and step that kept it, e.g. run:12/DR-03."
    )

    class Meta:
        ordering = ["at", "id"]
        verbose_name_plural = "evidence"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def keep(cls, incident: Any, name: str, content: bytes, **fields: Any) -> Evidence:
        """Store `content` with its SHA-256."""
        return cls.objects.create(
            incident=incident,
            name=name[:200],
            content=content,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            **fields,
        )

    def is_intact(self) -> bool:
        return hashlib.sha256(bytes(self.content)).hexdigest() == self.sha256

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise AppendOnly("Evidence never changes; keep another piece beside it.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnly("Evidence is not deleted here; retention does that, under dual control.")
