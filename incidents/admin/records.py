"""Records of the core, to be read: alerts, incidents, events, evidence."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from incidents.access import visible
from incidents.models import Alert, Event, Evidence, Incident

from .console import Record


@admin.register(Incident)
class Incidents(Record):
    incident = None
    list_display = ("key", "title", "state", "severity", "incident_class", "system", "owner", "detected_at")
    list_filter = ("state", "severity", "incident_class", "restricted", "is_drill")
    list_select_related = ("system", "owner")
    search_fields = ("title",)
    date_hierarchy = "detected_at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Incident]:
        return visible(request.user, super().get_queryset(request))


@admin.register(Alert)
class Alerts(Record):
    list_display = (
        "title",
        "status",
        "disposition",
        "level",
        "family",
        "system",
        "incident",
        "count",
        "last_seen",
    )
    list_filter = ("status", "disposition", "level", "family", "source")
    list_select_related = ("system", "incident")
    search_fields = ("title", "fingerprint")
    show_full_result_count = False


@admin.register(Event)
class Events(Record):
    list_display = ("at", "kind", "incident", "by", "actor", "text")
    list_select_related = ("incident", "by")
    search_fields = ("text", "kind")
    date_hierarchy = "at"
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(Evidence)
class EvidenceKept(Record):
    """What was kept, with its hash; the content is handed out by the incident's page."""

    list_display = ("name", "incident", "media_type", "size", "sha256", "source", "at", "by")
    list_select_related = ("incident", "by")
    search_fields = ("name", "sha256", "source")
    exclude = ("content",)
    readonly_fields = ("shown",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Evidence]:
        return super().get_queryset(request).defer("content")

    @admin.display(description="on its incident's page")
    def shown(self, obj: Evidence) -> SafeString:
        return format_html('<a href="{}#evidence">{}</a>', obj.incident.get_absolute_url(), obj.incident.key)
