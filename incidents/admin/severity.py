"""Severity as data: the matrix in versions, and how soon something is due at each severity."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from incidents.models import ResponseTarget, SeverityProfile

from .console import Console, readable


@admin.register(SeverityProfile)
class SeverityProfiles(Console):
    """Adding publishes the next version from the active one; a version that was active never changes."""

    list_display = ("version", "is_active", "note", "created_by", "created_at", "next_version")
    list_select_related = ("created_by",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (
            ("data", "note")
            if obj is None
            else ("version", "is_active", "note", "created_by", "created_at", "matrix")
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else self.get_fields(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        wanted = request.GET.get("from", "")
        base = (
            SeverityProfile.objects.filter(version=int(wanted)).first()
            if wanted.isdecimal() and len(wanted) < 9
            else None
        )
        return {"data": (base or SeverityProfile.current()).data}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "data":
            field.widget = forms.Textarea(attrs={"rows": 40, "cols": 110, "spellcheck": "false"})
            field.help_text = (
                "Dimensions, questions, bands, matrix, floors and caps. Saving makes it the active version."
            )
        elif db_field.name == "note":
            field.required = True
        return field

    def save_model(self, request: HttpRequest, obj: SeverityProfile, form: Any, change: bool) -> None:
        published = SeverityProfile.publish(obj.data, note=obj.note, by=request.user)
        obj.__dict__.update({k: v for k, v in published.__dict__.items() if k != "_state"})
        obj._state.adding = False

    @admin.display(boolean=True, description="active")
    def is_active(self, obj: SeverityProfile) -> bool:
        return bool(obj.active_key)

    @admin.display(description="matrix")
    def matrix(self, obj: SeverityProfile) -> SafeString:
        return readable(obj.data)

    @admin.display(description="")
    def next_version(self, obj: SeverityProfile) -> SafeString:
        address = reverse("admin:incidents_severityprofile_add")
        return format_html('<a href="{}?from={}">Make the next version from this</a>', address, obj.version)


@admin.register(ResponseTarget)
class ResponseTargets(Console):
    list_display = ("severity", "kind", "anchor", "amount", "unit")
    list_filter = ("severity", "kind")
