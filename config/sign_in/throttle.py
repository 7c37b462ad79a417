"""Guessing is slowed down: passwords per person and address, second factors per person from anywhere."""

from __future__ import annotations

from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessBase
from axes.utils import reset
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest

from incidents.models import User

#: Stands behind the name under which guesses at a second factor are counted; no user name can hold it.
SECOND = " (second factor)"


def locked_by(about: HttpRequest | AccessBase, credentials: dict[str, Any] | None = None) -> list[Any]:
    """What django-axes counts by. Whoever guesses at a second factor knows the password already, so that
    going on from another address must not help."""
    if isinstance(about, AccessBase):
        name = about.username or ""
    else:
        name = (credentials or {}).get("username") or ""
    return ["username"] if name.endswith(SECOND) else [["username", "ip_address"]]


def may_try(request: HttpRequest, user: User) -> bool:
    """Whether a second factor of the user may be tried now. When not, django-axes answers 429."""
    allowed: bool = AxesProxyHandler.is_allowed(request, _as(user))
    if not allowed:
        request.axes_locked_out = True  # type: ignore[attr-defined]
        request.axes_credentials = _as(user)  # type: ignore[attr-defined]
    return allowed


def failed(request: HttpRequest, user: User) -> None:
    """A second factor was wrong."""
    user_login_failed.send(sender=__name__, credentials=_as(user), request=request)


def forgive(user: User) -> None:
    """A second factor was right (or is no more): what went wrong before is forgotten."""
    reset(username=user.get_username() + SECOND)


def _as(user: User) -> dict[str, str]:
    return {"username": user.get_username() + SECOND}
