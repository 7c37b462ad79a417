"""A person's answer: yes or no to a risky step, or a filled form. Who may, who may not, until when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from incidents.access import RIGHTS, NotAllowed, can
from incidents.lifecycle import Refused
from incidents.models import Task
from incidents.visibility import about_seen
from incidents.wake import wake
from playbooks import forms
from playbooks.definition.consent import alternatives, in_words
from playbooks.electorate import (
    Authored,
    NotYou,
    allowed,
    authored_by,
    electorate,
    may_fill,
    missing,
    open_roles,
    right_of,
    roles_of,
    standing,
    wanted,
)
from playbooks.models import Approval, Run
from playbooks.perform import input_hash

#: The break-glass review is due after this time.
REVIEW = timedelta(hours=24)
#: How often a pending question is looked at: can somebody still answer it?
LOOK = timedelta(minutes=5)
#: Pending questions looked at per sweep.
BATCH = 100


def decide(
    approval: Approval, by: Any, yes: bool, reason: str = "", *, break_glass: bool = False, seen: str = ""
) -> Approval:
    """Vote on an approval. One no rejects; enough yeses (the quorum) approve, and the run goes on.

    `seen` is the input hash that the person was shown; when given it must be the current one.
    Raises NotAllowed (wrong role, service account) and Refused (decided, expired, four eyes, no reason,
    break-glass where it does not apply); refusals for who somebody is are kept on the timeline.
    """
    if approval.kind != "approve":
        raise Refused("approve", ["This is a form: answer it."])
    if not yes and not reason.strip():
        raise Refused("approve", ["Say why you reject it."])
    try:
        with transaction.atomic():
            asked = _locked(approval)
            _open(asked, seen)
            role = _break_glass(asked, by, yes, reason) if break_glass else allowed(asked, by)
            _vote(asked, by, role, yes, reason, break_glass)
    except (NotAllowed, NotYou) as refusal:
        _refused(approval, by, refusal)
        raise
    approval.refresh_from_db()
    return approval


def answer(approval: Approval, by: Any, data: Mapping[str, Any]) -> Approval:
    """Fill the form of a step. Raises NotAllowed, Refused, InvalidForm (with a message per field)."""
    if approval.kind != "form":
        raise Refused("answer", ["This is an approval: approve or reject it."])
    try:
        with transaction.atomic():
            asked = _locked(approval)
            _open(asked, "")
            role = may_fill(asked, by)
            asked.answer = forms.fill(forms.from_json(asked.form), data)
            asked.votes = [_said(by, role, True, "")]
            _close(asked, by, "answered", "")
            _tell(asked, "approval.answered", f"{by} answered {asked.step}.", by, role=role)
    except (NotAllowed, NotYou) as refusal:
        _refused(approval, by, refusal)
        raise
    approval.refresh_from_db()
    return approval


def objection(approval: Approval, by: Any, authored: Authored | None = None) -> str:
    """Why this person may not decide or answer it now; empty when they may. For pages and lists.

    A list hands over what the person `authored`, read once; else it is looked up.
    """
    try:
        _open(approval, "")
        if approval.kind == "form":
            may_fill(approval, by)
        else:
            allowed(approval, by, authored)
    except (NotAllowed, Refused) as refusal:
        return str(refusal)
    return ""


def waiting_for(user: Any, limit: int = 50) -> list[Approval]:
    """Pending questions that this person may answer, the most urgent first."""
    pending = (
        about_seen(Approval.objects.filter(decision="pending"), user)
        .select_related("incident__system", "run__playbook", "run__started_by", "run__version", "step")
        .defer("run__version__source", "run__version__frozen")
        .prefetch_related("incident__roles")
        .order_by("incident__severity", "expires_at", "pk")
    )
    authored = authored_by(user)
    found = []
    for asked in pending.iterator(chunk_size=100):
        if not objection(asked, user, authored):
            found.append(asked)
            if len(found) == limit:
                break
    return found


def look(now: datetime | None = None) -> int:
    """Look at pending questions that are due for it: yeses of people who left stop counting, and a question that
    nobody may answer any more, or that nobody answered for half of its time, is handed on. How many were looked at.

    The sweeper calls it; any number of workers may.
    """
    moment = now or timezone.now()
    due = Approval.objects.filter(decision="pending").filter(Q(look_at=None) | Q(look_at__lte=moment))
    ids = list(due.order_by("pk").values_list("pk", flat=True)[:BATCH])
    for id in ids:
        with transaction.atomic():
            asked = _locked(
                Approval(pk=id, run_id=Approval.objects.values_list("run_id", flat=True).get(pk=id))
            )
            if asked.decision == "pending" and (asked.look_at is None or asked.look_at <= moment):
                _look(asked, moment)
    return len(ids)


def _look(asked: Approval, now: datetime) -> None:
    counted = {vote["user"] for vote in standing(asked)}
    for vote in asked.votes:
        if vote["yes"] and vote["user"] not in counted and not vote.get("left"):
            vote["left"] = True
            _tell(
                asked, "approval.vote_dropped",
                f"{vote['name']} has left or lost the role: the yes to {asked.step} as {vote['role']} no longer counts.", None,
            )  # fmt: skip
    asked.look_at = now + LOOK
    if why := _why_hand_on(asked, now):
        _hand_on(asked, why)
    elif asked.expires_at is not None and not asked.handed_to:
        asked.look_at = min(asked.look_at, _half(asked, asked.expires_at))
    asked.save(update_fields=["votes", "look_at", "handed_to"])


def _why_hand_on(asked: Approval, now: datetime) -> str:
    if asked.handed_to or not _others(asked):
        return ""
    people = electorate(asked).may
    offered = {role for _, roles in people for role in roles}
    lacking = [needed for needed in open_roles(asked, standing(asked)) if not alternatives(needed) & offered]
    if not people or lacking:
        who = " and ".join(map(in_words, sorted(lacking))) or " or ".join(sorted(wanted(asked)))
        return f"Nobody who holds {who} can answer {asked.step} now."
    if (
        asked.step.attempt > 1
        and asked.run.approvals.filter(step__key=asked.step.key, decision="expired").exists()
    ):
        return f"{asked.step} was asked before and nobody answered in time."
    if asked.expires_at is not None and now >= _half(asked, asked.expires_at):
        return f"Nobody has answered {asked.step} for half of its time."
    return ""


def _hand_on(asked: Approval, why: str) -> None:
    asked.handed_to = sorted(_others(asked))
    people = [str(user) for user, roles in electorate(asked).may if set(roles) & set(asked.handed_to)]
    now_too = f"{', '.join(people[:5])}{' and others' if len(people) > 5 else ''} may answer it as well"
    if not people:
        now_too = "nobody else holds a role that may; give somebody the role, or decide on the run by hand"
    _tell(
        asked, "approval.handed_on", f"{why} From now on {now_too} ({', '.join(asked.handed_to)}): {asked.prompt}", None,
        url=asked.get_absolute_url(), roles=asked.handed_to,
    )  # fmt: skip


def _others(asked: Approval) -> frozenset[str]:
    """Roles that may stand in: those that hold the right and were not asked."""
    every = RIGHTS["run.control" if asked.kind == "form" else right_of(asked)]
    return every - wanted(asked)


def _half(asked: Approval, until: datetime) -> datetime:
    return asked.requested_at + (until - asked.requested_at) / 2


def _locked(approval: Approval) -> Approval:
    # in the order of the engine's locks: the run first
    Run.objects.select_for_update().filter(pk=approval.run_id).values_list("pk").get()
    return (
        Approval.objects.select_for_update(of=("self",))
        .select_related("run__started_by", "run__playbook", "run__version", "step", "incident__system")
        .get(pk=approval.pk)
    )


def _open(asked: Approval, seen: str) -> None:
    if asked.decision != "pending":
        who = f" by {asked.decided_by}" if asked.decided_by else ""
        raise Refused("approve", [f"This was {asked.get_decision_display().lower()}{who} already."])
    if asked.expires_at is not None and asked.expires_at <= timezone.now():
        raise Refused("approve", ["This request has expired. If the step is still needed it is asked again."])
    if not asked.run.is_live:
        raise Refused("approve", ["The run has ended; there is nothing left to decide."])
    if asked.kind == "approve" and asked.input_hash != input_hash(asked.step.inputs):
        raise Refused(
            "approve", ["The parameters are no longer those that were shown. Reload and look again."]
        )
    if seen and seen != asked.input_hash:
        raise Refused("approve", ["You were shown other parameters. Reload and look again."])


def _break_glass(asked: Approval, by: Any, yes: bool, reason: str) -> str:
    """Alone, at once, on a SEV1: the commander may approve R2; it is reviewed afterwards."""
    if not can(by, "approve.R2", asked.incident) or "IC" not in roles_of(by, asked.incident):
        raise NotYou("approve", ["Break-glass is for the incident commander."])
    reasons = []
    if asked.incident.severity != 1:
        reasons.append("Break-glass is for SEV1 only.")
    if asked.risk > "R2":
        reasons.append(f"Break-glass does not reach {asked.risk}; ask whoever may approve it.")
    if not yes or not reason.strip():
        reasons.append("Break-glass needs a yes and the reason.")
    if reasons:
        raise Refused("approve", reasons)
    return "IC"


def _vote(asked: Approval, by: Any, role: str, yes: bool, reason: str, break_glass: bool) -> None:
    asked.votes = [
        *asked.votes,
        _said(by, role, yes, reason, sorted(roles_of(by, asked.incident) & wanted(asked))),
    ]
    lacking = missing(asked, standing(asked))
    why = f": {reason}" if reason.strip() else "."
    if not yes:
        _close(asked, by, "rejected", reason)
        _tell(asked, "approval.rejected", f"{by} ({role}) rejected {asked.step}{why}", by, role=role)
    elif break_glass:
        asked.break_glass = True
        _close(asked, by, "approved", reason)
        _tell(
            asked,
            "approval.break_glass",
            f"{by} approved {asked.step} alone (break-glass){why}",
            by,
            role=role,
        )
        Task.objects.create(
            incident=asked.incident, kind="todo", due_at=timezone.now() + REVIEW,
            title=f"Review the break-glass approval of {asked.step} by {by}"[:300],
        )  # fmt: skip
    elif not lacking:
        _close(asked, by, "approved", reason)
        _tell(asked, "approval.approved", f"{by} ({role}) approved {asked.step}{why}", by, role=role)
    else:
        asked.save(update_fields=["votes"])
        _tell(
            asked,
            "approval.voted",
            f"{by} ({role}) approves {asked.step}; still needed: {', '.join(lacking)}{why}",
            by,
            role=role,
        )


def _said(by: Any, role: str, yes: bool, reason: str, roles: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "user": by.pk, "name": str(by), "role": role, "roles": list(roles), "yes": yes, "reason": reason,
        "at": timezone.now().isoformat(),
    }  # fmt: skip


def _close(asked: Approval, by: Any, decision: str, reason: str) -> None:
    asked.decision, asked.decided_by, asked.decided_at, asked.reason = decision, by, timezone.now(), reason
    asked.save(
        update_fields=["decision", "decided_by", "decided_at", "reason", "votes", "answer", "break_glass"]
    )
    # a paused run keeps the answer for when it is resumed
    Run.objects.filter(pk=asked.run_id, state="asking").update(wake_at=timezone.now())
    wake("run", asked.run_id)


def _refused(approval: Approval, by: Any, refusal: Exception) -> None:
    _tell(approval, "approval.refused", f"{by} could not decide on {approval.step}: {refusal}", by)


def _tell(asked: Approval, kind: str, text: str, by: Any, **data: Any) -> None:
    asked.incident.record(
        kind, text=text, by=by if by is not None and by.is_authenticated else None, actor=asked.run.ref,
        data={"approval": asked.pk, "run": asked.run_id, "step": asked.step.key, **data},
    )  # fmt: skip
    wake("outbox")
