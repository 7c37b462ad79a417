"""The page behind a signed link: one question, yes or no; made for a phone."""

from __future__ import annotations

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables

from incidents.access import NotAllowed
from incidents.lifecycle import Refused
from incidents.pages.door import reasons_of, status_of
from playbooks import links, shelf
from playbooks.approvals import decide
from playbooks.models import Approval
from playbooks.pages.approvals import RISKS
from playbooks.pages.showing import pairs


@never_cache
@sensitive_variables("signed")
def answer_link(request: HttpRequest, signed: str) -> HttpResponse:
    """GET shows the question; only POST decides."""
    try:
        asked, person, alone = links.read(signed)
    except Refused as refusal:
        return _over(request, refusal)
    if request.user.is_authenticated:
        if request.user.pk != person.pk:
            reason = f"This link is for {person}; you are signed in as {request.user}."
            return render(request, "403.html", {"reason": reason}, status=403)
    elif not links.without_sign_in(asked, alone):
        return redirect_to_login(request.get_full_path())
    if asked.kind == "form":
        return redirect("playbooks:approval", asked.pk)
    refused: list[str] = []
    status = 200
    if request.method == "POST":
        try:
            decided = _vote(request, asked, person)
            return render(request, "playbooks/link.html", {"asked": decided, "person": person, "over": True})
        except (Refused, NotAllowed, ValueError) as error:
            refused, status = reasons_of(error), status_of(error)
    context = {
        "asked": asked, "person": person, "refused": refused, "inputs": pairs(asked.step.inputs),
        "reason": request.POST.get("reason", ""), "risk_means": RISKS.get(asked.risk, ""),
        "action": shelf.actions().get(asked.step.action) if asked.step.action else None,
    }  # fmt: skip
    return render(request, "playbooks/link.html", context, status=status)


def _vote(request: HttpRequest, asked: Approval, person: object) -> Approval:
    then = request.POST.get("then", "")
    if then not in ("approve", "reject"):
        raise ValueError("Choose to approve or to reject.")
    reason = request.POST.get("reason", "").strip()
    return decide(asked, person, then == "approve", reason, seen=asked.input_hash)


def _over(request: HttpRequest, refusal: Refused) -> HttpResponse:
    return render(request, "playbooks/link.html", {"refused": refusal.reasons, "dead": True}, status=410)
