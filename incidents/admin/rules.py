"""What decides about alerts: grouping rules, of which a change is the next version, and silences."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Max
from django.http import HttpRequest

from incidents.models import GroupingRule, Silence
from incidents.models.alerts import KEY_FIELDS

from .console import Console


class RuleForm(forms.ModelForm):
    """The grouping key is chosen from its known parts."""

    key_fields = forms.MultipleChoiceField(
        choices=[(name, name) for name in KEY_FIELDS],
        widget=forms.CheckboxSelectMultiple,
        label="Grouping key",
        help_text="Alerts that agree in all of these become one incident. A missing value is its own bucket.",
    )


@admin.register(GroupingRule)
class GroupingRules(Console):
    """Only the switch `active` is changed in place; every other change makes the next version."""

    form = RuleForm
    list_display = ("name", "version", "position", "active", "family", "system", "note", "created_at")
    list_filter = ("active", "family")
    list_select_related = ("system",)
    search_fields = ("name", "matchers")
    fields = (
        "name", "active", "position", "matchers", "family", "level", "system", "title", "key_fields", "window_seconds",
        "reopen_seconds", "warning_signals", "warning_windows", "gates", "note",
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("name",) if obj is not None else ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.version < (_newest(obj.name) or 0):
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: GroupingRule, form: Any, change: bool) -> None:
        if change:
            before = GroupingRule.objects.get(pk=obj.pk)
            if all(getattr(before, name) == getattr(obj, name) for name in self.fields if name != "active"):
                obj.save(update_fields=["active"])
                return
            GroupingRule.objects.filter(name=obj.name).update(active=False)
            obj.pk, obj._state.adding = None, True
        obj.version = (_newest(obj.name) or 0) + 1
        obj.created_by = request.user  # type: ignore[assignment]
        obj.created_at = GroupingRule._meta.get_field("created_at").get_default()
        obj.save()


def _newest(name: str) -> int | None:
    return GroupingRule.objects.filter(name=name).aggregate(newest=Max("version"))["newest"]


@admin.register(Silence)
class Silences(Console):
    list_display = ("matchers", "reason", "starts_at", "ends_at", "created_by")
    list_select_related = ("created_by",)
    search_fields = ("matchers", "reason")
    fields = ("matchers", "reason", "starts_at", "ends_at")

    def save_model(self, request: HttpRequest, obj: Silence, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = request.user  # type: ignore[assignment]
        super().save_model(request, obj, form, change)
