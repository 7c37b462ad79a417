"""Playbooks to read: the list, one playbook with its steps drawn, its versions and their differences."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from incidents.access import RIGHTS, can, can_somewhere, require, require_somewhere
from incidents.pages.door import No, find, me, number_of, reasons_of, signed_in, status_of
from incidents.pages.keyset import page_of
from incidents.visibility import about_seen
from playbooks import exchange, linking, publishing, shelf, triggers
from playbooks.definition import DefinitionError, StepDef, parse, thaw
from playbooks.definition.rules import effective_risk
from playbooks.forms import InvalidForm
from playbooks.models import Playbook, PlaybookVersion, Run
from playbooks.pages.compare import compare
from playbooks.pages.flow import KIND_WORDS, draw
from playbooks.pages.showing import pairs
from playbooks.pages.typed import TypedForm
from playbooks.publishing import require_reader

PAGE = 40
RUNS_SHOWN = 8


@signed_in
def playbooks(request: HttpRequest) -> HttpResponse:
    """All playbooks with what is published, drafted and running."""
    user = me(request)
    require_reader(user)
    page = page_of(Playbook.objects.all(), ["slug", "id"], request.GET.get("after", ""), PAGE)
    ids = [row.pk for row in page.rows]
    versions: dict[int, dict[str, PlaybookVersion]] = defaultdict(dict)
    shown = PlaybookVersion.objects.filter(playbook__in=ids, status__in=("published", "draft"))
    for one in shown.defer("source", "frozen").order_by("number"):
        versions[one.playbook_id][one.status] = one
    counted = about_seen(Run.objects.filter(playbook__in=ids, part="", dry_run=False), user).order_by()
    runs: dict[int, dict[str, int]] = defaultdict(lambda: {"live": 0, "all": 0})
    for number, state, n in counted.values_list("playbook", "state").annotate(n=Count("id")):
        runs[number]["all"] += n
        runs[number]["live"] += n if state in Run.LIVE else 0
    rows = [{"row": row, **versions[row.pk], "runs": runs[row.pk]} for row in page.rows]
    context = {"rows": rows, "page": page, "can_draft": can(user, "playbook.draft")}
    return render(request, "playbooks/playbooks.html", context)


@signed_in
def playbook(request: HttpRequest, slug: str) -> HttpResponse:
    """One playbook: the published text drawn and written, versions, the newest runs."""
    user = me(request)
    require_reader(user)
    found = get_object_or_404(Playbook, slug=slug)
    published = found.published
    runs = about_seen(found.runs.filter(part=""), user).select_related("incident", "version__playbook")
    context = {
        "playbook": found, "version": published, **drawn(published),
        "versions": list(found.versions.select_related("author", "published_by").defer("source", "frozen")[:30]),
        "runs": list(runs.defer("version__source", "version__frozen")[:RUNS_SHOWN]),
        "can_draft": can(user, "playbook.draft"), "can_start": published is not None and can_somewhere(user, "run.start"),
    }  # fmt: skip
    return render(request, "playbooks/playbook.html", context)


def drawn(version: PlaybookVersion | None) -> dict[str, Any]:
    """The version as a picture and as steps in words, or the problems that keep it from both."""
    if version is None:
        return {}
    try:
        definition = thaw(version.frozen) if version.frozen else parse(version.source)
    except DefinitionError as error:
        return {"problems": error.problems}
    except ValueError as error:
        return {"unreadable": str(error)}
    return {
        "definition": definition,
        "flow": draw(definition),
        "steps": [one for step in definition.steps for one in _steps(step, "")],
    }


def _steps(step: StepDef, where: str) -> list[dict[str, Any]]:
    """The step, and behind it those inside it, each with where it stands."""
    found = [{**_step(step), "where": where}]
    for name, inside in step.parts().items():
        place = f"branch {name} of {step.id}" if name else f"for each {step.name} of {step.id}"
        found += [one for inner in inside for one in _steps(inner, place)]
    return found


def _step(step: StepDef) -> dict[str, Any]:
    action = shelf.actions().get(step.action) if step.action else None
    return {
        "step": step,
        "kind": KIND_WORDS.get(step.kind, step.kind),
        "action": action,
        "risk": effective_risk(step, action) if step.action or step.kind == "approve" else "",
        "params": pairs(
            {name: value for name, value in step.params.items() if name != "text" or not step.text}
        ),
        "missing": bool(step.action) and action is None,
        "after": step.next,
    }


@signed_in
def version(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """One version: its text, its difference to another one. POST publishes, archives or discards it."""
    user = me(request)
    require_reader(user)
    found = get_object_or_404(Playbook, slug=slug)
    one = get_object_or_404(
        found.versions.select_related("playbook", "author", "published_by", "archived_by"), number=number
    )
    refused: list[str] = []
    status = 200
    if request.method == "POST":
        try:
            return _decided(request, one)
        except DefinitionError as error:
            refused, status = [str(problem) for problem in error.problems], 422
        except No as error:
            refused, status = reasons_of(error), status_of(error)
    others = list(found.versions.exclude(pk=one.pk).defer("source", "frozen"))
    wanted = request.GET.get("against", "")
    before = next((v for v in others if str(v.number) == wanted), None) or next(
        (v for v in others if v.number < one.number), None
    )
    if before is not None:
        before.refresh_from_db(fields=["source"])
    context = {
        "playbook": found, "version": one, **drawn(one), "others": others, "before": before,
        "changes": compare(before.source, one.source) if before else None,
        **_judged(one), "refused": refused,
        "note": request.POST.get("note", one.note), "can_draft": can(user, "playbook.draft"),
        "can_publish": can(user, "playbook.publish"), "publishers": sorted(RIGHTS["playbook.publish"]),
    }  # fmt: skip
    return render(request, "playbooks/version.html", context, status=status)


def _judged(one: PlaybookVersion) -> dict[str, Any]:
    """What keeps a draft from being published, what would hurt, and whether its author may publish it."""
    if one.status != "draft":
        return {}
    if problems := linking.problems_of(one.source, one.playbook.slug):
        return {"problems": problems}
    definition = parse(one.source)
    return {
        "warnings": linking.warnings_of(definition), "checked": True, "other_eyes": publishing.needs_other_eyes(definition),
    }  # fmt: skip


@signed_in
def file(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """A version as a file: ?format=yaml|cacao."""
    require_reader(me(request))
    one = get_object_or_404(
        PlaybookVersion.objects.select_related("playbook"), playbook__slug=slug, number=number
    )
    how = request.GET.get("format", "yaml")
    try:
        made = exchange.export(one, how if how in exchange.FORMATS else "yaml")
    except exchange.Unreadable as error:
        messages.error(request, str(error))
        return redirect("playbooks:version", slug, number)
    return HttpResponse(
        made.content,
        content_type=made.media_type,
        headers={"Content-Disposition": f'attachment; filename="{made.name}"'},
    )


def _decided(request: HttpRequest, one: PlaybookVersion) -> HttpResponse:
    user, then = me(request), request.POST.get("then", "")
    if then == "publish":
        note = request.POST.get("note", "").strip()[:300]
        if not note:
            raise ValueError("Say in the note what changed and why; whoever reads the history needs it.")
        publishing.publish_version(one, by=user, note=note)
        messages.success(
            request, f"Version {one.number} is published: new runs use it, runs under way keep theirs."
        )
    elif then == "archive":
        note = request.POST.get("note", "").strip()[:300]
        if not note:
            raise ValueError("Say in the note why it goes out of use; whoever reads the history needs it.")
        publishing.archive(one, by=user, note=note)
        messages.success(
            request, f"Version {one.number} is out of use. Nothing new is started until one is published."
        )
    elif then == "discard":
        publishing.discard(one, by=user)
        messages.success(request, "The draft is gone.")
        return redirect("playbooks:playbook", one.playbook.slug)
    else:
        raise ValueError("Choose to publish, archive or discard.")
    return redirect("playbooks:playbook", one.playbook.slug)


@signed_in
def start(request: HttpRequest, slug: str) -> HttpResponse:
    """Start a run on an incident; the form asks for the playbook's inputs."""
    user = me(request)
    found = get_object_or_404(Playbook, slug=slug)
    if found.published is None:
        messages.error(request, "Nothing is published yet, so nothing can be started.")
        return redirect("playbooks:playbook", slug)
    view = drawn(found.published)
    definition = view.get("definition")
    inputs = definition.inputs if definition else ()
    form = TypedForm(inputs, request.POST or None)
    key = (request.POST.get("incident") or request.GET.get("incident") or "").strip()
    incident = find(user, number_of(key)) if key else None
    if incident is None:
        require_somewhere(user, "run.start")
    else:
        require(user, "run.start", incident)
    refused: list[str] = []
    status = 200
    if request.method == "POST" and incident is None:
        refused, status = ["Name the incident, e.g. INC-7."], 422
    elif request.method == "POST" and incident is not None:
        status = 422
        if form.is_valid():
            dry = bool(request.POST.get("dry_run"))
            try:
                run = triggers.start(found, incident, by=user, dry_run=dry, inputs=form.given())
            except InvalidForm as error:
                form.refuse(error)
            except No as error:
                refused, status = reasons_of(error), status_of(error)
            else:
                return redirect(run)
    context = {
        "playbook": found, "form": form, "incident": incident, "key": key, "refused": refused, **view,
        "dry_run": request.POST.get("dry_run"),
    }  # fmt: skip
    return render(request, "playbooks/start.html", context, status=status)
