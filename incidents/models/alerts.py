"""Alerts and what decides about them: grouping rules (versioned), silences, storms."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from incidents.intake.signal import FAMILIES
from incidents.matchers import validate_matchers

LEVELS = [("critical", "Critical"), ("warning", "Warning"), ("info", "Info")]
#: Key parts a rule may use; a missing value is its own bucket.
KEY_FIELDS = ("env", "system", "family", "dataset", "source", "metric", "feature", "segment", "version")


class GroupingRule(models.Model):
    """Matchers → family, grouping key, windows, promotion. Versions never change; the newest
    active version of each name is in force, tried in `position` order, first match wins."""

    name = models.CharField(max_length=120)
    version = models.PositiveIntegerField(default=1)
    position = models.PositiveIntegerField(default=100)
    active = models.BooleanField(default=True)
    matchers = models.TextField(
        blank=True,
        validators=[validate_matchers],
        help_text="One set per line over labels and family, level, source, metric, …; empty matches every alert.",
    )
    family = models.CharField(
        max_length=8,
        blank=True,
        choices=[(f, f) for f in FAMILIES],
        help_text="Class given when the source has none.",
    )
    level = models.CharField(
        max_length=8, blank=True, choices=LEVELS, help_text="Level given when the source has none."
    )
    system = models.ForeignKey("incidents.AISystem", on_delete=models.SET_NULL, null=True, blank=True)
    key_fields = models.JSONField(
        default=list, help_text='Parts of the grouping key, e.g. ["env","system","family"].'
    )
    window_seconds = models.PositiveIntegerField(
        default=86_400, help_text="Same key within this time: same incident."
    )
    reopen_seconds = models.PositiveIntegerField(
        default=7 * 86_400, help_text="After mitigation, a new firing within this time re-opens."
    )
    warning_signals = models.PositiveSmallIntegerField(
        default=2, help_text="Independent warnings needed to open an incident."
    )
    warning_windows = models.PositiveSmallIntegerField(
        default=3, help_text="Or: consecutive windows with the same warning."
    )
    #: Significance gates: [{"metric": "psi", "gate": "noise_floor", "bins": 10}, {"metric":"ks", "min_effect": 0.1}]
    gates = models.JSONField(default=list, blank=True)
    title = models.CharField(
        max_length=200,
        blank=True,
        help_text="Title of the incident; {title}, {system}, {family}, {metric} are filled in.",
    )
    created_by = models.ForeignKey("incidents.User", on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    note = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["position", "name", "-version"]
        constraints = [models.UniqueConstraint(fields=["name", "version"], name="rule_versions_are_unique")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class Silence(models.Model):
    """Mutes messages about matching alerts until it expires; state is recorded all the same."""

    matchers = models.TextField(validators=[validate_matchers])
    reason = models.CharField(max_length=300)
    starts_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField()
    created_by = models.ForeignKey("incidents.User", on_delete=models.PROTECT, null=True, blank=True)
    ended_handled_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When its expiry was acted on (still-firing alerts told again).",
    )

    class Meta:
        ordering = ["-ends_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=models.F("starts_at")), name="silence_ends_after_start"
            )
        ]

    def __str__(self) -> str:
        return f"{self.matchers} until {self.ends_at:%Y-%m-%d %H:%M}"


class Storm(models.Model):
    """More than 20 new alerts of one origin within 5 minutes: one record, fewer messages."""

    origin = models.CharField(max_length=80)
    open_key = models.CharField(max_length=80, null=True, blank=True, unique=True, editable=False)
    started_at = models.DateTimeField()
    last_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    alerts = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"Storm of {self.alerts} alerts from {self.origin}"


class Alert(models.Model):
    """A condition that a source reports, firing or resolved.

    Foreign keys that no list is asked by carry no index: each costs on every alert that comes in.

    `live_key` (origin and fingerprint) is unique while the alert can still be reported again on
    this row; it is emptied when a later firing has to start a new row (its incident is over).
    `why` answers "why is this alert here": rule, version, key, window, gate, promotion.
    """

    DISPOSITIONS = [
        ("attached", "In an incident"),
        ("watching", "Watched: not promoted yet"),
        ("suppressed", "Suppressed by a gate or an upstream incident"),
        ("recorded", "Recorded only"),
    ]

    live_key = models.CharField(max_length=340, null=True, blank=True, unique=True)
    origin = models.CharField(max_length=80)
    source = models.CharField(max_length=60)
    fingerprint = models.CharField(max_length=255)
    status = models.CharField(max_length=8, choices=[("firing", "Firing"), ("resolved", "Resolved")])
    disposition = models.CharField(max_length=10, choices=DISPOSITIONS, default="watching")
    title = models.CharField(max_length=300)
    description = models.TextField(blank=True)
    level = models.CharField(max_length=8, choices=LEVELS)
    family = models.CharField(max_length=8, blank=True)
    labels = models.JSONField(default=dict)
    env = models.CharField(max_length=64, default="prod")
    system = models.ForeignKey(
        "incidents.AISystem", on_delete=models.SET_NULL, null=True, related_name="alerts"
    )
    system_name = models.CharField(max_length=200, blank=True, help_text="As the source names it.")
    version = models.CharField(max_length=120, blank=True)
    segment = models.CharField(max_length=200, blank=True)
    feature = models.CharField(max_length=200, blank=True)
    dataset = models.CharField(max_length=200, blank=True)
    metric = models.CharField(max_length=120, blank=True)
    value = models.FloatField(null=True)
    threshold = models.FloatField(null=True)
    comparator = models.CharField(max_length=8, blank=True)
    baseline = models.CharField(max_length=200, blank=True)
    window = models.CharField(max_length=120, blank=True)
    sample_size = models.BigIntegerField(null=True)
    links = models.JSONField(default=list)
    starts_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    count = models.PositiveIntegerField(default=1, help_text="Reports received.")
    windows = models.PositiveIntegerField(default=1, help_text="Distinct windows it fired in.")
    last_window = models.CharField(max_length=120, blank=True)
    incident = models.ForeignKey(
        "incidents.Incident", on_delete=models.SET_NULL, null=True, related_name="alerts", db_index=False
    )
    grouping_key = models.CharField(max_length=400, blank=True)
    rule = models.ForeignKey(GroupingRule, on_delete=models.PROTECT, null=True, db_index=False)
    storm = models.ForeignKey(Storm, on_delete=models.SET_NULL, null=True, db_index=False)
    silence = models.ForeignKey(Silence, on_delete=models.SET_NULL, null=True, db_index=False)
    why = models.JSONField(default=dict)
    last_inbox_id = models.BigIntegerField(null=True)

    class Meta:
        ordering = ["-last_seen", "-id"]
        indexes = [
            models.Index(fields=["incident", "-last_seen"], name="alerts_of_incident"),
            models.Index(fields=["-last_seen", "-id"], name="alerts_newest_first"),
            models.Index(
                fields=["-last_seen", "-id"], condition=Q(status="firing"), name="firing_alerts_newest_first"
            ),
            models.Index(
                fields=["first_seen"], condition=Q(disposition="suppressed"), name="suppressed_alerts_by_time"
            ),
            models.Index(
                fields=["grouping_key"],
                condition=Q(incident=None, status="firing"),
                name="waiting_alerts_by_key",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @staticmethod
    def live_key_of(origin: str, fingerprint: str) -> str:
        return f"{origin}|{fingerprint}"

    def explain(self) -> dict[str, Any]:
        """Why this alert is where it is, for page and API."""
        return {
            "alert": self.pk,
            "disposition": self.disposition,
            "incident": self.incident_id and f"INC-{self.incident_id}",
            "grouping_key": self.grouping_key,
            **self.why,
        }
