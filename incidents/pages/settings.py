"""What a person sets for themselves: name, time zone, theme, notices, API tokens."""

from __future__ import annotations

import zoneinfo
from datetime import timedelta

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone

from incidents import notices
from incidents.models import ApiToken, User
from incidents.models.people import ROLES
from incidents.pages import panels
from incidents.pages.door import me, signed_in

SCOPES = [
    ("read", "read: look at what you may see"),
    ("write", "write: change incidents, systems, post-mortems"),
    ("act", "act: start and steer runs, decide approvals"),
]
LIVES = [("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "until revoked")]


class SettingsForm(forms.ModelForm):
    """Own name, zone and theme."""

    time_zone = forms.ChoiceField(
        required=False, label="Time zone", help_text="Times on all pages are shown in it."
    )

    class Meta:
        model = User
        fields = ("display_name", "time_zone", "theme")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        zones = sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})
        self.fields["time_zone"].choices = [("", "UTC"), *((z, z.replace("_", " ")) for z in zones)]  # type: ignore[attr-defined]


class WishesForm(forms.Form):
    """How each kind of notice reaches the person."""

    def __init__(self, user: User, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        for kind, (title, _) in notices.KINDS.items():
            self.fields[kind] = forms.ChoiceField(
                choices=list(notices.WAYS.items()), label=title, initial=notices.way_of(user, kind)
            )


class TokenForm(forms.Form):
    """A new API token."""

    name = forms.CharField(max_length=120, label="What is it for?")
    scopes = forms.MultipleChoiceField(
        choices=SCOPES, initial=["read"], widget=forms.CheckboxSelectMultiple, label="It may"
    )
    days = forms.ChoiceField(choices=LIVES, required=False, initial="90", label="It lives")


@signed_in
def settings(request: HttpRequest) -> HttpResponse:
    form = SettingsForm(request.POST or None, instance=me(request))
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("incidents:settings")
    return _page(request, form, TokenForm(), status=422 if form.is_bound else 200)


@signed_in
def wishes(request: HttpRequest) -> HttpResponse:
    """What reaches me, and how."""
    user = me(request)
    if request.method != "POST":
        return redirect("incidents:settings")
    form = WishesForm(user, request.POST)
    if not form.is_valid():
        return _page(request, SettingsForm(instance=user), TokenForm(), wishes_form=form, status=422)
    user.notify = form.cleaned_data
    user.save(update_fields=["notify"])
    messages.success(request, "Saved.")
    return redirect(reverse("incidents:settings") + "#notices")


@signed_in
def tokens(request: HttpRequest) -> HttpResponse:
    """Make a token; its value is on this one answer and nowhere else."""
    if request.method != "POST":
        return redirect("incidents:settings")
    form = TokenForm(request.POST)
    if not form.is_valid():
        return _page(request, SettingsForm(instance=me(request)), form, status=422)
    given = form.cleaned_data
    ends = timezone.now() + timedelta(days=int(given["days"])) if given["days"] else None
    made, plain = ApiToken.issue(me(request), given["name"], given["scopes"], ends)
    return _page(request, SettingsForm(instance=me(request)), TokenForm(), made=made, plain=plain)


@signed_in
def token_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    if request.method == "POST":
        token = get_object_or_404(me(request).tokens.filter(revoked_at=None), pk=pk)
        token.revoke()
        messages.success(request, f"The token “{token.name}” no longer works.")
    return redirect("incidents:settings")


def _page(
    request: HttpRequest,
    form: SettingsForm,
    token_form: TokenForm,
    made: ApiToken | None = None,
    plain: str = "",
    status: int = 200,
    wishes_form: WishesForm | None = None,
) -> HttpResponse:
    grants = me(request).grants.select_related("system").order_by("role")
    context = {
        "form": form, "token_form": token_form, "made": made, "plain": plain, "now": timezone.now(),
        "wishes_form": wishes_form or WishesForm(me(request)), "mail_ready": notices.mail_ready(),
        "tokens": me(request).tokens.filter(revoked_at=None),
        "roles": [(ROLES.get(grant.role, grant.role), grant.system) for grant in grants],
        "panels": panels.of_settings(request),
    }  # fmt: skip
    response = render(request, "incidents/settings.html", context, status=status)
    if plain:
        response["Cache-Control"] = "no-store"
    return response
