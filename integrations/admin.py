"""The console of the roof: connections, routes, and the messages in both directions to be read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import redirect

from incidents.admin.console import Console, Record, readable
from integrations.masking import mask
from integrations.models import Connection, Delivery, InboxMessage, Route


@admin.register(Connection)
class Connections(Console):
    """Settings are entered on the connection's page, drawn from its provider; secrets never come back."""

    list_display = (
        "name",
        "provider",
        "enabled",
        "last_received_at",
        "last_success_at",
        "last_error_at",
        "last_error",
    )
    list_filter = ("provider", "enabled")
    search_fields = ("name",)
    fields = ("name", "provider", "enabled")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        return super().get_queryset(request).defer("settings")

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return redirect("integrations:new")

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        return redirect("integrations:connection", object_id)


class KindsForm(forms.ModelForm):
    kinds = forms.MultipleChoiceField(
        required=False,
        choices=[(kind, kind) for kind in Route.KINDS],
        widget=forms.CheckboxSelectMultiple,
        help_text="Nothing chosen: all that the provider carries.",
    )


@admin.register(Route)
class Routes(Console):
    form = KindsForm
    list_display = ("name", "connection", "kinds", "matchers", "active", "position")
    list_filter = ("active", "connection")
    list_select_related = ("connection",)
    search_fields = ("name", "matchers")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        return super().get_queryset(request).defer("connection__settings")


@admin.register(Delivery)
class Deliveries(Record):
    list_display = ("id", "kind", "connection", "incident", "state", "attempts", "last_error", "created_at")
    list_filter = ("state", "kind", "connection")
    list_select_related = ("connection", "incident")
    search_fields = ("idempotency_key", "remote_id")
    exclude = ("announcement", "transcript")
    readonly_fields = ("told", "conversation")
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        return super().get_queryset(request).defer("connection__settings")

    @admin.display(description="what is told")
    def told(self, obj: Delivery) -> Any:
        return readable(obj.announcement)

    @admin.display(description="last conversation (masked)")
    def conversation(self, obj: Delivery) -> Any:
        return readable(obj.transcript)


@admin.register(InboxMessage)
class InboxMessages(Record):
    """Read again from the inbox page; shown here with credentials masked."""

    incident = None
    list_display = ("id", "connection", "status", "items", "attempts", "error", "received_at")
    list_filter = ("status", "connection")
    list_select_related = ("connection",)
    search_fields = ("receipt", "delivery_key")
    exclude = ("headers", "body")
    readonly_fields = ("masked_headers", "masked_body")
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[InboxMessage]:
        return super().get_queryset(request).defer("connection__settings")

    @admin.display(description="headers")
    def masked_headers(self, obj: InboxMessage) -> Any:
        return readable(mask(obj.headers))

    @admin.display(description="body")
    def masked_body(self, obj: InboxMessage) -> str:
        return str(mask(obj.body))
