"""Connections: health at a glance, settings, address, test, and a trial before saving."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from incidents.access import can, require
from incidents.markdown import render as as_html
from incidents.pages.door import me, signed_in
from incidents.pages.keyset import page_of
from integrations import connecting, guide, health, shelf
from integrations.authenticity import unproven
from integrations.contract import Inbound, Provider, Unreadable
from integrations.masking import mask
from integrations.models import Connection
from integrations.outbox.announce import queue_test
from integrations.pages.forms import (
    ExpectForm,
    HoldForm,
    NameForm,
    PauseForm,
    PersonForm,
    SettingsForm,
    TrialForm,
)
from integrations.secrets import SecretsUnreadable
from integrations.visibility import visible_acts, visible_deliveries

PAGE = 40
LAST = 8


def kind_of(slug: str) -> Provider | None:
    """The provider, or None when this installation has it no longer."""
    return shelf.providers().get(slug)


def light() -> Any:
    """Connections without their settings: a list needs no secrets."""
    return Connection.objects.defer("settings")


@signed_in
def connections(request: HttpRequest) -> HttpResponse:
    """All connections, those in trouble marked."""
    require(me(request), "config.see")
    page = page_of(light(), ["name", "id"], request.GET.get("after", ""), PAGE)
    unfinished = health.unfinished([row.pk for row in page.rows], visible_deliveries(me(request)))
    rows = [
        {"row": row, "kind": kind_of(row.provider), **unfinished[row.pk], "mark": mark_of(row)}
        for row in page.rows
    ]
    context = {"rows": rows, "page": page, "can_edit": can(me(request), "config.edit")}
    return render(request, "integrations/connections.html", context)


def mark_of(row: Connection) -> tuple[str, str]:
    """(state for the badge, word): how a connection is, by what happened last."""
    if not row.enabled:
        return "paused", "Paused"
    if row.sending_paused:
        return "paused", "Not sending"
    if row.silent_since:
        return "failed", "Silent"
    good = max(filter(None, (row.last_success_at, row.last_received_at)), default=None)
    if row.last_error_at and (good is None or row.last_error_at > good):
        return "failed", "Failing"
    if good is None:
        return "queued", "Not used yet"
    return "succeeded", "Working"


@never_cache
@signed_in
def new(request: HttpRequest) -> HttpResponse:
    """The shelf of providers as cards; with `?provider=`, its form."""
    require(me(request), "config.edit")
    slug = request.GET.get("provider", "")
    if not slug:
        return render(request, "integrations/shelf.html", {"kinds": shelf.providers().values()})
    kind = kind_of(slug)
    if kind is None:
        raise Http404(f"There is no provider {slug!r}.")
    name = NameForm(request.POST or None)
    form = SettingsForm(kind, request.POST or None)
    if request.method == "POST" and name.is_valid() & form.is_valid():
        try:
            made = connecting.connect(slug, name.cleaned_data["name"], form.changes(), by=me(request))
        except connecting.BadSettings as error:
            form.refuse(error)
        else:
            return _made(request, made)
    status = 422 if request.method == "POST" else 200
    context = {"kind": kind, "name_form": name, "form": form, **_guide(kind)}
    return render(request, "integrations/new.html", context, status=status)


def _guide(kind: Provider) -> dict[str, Any]:
    """The steps of the set-up as HTML, and a message as the vendor sends it."""
    return {
        "steps": as_html(guide.steps(kind.slug), headings_from=3),
        "example": guide.example(kind) if kind.inbound else "",
    }


def _made(request: HttpRequest, made: connecting.Made) -> HttpResponse:
    """The address is shown in this answer and nowhere else, as only its hash is kept."""
    if made.url is None:
        messages.success(request, f"{made.connection} is ready. Send a test to see it work.")
        return redirect("integrations:connection", made.connection.pk)
    context = {
        "connection": made.connection, "url": made.url, "created": made.created, "kind": kind_of(made.connection.provider),
        **_guide(shelf.provider(made.connection.provider)),
    }  # fmt: skip
    return render(request, "integrations/made.html", context, status=201)


@never_cache
@signed_in
def connection(request: HttpRequest, pk: int) -> HttpResponse:
    """One connection: health, settings, routes, the last messages. POST saves the settings or tries them."""
    user = me(request)
    require(user, "config.see")
    row = get_object_or_404(light(), pk=pk)
    kind = kind_of(row.provider)
    problem, stored = _stored(row)
    form = SettingsForm(kind, request.POST or None, stored=stored) if kind else None
    trial = TrialForm(request.POST or None, initial=_example(request, row))
    tried: dict[str, Any] | None = None
    if request.method == "POST" and form is not None:
        require(user, "config.edit")
        if form.is_valid() & trial.is_valid():
            try:
                if request.POST.get("then") == "try":
                    tried = _try(form, trial.cleaned_data["message"], row)
                else:
                    connecting.connect(row.provider, row.name, form.changes(), by=user)
                    messages.success(request, "Saved.")
                    return redirect("integrations:connection", pk)
            except connecting.BadSettings as error:
                form.refuse(error)
            except (SecretsUnreadable, ValueError) as error:
                form.add_error(None, str(error))
    refused = form is not None and form.is_bound and not form.is_valid()
    context = {
        **_page(request, row, kind), "form": form, "trial": trial, "tried": tried, "problem": problem,
        "pause_form": PauseForm(), "unproven": unproven(kind, stored) if kind and not problem else "",
    }  # fmt: skip
    return render(request, "integrations/connection.html", context, status=422 if refused else 200)


def _page(request: HttpRequest, row: Connection, kind: Provider | None) -> dict[str, Any]:
    user = me(request)
    return {
        "connection": row,
        "kind": kind,
        "mark": mark_of(row),
        "can_edit": can(user, "config.edit"),
        "routes": list(row.routes.all()),
        "received": list(row.messages.defer("body", "headers")[:LAST]),
        "sent": list(
            visible_deliveries(user)
            .filter(connection=row)
            .select_related("incident")
            .defer("announcement", "transcript")[:LAST]
        ),
        "health": health.of(row, known=visible_deliveries(user)),
        "polled": health.polled(row),
        "people": list(row.people.select_related("user").order_by("remote_id")),
        "acts": list(visible_acts(user, row)[:LAST]),
        "person_form": PersonForm(),
        "hold_form": HoldForm(prefix="hold"),
        "expect_form": ExpectForm.of(row),
        **(_guide(kind) if kind else {}),
    }


def _stored(row: Connection) -> tuple[str, dict[str, Any]]:
    try:
        return "", dict(row.settings)
    except SecretsUnreadable as error:
        return str(error), {}


def _example(request: HttpRequest, row: Connection) -> dict[str, str]:
    """The message to try: the provider's example (`?message=example`), or one that was received, by its number,
    with credentials masked."""
    wanted = request.GET.get("message", "")
    if wanted == "example" and (kind := kind_of(row.provider)):
        return {"message": guide.example(kind)}
    if not wanted.isdecimal() or len(wanted) > 15:
        return {}
    found = row.messages.filter(pk=int(wanted)).first()
    return {"message": str(mask(found.body))} if found else {}


def _try(form: SettingsForm, message: str, row: Connection) -> dict[str, Any]:
    """What the message would become under these settings. Raises BadSettings."""
    cleaned = connecting.clean(form.kind, form.settings())
    types = form.kind.content_types
    inbound = Inbound({"content-type": types[0]}, message.encode(), datetime.now(UTC), origin=row.origin)
    try:
        return {"signals": form.kind.parse(inbound, cleaned)}
    except Unreadable as error:
        return {"problem": str(error)}
    except Exception as error:  # a provider may break on what nobody ever sent; the page says so
        return {
            "problem": f"The reader of {form.kind.title} broke on this message ({type(error).__name__}: {error})."
        }


@require_POST
@signed_in
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    """Pause with a reason, or resume."""
    require(me(request), "config.edit")
    row = get_object_or_404(light(), pk=pk)
    if row.enabled:
        form = PauseForm(request.POST)
        if not form.is_valid():
            messages.error(request, "Say why the connection rests, then pause it.")
            return redirect("integrations:connection", pk)
        connecting.switch(row, on=False, reason=form.cleaned_data["reason"], by=me(request))
        messages.success(request, f"{row} is paused. What is to be sent waits.")
    else:
        connecting.switch(row, on=True, by=me(request))
        messages.success(request, f"{row} works again.")
    return redirect("integrations:connection", pk)


@never_cache
@require_POST
@signed_in
def address(request: HttpRequest, pk: int) -> HttpResponse:
    """A new inbound address; the former one stays good for a day."""
    require(me(request), "config.edit")
    row = get_object_or_404(light(), pk=pk)
    try:
        made = connecting.connect(row.provider, row.name, rotate=True, by=me(request))
    except (connecting.BadSettings, SecretsUnreadable, shelf.UnknownProvider) as error:
        messages.error(request, f"The address was not changed: {error}")
        return redirect("integrations:connection", pk)
    return _made(request, made)


@require_POST
@signed_in
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Queue a message of kind `test` and show how it fares."""
    require(me(request), "config.edit")
    row = get_object_or_404(light(), pk=pk)
    kind = kind_of(row.provider)
    if kind is None or not kind.outbound:
        messages.error(request, f"{row} does not send. Use its address to send it a message.")
        return redirect("integrations:connection", pk)
    return redirect("integrations:delivery", queue_test(row, by=me(request)).pk)
