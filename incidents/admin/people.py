"""People: users with their roles, teams, and API tokens, which are revoked here but never shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest

from incidents.models import ApiToken, RoleGrant, Team, User

from .console import Console, Inline, ReadOnly


class Grants(Inline):
    model = RoleGrant
    fk_name = "user"
    fields = ("role", "system", "source")
    readonly_fields = ("source",)


@admin.register(User)
class Users(Console, UserAdmin):
    """Only a superuser makes superusers or touches them; nobody is deleted, as history names them."""

    list_display = ("username", "display_name", "email", "is_active", "is_staff", "is_service", "last_login")
    list_filter = ("is_active", "is_staff", "is_service", "grants__role")
    search_fields = ("username", "display_name", "email")
    filter_horizontal = ("teams",)
    readonly_fields = ("last_login", "date_joined")
    inlines = [Grants]
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("display_name", "email", "time_zone", "theme", "teams")}),
        (
            "Access",
            {"fields": ("is_active", "is_staff", "is_service", "is_superuser", "last_login", "date_joined")},
        ),
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, "is_superuser")


@admin.register(RoleGrant)
class RoleGrants(Console):
    list_display = ("user", "role", "system", "granted_at", "source")
    list_filter = ("role",)
    list_select_related = ("user", "system")
    search_fields = ("user__username", "user__display_name")
    readonly_fields = ("granted_at", "source")
    autocomplete_fields = ("user", "system")


@admin.register(Team)
class Teams(Console):
    list_display = ("name", "slug")
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}


@admin.register(ApiToken)
class ApiTokens(ReadOnly):
    """`manage.py token` and a person's settings page make tokens; here they are seen and revoked."""

    list_display = ("name", "user", "prefix", "scopes", "expires_at", "last_used_at", "revoked_at")
    list_filter = ("revoked_at", "user__is_service")
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username")
    exclude = ("digest",)
    actions = ["revoke"]

    @admin.action(description="Revoke the chosen tokens", permissions=["view"])
    def revoke(self, request: HttpRequest, rows: QuerySet[ApiToken]) -> None:
        live = list(rows.filter(revoked_at=None))
        for token in live:
            token.revoke()
            self.log_change(request, token, [{"changed": {"fields": ["revoked_at"]}}])
        messages.success(request, f"{len(live)} revoked. Whoever used them is refused from now on.")
