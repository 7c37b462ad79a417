"""What decides about alerts: grouping rules, of which a change is the next version, and silences."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import AdminErrorList, AdminForm
from django.core.exceptions import PermissionDenied
from django.db.models import Max
from django.http import HttpRequest

from incidents.intake import rehearsal
from incidents.models import GroupingRule, Silence
from incidents.models.alerts import KEY_FIELDS
from incidents.visibility import visible_alerts

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

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        """As usual; `_rehearse` tries the rule as it stands in the form on the alerts of the last days."""
        if request.method != "POST" or "_rehearse" not in request.POST:
            return super().changeform_view(request, object_id, form_url, extra_context)
        row = self.get_object(request, object_id) if object_id else None
        may = self.has_change_permission(request, row) if object_id else self.has_add_permission(request)
        if not may or (object_id and row is None):
            raise PermissionDenied
        form = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
        more = dict(extra_context or {})
        if form.is_valid():
            tried = rehearsal.last_days(form.instance)
            named = [alert.pk for group in tried.groups[:50] for alert in group.named]
            seen = visible_alerts(request.user).filter(pk__in=named).values_list("pk", flat=True)
            more |= {"rehearsal": tried, "seen_alerts": set(seen)}
        return self._shown(request, row, form, more)

    def _shown(self, request: HttpRequest, row: Any, form: Any, more: dict[str, Any]) -> Any:
        """The form as typed, with its errors; nothing is saved."""
        readonly = self.get_readonly_fields(request, row)
        drawn = AdminForm(form, cast(Any, self.get_fieldsets(request, row)), {}, readonly, model_admin=self)
        context = {
            **self.admin_site.each_context(request), "title": "Try the rule", "adminform": drawn, "original": row,
            "object_id": row and row.pk, "is_popup": False, "to_field": None, "media": self.media + drawn.media,
            "inline_admin_formsets": [], "errors": AdminErrorList(form, []), "preserved_filters": "", **more,
        }  # fmt: skip
        answer = self.render_change_form(request, context, add=row is None, change=row is not None, obj=row)
        answer.status_code = 422 if form.errors else 200
        return answer

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
