"""The pages of the door: sign in, second factor, single sign-on and back, the console's own door."""

from __future__ import annotations

import logging

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from config.sign_in import entering, factors, oidc, passkeys, people
from config.sign_in.backends import SINGLE_SIGN_ON
from config.sign_in.record import tell
from incidents.models import User
from incidents.pages.door import me

log = logging.getLogger(__name__)

#: Key of the session under which sign-ins on their way to the provider wait, by state; that many at a time.
ON_THE_WAY, AT_A_TIME = "sso", 5


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    next = entering.safe(request, request.POST.get("next") or request.GET.get("next"))
    if request.user.is_authenticated and request.method != "POST":
        return redirect(next)
    passwords = settings.HOLDFAST_LOCAL_PASSWORDS != "none"
    form = AuthenticationForm(request, request.POST if request.method == "POST" and passwords else None)
    if form.is_valid():
        user = form.get_user()
        return entering.first_step(request, user, backend=user.backend, way="password", next=next)
    context = {
        "form": form, "next": next, "passwords": passwords,
        "sso": settings.HOLDFAST_OIDC_NAME if oidc.configured() else "",
    }  # fmt: skip
    return render(request, "registration/login.html", context)


@sensitive_post_parameters("code")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def second_factor(request: HttpRequest) -> HttpResponse:
    """Between the two steps of signing in; or, for who is signed in, to show again who they are."""
    between = entering.waiting(request)
    if between is None and not request.user.is_authenticated:
        return redirect("login")
    user = between[0] if between else me(request)
    next = (
        between[1]["next"]
        if between
        else entering.safe(request, request.POST.get("next") or request.GET.get("next"))
    )
    if not factors.has(user):
        return redirect(next if between is None else "login")
    reason = ""
    if request.method == "POST":
        try:
            if answer := request.POST.get("passkey"):
                factors.check_passkey(request, user, answer)
            else:
                factors.check_code(request, user, request.POST.get("code", ""))
        except factors.Wrong as wrong:
            reason = str(wrong)
        else:
            if between:
                return entering.second_step(request, user, between[1])
            entering.prove(request)
            return redirect(next)
    known = factors.credentials(request, user)
    kinds = set(user.second_factors.values_list("kind", flat=True))
    context = {
        "reason": reason, "next": next, "who": user, "app": "totp" in kinds,
        "passkey": passkeys.ask(request, user, known) if known else None,
        "elsewhere": "passkey" in kinds and not known,
    }  # fmt: skip
    return render(request, "registration/second_factor.html", context)


@never_cache
@require_GET
def sso(request: HttpRequest) -> HttpResponse:
    """To the identity provider."""
    if not oidc.configured():
        return _refused(request, "Single sign-on is not set up here. Sign in with your password.")
    try:
        address, state, asked = oidc.start(entering.safe(request, request.GET.get("next")))
    except oidc.NotSignedIn as error:
        return _refused(request, str(error), 502)
    waiting = {
        **request.session.get(ON_THE_WAY, {}),
        state: [asked.nonce, asked.verifier, asked.next, asked.at],
    }
    request.session[ON_THE_WAY] = dict(list(waiting.items())[-AT_A_TIME:])
    return redirect(address)


@never_cache
@require_GET
def sso_callback(request: HttpRequest) -> HttpResponse:
    """Back from the identity provider."""
    waiting = dict(request.session.get(ON_THE_WAY, {}))
    kept = waiting.pop(request.GET.get("state", ""), None)
    if not (kept and oidc.configured()):
        return _refused(
            request, "This sign-in did not begin in this browser, or was used already. Start again."
        )
    request.session[ON_THE_WAY] = waiting
    asked = oidc.Asked(*kept)
    try:
        claims = oidc.finish(asked, request.GET.dict())
    except oidc.NotSignedIn as error:
        return _refused(request, str(error))
    try:
        user = people.person_of(claims, oidc.provider().issuer)
    except oidc.NotSignedIn as error:
        name = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])[:120]
        tell("refused", None, f"{name} was refused at single sign-on: {error}", actor=people.ACTOR)
        return _refused(request, str(error))
    return entering.first_step(
        request,
        user,
        backend=SINGLE_SIGN_ON,
        way="single sign-on",
        next=asked.next,
        vouched=people.vouched(claims),
    )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def console_door(request: HttpRequest) -> HttpResponse:
    """The administration has no sign-in of its own: there is one door, with one set of rules."""
    next = entering.safe(request, request.GET.get("next") or reverse("admin:index"))
    if request.user.is_authenticated:
        reason = "The administration is for people whom an administrator marked as staff."
        return render(request, "403.html", {"reason": reason}, status=403)
    return redirect(f"{reverse('login')}?{urlencode({'next': next})}")


def password_is(request: HttpRequest, user: User, password: str) -> bool:
    """Whether it is the user's password; guesses count as at the door."""
    return authenticate(request, username=user.get_username(), password=password) == user


def _refused(request: HttpRequest, reason: str, status: int = 403) -> HttpResponse:
    log.warning("single sign-on refused: %s", reason)
    return render(request, "registration/refused.html", {"reason": reason}, status=status)
