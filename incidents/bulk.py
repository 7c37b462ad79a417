"""The same verb on many incidents: each by itself, answered one by one; a refusal stops none of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django_fsm import ConcurrentTransition

from incidents import lifecycle
from incidents.access import NotAllowed
from incidents.models import Incident

#: verb → title
VERBS = {
    "acknowledge": "Acknowledge",
    "assign": "Hand over to",
    "close": "Close",
    "mark_false_positive": "Mark as false positive",
}
MOST = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one incident; `reasons` is empty when it was done."""

    incident: Incident
    reasons: list[str]

    @property
    def done(self) -> bool:
        return not self.reasons


def apply(
    incidents: Iterable[Incident], verb: str, *, by: Any, owner: Any = None, note: str = ""
) -> list[Answer]:
    """Do `verb` (one of VERBS) on each. Raises ValueError for an unknown verb or a hand-over to nobody."""
    if verb not in VERBS:
        raise ValueError(f"There is no verb {verb!r} for many; there are {', '.join(VERBS)}.")
    if verb == "assign" and owner is None:
        raise ValueError("Choose the person who takes over.")
    act = _act(verb, by, owner, note.strip())
    return [Answer(incident, _tried(act, incident)) for incident in incidents]


def _act(verb: str, by: Any, owner: Any, note: str) -> Callable[[Incident], None]:
    def act(incident: Incident) -> None:
        if verb == "acknowledge":
            incident.acknowledge(by=by)
            if note:
                incident.note(note, by=by)
        elif verb == "assign":
            incident.assign(owner, by=by, note=note)
        else:
            incident.move(lifecycle.MOVES[verb].target, by=by, note=note)

    return act


def _tried(act: Callable[[Incident], None], incident: Incident) -> list[str]:
    try:
        with transaction.atomic():
            act(incident)
    except lifecycle.Refused as error:
        return error.reasons
    except ConcurrentTransition:
        return ["Somebody else changed it at the same moment."]
    except (NotAllowed, ValueError) as error:
        return [str(error)]
    return []
