"""What people do on an incident: named roles, attestations, tasks, and clocks that run."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models, transaction
from django.utils import timezone

from incidents.access import require
from incidents.lifecycle import Refused

if TYPE_CHECKING:
    from .event import Event
    from .incident import Incident


class IncidentRole(models.Model):
    """A person named on an incident in a role (also opens a restricted incident to them)."""

    incident = models.ForeignKey("incidents.Incident", on_delete=models.CASCADE, related_name="roles")
    role = models.CharField(max_length=4)
    user = models.ForeignKey("incidents.User", on_delete=models.CASCADE, related_name="incident_roles")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "role", "user"], name="named_once_per_role_and_incident"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role}"


class Attestation(models.Model):
    """A signed statement that the harm has stopped."""

    incident = models.ForeignKey("incidents.Incident", on_delete=models.PROTECT, related_name="attestations")
    role = models.CharField(max_length=4, choices=[("IC", "Incident commander"), ("MO", "Model owner")])
    by = models.ForeignKey("incidents.User", on_delete=models.PROTECT, related_name="+")
    statement = models.TextField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.role}: {self.statement[:60]}"


class Task(models.Model):
    """Something a person has to do during the incident."""

    KINDS = [
        ("link_system", "Link the AI system"),
        ("remediation", "Remediation"),
        ("unwind", "Remove a temporary measure"),
        ("todo", "To do"),
    ]

    incident = models.ForeignKey("incidents.Incident", on_delete=models.CASCADE, related_name="tasks")
    kind = models.CharField(max_length=12, choices=KINDS, default="todo")
    title = models.CharField(max_length=300)
    assignee = models.ForeignKey(
        "incidents.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="tasks"
    )
    due_at = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    done_by = models.ForeignKey(
        "incidents.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["done_at", "due_at", "id"]

    def __str__(self) -> str:
        return self.title

    @classmethod
    def give(cls, incident: Incident, *, by: Any, title: str, **fields: Any) -> Task:
        """Create a task and tell the timeline. Raises NotAllowed."""
        require(by, "incident.edit", incident)
        with transaction.atomic():
            task = cls.objects.create(incident=incident, title=title, **fields)
            to = f" for {task.assignee}" if task.assignee else ""
            incident.record("task.added", text=f"Task{to}: {title}", by=by, data={"task": task.pk})
        return task

    def complete(self, *, by: Any, at: datetime | None = None) -> None:
        """Somebody did it. Raises NotAllowed."""
        require(by, "incident.edit", self.incident)
        with transaction.atomic():
            self.done_at, self.done_by = at or timezone.now(), by
            self.save(update_fields=["done_at", "done_by"])
            self.incident.record(
                "task.done", text=f"Done: {self.title}", by=by, at=self.done_at, data={"task": self.pk}
            )


class Clock(models.Model):
    """A statutory or contractual deadline that runs on an incident; never deleted."""

    STATES = [
        ("provisional", "Provisional"),
        ("running", "Running"),
        ("fulfilled", "Fulfilled"),
        ("set_aside", "Set aside"),
    ]

    incident = models.ForeignKey("incidents.Incident", on_delete=models.PROTECT, related_name="clocks")
    regime = models.CharField(max_length=120)
    article = models.CharField(max_length=120, blank=True)
    anchor_at = models.DateTimeField()
    due_at = models.DateTimeField()
    short = models.BooleanField(default=False, help_text="72 hours or less.")
    state = models.CharField(max_length=12, choices=STATES, default="running")
    receipt = models.CharField(max_length=300, blank=True)
    reason = models.TextField(blank=True)
    settled_by = models.ForeignKey(
        "incidents.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["due_at"]

    def __str__(self) -> str:
        return f"{self.regime} {self.article}"

    def settle(self, *, by: Any, receipt: str = "", reason: str = "", at: datetime | None = None) -> Event:
        """Fulfil with a receipt, or set aside with a reason. Raises NotAllowed, Refused."""
        require(by, "clock.settle", self.incident)
        if not receipt.strip() and not reason.strip():
            raise Refused(
                "settle", ["Give the receipt of the submission, or the reason to set the clock aside."]
            )
        with transaction.atomic():
            self.state = "fulfilled" if receipt.strip() else "set_aside"
            self.receipt, self.reason, self.settled_by, self.settled_at = (
                receipt,
                reason,
                by,
                at or timezone.now(),
            )
            self.save(update_fields=["state", "receipt", "reason", "settled_by", "settled_at"])
            return self.incident.record(
                f"clock.{self.state}", text=f"{self}: {self.get_state_display().lower()} ({receipt or reason}).",
                by=by, at=self.settled_at, data={"clock": self.pk},
            )  # fmt: skip
