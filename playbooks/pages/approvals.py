"""Approvals: what waits for me, what is asked exactly, yes or no with a reason; forms to fill."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from incidents.access import can
from incidents.lifecycle import Refused
from incidents.models import Evidence, User
from incidents.models.people import ROLES
from incidents.pages.door import No, me, reasons_of, signed_in, status_of
from incidents.pages.keyset import page_of
from incidents.visibility import about_seen
from playbooks import shelf
from playbooks.approvals import answer, decide, objection, waiting_for
from playbooks.definition.consent import in_words
from playbooks.electorate import electorate, missing, roles_of, standing, wanted
from playbooks.forms import InvalidForm, from_json
from playbooks.models import Approval
from playbooks.pages.plans import shown
from playbooks.pages.showing import pairs, pretty
from playbooks.pages.typed import TypedForm
from playbooks.plan import plan_ahead

PAGE = 30
MINE = 25
#: Bytes of kept state that the page shows; more is behind its link.
SHOWN = 20_000
#: What each risk class means to whoever decides.
RISKS = {
    "R0": "Reads only; nothing changes.",
    "R1": "Can be taken back, and changes no decision about people.",
    "R2": "Changes decisions about people, or knowingly degrades the service.",
    "R3": "Brings a new model or new data into production, or deletes data.",
    "R4": "Reaches the outside: a statement to people or authorities, or the end of a regulated service.",
}


def of_user(user: User) -> QuerySet[Approval]:
    """Questions about incidents that the user sees."""
    return about_seen(Approval.objects.all(), user).select_related(
        "incident__system", "run__playbook", "run__started_by", "run__version__playbook", "step", "decided_by"
    )


@signed_in
def approvals(request: HttpRequest) -> HttpResponse:
    """Waiting for me, waiting for others, and what was decided."""
    user = me(request)
    mine = waiting_for(user, MINE)
    pending = of_user(user).filter(decision="pending").exclude(pk__in=[one.pk for one in mine])
    decided = of_user(user).exclude(decision="pending")
    context = {
        "mine": mine, "more_mine": len(mine) == MINE,
        "others": list(pending.order_by("incident__severity", "expires_at", "pk")[:MINE]),
        "more_others": max(pending.count() - MINE, 0),
        "page": page_of(decided, ["-id"], request.GET.get("after", ""), PAGE),
    }  # fmt: skip
    return render(request, "playbooks/approvals.html", context)


@signed_in
def approval(request: HttpRequest, pk: int) -> HttpResponse:
    """One question with everything needed to decide. POST decides or answers."""
    user = me(request)
    asked = get_object_or_404(of_user(user), pk=pk)
    form = TypedForm(from_json(asked.form), request.POST or None) if asked.kind == "form" else None
    refused: list[str] = []
    status = 200
    if request.method == "POST":
        status = 422
        try:
            if form is None:
                said = _vote(request, asked)
            elif form.is_valid():
                answer(asked, user, form.given())
                said = "Answered. The run goes on."
            else:
                said = ""
            if said:
                messages.success(request, said)
                return redirect("playbooks:approval", pk)
        except InvalidForm as error:
            assert form is not None  # only a form is filled
            form.refuse(error)
        except No as error:
            refused, status = reasons_of(error), status_of(error)
            asked = get_object_or_404(of_user(user), pk=pk)
    context = {
        **_one(user, asked), "form": form, "refused": refused, "reason": request.POST.get("reason", "")
    }  # fmt: skip
    return render(request, "playbooks/approval.html", context, status=status)


def _vote(request: HttpRequest, asked: Approval) -> str:
    then = request.POST.get("then", "")
    if then not in ("approve", "reject", "break_glass"):
        raise ValueError("Choose to approve or to reject.")
    decided = decide(
        asked, me(request), then != "reject", request.POST.get("reason", "").strip(),
        break_glass=then == "break_glass", seen=request.POST.get("seen", ""),
    )  # fmt: skip
    if decided.decision == "pending":
        return "Your yes is kept; more people are asked."
    return "Rejected." if decided.decision == "rejected" else "Approved. The run goes on."


def _one(user: User, asked: Approval) -> dict[str, Any]:
    waiting = asked.decision == "pending"
    step = asked.step
    who = electorate(asked) if waiting else None
    return {
        "asked": asked,
        "step": step,
        "action": shelf.actions().get(step.action) if step.action else None,
        "risk_means": RISKS.get(asked.risk, ""),
        "inputs": pairs(step.inputs),
        "before": _before(user, asked),
        "holders": [(code, ROLES.get(code, code)) for code in sorted(wanted(asked))],
        "each": [in_words(needed) for needed in asked.all_of],
        "people": [str(person) for person, _ in who.may] if who else [],
        "may_not": who.may_not if who else (),
        "missing": missing(asked, standing(asked)) if waiting else (),
        "handed_to": [ROLES.get(code, code) for code in asked.handed_to],
        "ahead": _ahead(asked) if waiting else [],
        "objection": objection(asked, user) if waiting else "",
        "waiting": waiting,
        "given": sum(1 for vote in asked.votes if vote.get("yes")),
        "answers": pairs(asked.answer),
        "glass": waiting and asked.kind == "approve" and asked.incident.severity == 1 and asked.risk <= "R2"
        and can(user, "approve.R2", asked.incident) and "IC" in roles_of(user, asked.incident),
    }  # fmt: skip


def _ahead(asked: Approval) -> list[dict[str, Any]]:
    """The plan from the step that is asked about; it is the version that the run is pinned to, so it is what runs."""
    try:
        return [shown(step) for step in plan_ahead(asked.run).steps]
    except Refused:  # published by a newer release: what is asked can be decided all the same
        return []


def _before(user: User, asked: Approval) -> list[dict[str, Any]]:
    """State kept before the change, for those who may see evidence; small texts are shown in place."""
    if not asked.step.evidence or not can(user, "evidence.see", asked.incident):
        return []
    # what the step keeps when it acts is not what was there when it was asked about
    kept = asked.incident.evidence.filter(pk__in=asked.step.evidence, at__lte=asked.requested_at)
    texts = dict(kept.filter(size__lte=SHOWN).values_list("pk", "content"))
    return [
        {"item": one, "text": _text(one, texts.get(one.pk)), "plot": one.media_type == "image/svg+xml"}
        for one in kept.defer("content")
    ]


def _text(one: Evidence, content: Any) -> str:
    if content is None or not (one.media_type.startswith("text/") or one.media_type == "application/json"):
        return ""
    return pretty(bytes(content).decode("utf-8", "replace"))
