"""Severity as data: the matrix in versions, and how soon something is due at each severity."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from incidents import severity as rules
from incidents.access import visible
from incidents.models import Holiday, Incident, ResponseTarget, SeverityProfile
from incidents.severity_trial import try_on_past

from .console import Console, readable
from .matrix import MatrixForm

#: How far back an edited matrix is tried.
DAYS = 30


@admin.register(SeverityProfile)
class SeverityProfiles(Console):
    """Adding publishes the next version from the active one; a version that was active never changes."""

    list_display = ("version", "is_active", "note", "created_by", "created_at", "next_version")
    list_select_related = ("created_by",)

    fields = readonly_fields = ("version", "is_active", "note", "created_by", "created_at", "matrix")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The editor. `then`: save (publish), try (the answers below it), past (the last days), json (draw the JSON)."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        saved = SeverityProfile.current()
        form = MatrixForm(_base(request, saved), request.POST or None)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request), "opts": self.opts, "form": form, "saved": saved, "days": DAYS,
            "title": "Edit the severity matrix",
        }  # fmt: skip
        if request.method == "POST" and form.is_valid():
            edited, then = form.profile(), request.POST.get("then", "save")
            context["problems"] = problems = rules.check_profile(edited)
            if not problems and then == "save" and form.cleaned_data["note"].strip():
                made = SeverityProfile.publish(
                    edited, note=form.cleaned_data["note"].strip(), by=request.user
                )
                self.log_addition(request, made, [{"added": {}}])
                messages.success(
                    request, f"{made} is in force from now on; incidents keep the one they were rated by."
                )
                return redirect("admin:incidents_severityprofile_changelist")
            if not problems and then == "save":
                form.add_error("note", "Say what changed and why; whoever reads the history needs it.")
            context |= _tried(request, form, edited, saved.data, then) if not problems else {}
            if then == "json":
                context["form"] = MatrixForm(edited)
        status = 422 if form.errors or context.get("problems") else 200
        return TemplateResponse(
            request, "admin/incidents/severityprofile/editor.html", context, status=status
        )

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


@admin.register(Holiday)
class Holidays(Console):
    """Days on which nobody is expected to work: business days of response targets leave them out."""

    list_display = ("day", "name")
    date_hierarchy = "day"
    search_fields = ("name",)


def _base(request: HttpRequest, saved: SeverityProfile) -> Any:
    """The matrix that is edited: of the version `?from=`, else the one in force."""
    wanted = request.GET.get("from", "")
    if wanted.isdecimal() and len(wanted) < 9:
        saved = SeverityProfile.objects.filter(version=int(wanted)).first() or saved
    return saved.data


def _tried(request: HttpRequest, form: MatrixForm, edited: Any, saved: Any, then: str) -> dict[str, Any]:
    """What the edited matrix would say: to the answers, or about the last days (incidents by name only to those
    who may see them)."""
    if then == "try":
        answers, before = form.answers(), None
        with suppress(ValueError):  # an answer that only the edited matrix has
            before = rules.assess(saved, **answers)
        return {"result": rules.assess(edited, **answers), "before": before}
    if then == "past":
        trial = try_on_past(edited, saved, DAYS)
        changed = [one.incident.pk for one in trial.changed]
        seen = set(
            visible(request.user, Incident.objects.filter(pk__in=changed)).values_list("pk", flat=True)
        )
        return {"trial": trial, "seen": seen}
    return {}
