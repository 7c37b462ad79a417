"""Tables of the playbook floor: playbooks and versions, runs, steps, approvals."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone


class Playbook(models.Model):
    """What to do about a kind of incident; its text lives in versions."""

    slug = models.SlugField(max_length=80, unique=True)
    title = models.CharField(max_length=200)
    summary = models.TextField(blank=True)
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("playbooks:playbook", args=[self.slug])

    @property
    def published(self) -> PlaybookVersion | None:
        """The version that new runs use."""
        return self.versions.filter(published_key=True).first()


class PublishedVersion(Exception):
    """A published version is history: runs are pinned to it."""


class PlaybookVersion(models.Model):
    """One text of a playbook. Drafts are edited; a published version never changes at all."""

    STATUSES = [("draft", "Draft"), ("published", "Published"), ("archived", "Archived")]

    playbook = models.ForeignKey(Playbook, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=STATUSES, default="draft")
    published_key = models.BooleanField(null=True, blank=True, editable=False)
    source = models.TextField(help_text="YAML.")
    frozen = models.JSONField(default=dict, editable=False, help_text="The parsed definition that runs use.")
    sha256 = models.CharField(max_length=64, editable=False)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="playbook_versions",
    )
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    note = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    published_at = models.DateTimeField(null=True, blank=True)
    archived_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    archived_at = models.DateTimeField(null=True, blank=True)
    archive_note = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["playbook", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["playbook", "number"], name="playbook_versions_are_numbered"),
            models.UniqueConstraint(
                fields=["playbook", "published_key"], name="one_published_version_per_playbook"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.playbook.slug} v{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self._refuse_changes("changes")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        self._refuse_changes("is deleted")
        return super().delete(*args, **kwargs)

    def _refuse_changes(self, what: str) -> None:
        kept = PlaybookVersion.objects.filter(pk=self.pk).exclude(status="draft") if self.pk else None
        if kept is not None and kept.exists():
            raise PublishedVersion(f"{self} was published and never {what}. Make a new draft instead.")


class Run(models.Model):
    """One execution, pinned to a version. Who works on it until when is its lease; `fence` grows with
    each lease, and a commit with an old fence is refused."""

    STATES = [
        ("queued", "Queued"), ("running", "Running"), ("waiting", "Waiting"), ("asking", "Waiting for a person"),
        ("paused", "Paused"), ("succeeded", "Succeeded"), ("failed", "Failed"), ("cancelled", "Cancelled"),
    ]  # fmt: skip
    LIVE = ("queued", "running", "waiting", "asking", "paused")

    version = models.ForeignKey(PlaybookVersion, on_delete=models.PROTECT, related_name="runs")
    playbook = models.ForeignKey(Playbook, on_delete=models.PROTECT, related_name="runs", db_index=False)
    incident = models.ForeignKey(
        "incidents.Incident", on_delete=models.PROTECT, related_name="runs", db_index=False
    )
    event = models.ForeignKey(
        "incidents.Event", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="started_runs",
        db_index=False,
    )
    state = models.CharField(max_length=10, choices=STATES, default="queued")
    dry_run = models.BooleanField(default=False)
    inputs = models.JSONField(default=dict)
    #: a branch, an item or a called playbook is a run of its own; the parent waits at `parent_step`
    parent = models.ForeignKey(
        "self",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="children",
        db_index=False,
        editable=False,
    )
    parent_step = models.ForeignKey(
        "Step",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="children",
        db_index=False,
        editable=False,
    )
    branch = models.CharField(
        max_length=60, blank=True, help_text="Name of the branch, or number of the item."
    )
    part = models.CharField(
        max_length=130, blank=True, help_text="Which steps of the version this run does; empty: all of them."
    )
    loop = models.JSONField(
        default=dict, help_text="The item this run is about, and those of the loops around it."
    )
    wants = models.CharField(max_length=200, blank=True, help_text="The key that it waits to hold.")
    #: steps done again by a person: {step id: {"by", "name", "at", "reason", "inputs"}}; `inputs` (or null) replace
    #: what the playbook would look up
    again = models.JSONField(default=dict)
    #: where the run stands: {"next": "DR-03"}, and while effects are taken back
    #: {"undo": {"left": [...], "done": [...], "kept": [...], "reason": ..., "tries": n}}
    cursor = models.JSONField(default=dict)
    lease_owner = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    fence = models.PositiveIntegerField(default=0)
    wake_at = models.DateTimeField(null=True, blank=True, default=timezone.now)
    reason = models.TextField(blank=True, help_text="Why it waits, failed or was cancelled, and what to do.")
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["playbook", "incident", "event"], name="run_once_per_event"),
            models.UniqueConstraint(
                fields=["parent_step", "branch"],
                condition=Q(parent_step__isnull=False),
                name="one_run_per_branch",
            ),
        ]
        indexes = [
            models.Index(
                fields=["wake_at", "id"],
                condition=Q(state__in=("queued", "running", "waiting", "asking")),
                name="runs_due",
            ),
            models.Index(fields=["incident", "-id"], name="runs_of_incident"),
            models.Index(fields=["state", "-id"], name="runs_by_state"),
            models.Index(fields=["parent"], condition=Q(parent__isnull=False), name="runs_of_a_run"),
            models.Index(fields=["wants", "id"], condition=~Q(wants=""), name="runs_that_queue"),
        ]

    def __str__(self) -> str:
        return f"{self.version} for INC-{self.incident_id}"

    @property
    def ref(self) -> str:
        """How the core names this run without knowing this floor."""
        return f"run:{self.pk}"

    @property
    def is_live(self) -> bool:
        return self.state in self.LIVE

    def get_absolute_url(self) -> str:
        return reverse("playbooks:run", args=[self.pk])


class Step(models.Model):
    """One checkpoint of a run: one row per attempt of a step."""

    STATES = [
        ("running", "Running"), ("waiting", "Waiting"), ("asking", "Waiting for a person"), ("done", "Done"),
        ("failed", "Failed"), ("skipped", "Skipped"), ("undone", "Undone"), ("cancelled", "Cancelled"),
    ]  # fmt: skip

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps", db_index=False)
    key = models.CharField(max_length=60, help_text="The step's id in the playbook, e.g. DR-03.")
    attempt = models.PositiveSmallIntegerField(default=1)
    position = models.PositiveIntegerField(help_text="Order in which it was reached.")
    kind = models.CharField(max_length=10)
    title = models.CharField(max_length=200)
    action = models.CharField(max_length=60, blank=True)
    state = models.CharField(max_length=10, choices=STATES, default="running")
    idempotency_key = models.CharField(max_length=120, help_text="Same over all tries of this effect.")
    inputs = models.JSONField(default=dict)
    outputs = models.JSONField(default=dict)
    memory = models.JSONField(default=dict, help_text="What Wait.state left for the next look.")
    #: effect phase reached: "" → "prepared" → "executed" → "verified"; a restart goes on from here
    phase = models.CharField(max_length=10, blank=True)
    verified = models.JSONField(default=dict, help_text="What was read back.")
    verdict = models.CharField(max_length=14, blank=True)
    summary = models.TextField(blank=True)
    error = models.TextField(blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    wake_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
    )
    evidence = models.JSONField(default=list, help_text="Ids of the evidence kept.")

    class Meta:
        ordering = ["run", "position", "attempt"]
        constraints = [
            models.UniqueConstraint(fields=["run", "key", "attempt"], name="one_row_per_step_attempt")
        ]
        indexes = [models.Index(fields=["run"], condition=Q(state="waiting"), name="steps_that_wait")]

    def __str__(self) -> str:
        return f"{self.key} {self.title}"

    @property
    def duration(self) -> float | None:
        """Seconds from start to end (or so far)."""
        end: datetime = self.ended_at or timezone.now()
        return (end - self.started_at).total_seconds()


class Hold(models.Model):
    """Who holds a key that one run at a time may hold (`concurrency` in a playbook). A hold whose run has ended,
    or whose step has, is nobody's: the next one takes it over."""

    key = models.CharField(max_length=200, unique=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="holds")
    step = models.ForeignKey(Step, on_delete=models.CASCADE, null=True, blank=True, related_name="holds")
    since = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.key}: run {self.run_id}"


class Approval(models.Model):
    """What a person is asked: a yes to a risky step, or a form to fill. Binds to the inputs it was shown."""

    KINDS = [("approve", "Approval"), ("form", "Form")]
    DECISIONS = [("pending", "Pending"), ("approved", "Approved"), ("rejected", "Rejected"), ("answered", "Answered"),
                 ("expired", "Expired"), ("cancelled", "Cancelled")]  # fmt: skip

    step = models.OneToOneField(Step, on_delete=models.CASCADE, related_name="approval")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="approvals")
    incident = models.ForeignKey("incidents.Incident", on_delete=models.PROTECT, related_name="approvals")
    kind = models.CharField(max_length=8, choices=KINDS)
    prompt = models.TextField()
    risk = models.CharField(max_length=2, default="R0")
    roles = models.JSONField(default=list, help_text="Any of these roles may answer; empty: by risk class.")
    quorum = models.PositiveSmallIntegerField(default=1)
    all_of = models.JSONField(default=list, help_text="One person of each of these roles has to say yes.")
    #: roles that may answer as well since it was handed on
    handed_to = models.JSONField(default=list)
    look_at = models.DateTimeField(
        null=True, blank=True, help_text="When it is looked at next whether somebody can still answer."
    )
    form = models.JSONField(default=list)
    input_hash = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of the resolved inputs that were shown."
    )
    decision = models.CharField(max_length=10, choices=DECISIONS, default="pending")
    answer = models.JSONField(default=dict)
    #: every vote: [{"user", "role", "yes", "reason", "at"}]
    votes = models.JSONField(default=list)
    reason = models.TextField(blank=True)
    break_glass = models.BooleanField(default=False)
    requested_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )

    class Meta:
        ordering = ["-requested_at"]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(decision="pending"), name="approvals_pending"),
            models.Index(fields=["look_at"], condition=Q(decision="pending"), name="approvals_to_look_at"),
        ]

    def __str__(self) -> str:
        return self.prompt[:80]

    def as_text(self) -> dict[str, Any]:
        return {"id": self.pk, "prompt": self.prompt, "decision": self.decision}

    def get_absolute_url(self) -> str:
        return reverse("playbooks:approval", args=[self.pk])
