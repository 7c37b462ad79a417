"""The way in: first step (password or single sign-on), second factor where there is one, then the session."""

from __future__ import annotations

import time
from typing import Any

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

from config.sign_in import factors, sessions
from incidents.models import User

#: Key of the session under which somebody waits who passed the first step, and seconds until it is forgotten.
WAITING, PATIENCE = "waiting", 600
#: Key of the session: when somebody last signed in. Seconds in which they need not show again who they are.
ENTERED, FRESH = "entered_at", 1800


def safe(request: HttpRequest, address: str | None) -> str:
    """The address when it is one of ours, else the start page: nobody is led elsewhere from here."""
    ours = url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure())
    return address if address and ours else resolve_url("/")


def first_step(
    request: HttpRequest, user: User, *, backend: str, way: str, next: str, vouched: bool = False
) -> HttpResponse:
    """The password was right, or the identity provider brought `user`; `vouched` when it asked a second factor."""
    if factors.has(user) and not vouched:
        request.session.cycle_key()
        request.session[WAITING] = {
            "user": user.pk, "backend": backend, "way": way, "next": next, "at": time.time(),
            "hash": user.get_session_auth_hash(),
        }  # fmt: skip
        return redirect("second_factor")
    return enter(request, user, backend=backend, way=way, next=next, vouched=vouched)


def waiting(request: HttpRequest) -> tuple[User, dict[str, Any]] | None:
    """Who stands between the two steps in this browser; None when nobody, or when it took too long."""
    kept = request.session.get(WAITING)
    if not kept or time.time() - kept["at"] > PATIENCE:
        return None
    user = User.objects.filter(pk=kept["user"], is_active=True).first()
    # a password that was changed meanwhile sends back to the first step
    return (user, kept) if user and user.get_session_auth_hash() == kept["hash"] else None


def second_step(request: HttpRequest, user: User, kept: dict[str, Any]) -> HttpResponse:
    """The second factor was right."""
    return enter(request, user, backend=kept["backend"], way=kept["way"], next=kept["next"], proved=True)


def enter(
    request: HttpRequest,
    user: User,
    *,
    backend: str,
    way: str,
    next: str,
    proved: bool = False,
    vouched: bool = False,
) -> HttpResponse:
    """Sign in and lead on."""
    request.session.flush()  # nothing of whoever used this browser before, nor of the steps
    login(request, user, backend=backend)
    sessions.mark(request, way)
    request.session[ENTERED] = time.time()
    if vouched:
        request.session[factors.VOUCHED] = True
    if proved:
        prove(request)
    return redirect(next)


def prove(request: HttpRequest) -> None:
    """A second factor was shown in this session now."""
    request.session[factors.PROVED] = time.time()


def is_fresh(request: HttpRequest, user: User) -> bool:
    """Whether this person showed lately who they are: by signing in, or by the second factor they have."""
    last = request.session.get(factors.PROVED, 0)
    if not factors.has(user):
        last = max(last, request.session.get(ENTERED, 0))
    return bool(time.time() - last < FRESH)
