"""Other incidents that resemble one: why each does, and what helped then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from incidents import lifecycle
from incidents.access import visible
from incidents.models import ActionItem, Alert, ContributingFactor, Event, Incident
from incidents.report.document import duration

#: How many of the newest of the same system, and of the same class, are compared; alert traits read for them.
COMPARED, TRAITS = 100, 4000
#: Less than this is no resemblance: the class alone is not enough, class and system are.
LEAST = 4
SHOWN = 5
#: what alerts have in common → (points each, at most so often)
SHARED: dict[str, tuple[int, int]] = {"metric": (1, 2), "feature": (1, 2), "dataset": (2, 1)}
_WORDS = {"metric": "the same figure", "feature": "the same feature", "dataset": "the same data set"}


@dataclass(slots=True)
class Similar:
    """One that resembles: `score` in points, `why` and `helped` as short phrases."""

    incident: Incident
    score: int = 0
    why: list[str] = field(default_factory=list)
    helped: list[str] = field(default_factory=list)

    def add(self, points: int, reason: str) -> None:
        self.score += points
        self.why.append(reason)


def similar_to(incident: Incident, user: Any, limit: int = SHOWN) -> list[Similar]:
    """The most similar incidents that the user may see, the closest first; of equals the newest."""
    others = _candidates(incident, user)
    traits = _traits([incident.pk, *(other.pk for other in others)])
    found = [_compared(incident, other, traits) for other in others]
    close = sorted((one for one in found if one.score >= LEAST), key=lambda one: -one.score)[:limit]
    _say_what_helped(close)
    return close


def _candidates(incident: Incident, user: Any) -> list[Incident]:
    rows = visible(user, Incident.objects.exclude(pk=incident.pk)).select_related("system", "owner")
    newest = rows.order_by("-detected_at", "-id")
    found: dict[int, Incident] = {}
    if incident.system_id is not None:
        found |= {one.pk: one for one in newest.filter(system=incident.system_id)[:COMPARED]}
    if incident.incident_class:
        found |= {one.pk: one for one in newest.filter(incident_class=incident.incident_class)[:COMPARED]}
    return sorted(found.values(), key=lambda one: (one.detected_at, one.pk), reverse=True)


def _traits(ids: list[int]) -> dict[int, dict[str, set[str]]]:
    """incident → trait of SHARED → what its alerts say there."""
    said: dict[int, dict[str, set[str]]] = defaultdict(lambda: {name: set() for name in SHARED})
    rows = Alert.objects.filter(incident__in=ids).order_by().values_list("incident", *SHARED).distinct()
    for pk, *values in rows[:TRAITS]:
        for name, value in zip(SHARED, values, strict=True):
            if value:
                said[pk][name].add(value)
    return said


def _compared(incident: Incident, other: Incident, traits: dict[int, dict[str, set[str]]]) -> Similar:
    one = Similar(other)
    if other.pk == incident.recurrence_of_id or other.recurrence_of_id == incident.pk:
        one.add(5, "one is a recurrence of the other")
    if incident.system_id is not None and other.system_id == incident.system_id:
        one.add(3, f"the same system, {other.system}")
    if incident.incident_class and other.incident_class == incident.incident_class:
        one.add(2, f"the same class, {other.class_title.lower()}")
    if incident.subtype and other.subtype == incident.subtype:
        one.add(2, other.subtype.replace("_", " "))
    if incident.grouping_key and other.grouping_key == incident.grouping_key:
        one.add(1, "the same grouping key")
    for name, (points, most) in SHARED.items():
        both = sorted(traits[incident.pk][name] & traits[other.pk][name])[:most]
        if both:
            one.add(points * len(both), f"{_WORDS[name]}: {', '.join(both)}")
    ours, theirs = _versions(incident), _versions(other)
    if one.score and ours & theirs and other.system_id == incident.system_id:
        one.add(1, f"version {', '.join(sorted(ours & theirs))} served in both")
    return one


def _versions(incident: Incident) -> set[str]:
    return {str(one.get("version")) for one in incident.serving}


def _say_what_helped(found: Iterable[Similar]) -> None:
    """How fast each was contained, which cause was named, which playbook and which measures ended it."""
    by_id = {one.incident.pk: one for one in found}
    causes = ContributingFactor.objects.filter(postmortem__incident__in=by_id, contribution="major")
    for pk, statement in causes.order_by("pk").values_list("postmortem__incident", "statement"):
        _once(by_id[pk], "Cause", statement)
    events = Event.objects.filter(incident__in=by_id, kind__in=("run.succeeded", "incident.false_positive"))
    for event in events.order_by("at", "id"):
        title = "Playbook" if event.kind == "run.succeeded" else "It was nothing"
        _once(by_id[event.incident_id or 0], title, event.data.get("note") or event.text)
    done = ActionItem.objects.filter(incident__in=by_id, status="done").order_by("pk")
    for pk, title in done.values_list("incident", "title"):
        _once(by_id[pk], "Done since", title)
    for one in by_id.values():
        times = [
            f"{word} after {duration(moment - one.incident.detected_at)}"
            for word, moment in (("contained", one.incident.contained_at), ("mitigated", one.incident.mitigated_at))
            if moment is not None
        ]  # fmt: skip
        if times:
            one.helped.insert(0, f"{' and '.join(times)}.".capitalize())
        elif one.incident.state in lifecycle.OPEN:
            one.helped.insert(0, "It is still open.")


def _once(one: Similar, title: str, text: str) -> None:
    """The first of its kind; a list of all would hide what mattered."""
    if text and not any(said.startswith(f"{title}: ") for said in one.helped):
        one.helped.append(f"{title}: {text if len(text) <= 200 else text[:199] + '…'}")
