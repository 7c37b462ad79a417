"""What the operator sees of a request: its id, its route, its duration."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from django.http import HttpRequest, HttpResponse

from config import metrics
from config.logs import request_id

log = logging.getLogger("config.requests")

#: Key in the WSGI environment under which the matched route is left for the measuring wrapper.
ROUTE = "holdfast.route"
#: Addresses that are answered before Django, and what metrics call them.
IN_FRONT = {"/inbound/": "/inbound/<token>/", "/news/": "/news/<subject>"}
#: Seconds after which an answered request is worth a line.
SLOW = 2.0

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestNames:
    """Leaves the matched route for the metrics, so that ids in addresses do not become labels."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        if request.resolver_match is not None:
            request.META[ROUTE] = "/" + request.resolver_match.route.lstrip("^")


StartResponse = Callable[..., Any]
WsgiApplication = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def measured(application: WsgiApplication) -> WsgiApplication:
    """Give every request an id (the proxy's, if it sent a usable X-Request-ID), count and time it.

    Wraps the whole WSGI application, so the inbound path that skips Django's middleware is seen as well.
    """

    def wrapped(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        offered = environ.get("HTTP_X_REQUEST_ID", "")
        name = offered if _ACCEPTABLE_ID.fullmatch(offered) else uuid.uuid4().hex
        environ["HTTP_X_REQUEST_ID"] = name
        mark = request_id.set(name)
        status = [500]

        def start(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            status[0] = int(line[:3])
            headers.append(("X-Request-ID", name))
            # PEP 3333 makes the third argument optional; servers differ in taking None
            return start_response(line, headers, exc_info) if exc_info else start_response(line, headers)

        started = perf_counter()
        try:
            return application(environ, start)
        finally:
            _tell(environ, status[0], perf_counter() - started)
            request_id.reset(mark)

    return wrapped


def _tell(environ: dict[str, Any], status: int, seconds: float) -> None:
    method, path = environ.get("REQUEST_METHOD", "GET"), environ.get("PATH_INFO", "/")
    route = environ.get(ROUTE) or next(
        (name for start, name in IN_FRONT.items() if path.startswith(start)), "other"
    )
    metrics.observe_request(method, route, status, seconds)
    level = logging.WARNING if status >= 500 or seconds > SLOW else logging.DEBUG
    log.log(level, "%s %s %d %.0f ms", method, path, status, seconds * 1000)
