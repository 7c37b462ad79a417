"""The console's part about signing in: lost second factors are reset here, identities unlinked."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from config.sign_in import factors
from config.sign_in.models import Identity, SecondFactor
from incidents.admin.console import ReadOnly
from incidents.models import User
from incidents.pages.door import me


class OfPeople(ReadOnly):
    """Rows of people; those of superusers are for superusers."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        rows = super().get_queryset(request)
        return rows if me(request).is_superuser else rows.filter(user__is_superuser=False)


@admin.register(SecondFactor)
class SecondFactors(OfPeople):
    """Who has which; the secrets are not shown."""

    list_display = ("user", "kind", "name", "added_at", "last_used_at")
    list_filter = ("kind",)
    list_select_related = ("user",)
    search_fields = ("user__username", "user__display_name")
    exclude = ("secret", "digest")
    actions = ["reset"]

    @admin.action(description="Lost: reset all factors of these people, sign them out", permissions=["view"])
    def reset(self, request: HttpRequest, rows: QuerySet[SecondFactor]) -> None:
        people = list(User.objects.filter(pk__in=rows.values("user")))
        for person in people:
            factors.reset(person, me(request))
        names = ", ".join(map(str, people))
        messages.success(request, f"Reset: {names}. They sign in with the first step and set up a new one.")


@admin.register(Identity)
class Identities(OfPeople):
    """Accounts at the identity provider; without its identity, an account is found by its verified address again."""

    list_display = ("user", "issuer", "subject", "email", "linked_at", "last_used_at")
    list_filter = ("issuer",)
    list_select_related = ("user",)
    search_fields = ("user__username", "email", "subject")

    def has_delete_permission(self, request: HttpRequest, obj: Identity | None = None) -> bool:
        return self._may(request)
