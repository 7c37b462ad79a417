"""Retention: how long each kind of content is kept, as administrators say."""

from __future__ import annotations

from django.db import models


class Retention(models.Model):
    """One kind of `incidents.retention.KINDS`; without `days` it is kept for ever."""

    kind = models.CharField(max_length=20, unique=True, editable=False)
    days = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: kept for ever.")
    swept_at = models.DateTimeField(null=True, blank=True, editable=False)
    removed = models.PositiveBigIntegerField(default=0, editable=False, help_text="Since the beginning.")

    class Meta:
        ordering = ["kind"]
        verbose_name_plural = "retention"

    def __str__(self) -> str:
        return self.kind.capitalize()
