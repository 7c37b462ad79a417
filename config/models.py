"""The tables of the config room: which workers are alive; signing in has its own file."""

from __future__ import annotations

from django.db import models

from config.sign_in.models import Identity, RecoveryCode, SecondFactor, Session

__all__ = ["Identity", "RecoveryCode", "SecondFactor", "Session", "WorkerHeartbeat"]


class WorkerHeartbeat(models.Model):
    """One row per running worker process, stamped every few seconds and removed when it stops."""

    name = models.CharField(max_length=200, primary_key=True, help_text="host:pid")
    kind = models.CharField(max_length=20, help_text="embedded (inside the web process) or worker")
    at = models.DateTimeField(db_index=True)
    info = models.JSONField(default=dict, help_text="seconds since each loop last turned, and counts")

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
