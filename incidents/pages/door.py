"""Who may come in, and how a page says no: sign-in, visible incidents, refusals as messages."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django_fsm import ConcurrentTransition

from incidents.access import NotAllowed, visible
from incidents.lifecycle import Refused
from incidents.models import Incident, User

View = Callable[..., HttpResponse]
#: What a verb raises when it says no; the page shows `reasons_of` and keeps what was typed.
No = (Refused, NotAllowed, ConcurrentTransition, ValueError)


class IncidentKey:
    """Path converter: `INC-7` ↔ 7."""

    regex = "INC-[1-9][0-9]{0,15}"

    def to_python(self, value: str) -> int:
        return int(value[4:])

    def to_url(self, value: Any) -> str:
        return value if isinstance(value, str) else f"INC-{value}"


def me(request: HttpRequest) -> User:
    """The person who signed in; only behind `signed_in`."""
    return cast(User, request.user)


def signed_in(view: View) -> View:
    """Send strangers to the sign-in page; show NotAllowed as a page that names the right."""

    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            if request.headers.get("HX-Request"):
                # a live part must not be replaced by the sign-in page; the next full page asks for it
                return HttpResponse("Sign in again.", status=401, content_type="text/plain")
            return redirect_to_login(request.get_full_path())
        try:
            return view(request, *args, **kwargs)
        except NotAllowed as error:
            return render(request, "403.html", {"reason": str(error)}, status=403)

    return inner


def of_incident(view: View) -> View:
    """Behind `signed_in`: hand over the incident of the address, or 404 when it is not visible."""

    @signed_in
    @wraps(view)
    def inner(request: HttpRequest, key: int, *args: Any, **kwargs: Any) -> HttpResponse:
        return view(request, find(me(request), key), *args, **kwargs)

    return inner


def find(user: User, pk: int) -> Incident:
    """The incident when the user may see it. Raises Http404 otherwise."""
    related = ("system", "owner", "reported_by", "rule", "recurrence_of", "duplicate_of", "merged_into")
    return get_object_or_404(visible(user, Incident.objects.all()).select_related(*related), pk=pk)


def posts_to(name: str) -> Callable[[View], View]:
    """The address takes POST; anything else (a reload of a refused form) goes to the incident's page `name`."""

    def around(view: View) -> View:
        @wraps(view)
        def inner(request: HttpRequest, key: int, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method != "POST":
                return redirect(name, key)
            return view(request, key, *args, **kwargs)

        return inner

    return around


def reasons_of(error: BaseException) -> list[str]:
    """Why a verb said no, in sentences."""
    if isinstance(error, Refused):
        return error.reasons
    if isinstance(error, ConcurrentTransition):
        return ["Somebody else changed the incident at the same moment. Look at it again, then repeat."]
    return [str(error)]


def status_of(error: BaseException) -> int:
    """The HTTP status of a page that shows this refusal."""
    return 403 if isinstance(error, NotAllowed) else 422 if isinstance(error, ValueError) else 409


def number_of(key: str) -> int:
    """7 for "INC-7", "inc-7" or "7". Raises Http404."""
    digits = key.strip().upper().removeprefix("INC-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 15:
        raise Http404(f"{key!r} is not the id of an incident.")
    return int(digits)
