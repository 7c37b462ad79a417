"""IdempotentReply: what a POST with an Idempotency-Key answered, to be answered again."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class IdempotentReply(models.Model):
    """Kept for a day. `status` stays empty while the first request is being worked on."""

    user = models.ForeignKey("incidents.User", on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    request_digest = models.CharField(max_length=64, help_text="SHA-256 of method, path and body.")
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="one_reply_per_idempotency_key")]

    def __str__(self) -> str:
        return self.key
