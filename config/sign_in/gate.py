"""Middleware: a session that lacks a demanded second factor opens nothing but the way to it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse

from config.sign_in import factors, sessions

#: Places that stay open: the door itself, and what says how the process is.
ALWAYS = ("/login/", "/logout/", "/healthz", "/readyz", "/metrics")
#: Where somebody sets a second factor up.
SETTING_UP = "/settings/sign-in/"


class Gate:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.user.is_authenticated:
            return self.get_response(request)
        sessions.touch(request)
        owed = factors.owed(request, request.user)
        open_now = (*ALWAYS, SETTING_UP) if owed == "set-up" else ALWAYS
        if not owed or request.path.startswith(open_now):
            return self.get_response(request)
        return _stopped(request, owed)


def _stopped(request: HttpRequest, owed: factors.Owed) -> HttpResponse:
    said = "Your role asks for a second factor. " + (
        "Sign in again to show it." if owed == "proof" else "Set one up in your settings first."
    )
    if request.path.startswith("/api/"):
        problem = {"type": "about:blank", "title": "Forbidden", "status": 403, "detail": said}
        return JsonResponse(problem, status=403, content_type="application/problem+json")
    if request.headers.get("HX-Request"):
        return HttpResponse(said, status=401, content_type="text/plain")
    back = urlencode({"next": request.get_full_path()} if request.method == "GET" else {})
    return redirect(f"{reverse('second_factor' if owed == 'proof' else 'my_sign_in')}?{back}")
