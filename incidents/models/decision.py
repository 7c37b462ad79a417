"""AffectedDecision: a decision that a faulty system took, to be taken again."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class AffectedDecision(models.Model):
    """One line of an incident's re-score worklist. `key` is the decision's id where it was taken; `outcome` what
    was decided then, `new_outcome` what the corrected system says. It names no person."""

    incident = models.ForeignKey("incidents.Incident", on_delete=models.CASCADE, related_name="decisions")
    key = models.CharField(max_length=200)
    decided_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=120, blank=True)
    new_outcome = models.CharField(max_length=120, blank=True)
    rescored_at = models.DateTimeField(null=True, blank=True)
    rescored_by = models.ForeignKey(
        "incidents.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["incident", "key"], name="decision_listed_once_per_incident"),
            models.CheckConstraint(
                condition=Q(new_outcome="") | ~Q(rescored_at=None), name="new_outcome_says_when"
            ),
        ]
        indexes = [
            models.Index(
                fields=["incident", "id"], condition=Q(rescored_at=None), name="decisions_to_rescore"
            )
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def changed(self) -> bool:
        """Re-scored to another outcome than before."""
        return self.rescored_at is not None and self.new_outcome != self.outcome
