"""The YAML editor: drafts are kept with their problems; only a text without problems can be published."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from incidents.access import can, require
from incidents.pages.door import me, signed_in
from playbooks import publishing, shelf
from playbooks.definition import DefinitionError, Problem, check
from playbooks.models import Playbook

STARTER = """playbook: my-playbook
title: What it is about
summary: What this playbook is for, in a sentence.
applies_to:
  classes: [DRIFT]
trigger:
  on: [incident.opened]
  mode: suggest
steps:
  - id: MY-01
    kind: human
    title: Look at the dashboards
    form:
      - {name: finding, kind: long_text, help: What you see.}
"""


@signed_in
def new(request: HttpRequest) -> HttpResponse:
    """A new playbook: its slug is in the text, so the text must be sound before it is kept."""
    user = me(request)
    require(user, "playbook.draft")
    text, note = _text(request), request.POST.get("note", "")[:300]
    if request.method == "POST":
        try:
            version, _ = publishing.apply_text(text, by=user, note=note)
        except DefinitionError as error:
            return _page(request, None, text, note, error.problems, status=422)
        messages.success(request, "Kept as a draft.")
        return redirect("playbooks:version", version.playbook.slug, version.number)
    return _page(request, None, STARTER, "", [])


@signed_in
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    """Edit the draft, or begin one from the published text."""
    user = me(request)
    require(user, "playbook.draft")
    playbook = get_object_or_404(Playbook, slug=slug)
    draft = playbook.versions.filter(status="draft").order_by("-number").first()
    base = draft or playbook.published or playbook.versions.order_by("-number").first()
    if request.method == "POST":
        text, note = _text(request), request.POST.get("note", "").strip()[:300]
        if draft is not None and request.POST.get("seen") not in ("", None, draft.sha256):
            problem = "Somebody else saved this draft meanwhile. Compare with theirs in another window, then save again."
            return _page(
                request, playbook, text, note, check(text), refused=problem, seen=draft.sha256, status=409
            )
        with transaction.atomic():
            version = publishing.save_draft(playbook, text, by=user, note=note)
        problems = check(text)
        if problems:
            count = len(problems)
            messages.warning(
                request,
                f"The draft is kept. {count} problem{'s' if count > 1 else ''} to solve before it can be published.",
            )
            return redirect("playbooks:edit", slug)
        messages.success(request, "The draft is kept and has no problems.")
        return redirect("playbooks:version", slug, version.number)
    text = base.source if base else STARTER
    return _page(
        request, playbook, text, draft.note if draft else "", check(text), seen=draft.sha256 if draft else ""
    )


@require_POST
@signed_in
def check_text(request: HttpRequest) -> HttpResponse:
    """The problems of a text while it is typed."""
    require(me(request), "playbook.draft")
    return render(
        request, "playbooks/parts/problems.html", {"problems": check(_text(request)), "checked": True}
    )


def _text(request: HttpRequest) -> str:
    """The text as typed, with the line ends that YAML files have."""
    return request.POST.get("source", "").replace("\r\n", "\n")


def _page(
    request: HttpRequest, playbook: Playbook | None, text: str, note: str, problems: Sequence[Problem],
    *, refused: str = "", seen: str = "", status: int = 200,
) -> HttpResponse:  # fmt: skip
    context = {
        "playbook": playbook, "source": text, "note": note, "problems": problems, "checked": True, "refused": refused,
        "seen": seen, "actions": shelf.actions().values(), "can_publish": can(me(request), "playbook.publish"),
        "rows": min(max(text.count("\n") + 4, 18), 60),
    }  # fmt: skip
    return render(request, "playbooks/edit.html", context, status=status)
