"""The post-mortem of one incident: write, name causes, agree on actions, sign off, export."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import content_disposition_header

from incidents import audit, lifecycle, markdown, report
from incidents import postmortem as verbs
from incidents.access import can, require
from incidents.models import ActionItem, ContributingFactor, Incident, PostMortem
from incidents.models.people import ROLES
from incidents.pages.door import No, me, of_incident, posts_to, reasons_of, status_of
from incidents.pages.evidence import SANDBOX
from incidents.pages.forms import people
from incidents.report import facts

PAGE = "incidents:postmortem"
MAX_SECTION = 100_000


class FactorForm(forms.ModelForm):
    """One cause among several."""

    class Meta:
        model = ContributingFactor
        fields = ("code", "contribution", "statement", "evidence")
        labels = {"code": "Kind", "contribution": "Weight", "statement": "What contributed, in a sentence"}
        widgets = {"statement": forms.Textarea(attrs={"rows": 2})}


class ActionForm(forms.ModelForm):
    """A task that a cause creates."""

    class Meta:
        model = ActionItem
        fields = ("title", "done_when", "kind", "owner", "due_at", "priority", "factor")
        labels = {
            "title": "What will be done",
            "done_when": "Done when …",
            "due_at": "Due",
            "factor": "Because of",
        }
        widgets = {"due_at": forms.DateInput(attrs={"type": "date"})}

    def __init__(self, factors: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].queryset = people()  # type: ignore[attr-defined]
        self.fields["factor"].queryset = factors  # type: ignore[attr-defined]


class ReviewForm(forms.Form):
    """A sign-off in one of the reviewer's roles."""

    role = forms.ChoiceField(label="As")
    approved = forms.TypedChoiceField(
        choices=[("yes", "I approve"), ("no", "I decline")], coerce=lambda v: v == "yes", label="Decision"
    )
    comment = forms.CharField(
        required=False, max_length=4000, label="Comment", widget=forms.Textarea(attrs={"rows": 2})
    )

    def __init__(self, roles: list[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = roles  # type: ignore[attr-defined]


@of_incident
def postmortem(request: HttpRequest, incident: Incident) -> HttpResponse:
    """Show; `?format=` exports; POST saves the sections."""
    user = me(request)
    if wanted := request.GET.get("format"):
        require(user, "postmortem.export", incident)
        return _export(request, incident, wanted)
    if request.method != "POST":
        return _page(request, incident)
    pm = verbs.draft(incident, by=user)
    changed, seen = _changed(request, pm)
    because = request.POST.get("no_actions_because", pm.no_actions_because)[:4000].strip()
    if verbs.mark_of(because) == request.POST.get("seen-no_actions_because"):
        because = pm.no_actions_because  # left alone: a newer one stays
    try:
        if changed:
            verbs.write(pm, changed, by=user, seen=seen)
        if because != pm.no_actions_because:
            verbs.no_actions(pm, by=user, because=because)
    except No as error:
        return _page(request, incident, refused=error, typed=changed)
    messages.success(
        request, "Saved." if changed or because != pm.no_actions_because else "Nothing was different."
    )
    return redirect(PAGE, incident.pk)


def _changed(request: HttpRequest, pm: PostMortem) -> tuple[dict[str, str], dict[str, str]]:
    """(section → text of those that the person changed, section → mark of what they had before them)."""
    changed, seen = {}, {}
    for key in set(verbs.WRITTEN) & set(request.POST):
        text = request.POST[key][:MAX_SECTION].replace("\r\n", "\n")
        before = request.POST.get(f"seen-{key}", verbs.mark_of(pm.sections.get(key, "")))
        if verbs.mark_of(text) != before:
            changed[key], seen[key] = text, before
    return changed, seen


@posts_to(PAGE)
@of_incident
def section_preview(request: HttpRequest, incident: Incident) -> HttpResponse:
    """A section as it will read; the field's name comes with it."""
    text = next(
        (request.POST[key] for key in verbs.WRITTEN if key == request.GET.get("of") and key in request.POST),
        "",
    )
    return HttpResponse(markdown.render(text, headings_from=3) or '<p class="muted">Nothing written yet.</p>')


@posts_to(PAGE)
@of_incident
def factors(request: HttpRequest, incident: Incident) -> HttpResponse:
    form = FactorForm(request.POST)
    if not form.is_valid():
        return _page(request, incident, factor_form=form)
    try:
        pm = verbs.draft(incident, by=me(request))
        verbs.name_factor(pm, by=me(request), **form.cleaned_data)
    except No as error:
        return _page(request, incident, refused=error, factor_form=form)
    messages.success(request, "Named.")
    return redirect(_at(incident, "factors"))


@posts_to(PAGE)
@of_incident
def actions(request: HttpRequest, incident: Incident) -> HttpResponse:
    form = ActionForm(ContributingFactor.objects.filter(postmortem__incident=incident), request.POST)
    if not form.is_valid():
        return _page(request, incident, action_form=form)
    try:
        verbs.add_action(incident, by=me(request), **form.cleaned_data)
    except No as error:
        return _page(request, incident, refused=error, action_form=form)
    messages.success(request, "Action item added.")
    return redirect(_at(incident, "actions"))


@posts_to(PAGE)
@of_incident
def action_done(request: HttpRequest, incident: Incident, pk: int) -> HttpResponse:
    item = get_object_or_404(incident.action_items.filter(status="open"), pk=pk)
    try:
        verbs.finish_action(item, by=me(request), evidence=request.POST.get("evidence", "")[:500])
    except No as error:
        return _page(request, incident, refused=error)
    messages.success(request, f"Done: {item.title}")
    return redirect(_at(incident, "actions"))


@posts_to(PAGE)
@of_incident
def reviews(request: HttpRequest, incident: Incident) -> HttpResponse:
    form = ReviewForm(_own_roles(request, incident), request.POST)
    if not form.is_valid():
        return _page(request, incident, review_form=form)
    try:
        verbs.review(verbs.draft(incident), by=me(request), **form.cleaned_data)
    except No as error:
        return _page(request, incident, refused=error, review_form=form)
    messages.success(request, "Signed.")
    return redirect(_at(incident, "reviews"))


@posts_to(PAGE)
@of_incident
def reopening(request: HttpRequest, incident: Incident) -> HttpResponse:
    try:
        verbs.reopen_review(
            verbs.draft(incident), by=me(request), reason=request.POST.get("reason", "")[:1000]
        )
    except No as error:
        return _page(request, incident, refused=error)
    messages.success(request, "The post-mortem is a draft again; it needs to be signed anew.")
    return redirect(_at(incident, "reviews"))


def _at(incident: Incident, place: str) -> str:
    return f"{incident.get_absolute_url()}postmortem/#{place}"


def _own_roles(request: HttpRequest, incident: Incident) -> list[tuple[str, str]]:
    return [(code, ROLES.get(code, code)) for code in sorted(me(request).role_codes(incident.system_id))]


def _export(request: HttpRequest, incident: Incident, wanted: str) -> HttpResponse:
    if wanted not in report.FORMATS:
        return HttpResponse(
            f"There is no format {wanted!r}; choose one of {', '.join(report.FORMATS)}.",
            status=404,
            content_type="text/plain",
        )
    made = report.export(facts.report_of(incident), wanted)
    audit.exported("the post-mortem", by=me(request), incident=incident, file=made.filename)
    response = HttpResponse(made.content, content_type=made.media_type)
    response["Content-Disposition"] = content_disposition_header(True, made.filename) or "attachment"
    response["Content-Security-Policy"] = SANDBOX
    return response


def _page(
    request: HttpRequest, incident: Incident, *, refused: BaseException | None = None, typed: dict[str, str] | None = None,
    **bound: forms.BaseForm,
) -> HttpResponse:  # fmt: skip
    user = me(request)
    pm = PostMortem.objects.filter(incident=incident).first()
    kept = pm.sections if pm else {"summary": verbs.first_summary(incident)}
    theirs = refused.theirs if isinstance(refused, verbs.Overtaken) else {}
    named = list(pm.factors.all()) if pm else []
    roles = _own_roles(request, incident)
    context: dict[str, Any] = {
        "incident": incident,
        "pm": pm,
        "sections": [
            {
                "key": key,
                "title": title,
                "hint": hint,
                "text": (typed or {}).get(key, kept.get(key, "")),
                "seen": verbs.mark_of(kept.get(key, "")),
                "theirs": theirs.get(key),
            }
            for key, (title, hint) in verbs.WRITTEN.items()
        ],
        "summary_words": verbs.SUMMARY_WORDS,
        "seen_no_actions": verbs.mark_of(pm.no_actions_because if pm else ""),
        "no_actions_because": request.POST.get("no_actions_because", pm.no_actions_because if pm else ""),
        "factors": named,
        "actions": list(incident.action_items.select_related("owner", "factor")),
        "reviews": [
            (row, ROLES.get(row.role, row.role)) for row in (pm.reviews.select_related("by") if pm else ())
        ],
        "factor_form": FactorForm(),
        "action_form": ActionForm(ContributingFactor.objects.filter(postmortem__incident=incident)),
        "review_form": ReviewForm(roles),
        "can_edit": can(user, "postmortem.edit", incident) and (pm is None or pm.status != "approved"),
        "can_review": can(user, "postmortem.review", incident) and bool(roles),
        "can_export": can(user, "postmortem.export", incident),
        "refused": reasons_of(refused) if refused else [],
        "missing": lifecycle.unmet(incident, lifecycle.MOVES["close"])
        if incident.state == "post_mortem"
        else [],
        "formats": [("pdf", "PDF"), ("docx", "Word"), ("html", "HTML"), ("md", "Markdown"), ("json", "JSON")],
        **bound,
    }
    for name in ("factor_form", "action_form", "review_form"):
        context[name].auto_id = f"{name}-%s"  # they share this page and some names of fields
    code = status_of(refused) if refused else 422 if bound else 200
    return render(request, "incidents/postmortem.html", context, status=code)
