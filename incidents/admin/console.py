"""What all parts of the console share: rights by role, changes on the record, JSON that can be read."""

from __future__ import annotations

import json
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from incidents.access import can
from incidents.models import Event, User
from incidents.visibility import seen_incidents


class Json(forms.JSONField):
    """JSON in lines, as people edit it."""

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False, cls=self.encoder)


def readable(value: Any) -> SafeString:
    """A JSON value as inert text."""
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False, default=str))


class Rights:
    """Only who may edit the configuration comes in; Django's own permissions are not asked."""

    right = "config.edit"

    def _may(self, request: HttpRequest) -> bool:
        return can(request.user, self.right)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request)


class Inline(Rights, admin.TabularInline):
    """Rows that belong to the one above."""

    extra = 0
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}


class Console(Rights, admin.ModelAdmin):
    """Configuration: every change is also an event, with who made it and which fields."""

    list_per_page = 50
    formfield_overrides = {
        models.JSONField: {
            "form_class": Json,
            "widget": forms.Textarea(
                attrs={"rows": 8, "cols": 90, "class": "vLargeTextField", "spellcheck": "false"}
            ),
        }
    }

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        _tell(request, "added", obj, message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        _tell(request, "changed", obj, message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        for obj in queryset:
            _tell(request, "removed", obj, [])
        return super().log_deletions(request, queryset)


class ReadOnly(Console):
    """Rows that other places make; here they are seen."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Record(ReadOnly):
    """What happened: read only, and only what the viewer may see (`incident` names the way there)."""

    incident: str | None = "incident"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if self.incident is None:
            return rows
        seen = seen_incidents(request.user)
        return rows.filter(Q(**{f"{self.incident}__in": seen}) | Q(**{self.incident: None}))


def _tell(request: HttpRequest, what: str, obj: Any, message: Any) -> None:
    details = [
        (verb, detail)
        for entry in (message if isinstance(message, list) else ())
        if isinstance(entry, dict)
        for verb, detail in entry.items()
    ]
    fields = sorted({str(name) for _, detail in details for name in detail.get("fields", ())})
    rows = [f"{verb} {detail['name']} “{detail['object']}”" for verb, detail in details if "object" in detail]
    name = obj._meta.verbose_name
    Event.objects.create(
        kind=f"config.{what}",
        by=cast(User, request.user),
        text=f"{request.user} {what} the {name} “{obj}” in the console."
        + (f" Fields: {', '.join(fields)}." if fields else "")
        + (f" Rows: {'; '.join(rows)}." if rows else ""),
        data={"model": obj._meta.label_lower, "id": obj.pk, "fields": fields},
    )
