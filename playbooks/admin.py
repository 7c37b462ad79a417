"""The console of the first floor: which playbooks are in use, their versions, runs and steps."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from incidents.access import NotAllowed, can
from incidents.admin.console import Console, Record
from incidents.lifecycle import Refused
from playbooks import linking, publishing
from playbooks.definition import DefinitionError
from playbooks.models import Approval, Playbook, PlaybookVersion, Run, Step


@admin.register(Playbook)
class Playbooks(Console):
    """Title and summary come with the published text; only the switch is set here."""

    list_display = ("title", "slug", "active")
    list_filter = ("active",)
    search_fields = ("title", "slug")
    readonly_fields = ("slug", "title", "summary")

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return redirect("playbooks:new")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class VersionForm(forms.ModelForm):
    """The text of a draft; every problem is told with its line."""

    source = forms.CharField(
        strip=False,
        label="Text (YAML)",
        widget=forms.Textarea(attrs={"rows": 40, "cols": 110, "spellcheck": "false"}),
    )

    def clean_source(self) -> str:
        text: str = self.cleaned_data["source"].replace("\r\n", "\n")
        if problems := linking.problems_of(text):
            raise ValidationError([str(problem) for problem in problems])
        return text


@admin.register(PlaybookVersion)
class PlaybookVersions(Console):
    """Drafts are edited by who may draft and published by who may publish; the others are read."""

    form = VersionForm
    list_display = (
        "playbook",
        "number",
        "status",
        "author",
        "note",
        "created_at",
        "published_by",
        "published_at",
    )
    list_filter = ("status", "playbook")
    list_select_related = ("playbook", "author", "published_by")
    fields = (
        "playbook",
        "number",
        "status",
        "on_its_page",
        "source",
        "note",
        "author",
        "created_at",
        "published_by",
        "published_at",
        "archived_by",
        "archived_at",
        "archive_note",
        "sha256",
    )
    actions = ["publish"]

    @admin.display(description="On its page")
    def on_its_page(self, version: PlaybookVersion) -> SafeString:
        """Where it is drawn, compared, simulated; a draft also where problems are told while it is typed."""
        slug = version.playbook.slug
        shown = format_html(
            '<a href="{}">Drawing and changes</a>', reverse("playbooks:version", args=[slug, version.number])
        )
        if version.status != "draft":
            return shown
        return format_html('{} · <a href="{}">Editor</a>', shown, reverse("playbooks:edit", args=[slug]))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return tuple(name for name in self.fields or () if name not in ("source", "note"))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and (obj.status != "draft" or not can(request.user, "playbook.draft")):
            return False
        return super().has_change_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: PlaybookVersion, form: Any, change: bool) -> None:
        saved = publishing.save_draft(
            obj.playbook, form.cleaned_data["source"], by=request.user, note=obj.note
        )
        obj.sha256 = saved.sha256

    @admin.action(description="Publish the chosen drafts", permissions=["view"])
    def publish(self, request: HttpRequest, rows: QuerySet[PlaybookVersion]) -> None:
        for version in rows:
            try:
                publishing.publish_version(version, by=request.user, note=version.note)
            except (DefinitionError, NotAllowed, Refused) as error:
                messages.error(request, f"{version} was not published: {error}")
            else:
                self.log_change(request, version, [{"changed": {"fields": ["status"]}}])
                messages.success(request, f"{version} is published.")


@admin.register(Run)
class Runs(Record):
    list_display = ("id", "playbook", "incident", "state", "dry_run", "started_by", "created_at", "ended_at")
    list_filter = ("state", "dry_run", "playbook")
    list_select_related = ("playbook", "incident", "started_by", "version__playbook")
    exclude = ("lease_owner",)


@admin.register(Step)
class Steps(Record):
    incident = "run__incident"
    list_display = ("run_id", "key", "attempt", "title", "action", "state", "tries", "started_at", "ended_at")
    list_filter = ("state", "kind", "action")
    search_fields = ("key", "title", "idempotency_key")
    list_select_related = ("run__version__playbook",)
    show_full_result_count = False


@admin.register(Approval)
class Approvals(Record):
    """Decided on their own pages, where everything that is needed for it is shown."""

    list_display = (
        "prompt",
        "kind",
        "risk",
        "decision",
        "incident",
        "decided_by",
        "requested_at",
        "expires_at",
    )
    list_filter = ("decision", "kind", "risk")
    list_select_related = ("incident", "decided_by")
