"""A person's answer: yes or no to a risky step, or a filled form. Who may, who may not, until when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from incidents.access import RIGHTS, NotAllowed, can, named_roles, visible
from incidents.lifecycle import Refused
from incidents.models import Incident, ModelVersion, Task
from incidents.wake import wake
from playbooks import forms
from playbooks.models import Approval, Run
from playbooks.perform import input_hash

#: The break-glass review is due after this time.
REVIEW = timedelta(hours=24)
#: (system, version) of model versions that a person authored
Authored = frozenset[tuple[int, str]]
#: From this class on requester, author and approver are different people.
FOUR_EYES = "R2"


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
            role = _break_glass(asked, by, yes, reason) if break_glass else _allowed(asked, by)
            _vote(asked, by, role, yes, reason, break_glass)
    except (NotAllowed, _NotYou) as refusal:
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
            role = _may_answer(asked, by)
            asked.answer = forms.fill(forms.from_json(asked.form), data)
            asked.votes = [_said(by, role, True, "")]
            _close(asked, by, "answered", "")
            _tell(asked, "approval.answered", f"{by} answered {asked.step}.", by, role=role)
    except (NotAllowed, _NotYou) as refusal:
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
            _may_answer(approval, by)
        else:
            _allowed(approval, by, authored)
    except (NotAllowed, Refused) as refusal:
        return str(refusal)
    return ""


def waiting_for(user: Any, limit: int = 50) -> list[Approval]:
    """Pending questions that this person may answer, the most urgent first."""
    pending = (
        Approval.objects.filter(decision="pending", incident__in=visible(user, Incident.objects.all()))
        .select_related("incident__system", "run__playbook", "run__started_by", "step")
        .prefetch_related("incident__roles")
        .order_by("incident__severity", "expires_at", "pk")
    )
    authored = _authored_by(user)
    found = []
    for asked in pending.iterator(chunk_size=100):
        if not objection(asked, user, authored):
            found.append(asked)
            if len(found) == limit:
                break
    return found


def roles_of(user: Any, incident: Incident) -> frozenset[str]:
    """The person's roles on the incident: granted, named there, and commander for its owner."""
    return frozenset(user.role_codes(incident.system_id) | named_roles(user, incident))


class _NotYou(Refused):
    """Refused because of who the person is; kept on the timeline."""


def _locked(approval: Approval) -> Approval:
    # in the order of the engine's locks: the run first
    Run.objects.select_for_update().filter(pk=approval.run_id).values_list("pk").get()
    return (
        Approval.objects.select_for_update(of=("self",))
        .select_related("run__started_by", "run__playbook", "step", "incident__system")
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


def _allowed(asked: Approval, by: Any, authored: Authored | None = None) -> str:
    """The role in which the person approves. Raises NotAllowed, _NotYou."""
    right = f"approve.{max(asked.risk, 'R1')}"
    if not can(by, right, asked.incident):
        raise NotAllowed(right)
    narrowed = RIGHTS[right] & frozenset(asked.roles) if asked.roles else RIGHTS[right]
    mine = roles_of(by, asked.incident) & narrowed
    if not mine:
        raise _NotYou(
            "approve", [f"This step asks for {' or '.join(sorted(narrowed)) or 'nobody who may approve it'}."]
        )
    if asked.risk >= FOUR_EYES:
        if by.pk in (asked.run.started_by_id, asked.step.actor_id):
            raise _NotYou(
                "approve", ["Four eyes: whoever asked for this cannot approve it. Ask a colleague."]
            )
        if (version := _authored(asked, by, authored)) is not None:
            raise _NotYou(
                "approve",
                [
                    f"Four eyes: the author of model version {version} cannot approve its use. Ask a colleague."
                ],
            )
    if any(vote["user"] == by.pk for vote in asked.votes):
        raise Refused("approve", ["You have voted already; somebody else must be the next."])
    return sorted(mine)[0]


def _may_answer(asked: Approval, by: Any) -> str:
    if not can(by, "incident.see", asked.incident):
        raise NotAllowed("incident.see")
    mine = roles_of(by, asked.incident)
    wanted = frozenset(asked.roles) or RIGHTS["run.control"]
    if not mine & wanted and not (by.is_superuser and not asked.roles):
        raise _NotYou("answer", [f"This form asks for {' or '.join(sorted(wanted))}."])
    return sorted(mine & wanted)[0] if mine & wanted else ""


def _break_glass(asked: Approval, by: Any, yes: bool, reason: str) -> str:
    """Alone, at once, on a SEV1: the commander may approve R2; it is reviewed afterwards."""
    if not can(by, "approve.R2", asked.incident) or "IC" not in roles_of(by, asked.incident):
        raise _NotYou("approve", ["Break-glass is for the incident commander."])
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


def _authored(asked: Approval, by: Any, authored: Authored | None = None) -> str | None:
    """The model version among the step's parameters that this person authored, if any."""
    named = {str(value) for value in _leaves(asked.step.inputs)}
    system = asked.incident.system_id
    if not named or system is None:
        return None
    known = _authored_by(by, system=system) if authored is None else authored
    return next((version for version in sorted(named) if (system, version) in known), None)


def _authored_by(user: Any, **which: Any) -> Authored:
    return frozenset(ModelVersion.objects.filter(author=user, **which).values_list("system_id", "version"))


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [] if value is None or isinstance(value, bool) else [value]


def _vote(asked: Approval, by: Any, role: str, yes: bool, reason: str, break_glass: bool) -> None:
    asked.votes = [*asked.votes, _said(by, role, yes, reason)]
    given = sum(1 for vote in asked.votes if vote["yes"])
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
    elif given >= asked.quorum:
        _close(asked, by, "approved", reason)
        _tell(asked, "approval.approved", f"{by} ({role}) approved {asked.step}{why}", by, role=role)
    else:
        asked.save(update_fields=["votes"])
        more = asked.quorum - given
        _tell(
            asked,
            "approval.voted",
            f"{by} ({role}) approves {asked.step}; {more} more needed{why}",
            by,
            role=role,
        )


def _said(by: Any, role: str, yes: bool, reason: str) -> dict[str, Any]:
    return {
        "user": by.pk, "name": str(by), "role": role, "yes": yes, "reason": reason, "at": timezone.now().isoformat(),
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
        kind, text=text, by=by if by.is_authenticated else None, actor=asked.run.ref,
        data={"approval": asked.pk, "run": asked.run_id, "step": asked.step.key, **data},
    )  # fmt: skip
    wake("outbox")
