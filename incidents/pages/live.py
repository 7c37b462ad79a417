"""Live parts: a piece of a page that asks again, and is told "nothing new" without a body."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

#: What differs between two renderings of the same facts: "3 min ago", and the masked form token.
_RESTLESS = re.compile(
    r'(?<=data-relative>)[^<]*|<input type="hidden" name="csrfmiddlewaretoken"[^>]*>', re.ASCII
)


def part(request: HttpRequest, template: str, context: dict[str, Any]) -> SafeString:
    """The part as HTML; `seen` in its own address says which state the reader has."""
    # rendered with a place-holder first, as the state is a digest of what is shown
    html = render_to_string(template, {**context, "seen": _HERE}, request)
    return mark_safe(html.replace(_HERE, _state(html)))  # noqa: S308 – a template's own output


def answer(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """204 when the reader's `?seen=` is current, 304 for a matching If-None-Match, else the part."""
    html = render_to_string(template, {**context, "seen": _HERE}, request)
    state = _state(html)
    if request.GET.get("seen") == state:
        response = HttpResponse(status=204)
    elif request.headers.get("If-None-Match") == f'"{state}"':
        response = HttpResponse(status=304)
    else:
        response = HttpResponse(html.replace(_HERE, state))
    response["ETag"] = f'"{state}"'
    response["Cache-Control"] = "private, no-cache"
    return response


_HERE = "current-state-of-this-part"


def _state(html: str) -> str:
    return hashlib.blake2b(_RESTLESS.sub("", html).encode(), digest_size=9).hexdigest()
