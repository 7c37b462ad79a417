"""The written learning: post-mortem, contributing factors, action items, reviews."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

FACTORS = [
    ("CF-DATA-SHIFT", "Data shift"), ("CF-DATA-CONTRACT", "Data contract"), ("CF-LABEL", "Labels"),
    ("CF-REPRESENT", "Representativeness"), ("CF-SKEW", "Training/serving skew"), ("CF-TRAIN", "Training"),
    ("CF-EVAL-GAP", "Evaluation gap"), ("CF-THRESHOLD", "Threshold"), ("CF-DEPLOY", "Deployment"),
    ("CF-CONFIG", "Configuration"), ("CF-CAPACITY", "Capacity"), ("CF-VENDOR", "Vendor"),
    ("CF-MONITOR-MISSING", "Monitor missing"), ("CF-MONITOR-LATE", "Monitor late"),
    ("CF-ALERT-FATIGUE", "Alert fatigue"), ("CF-ACCESS", "Access"), ("CF-ATTACK", "Attack"),
    ("CF-GUARDRAIL", "Guardrail"), ("CF-HUMAN-OVERRIDE", "Human override"),
    ("CF-AUTOMATION-BIAS", "Automation bias"), ("CF-KNOWLEDGE", "Knowledge"), ("CF-HANDOFF", "Hand-off"),
    ("CF-APPROVAL-BYPASS", "Approval bypassed"), ("CF-POLICY", "Policy"), ("CF-INVENTORY", "Inventory"),
    ("CF-EXTERNAL-EVENT", "External event"),
]  # fmt: skip


class PostMortem(models.Model):
    """One per incident. `sections` maps section key → Markdown written by people; what the facts
    say is computed when it is shown or exported, so it cannot go stale."""

    STATUSES = [("draft", "Draft"), ("in_review", "In review"), ("approved", "Approved")]

    incident = models.OneToOneField("incidents.Incident", on_delete=models.PROTECT, related_name="postmortem")
    status = models.CharField(max_length=10, choices=STATUSES, default="draft")
    sections = models.JSONField(default=dict, blank=True)
    authors = models.ManyToManyField("incidents.User", blank=True, related_name="postmortems")
    classification = models.CharField(max_length=40, default="internal")
    no_actions_because = models.TextField(blank=True)
    revision = models.PositiveIntegerField(
        default=0, help_text="Counts edits; a save with an old one is refused."
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"Post-mortem of {self.incident.key}"


class ContributingFactor(models.Model):
    """One cause among several, with its evidence."""

    postmortem = models.ForeignKey(PostMortem, on_delete=models.CASCADE, related_name="factors")
    code = models.CharField(max_length=20, choices=FACTORS)
    statement = models.TextField()
    contribution = models.CharField(
        max_length=5, choices=[("major", "Major"), ("minor", "Minor")], default="major"
    )
    evidence = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["contribution", "id"]

    def __str__(self) -> str:
        return f"{self.code}: {self.statement[:60]}"


class ActionItem(models.Model):
    """The task that a contributing factor creates. Quality rules: DOMAIN 5.4."""

    KINDS = [
        ("prevent", "Prevent"),
        ("detect", "Detect"),
        ("mitigate_faster", "Mitigate faster"),
        ("process", "Process"),
        ("remedy", "Remedy"),
        ("comply", "Comply"),
    ]
    STATUSES = [("open", "Open"), ("done", "Done"), ("dropped", "Dropped")]

    incident = models.ForeignKey("incidents.Incident", on_delete=models.PROTECT, related_name="action_items")
    factor = models.ForeignKey(ContributingFactor, on_delete=models.SET_NULL, null=True, blank=True)
    title = models.CharField(max_length=200)
    kind = models.CharField(max_length=16, choices=KINDS)
    owner = models.ForeignKey("incidents.User", on_delete=models.PROTECT, related_name="action_items")
    due_at = models.DateField()
    priority = models.CharField(
        max_length=2, choices=[(p, p) for p in ("P0", "P1", "P2", "P3")], default="P1"
    )
    done_when = models.CharField(max_length=300, help_text="A measurable test of success.")
    status = models.CharField(max_length=8, choices=STATUSES, default="open")
    closed_at = models.DateTimeField(null=True, blank=True)
    closing_evidence = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["status", "due_at"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status="done") | ~Q(closing_evidence=""), name="done_action_has_evidence"
            )
        ]

    def __str__(self) -> str:
        return self.title


class Review(models.Model):
    """A sign-off on the post-mortem by a role."""

    postmortem = models.ForeignKey(PostMortem, on_delete=models.CASCADE, related_name="reviews")
    role = models.CharField(max_length=4)
    by = models.ForeignKey("incidents.User", on_delete=models.PROTECT, related_name="+")
    approved = models.BooleanField()
    comment = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.role} {'approved' if self.approved else 'declined'}"
