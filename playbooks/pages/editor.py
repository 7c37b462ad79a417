"""The YAML editor: drafts are kept with their problems; only a text without problems can be published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from incidents.access import NotAllowed, can, require
from incidents.lifecycle import Refused
from incidents.pages.door import me, reasons_of, signed_in
from playbooks import exchange, linking, publishing, shelf
from playbooks.cacao import CacaoError
from playbooks.definition import DefinitionError, Problem, parse
from playbooks.models import Playbook, PlaybookVersion
from playbooks.pages.compare import compare
from playbooks.pages.flow import draw

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
    text, note = _text(request), request.POST.get("note", "").strip()[:300]
    if request.method == "POST":
        try:
            version, _ = publishing.apply_text(text, by=user, note=note)
        except DefinitionError as error:
            return _page(request, None, text, note, error.problems, status=422)
        if request.POST.get("then") == "publish":
            return _published(request, version, note)
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
            problem = f"{draft.author or 'Somebody else'} saved this draft while you wrote. Yours is in the editor; below, theirs beside it."
            return _page(
                request, playbook, text, note, linking.problems_of(text, slug), refused=problem, seen=draft.sha256,
                theirs=draft.source, status=409,
            )  # fmt: skip
        with transaction.atomic():
            version = publishing.save_draft(playbook, text, by=user, note=note)
        problems = linking.problems_of(text, slug)
        if problems:
            count = len(problems)
            messages.warning(
                request,
                f"The draft is kept. {count} problem{'s' if count > 1 else ''} to solve before it can be published.",
            )
            return redirect("playbooks:edit", slug)
        if request.POST.get("then") == "publish":
            return _published(request, version, note)
        messages.success(request, "The draft is kept and has no problems.")
        return redirect("playbooks:version", slug, version.number)
    text = base.source if base else STARTER
    return _page(
        request, playbook, text, draft.note if draft else "", linking.problems_of(text, slug),
        seen=draft.sha256 if draft else "",
    )  # fmt: skip


@require_POST
@signed_in
def bring_in(request: HttpRequest) -> HttpResponse:
    """A file in the editor, to be looked at and saved; nothing is kept yet."""
    require(me(request), "playbook.draft")
    given = request.FILES.get("file")
    try:
        if given is None or given.size is None or given.size > exchange.LARGEST:
            raise exchange.Unreadable("Choose a YAML or JSON file of at most 4 MB.")
        found = exchange.text_of(given.read().decode())
    except (CacaoError, exchange.Unreadable, UnicodeDecodeError) as error:
        return _page(
            request, None, STARTER, "", [], refused=f"The file cannot be brought in. {error}", status=422
        )
    problems = linking.problems_of(found.text)
    playbook = Playbook.objects.filter(slug=_slug_of(found.text)).first()
    draft = playbook.versions.filter(status="draft").first() if playbook else None
    return _page(
        request, playbook, found.text, f"Imported from {given.name}"[:300], problems, notes=found.notes,
        seen=draft.sha256 if draft else "",
    )  # fmt: skip


@require_POST
@signed_in
def check_text(request: HttpRequest) -> HttpResponse:
    """The problems of a text while it is typed, and what stands beside it drawn again."""
    require(me(request), "playbook.draft")
    text = _text(request)
    playbook = Playbook.objects.filter(slug=request.POST.get("slug", "")).first()
    problems = linking.problems_of(text, playbook.slug if playbook else "")
    context = {**_judged(text, problems), **_beside(playbook, text, problems), "swap": True}
    return render(request, "playbooks/parts/checked.html", context)


def _published(request: HttpRequest, version: PlaybookVersion, note: str) -> HttpResponse:
    """Publish what was just saved, or say on the version's page why not."""
    slug = version.playbook.slug
    try:
        if not note:
            raise ValueError("Say in the note what changed and why; whoever reads the history needs it.")
        publishing.publish_version(version, by=me(request), note=note)
    except (DefinitionError, NotAllowed, Refused, ValueError) as error:
        reasons = error.problems if isinstance(error, DefinitionError) else reasons_of(error)
        messages.error(request, f"The draft is kept, and not published: {' '.join(map(str, reasons))}")
        return redirect("playbooks:version", slug, version.number)
    messages.success(
        request, f"Version {version.number} is published: new runs use it, runs under way keep theirs."
    )
    return redirect("playbooks:playbook", slug)


def _text(request: HttpRequest) -> str:
    """The text as typed, with the line ends that YAML files have."""
    return request.POST.get("source", "").replace("\r\n", "\n")


def _slug_of(text: str) -> str:
    first = next((line for line in text.splitlines() if line.startswith("playbook:")), "")
    return first.removeprefix("playbook:").strip().strip("\"'")


def _judged(text: str, problems: Sequence[Problem]) -> dict[str, Any]:
    return {
        "problems": problems, "checked": True, "warnings": [] if problems else linking.warnings_of(parse(text)),
    }  # fmt: skip


def _beside(playbook: Playbook | None, text: str, problems: Sequence[Problem]) -> dict[str, Any]:
    """The drawing, and the changes since what is published."""
    before = playbook.published if playbook else None
    changes = compare(before.source, text) if before else []
    return {
        "flow": None if problems else draw(parse(text)), "before": before, "changes": changes,
        "changed": sum(1 for row in changes if row.how not in ("same", "gap")),
    }  # fmt: skip


def _page(
    request: HttpRequest, playbook: Playbook | None, text: str, note: str, problems: Sequence[Problem],
    *, refused: str = "", seen: str = "", theirs: str = "", notes: Sequence[str] = (), status: int = 200,
) -> HttpResponse:  # fmt: skip
    problems = problems or linking.problems_of(text, playbook.slug if playbook else "")
    context = {
        "playbook": playbook, "source": text, "note": note, "refused": refused, "notes": notes,
        "seen": seen, "between": compare(theirs, text) if theirs else [], "theirs": theirs, "actions": shelf.actions().values(), "can_publish": can(me(request), "playbook.publish"),
        "rows": min(max(text.count("\n") + 4, 18), 42), "four_eyes": settings.HOLDFAST_FOUR_EYES_FROM,
        **_judged(text, problems), **_beside(playbook, text, problems),
    }  # fmt: skip
    return render(request, "playbooks/edit.html", context, status=status)
