"""What reaches a person: which events concern whom, and how each wants to hear of which kind.

A notice is a row; the mark in the head of every page counts those that are not read. Upper floors add whom their
events concern (`register`), and carry letters (`mail_ready` says whether somebody does).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from incidents.access import can, visible
from incidents.models import Event, Incident, Notice, Task, User

if TYPE_CHECKING:
    from django.db.models import QuerySet

#: kind → (title, how people hear of it who have not said otherwise)
KINDS: dict[str, tuple[str, str]] = {
    "handed": ("An incident is handed over to me", "mail"),
    "escalated": ("Nobody acknowledged, and I am next in line", "mail"),
    "approval": ("An approval or a form waits for me", "page"),
    "task": ("A task is given to me", "page"),
    "opened": ("A SEV1 or SEV2 opens on a system of mine or of my teams", "page"),
    "mention": ("Somebody writes @me in a note", "page"),
}
#: how → title
WAYS = {"off": "Not at all", "page": "Mark on every page", "mail": "Mark and e-mail"}
_MENTION = re.compile(r"(?<![\w@.])@([\w.+-]{1,150})")

Concerned = Callable[[Event], Iterable[User]]
_others: dict[str, tuple[str, Concerned]] = {}
_mail: list[Callable[[], bool]] = []


def register(event_kind: str, kind: str, whom: Concerned) -> None:
    """Events of `event_kind` concern the people that `whom` names, as notices of `kind`."""
    _others[event_kind] = (kind, whom)


def mail_by(ready: Callable[[], bool]) -> None:
    """`ready` says whether letters can be sent now. The last one counts."""
    _mail[:] = [ready]


def mail_ready() -> bool:
    return any(ready() for ready in _mail)


def way_of(user: User, kind: str) -> str:
    """How the person hears of this kind: a key of WAYS."""
    said = (user.notify or {}).get(kind)
    return said if said in WAYS else KINDS[kind][1]


def on_event(event: Event) -> None:
    """Write the notices of an event; told again, none is doubled. Nobody hears of what they did or may not see."""
    kind, people = _concerned(event)
    wanted = {
        user.pk: user
        for user in people
        if user.is_active and not user.is_service and user.pk != event.by_id and way_of(user, kind) != "off"
        and (event.incident is None or can(user, "incident.see", event.incident))
    }  # fmt: skip
    if wanted:
        Notice.objects.bulk_create(
            [Notice(user=user, event=event, kind=kind, at=event.at) for user in wanted.values()],
            ignore_conflicts=True,
        )


def of(user: User) -> QuerySet[Notice]:
    """The person's notices of what they may see now, newest first."""
    seen = visible(user, Incident.objects.all()).order_by().values("pk")
    return user.notices.filter(event__incident__in=seen).select_related("event__incident", "event__by")


def unread(user: User) -> int:
    """How many are not read, of what they may see now."""
    return of(user).filter(read_at=None).count()


def read(user: User, ids: Iterable[int] | None = None) -> int:
    """Mark notices as read, all without `ids`; how many were not."""
    rows = user.notices.filter(read_at=None)
    if ids is not None:
        rows = rows.filter(pk__in=list(ids))
    return rows.update(read_at=timezone.now())


def _concerned(event: Event) -> tuple[str, list[User]]:
    data: dict[str, Any] = event.data
    match event.kind:
        case "incident.assigned":
            return "handed", _people([data["to"]] if data.get("to") else [])
        case "incident.escalated":
            return "escalated", _people(data.get("to", ()))
        case "task.added":
            task = Task.objects.filter(pk=int(data.get("task") or 0)).select_related("assignee").first()
            return "task", [task.assignee] if task and task.assignee else []
        case "incident.opened" if event.incident and event.incident.severity <= 2:
            return "opened", _of_system(event.incident)
        case "note.added" | "note.corrected":
            return "mention", list(User.objects.filter(username__in=_MENTION.findall(event.text)[:20]))
    kind, whom = _others.get(event.kind, ("mention", lambda _: ()))
    return kind, list(whom(event))


def _people(ids: Iterable[int]) -> list[User]:
    return list(User.objects.filter(pk__in=list(ids)))


def _of_system(incident: Incident) -> list[User]:
    """The owner of its system and the members of the system's team."""
    system = incident.system
    if system is None:
        return []
    members = list(system.team.members.all()) if system.team else []
    return [*([system.owner] if system.owner else []), *members]
