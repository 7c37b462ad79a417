"""What concerns me: the list behind the mark in the head of every page."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from incidents import notices as mine
from incidents.pages.door import me, signed_in
from incidents.pages.keyset import page_of

SIZE = 50


@signed_in
def notices(request: HttpRequest) -> HttpResponse:
    page = page_of(mine.of(me(request)), ("-id",), request.GET.get("at", ""), SIZE)
    context = {"page": page, "titles": {kind: title for kind, (title, _) in mine.KINDS.items()}}
    return render(request, "incidents/notices.html", context)


@require_POST
@signed_in
def reading(request: HttpRequest) -> HttpResponse:
    """Mark one (`notice`) or all as read."""
    wanted = request.POST.get("notice", "")
    count = mine.read(me(request), [int(wanted)] if wanted.isdecimal() and len(wanted) < 19 else None)
    if not wanted:
        messages.success(request, f"{count} marked as read." if count else "All were read already.")
    return redirect("incidents:notices")
