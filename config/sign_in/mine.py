"""My settings, the part about signing in: password, second factors, recovery codes, browsers."""

from __future__ import annotations

from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import SetPasswordForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from config.sign_in import entering, factors, passkeys, sessions, totp
from config.sign_in.backends import LocalPasswords
from config.sign_in.pages import password_is
from config.sign_in.record import tell
from incidents.models import User
from incidents.pages.door import View, me, signed_in
from integrations.secrets import seal, unseal

#: Keys of the session: of an app that is being set up; where to go when a demanded factor is set up.
KEY, THEN = "totp_key", "then"


class PasswordForm(SetPasswordForm):
    """A new password, for who knows the present one."""

    present = forms.CharField(
        label="Present password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    field_order = ("present", "new_password1", "new_password2")

    def __init__(self, request: HttpRequest, data: Any = None) -> None:
        super().__init__(me(request), data)
        self.request = request
        self.fields["new_password1"].help_text = "At least 10 characters."
        self.fields["new_password2"].label = "The new password again"
        self.fields["new_password2"].help_text = ""

    def clean_present(self) -> str:
        given: str = self.cleaned_data["present"]
        if not password_is(self.request, self.user, given):
            raise forms.ValidationError("This is not your present password.")
        return given


def fresh(view: View) -> View:
    """Behind `signed_in`: how somebody signs in changes only shortly after they showed who they are."""

    @signed_in
    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user = me(request)
        if entering.is_fresh(request, user):
            return view(request, *args, **kwargs)
        if factors.has(user):
            back = request.path if request.method == "GET" else reverse("my_sign_in")
            return redirect(f"{reverse('second_factor')}?{urlencode({'next': back})}")
        return redirect("sign_in_again")

    return inner


def posted(view: View) -> View:
    """The address takes POST; a reload leads back to the page."""

    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return view(request, *args, **kwargs) if request.method == "POST" else redirect("my_sign_in")

    return inner


@never_cache
@signed_in
def sign_in(request: HttpRequest) -> HttpResponse:
    if request.GET.get("next"):
        request.session[THEN] = entering.safe(request, request.GET["next"])
    return _page(request)


@signed_in
def again(request: HttpRequest) -> HttpResponse:
    """Who has no second factor shows who they are by signing in once more."""
    return render(request, "sign_in/again.html")


@sensitive_post_parameters()
@posted
@signed_in
def password(request: HttpRequest) -> HttpResponse:
    if not _has_password(me(request)):
        raise Http404
    form = PasswordForm(request, request.POST)
    if not form.is_valid():
        return _page(request, form=form, status=422)
    user = form.save()
    update_session_auth_hash(request, user)
    sessions.end_others(user, request.session.session_key)
    tell("password_changed", user, f"{user} changed their password.")
    messages.success(request, "The new password holds. Other browsers have to sign in again.")
    return redirect("my_sign_in")


@sensitive_post_parameters("code")
@never_cache
@fresh
def app(request: HttpRequest) -> HttpResponse:
    """Set an authenticator app up: show its key, then take the first code."""
    user, reason = me(request), ""
    sealed = request.session.get(KEY)
    key = unseal(sealed) if sealed else ""
    if request.method == "POST" and key:
        try:
            factors.add_app(user, key, request.POST.get("code", ""), _named(request, "Authenticator app"))
        except factors.Wrong as wrong:
            reason = str(wrong)
        else:
            request.session.pop(KEY)
            return _added(request, "The authenticator app is set up.")
    if not key:
        key = totp.new_key()
        request.session[KEY] = seal(key)
    address = totp.address(key, user.get_username())
    context = {
        "picture": totp.picture(address), "address": address, "reason": reason,
        "key": " ".join(key[n : n + 4] for n in range(0, len(key), 4)),
    }  # fmt: skip
    return render(request, "sign_in/app.html", context, status=422 if reason else 200)


@never_cache
@fresh
def passkey(request: HttpRequest) -> HttpResponse:
    """Add a passkey; the browser makes it."""
    user, reason = me(request), ""
    if request.method == "POST":
        try:
            made = passkeys.made(request, user, request.POST.get("passkey", ""))
            factors.add_passkey(user, made, _named(request, "Passkey"))
        except (passkeys.NoPasskey, factors.Wrong) as wrong:
            reason = str(wrong)
        else:
            return _added(request, "The passkey is added.")
    possible = passkeys.usable(request)
    context = {
        "reason": reason, "possible": possible, "host": passkeys.host_of(request),
        "name": sessions.device(request.headers.get("User-Agent", "")),
        "passkey": passkeys.ask_to_make(request, user, factors.credentials(request, user)) if possible else None,
    }  # fmt: skip
    return render(request, "sign_in/passkey.html", context, status=422 if reason else 200)


@never_cache
@posted
@fresh
def codes(request: HttpRequest) -> HttpResponse:
    """New recovery codes, on this one answer and nowhere else."""
    if not factors.has(me(request)):
        messages.error(request, "Set a second factor up first: recovery codes stand in for one.")
        return redirect("my_sign_in")
    return _codes(request)


@posted
@fresh
def factor_removal(request: HttpRequest, pk: int) -> HttpResponse:
    user = me(request)
    gone = factors.remove(user, pk)
    if gone is None:
        raise Http404
    messages.success(request, f"“{gone.name}” no longer opens your account.")
    return redirect("my_sign_in")


@posted
@signed_in
def session_end(request: HttpRequest, name: str) -> HttpResponse:
    if not sessions.end(me(request), name):
        raise Http404
    messages.success(request, "That browser is signed out.")
    return redirect("my_sign_in")


@posted
@signed_in
def sessions_end(request: HttpRequest) -> HttpResponse:
    count = sessions.end_others(me(request), request.session.session_key)
    messages.success(request, f"{count} other browser{'s are' if count != 1 else ' is'} signed out.")
    return redirect("my_sign_in")


def panel(request: HttpRequest) -> str:
    """On "My settings": how this account is protected, and the way to change it."""
    user = me(request)
    context = {
        "factors": list(user.second_factors.all()), "codes": factors.codes_left(user),
        "browsers": sessions.browsers(user, request.session.session_key), "demanded": factors.demanded(user),
    }  # fmt: skip
    return render_to_string("sign_in/panel.html", context, request=request)


def _added(request: HttpRequest, said: str) -> HttpResponse:
    """A factor was added: this session has shown it, and the first one comes with recovery codes."""
    user = me(request)
    entering.prove(request)
    if not user.recovery_codes.exists():
        return _codes(request, said)
    messages.success(request, said)
    return redirect(request.session.pop(THEN, "my_sign_in"))


def _codes(request: HttpRequest, said: str = "") -> HttpResponse:
    context = {"codes": factors.new_codes(me(request)), "said": said, "then": request.session.pop(THEN, "")}
    return render(request, "sign_in/codes.html", context)


def _page(request: HttpRequest, form: PasswordForm | None = None, status: int = 200) -> HttpResponse:
    user = me(request)
    context = {
        "form": form or (PasswordForm(request) if _has_password(user) else None),
        "factors": list(user.second_factors.all()), "codes": factors.codes_left(user),
        "identities": list(user.identities.all()), "passkeys": passkeys.usable(request),
        "browsers": sessions.browsers(user, request.session.session_key),
        "demanded": factors.demanded(user), "owed": factors.owed(request, user),
    }  # fmt: skip
    return render(request, "sign_in/mine.html", context, status=status)


def _has_password(user: User) -> bool:
    return user.has_usable_password() and LocalPasswords().user_can_authenticate(user)


def _named(request: HttpRequest, otherwise: str) -> str:
    return request.POST.get("name", "").strip()[:80] or otherwise
