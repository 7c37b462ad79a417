"""How people read: pinned entries of a timeline, and saved views of the list of incidents."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone


class Pin(models.Model):
    """An entry of the timeline that is shown on top. It is an aid to reading, no fact: nothing records it."""

    event = models.OneToOneField("incidents.Event", on_delete=models.PROTECT, related_name="pin")
    by = models.ForeignKey("incidents.User", on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["event__at", "id"]

    def __str__(self) -> str:
        return f"{self.event_id} pinned by {self.by}"


class SavedView(models.Model):
    """Filters, order and columns of the list of incidents under a name; `query` is the address's query."""

    name = models.CharField(max_length=80)
    query = models.CharField(max_length=1000, blank=True)
    owner = models.ForeignKey("incidents.User", on_delete=models.CASCADE, related_name="saved_views")
    shared = models.BooleanField(default=False, help_text="Everybody who signed in may open it.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="one_saved_view_per_name_and_person"),
            models.CheckConstraint(condition=~Q(name=""), name="saved_view_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name
