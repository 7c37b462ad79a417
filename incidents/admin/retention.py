"""How long things are kept, with how many would go now."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from incidents import retention
from incidents.models import Retention

from .console import Console


class RetentionForm(forms.ModelForm):
    """Days of one kind; each kind says its least."""

    def clean_days(self) -> int | None:
        days: int | None = self.cleaned_data["days"]
        kind = retention.KINDS[self.instance.kind]
        if days is not None and days < kind.least:
            raise forms.ValidationError(f"{kind.title}: kept for at least {kind.least} days.")
        return days


@admin.register(Retention)
class Retentions(Console):
    """Every kind has its row; what is older than its days is removed within the hour, and the event log says so."""

    form = RetentionForm
    list_display = ("title", "kept_for", "would_go", "removed", "swept_at")
    fields = ("title", "says", "days", "would_go", "removed", "swept_at")
    readonly_fields = ("title", "says", "would_go", "removed", "swept_at")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(pk__in=[row.pk for row in retention.rows()])

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="kind")
    def title(self, obj: Retention) -> str:
        return retention.KINDS[obj.kind].title

    @admin.display(description="kept for")
    def kept_for(self, obj: Retention) -> str:
        return "ever" if obj.days is None else f"{obj.days} days"

    @admin.display(description="what it is")
    def says(self, obj: Retention) -> str:
        return retention.KINDS[obj.kind].says

    @admin.display(description="goes at the next sweep")
    def would_go(self, obj: Retention) -> str:
        if obj.days is None:
            return "nothing"
        return f"{retention.due_count(retention.KINDS[obj.kind], obj.days):,}"
