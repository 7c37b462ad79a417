"""The inventory: AI systems, their versions, what served when, and what feeds them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone

from incidents import lifecycle
from incidents.access import can, require, visible
from incidents.escalation import line_of
from incidents.models import AISystem, Dataset, Incident, SystemLink
from incidents.pages import history, panels
from incidents.pages.axis import draw
from incidents.pages.door import me, signed_in
from incidents.pages.forms import people
from incidents.pages.keyset import page_of
from incidents.pages.meanwhile import Conflict, Meanwhile
from incidents.pages.now import in_trouble, with_trouble
from incidents.visibility import visible_alerts, visible_systems

SIZE = 40


class SystemForm(Meanwhile):
    """What an owner writes about a system."""

    new_upstream = forms.CharField(
        required=False,
        max_length=1000,
        label="Upstream data not listed above",
        help_text="Names, separated by commas.",
    )

    class Meta:
        model = AISystem
        fields = (
            "name", "slug", "environment", "purpose", "description", "owner", "team", "risk_tier", "decision_type",
            "matchers", "upstream", "data", "serving",
        )  # fmt: skip
        labels = {
            "slug": "Short name", "risk_tier": "Risk tier", "decision_type": "Decisions", "matchers": "Its alerts",
            "upstream": "Upstream data", "data": "Data for diagnosis", "serving": "Serving, for containment",
        }  # fmt: skip
        help_texts = {
            "slug": "Small letters, digits and dashes; part of the address, and what sources may name.",
            "data": "JSON: where reference and current data are and which columns mean what.",
            "serving": "JSON: gateway or endpoint, and the fallback version.",
        }
        widgets = {
            "description": forms.Textarea(attrs={"rows": 4}),
            "matchers": forms.Textarea(attrs={"rows": 3, "class": "code", "spellcheck": "false"}),
            "data": forms.Textarea(attrs={"rows": 5, "class": "code", "spellcheck": "false"}),
            "serving": forms.Textarea(attrs={"rows": 5, "class": "code", "spellcheck": "false"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].queryset = people()  # type: ignore[attr-defined]
        for name in ("owner", "team"):
            self.fields[name].empty_label = "None"  # type: ignore[attr-defined]
        self.order_fields([*self.Meta.fields[:11], "new_upstream", *self.Meta.fields[11:]])

    def clean_slug(self) -> str:
        slug = str(self.cleaned_data["slug"])
        if slug == "new":
            raise forms.ValidationError("“new” is the address of this page; choose another short name.")
        return slug

    def _save_m2m(self) -> None:
        super()._save_m2m()  # type: ignore[misc]
        for name in filter(
            None, (part.strip()[:200] for part in self.cleaned_data["new_upstream"].split(","))
        ):
            self.instance.upstream.add(Dataset.objects.get_or_create(name=name)[0])


class LinkForm(forms.ModelForm):
    """A place to look."""

    url = forms.URLField(max_length=1000, label="Address", assume_scheme="https")

    class Meta:
        model = SystemLink
        fields = ("kind", "title", "url")


@signed_in
def systems(request: HttpRequest) -> HttpResponse:
    user = me(request)
    rows = visible_systems(user).select_related("owner", "team")
    search = request.GET.get("q", "").strip()[:200]
    if search:
        rows = rows.filter(
            Q(name__icontains=search) | Q(slug__icontains=search) | Q(purpose__icontains=search)
        )
    tier = request.GET.get("tier", "")
    if tier:
        rows = rows.filter(risk_tier=tier)
    if not request.GET.get("retired"):
        rows = rows.filter(retired_at=None)
    page = page_of(rows, ("name", "id"), request.GET.get("at", ""), SIZE)
    open_ones = visible(user, Incident.objects.filter(state__in=lifecycle.OPEN, system__in=page.rows))
    with_trouble(page.rows, in_trouble(open_ones))
    context = {
        "page": page,
        "search": search, "filtered": bool(search or tier), "retired": request.GET.get("retired"),
        "tiers": [(code, title, code == tier) for code, title in AISystem._meta.get_field("risk_tier").choices or []],
        "can_edit": can(user, "system.edit"),
    }  # fmt: skip
    return render(request, "incidents/systems.html", context)


@signed_in
def system(request: HttpRequest, slug: str) -> HttpResponse:
    user = me(request)
    found = get_object_or_404(visible_systems(user).select_related("owner", "team"), slug=slug)
    editable = can(user, "system.edit", system_id=found.pk)
    form = LinkForm(request.POST or None)
    if request.method == "POST":
        require(user, "system.edit", system_id=found.pk)
        if form.is_valid():
            found.links.add(SystemLink(system=found, **form.cleaned_data), bulk=False)
            return redirect(found)
    deployments = list(found.deployments.select_related("version").order_by("-started_at")[:30])
    alerts = visible_alerts(user).filter(system=found)
    days = next((n for n in history.SPANS if request.GET.get("days") == str(n)), history.SPANS[0])
    end = timezone.now()
    start = end - timedelta(days=days)
    groups = history.groups_of(user, found, deployments, start, end)
    context = {
        "system": found, "can_edit": editable, "link_form": form,
        "deployments": deployments, "axis": draw(groups, start, end, f"{days} days of {found.name}"),
        "groups": [g for g in groups if g.lanes], "spans": [(n, n == days) for n in sorted(history.SPANS)],
        "serving": found.serving_at(timezone.now()),
        "can_declare": can(user, "incident.create"), "line": line_of(found),
        "duty": panels.of_system(request, found),
        "versions": list(found.versions.select_related("author")[:20]),
        "upstream": list(found.upstream.select_related("owner_team")),
        "links": [link for link in found.links.all() if link.url.lower().startswith(("http://", "https://"))],
        "incidents": list(visible(user, found.incidents.all()).select_related("owner").order_by("-detected_at")[:10]),
        "monitors": list(
            alerts.order_by().values("source", "metric").annotate(rows=Count("pk"), firing=Count("pk", filter=Q(status="firing")))
            .order_by("-firing", "source", "metric")[:20]
        ),
        "alerts": list(alerts.filter(status="firing").order_by("-last_seen", "-id")[:10]),
    }  # fmt: skip
    return render(request, "incidents/system.html", context, status=422 if form.is_bound else 200)


@signed_in
def system_edit(request: HttpRequest, slug: str = "") -> HttpResponse:
    """Write a new system, or change one (with `slug`)."""
    user = me(request)
    found = get_object_or_404(visible_systems(user), slug=slug) if slug else None
    require(user, "system.edit", system_id=found.pk if found else None)
    meanwhile: list[Conflict] = []
    with transaction.atomic():
        if found is not None:
            found = AISystem.objects.select_for_update().get(pk=found.pk)
        form: Any = SystemForm(request.POST or None, instance=found)
        if request.method == "POST" and form.is_valid():
            if meanwhile := form.conflicts():
                form = form.rebased()
            else:
                saved = form.save()
                messages.success(request, f"{saved.name} is saved.")
                return redirect(saved)
    # an invalid form has already written on its instance: the heading shows what is kept
    name = AISystem.objects.get(pk=found.pk).name if found else ""
    context = {"form": form, "name": name, "slug": slug, "meanwhile": meanwhile}
    code = 409 if meanwhile else 422 if form.is_bound else 200
    return render(request, "incidents/system_form.html", context, status=code)
