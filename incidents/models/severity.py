"""Severity as data: the matrix profile (versioned), assessments, response targets and due times."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from incidents import severity as rules

SEVERITIES = [(1, "SEV1"), (2, "SEV2"), (3, "SEV3"), (4, "SEV4"), (5, "SEV5")]


class SeverityProfile(models.Model):
    """One version of the matrix: dimensions, questions, bands, matrix, floors, caps.

    A version that was activated never changes; editing makes the next one.
    """

    version = models.PositiveIntegerField(unique=True)
    data = models.JSONField()
    active_key = models.BooleanField(null=True, blank=True, unique=True, editable=False)
    note = models.CharField(max_length=300, blank=True, help_text="What changed and why.")
    created_by = models.ForeignKey("incidents.User", on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-version"]

    def __str__(self) -> str:
        return f"Severity matrix v{self.version}" + (" (active)" if self.active_key else "")

    @classmethod
    def current(cls) -> SeverityProfile:
        """The active version; the shipped default is installed as version 1 when there is none."""
        found = cls.objects.filter(active_key=True).first()
        return found or cls.publish(rules.DEFAULT_PROFILE, note="Shipped default.")

    @classmethod
    def publish(cls, data: dict[str, Any], *, note: str, by: Any = None) -> SeverityProfile:
        """Make `data` the next version and the active one. Raises ValidationError."""
        problems = rules.check_profile(data)
        if problems:
            raise ValidationError({"data": problems})
        last = cls.objects.order_by("-version").values_list("version", flat=True).first() or 0
        cls.objects.filter(active_key=True).update(active_key=None)
        return cls.objects.create(version=last + 1, data=data, active_key=True, note=note, created_by=by)

    def clean(self) -> None:
        problems = rules.check_profile(self.data)
        if problems:
            raise ValidationError({"data": problems})


class SeverityAssessment(models.Model):
    """One answer to the matrix for one incident; computed and chosen are kept apart."""

    incident = models.ForeignKey("incidents.Incident", on_delete=models.CASCADE, related_name="assessments")
    profile = models.ForeignKey(SeverityProfile, on_delete=models.PROTECT)
    #: {"impact": {"SA": 1…5}, "urgency": {"harm": 0…}, "facts": {"shadow_model": true, …},
    #: "cap_approved": whether `by` approved the caps}
    answers = models.JSONField(default=dict)
    #: rules.Assessment.as_json(): impact, urgency, matrix, floors, caps, computed, estimated
    result = models.JSONField(default=dict)
    computed = models.PositiveSmallIntegerField(choices=SEVERITIES)
    chosen = models.PositiveSmallIntegerField(choices=SEVERITIES)
    reason = models.TextField(blank=True)
    by = models.ForeignKey("incidents.User", on_delete=models.SET_NULL, null=True, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(chosen=models.F("computed")) | ~Q(reason=""), name="override_needs_a_reason"
            )
        ]

    def __str__(self) -> str:
        return f"{self.incident_id}: SEV{self.computed} computed, SEV{self.chosen} chosen"


class ResponseTarget(models.Model):
    """How soon something is due at a severity, as data an administrator edits."""

    KINDS = [
        ("ack", "Acknowledge"),
        ("triage", "Triaged"),
        ("contain", "Contained"),
        ("mitigate", "Mitigated and verified"),
        ("update", "Internal update"),
        ("executive", "Executive notice"),
        ("external", "External message"),
        ("review", "Post-mortem review"),
        ("report", "Report approved"),
    ]
    UNITS = [
        ("minutes", "minutes"),
        ("hours", "hours"),
        ("days", "calendar days"),
        ("business_days", "business days"),
    ]
    #: the incident time stamp from which each kind runs
    ANCHORS = [("detected_at", "detection"), ("triaged_at", "triage"), ("mitigated_at", "mitigation")]

    severity = models.PositiveSmallIntegerField(choices=SEVERITIES)
    kind = models.CharField(max_length=12, choices=KINDS)
    anchor = models.CharField(max_length=16, choices=ANCHORS, default="detected_at")
    amount = models.PositiveIntegerField()
    unit = models.CharField(max_length=16, choices=UNITS)

    class Meta:
        ordering = ["severity", "kind"]
        constraints = [
            models.UniqueConstraint(fields=["severity", "kind"], name="one_target_per_severity_and_kind")
        ]

    def __str__(self) -> str:
        return f"SEV{self.severity} {self.get_kind_display()}: {self.amount} {self.get_unit_display()}"


class Holiday(models.Model):
    """A day that is no business day, besides Saturdays and Sundays."""

    day = models.DateField(unique=True)
    name = models.CharField(max_length=120)

    class Meta:
        ordering = ["day"]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.name}"


class ResponseDue(models.Model):
    """One due time on one incident, kept in step with severity and state."""

    incident = models.ForeignKey("incidents.Incident", on_delete=models.CASCADE, related_name="dues")
    kind = models.CharField(max_length=12, choices=ResponseTarget.KINDS)
    due_at = models.DateTimeField()
    met_at = models.DateTimeField(null=True, blank=True)
    severity = models.PositiveSmallIntegerField(choices=SEVERITIES)

    class Meta:
        ordering = ["due_at"]
        constraints = [models.UniqueConstraint(fields=["incident", "kind"], name="one_due_time_per_kind")]
        indexes = [models.Index(fields=["due_at"], condition=Q(met_at=None), name="open_dues_by_time")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} due {self.due_at:%Y-%m-%d %H:%M}"

    @property
    def is_late(self) -> bool:
        return (self.met_at or timezone.now()) > self.due_at
