"""Inventory of AI systems: what is watched, which version serves where, and what feeds it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from incidents.matchers import validate_matchers

RISK_TIERS = [
    ("minimal", "Minimal"),
    ("limited", "Limited"),
    ("high", "High"),
    ("prohibited", "Prohibited"),
    ("unknown", "Not assessed"),
]
DECISION_TYPES = [
    ("consequential", "Consequential (credit, hiring, health, …)"),
    ("low_stakes", "Low stakes (ranking, marketing, chat)"),
    ("internal", "Internal only"),
    ("unknown", "Not assessed"),
]


class Dataset(models.Model):
    """A data set or pipeline upstream of systems; the key that topology grouping uses."""

    KINDS = [("dataset", "Data set"), ("pipeline", "Pipeline"), ("feature_view", "Feature view")]

    name = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=12, choices=KINDS, default="dataset")
    owner_team = models.ForeignKey("incidents.Team", on_delete=models.SET_NULL, null=True, blank=True)
    location = models.CharField(max_length=500, blank=True)
    description = models.TextField(blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class AISystem(models.Model):
    """What is watched: one model in one use, with its owner, risk and data."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    environment = models.CharField(max_length=32, default="prod")
    owner = models.ForeignKey(
        "incidents.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="owned_systems"
    )
    team = models.ForeignKey("incidents.Team", on_delete=models.SET_NULL, null=True, blank=True)
    risk_tier = models.CharField(max_length=12, choices=RISK_TIERS, default="unknown")
    decision_type = models.CharField(max_length=16, choices=DECISION_TYPES, default="unknown")
    purpose = models.CharField(max_length=300, blank=True)
    matchers = models.TextField(
        blank=True,
        validators=[validate_matchers],
        help_text='One set per line; an alert that meets any line belongs here, e.g. model="credit-risk", env=~"prod.*"',
    )
    upstream = models.ManyToManyField(Dataset, blank=True, related_name="consumers")
    #: Where diagnosis finds its data and which columns mean what: reference, current, prediction_column,
    #: label_column, group_column, source_column, time_column, key_columns, positive_label, …
    data = models.JSONField(default=dict, blank=True)
    #: What containment needs: {"gateway_url": …, "fallback_version": …} per platform.
    serving = models.JSONField(default=dict, blank=True)
    #: First guess of severity answers before a person triages: {"impact": {...}, "urgency": {...}}.
    baseline_assessment = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]
        verbose_name = "AI system"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("incidents:system", args=[self.slug])

    def serving_at(self, moment: datetime) -> list[Deployment]:
        """Deployments with traffic at `moment`, the largest share first."""
        return list(
            self.deployments.select_related("version")
            .filter(started_at__lte=moment, traffic__gt=0)
            .filter(Q(ended_at=None) | Q(ended_at__gt=moment))
            .order_by("-traffic", "-started_at")
        )


class SystemLink(models.Model):
    """A place to look: dashboard, registry, runbook, documentation."""

    KINDS = [
        ("dashboard", "Dashboard"),
        ("registry", "Registry"),
        ("runbook", "Runbook"),
        ("repository", "Repository"),
        ("documentation", "Documentation"),
        ("other", "Other"),
    ]

    system = models.ForeignKey(AISystem, on_delete=models.CASCADE, related_name="links")
    kind = models.CharField(max_length=16, choices=KINDS)
    title = models.CharField(max_length=120)
    url = models.URLField(max_length=1000)

    class Meta:
        ordering = ["kind", "title"]

    def __str__(self) -> str:
        return self.title


class ModelVersion(models.Model):
    """One trained version of a system's model."""

    system = models.ForeignKey(AISystem, on_delete=models.CASCADE, related_name="versions")
    version = models.CharField(max_length=120)
    registry_uri = models.CharField(max_length=500, blank=True)
    trained_at = models.DateTimeField(null=True, blank=True)
    training_data = models.CharField(max_length=500, blank=True, help_text="Revision or hash of the data.")
    digest = models.CharField(max_length=128, blank=True)
    approved = models.BooleanField(
        default=False, help_text="Passed its release approval: a safe rollback target."
    )
    author = models.ForeignKey("incidents.User", on_delete=models.SET_NULL, null=True, blank=True)
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["system", "version"], name="one_row_per_model_version")
        ]

    def __str__(self) -> str:
        return f"{self.system.slug} {self.version}"


class Deployment(models.Model):
    """Which version served where, with which share of traffic, from when to when."""

    PLATFORMS = [
        ("gateway", "Model gateway (HTTP)"),
        ("mlflow", "MLflow"),
        ("sagemaker", "Amazon SageMaker"),
        ("vertex", "Vertex AI"),
        ("azureml", "Azure ML"),
        ("kserve", "KServe"),
        ("other", "Other"),
    ]

    system = models.ForeignKey(AISystem, on_delete=models.CASCADE, related_name="deployments")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="deployments")
    endpoint = models.CharField(max_length=300)
    environment = models.CharField(max_length=32, default="prod")
    platform = models.CharField(max_length=12, choices=PLATFORMS, default="gateway")
    traffic = models.DecimalField(
        max_digits=5, decimal_places=2, default=Decimal(100), help_text="Share of traffic in percent."
    )
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(traffic__gte=0) & Q(traffic__lte=100), name="traffic_is_a_percentage"
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=models.F("started_at")),
                name="deployment_ends_after_it_starts",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} on {self.endpoint} ({self.traffic} %)"
