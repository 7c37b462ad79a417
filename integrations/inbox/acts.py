"""What people do in outside tools, done here: with their own rights, once, and never told back to where it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.utils import timezone

from incidents import lifecycle
from incidents.access import NotAllowed, can, visible
from incidents.models import Event, Incident, SeverityAssessment, User
from incidents.models.event import told_by
from incidents.wake import wake
from integrations.authenticity import unproven
from integrations.contract import Announcement, Instruction
from integrations.models import Connection, Delivery, PersonLink, RemoteAct, RemoteLink
from integrations.normalise import short_key
from integrations.outbox.announce import queue
from integrations.shelf import provider
from playbooks import approvals
from playbooks.models import Approval

#: Incidents that a list names.
LISTED = 20
#: Events after which the value here is newer than what was done outside before them.
FIELDS = {
    "assign": ("incident.assigned",),
    "priority": ("incident.severity_changed",),
    "state": (*(f"incident.{state}" for state, _ in lifecycle.STATES), "incident.reopened"),
}


class Unchanged(Exception):
    """It is so already: nothing is recorded, nothing is told."""


class Declined(Exception):
    """It cannot be done; the message is for the person who asked."""


def carry_out(asked: Instruction, connection: Connection) -> RemoteAct | None:
    """Do what somebody asked outside. Never raises for what they asked: a refusal is recorded and answered.

    Returns what came of it, or None when this very act was carried out before, or is an echo of our own call.
    """
    key = short_key(asked.delivery_key)
    if RemoteAct.objects.filter(connection=connection, key=key).exists() or _echoes(
        connection, asked.remote_part
    ):
        return None
    incident = _incident(asked, connection)
    if incident is not None:
        _remember(asked, connection, incident)
    person = _person(asked, connection)
    name = str(person) if person else asked.by_name or asked.by or asked.by_id or "Somebody"
    proven = not unproven(provider(connection.provider), connection.settings)
    try:
        with transaction.atomic(), told_by(connection.origin):
            result, text, incident = "done", *_do(asked, connection, incident, person, name)
    except Unchanged as same:
        result, text = "unchanged", str(same)
    except (Declined, NotAllowed, lifecycle.Refused) as refusal:
        result, text = "refused", str(refusal)
        _tell_refusal(asked, connection, incident, person, name, text)
    if proven and (result == "done" or asked.answer_to):
        _answer(asked, connection, incident, text, result)
    wake("outbox")
    return RemoteAct.objects.create(
        connection=connection, key=key, verb=asked.verb, incident=incident, by=name[:200],
        result=result, text=text,
    )  # fmt: skip


def _incident(asked: Instruction, connection: Connection) -> Incident | None:
    key = asked.incident_key.upper().removeprefix("INC-")
    if key.isdecimal() and len(key) < 18:
        return Incident.objects.filter(pk=int(key)).first()
    if asked.remote_id:
        for told in (RemoteLink, Delivery):  # the whole of it, or one message about it
            found = told.objects.filter(connection=connection, remote_id=asked.remote_id).first()
            if found is not None:
                return found.incident
        other = RemoteLink.objects.filter(connection=connection, data__also=asked.remote_id).first()
        return other.incident if other else None
    return None


def _remember(asked: Instruction, connection: Connection, incident: Incident) -> None:
    """What the tool says of its own: its id beside our key, since later it may say only that one; and whether the
    ticket is closed there, for playbooks that wait for it."""
    link = RemoteLink.objects.filter(connection=connection, incident=incident).first()
    if link is None:
        return
    known = {"state": asked.remote_state} if asked.remote_state else {}
    if asked.incident_key and asked.remote_id not in ("", link.remote_id):
        known["also"] = asked.remote_id
    if any(link.data.get(name) != value for name, value in known.items()):
        link.data = {**link.data, **known}
        link.save(update_fields=["data"])


def _person(asked: Instruction, connection: Connection) -> User | None:
    """By the vendor's id where somebody said who that is, else by e-mail address if it is one person's."""
    if asked.by_id:
        known = PersonLink.objects.filter(connection=connection, remote_id=asked.by_id).first()
        if known:
            return known.user
    people = connection.poll_memory.get("people")  # of tools that can be asked who is who
    return _by_mail(asked.by or (str(people.get(asked.by_id) or "") if isinstance(people, dict) else ""))


def _by_mail(address: str) -> User | None:
    if not address.strip():
        return None
    found = list(User.objects.filter(email__iexact=address.strip(), is_active=True)[:2])
    return found[0] if len(found) == 1 else None


def _do(
    asked: Instruction, connection: Connection, incident: Incident | None, person: User | None, name: str
) -> tuple[str, Incident | None]:
    if why := unproven(provider(connection.provider), connection.settings):
        raise Declined(why)
    if person is None:
        raise Declined(
            f"{name} is not known here. An administrator can say who that is on the page of the connection "
            f"{connection}, or give the person's account the same e-mail address."
        )
    if asked.verb == "declare":
        made = Incident.declare(title=asked.text[:300] or "Incident without a title", by=person)
        return f"{made.key} is open.", made
    if asked.verb == "list":
        return _list(person), None
    if incident is None or not can(person, "incident.see", incident):
        raise Declined("There is no such incident. It may have been named wrongly, or is not open to you.")
    locked = (
        Incident.objects.select_for_update(of=("self",)).select_related("system", "owner").get(pk=incident.pk)
    )
    _conflicts(asked, connection, locked)
    return _VERBS[asked.verb](asked, locked, person), locked


def _list(person: User) -> str:
    """The open incidents that the person may see and that may leave the house, the worst first."""
    # restricted incidents are not told outside
    incidents = Incident.objects.filter(state__in=lifecycle.OPEN, restricted=False)
    open_ones = visible(person, incidents).select_related("owner")
    found = list(open_ones.order_by("severity", "-opened_at")[: LISTED + 1])
    if not found:
        return "No incident is open."
    lines = [
        f"{one.key} SEV{one.severity} {lifecycle.TITLES[one.state].lower()}, {one.owner or 'nobody owns it'}: {one.title}"
        for one in found[:LISTED]
    ]
    return "\n".join([*lines, "… and more."] if len(found) > LISTED else lines)


def _conflicts(asked: Instruction, connection: Connection, incident: Incident) -> None:
    """Refuse what was done outside before a later change here, unless the outside tool owns the field."""
    field = {"assign": "owner", "priority": "priority", "state": "state"}.get(asked.verb)
    if asked.at is None or field is None or field in provider(connection.provider).owns:
        return
    changes = Event.objects.filter(incident=incident, kind__in=FIELDS[asked.verb], at__gt=asked.at).order_by(
        "-at"
    )
    later = next((one for one in changes if one.data.get("origin") != connection.origin), None)
    if later is not None:
        raise Declined(
            f"It was changed here meanwhile ({later.at:%Y-%m-%d %H:%M:%S} UTC: {later.text}) and this side decides "
            "about it. Do it again if it is still meant."
        )


def _acknowledge(asked: Instruction, incident: Incident, person: User) -> str:
    if incident.acknowledge(by=person) is None:
        raise Unchanged("It was acknowledged already.")
    return f"{person} acknowledged {incident.key}."


def _assign(asked: Instruction, incident: Incident, person: User) -> str:
    owner = _by_mail(asked.value) if asked.value else person
    if owner is None:
        raise Declined(
            f"{asked.value} is not the address of anybody here, so {incident.key} keeps its owner."
        )
    if incident.owner_id == owner.pk:
        raise Unchanged(f"{owner} owns it already.")
    incident.assign(owner, by=person, note=asked.text)
    return f"{owner} owns {incident.key} now."


def _state(asked: Instruction, incident: Incident, person: User) -> str:
    if asked.value == incident.state:
        raise Unchanged("It is in that state already.")
    incident.move(asked.value, by=person, note=asked.text)
    return f"{incident.key} is {lifecycle.TITLES[asked.value].lower()} now."


def _priority(asked: Instruction, incident: Incident, person: User) -> str:
    if asked.value not in ("1", "2", "3", "4", "5"):
        raise Declined(f"{asked.value!r} is no severity from 1 to 5.")
    picked = int(asked.value)
    if incident.severity == picked:
        raise Unchanged(f"It is SEV{picked} already.")
    last: SeverityAssessment | None = incident.assessments.order_by("-pk").first()
    answers: Mapping[str, Any] = last.answers if last else {}
    try:
        incident.assess(
            impact=answers.get("impact", {}), urgency=answers.get("urgency", {}), facts=answers.get("facts", {}),
            chosen=picked, reason=asked.text or f"Changed to that priority outside by {person}.", by=person,
        )  # fmt: skip
    except ValueError as error:
        raise Declined(f"{incident.key} has no severity assessment yet: triage it here first.") from error
    return f"{incident.key} is SEV{picked} now."


def _comment(asked: Instruction, incident: Incident, person: User) -> str:
    incident.note(asked.text, by=person, at=asked.at)
    return f"Noted on {incident.key}."


def _decide(yes: bool) -> Callable[[Instruction, Incident, User], str]:
    def decide(asked: Instruction, incident: Incident, person: User) -> str:
        try:
            approval = Approval.objects.select_related("run").get(
                pk=int(asked.value) if asked.value.isdecimal() else 0, incident=incident
            )
        except ObjectDoesNotExist as error:
            raise Declined("There is no such approval.") from error
        approvals.decide(approval, person, yes, asked.text)
        return f"{person} {'approved' if yes else 'rejected'}: {approval.prompt[:200]}"

    return decide


_VERBS: Mapping[str, Callable[[Instruction, Incident, User], str]] = {
    "acknowledge": _acknowledge,
    "assign": _assign,
    "state": _state,
    "priority": _priority,
    "comment": _comment,
    "approve": _decide(True),
    "reject": _decide(False),
}


def _tell_refusal(
    asked: Instruction,
    connection: Connection,
    incident: Incident | None,
    person: User | None,
    name: str,
    why: str,
) -> None:
    """On the timeline, and back to the tool, which otherwise would go on showing what is not so."""
    if incident is None:
        return
    with told_by(connection.origin):
        incident.record(
            "act.refused", text=f"{name} tried to {_TRIED[asked.verb]} in {connection}: {why}", actor=str(connection),
            by=person, data={"verb": asked.verb, "url": asked.url},
        )  # fmt: skip


_TRIED = {
    "acknowledge": "acknowledge it", "assign": "change the owner", "state": "change the state", "declare": "declare it",
    "priority": "change the severity", "comment": "comment", "approve": "approve", "reject": "reject",
}  # fmt: skip


def _answer(
    asked: Instruction, connection: Connection, incident: Incident | None, text: str, result: str
) -> None:
    """Tell the person where they asked: one delivery of kind `answer`, where the tool has such a place."""
    if not asked.answer_to or "answer" not in provider(connection.provider).carries:
        return
    moment: datetime = timezone.now()
    queue(
        connection,
        Announcement(
            kind="answer", idempotency_key=f"answer:{asked.delivery_key}"[:200],
            incident_key=incident.key if incident else "", title=incident.title if incident else "",
            severity=incident.severity if incident else 5, state=incident.state if incident else "", text=text,
            channel=asked.answer_to, at=moment.isoformat(), facts=(("Result", result),),
        ),
    )  # fmt: skip


def _echoes(connection: Connection, remote_part: str) -> bool:
    """Whether a comment or the like at the tool is what we wrote there ourselves."""
    return (
        bool(remote_part) and Delivery.objects.filter(connection=connection, remote_id=remote_part).exists()
    )
