"""Change: something that was changed on purpose, as deploy tools, registries and people tell it."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Change(models.Model):
    """A deploy, a registry move, a new configuration or prompt: the first suspects of an incident.

    `key` is the teller's own id of the change; told twice, it is one row per origin.
    """

    KINDS = [
        ("deploy", "Deploy"), ("registry", "Model registry"), ("config", "Configuration"), ("prompt", "Prompt"),
        ("data", "Data"), ("pipeline", "Pipeline"), ("other", "Other"),
    ]  # fmt: skip

    origin = models.CharField(max_length=80, help_text="Who told it: connection:7, or user:3 by the API.")
    key = models.CharField(max_length=255)
    kind = models.CharField(max_length=12, choices=KINDS, default="other")
    title = models.CharField(max_length=300)
    at = models.DateTimeField(help_text="When it took effect.")
    system = models.ForeignKey(
        "incidents.AISystem", on_delete=models.CASCADE, null=True, blank=True, related_name="changes"
    )
    system_name = models.CharField(max_length=200, blank=True, help_text="As the teller names the system.")
    version = models.CharField(max_length=120, blank=True)
    by = models.CharField(max_length=200, blank=True)
    url = models.CharField(max_length=1000, blank=True)
    labels = models.JSONField(default=dict, blank=True)
    extra = models.JSONField(default=dict, blank=True)
    recorded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [models.UniqueConstraint(fields=["origin", "key"], name="one_row_per_change")]
        indexes = [models.Index(fields=["at"], name="changes_by_time")]

    def __str__(self) -> str:
        return self.title
