"""The inventory: AI systems with versions, deployments and links; data sets upstream."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from incidents.models import AISystem, Dataset, Deployment, ModelVersion, SystemLink

from .console import Console, Inline


class Versions(Inline):
    model = ModelVersion
    fields = ("version", "registry_uri", "trained_at", "training_data", "digest", "approved", "author")


class Deployments(Inline):
    model = Deployment
    fields = ("version", "endpoint", "environment", "platform", "traffic", "started_at", "ended_at")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "version":
            match = request.resolver_match
            here = match.kwargs.get("object_id") if match else None
            kwargs["queryset"] = ModelVersion.objects.select_related("system").filter(system=here)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class Links(Inline):
    model = SystemLink
    fields = ("kind", "title", "url")


@admin.register(AISystem)
class AISystems(Console):
    list_display = (
        "name",
        "slug",
        "environment",
        "owner",
        "team",
        "risk_tier",
        "decision_type",
        "retired_at",
    )
    list_filter = ("environment", "risk_tier", "decision_type", "team")
    list_select_related = ("owner", "team")
    search_fields = ("name", "slug", "purpose")
    prepopulated_fields = {"slug": ("name",)}
    autocomplete_fields = ("owner", "team", "upstream")
    readonly_fields = ("created_at",)
    inlines = [Versions, Deployments, Links]

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        # a deployment names a version, and a new system has none yet
        return [Versions, Links] if obj is None else self.inlines


@admin.register(Dataset)
class Datasets(Console):
    list_display = ("name", "kind", "owner_team", "location")
    list_filter = ("kind",)
    list_select_related = ("owner_team",)
    search_fields = ("name", "location")
