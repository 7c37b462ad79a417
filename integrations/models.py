"""Tables of the roof: connections, routes, inbox, deliveries, links to outside objects."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from typing import Any

from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from incidents.matchers import validate_matchers
from integrations.secrets import EncryptedJSONField


class Connection(models.Model):
    """One configured account at an outside system. Its settings are encrypted as a whole."""

    provider = models.SlugField(max_length=60)
    name = models.CharField(max_length=120, unique=True)
    settings = EncryptedJSONField(default=dict)
    enabled = models.BooleanField(default=True)
    paused_reason = models.CharField(max_length=300, blank=True)
    token_digest = models.CharField(max_length=64, null=True, blank=True, unique=True, editable=False)
    token_prefix = models.CharField(max_length=12, blank=True, editable=False)
    #: the former token stays good until `previous_token_until`, so that rotation loses nothing
    previous_token_digest = models.CharField(
        max_length=64, null=True, blank=True, unique=True, editable=False
    )
    previous_token_until = models.DateTimeField(null=True, blank=True, editable=False)
    #: secrets as they were before they were changed: senders that still use them are heard until then
    former_secrets = EncryptedJSONField(default=dict, editable=False)
    former_secrets_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_by = models.ForeignKey("incidents.User", on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    last_received_at = models.DateTimeField(null=True, blank=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    last_error_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    #: polling: when the next round is due, and what the last one left for it
    poll_at = models.DateTimeField(null=True, blank=True, editable=False)
    poll_memory = models.JSONField(default=dict, blank=True, editable=False)
    expect_every = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Seconds of silence after which the source itself is an alert; empty: never.",
    )
    silent_since = models.DateTimeField(null=True, blank=True, editable=False)
    #: why nothing is sent for now (receiving goes on); empty: sending
    sending_paused = models.CharField(max_length=300, blank=True)
    dead_in_a_row = models.PositiveSmallIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def origin(self) -> str:
        """How alerts name the connection they came through."""
        return f"connection:{self.pk}"

    @staticmethod
    def digest_of(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()

    def new_token(self) -> str:
        """Set a fresh inbound token (not saved) and return its plain value, shown once."""
        token = secrets.token_urlsafe(24)
        self.token_digest, self.token_prefix = self.digest_of(token), token[:6]
        return token

    def inbound_path(self, token: str) -> str:
        return f"/inbound/{token}/"


class Route(models.Model):
    """What goes where: events of incidents that match → a connection."""

    KINDS = (
        "opened", "updated", "acknowledged", "escalated", "mitigated", "resolved", "closed", "reopened", "approval", "notice",
        "comment", "items", "postmortem",
    )  # fmt: skip

    name = models.CharField(max_length=120, unique=True)
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="routes")
    kinds = models.JSONField(
        default=list, help_text="Announcement kinds; empty means all that the provider carries."
    )
    matchers = models.TextField(
        blank=True,
        validators=[validate_matchers],
        help_text='Over severity ("1"…"5"), class, system, team, environment, state, restricted; empty matches all.',
    )
    channel = models.CharField(
        max_length=200,
        blank=True,
        help_text="Where at the vendor; empty: what the connection's settings say.",
    )
    template = models.TextField(
        blank=True,
        help_text="Words of the message, with {{ incident.title }} and the like; empty: what happened, as it is.",
    )
    active = models.BooleanField(default=True)
    position = models.PositiveIntegerField(default=100)

    class Meta:
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name


class InboxMessage(models.Model):
    """One request received, as it came. `delivery_key` is unique per connection where the sender has one."""

    STATUSES = [("new", "Waiting"), ("done", "Done"), ("set_aside", "Set aside")]

    receipt = models.UUIDField(default=uuid.uuid4, unique=True)
    connection = models.ForeignKey(
        Connection, on_delete=models.PROTECT, related_name="messages", db_index=False
    )
    delivery_key = models.CharField(max_length=255, null=True, blank=True)
    received_at = models.DateTimeField(default=timezone.now)
    headers = models.JSONField(default=dict)
    body = models.TextField()
    items = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=10, choices=STATUSES, default="new")
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)
    processed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["connection", "delivery_key"], name="one_row_per_delivery_key")
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(status="new"), name="inbox_waiting"),
            models.Index(fields=["-id"], condition=Q(status="set_aside"), name="inbox_set_aside"),
        ]

    def __str__(self) -> str:
        return f"{self.connection} {self.received_at:%Y-%m-%d %H:%M:%S}"


class RemoteLink(models.Model):
    """Where an incident lives at an outside system: Slack channel and ts, Jira key, …"""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="remote_links")
    incident = models.ForeignKey("incidents.Incident", on_delete=models.CASCADE, related_name="remote_links")
    remote_id = models.CharField(max_length=300, blank=True)
    url = models.CharField(max_length=1000, blank=True)
    data = models.JSONField(default=dict)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "incident"], name="one_link_per_connection_and_incident"
            )
        ]

    def __str__(self) -> str:
        return self.remote_id or f"link {self.pk}"

    def as_mapping(self) -> dict[str, Any]:
        return {"remote_id": self.remote_id, "url": self.url, **self.data}


class Delivery(models.Model):
    """One message on its way out. The idempotency key is unique per connection: same key, same effect."""

    STATES = [
        ("queued", "Queued"), ("sending", "Sending"), ("delivered", "Delivered"), ("dead", "Dead letter"),
        ("cancelled", "Cancelled"),
    ]  # fmt: skip

    connection = models.ForeignKey(
        Connection, on_delete=models.PROTECT, related_name="deliveries", db_index=False
    )
    incident = models.ForeignKey(
        "incidents.Incident",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="deliveries",
        db_index=False,
    )
    event = models.ForeignKey(
        "incidents.Event", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    kind = models.CharField(max_length=16)
    place = models.CharField(
        max_length=200, blank=True, help_text="Channel or the like whose rate it shares."
    )
    idempotency_key = models.CharField(max_length=200)
    announcement = models.JSONField(help_text="The facts, as contract.Announcement.")
    state = models.CharField(max_length=10, choices=STATES, default="queued")
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    lease_until = models.DateTimeField(null=True, blank=True)
    fence = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    delivered_at = models.DateTimeField(null=True, blank=True)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    #: masked requests and responses of the last attempt: [{"request": …, "response": …}]
    transcript = models.JSONField(default=list)
    remote_id = models.CharField(max_length=300, blank=True)
    #: what the provider has to say about a message that was accepted, such as a part of it that was left out
    note = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "idempotency_key"], name="one_delivery_per_idempotency_key"
            )
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at", "id"],
                condition=Q(state__in=("queued", "sending")),
                name="deliveries_due",
            ),
            models.Index(fields=["incident", "-id"], name="deliveries_of_incident"),
            models.Index(fields=["state", "-id"], name="deliveries_by_state"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.connection}"

    def get_absolute_url(self) -> str:
        return reverse("integrations:delivery", args=[self.pk])


class Pace(models.Model):
    """When the next request may go to one place of a connection (a channel, a key): the vendor's rate, kept
    by all workers together."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="paces")
    place = models.CharField(max_length=200, blank=True)
    #: theoretical arrival time of the generic cell rate algorithm (ITU-T I.371), and when the next may go
    arrival_at = models.DateTimeField(default=timezone.now)
    open_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "place"], name="one_pace_per_place")]

    def __str__(self) -> str:
        return self.place or "everything"


class DutyAnswer(models.Model):
    """Who is on duty, as a paging tool answered last: people as `contract.OnDuty`. Without `answered_at` it never
    did."""

    connection = models.OneToOneField(Connection, on_delete=models.CASCADE, related_name="duty")
    people = models.JSONField(default=list)
    asked_at = models.DateTimeField(default=timezone.now)
    error = models.CharField(max_length=300, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"On duty by {self.connection}"


class PersonLink(models.Model):
    """Who somebody at an outside tool is here, where their e-mail address does not tell."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="people")
    remote_id = models.CharField(max_length=200, help_text="The vendor's id of the person.")
    user = models.ForeignKey("incidents.User", on_delete=models.CASCADE, related_name="remote_identities")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "remote_id"], name="one_person_per_remote_id")
        ]

    def __str__(self) -> str:
        return f"{self.remote_id} is {self.user}"


class RemoteAct(models.Model):
    """What somebody did outside and what came of it here; the key makes it happen once."""

    RESULTS = [("done", "Done"), ("unchanged", "Nothing to change"), ("refused", "Refused")]

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="acts")
    key = models.CharField(max_length=255)
    verb = models.CharField(max_length=12)
    incident = models.ForeignKey(
        "incidents.Incident", on_delete=models.CASCADE, null=True, blank=True, related_name="remote_acts"
    )
    by = models.CharField(max_length=200, blank=True)
    result = models.CharField(max_length=10, choices=RESULTS)
    text = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["connection", "key"], name="one_act_per_key")]

    def __str__(self) -> str:
        return f"{self.verb} by {self.by}: {self.result}"

    @property
    def mark(self) -> str:
        """The state whose badge it wears."""
        return {"done": "succeeded", "refused": "failed"}.get(self.result, "queued")
