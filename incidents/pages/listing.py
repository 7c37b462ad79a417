"""What the address of the list of incidents asks for: view, facets, words, order, columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import QueryDict
from django.utils import timezone

from incidents import lifecycle, search
from incidents.access import visible
from incidents.models import AISystem, Incident, ResponseDue, User
from incidents.models.incident import CLASS_TITLES

#: name → (title, order); the keys of the sort menu
SORTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "": ("Newest first", ("-detected_at", "-id")),
    "severity": ("Worst first", ("severity", "-detected_at", "-id")),
    "updated": ("Last changed first", ("-updated_at", "-id")),
    "oldest": ("Oldest first", ("detected_at", "id")),
}
#: column → title; severity, incident and state always stand
COLUMNS = {
    "class": "Class", "system": "System", "owner": "Commander", "detected": "Detected", "due": "Next due",
    "updated": "Last change", "firing": "Firing", "people": "People affected", "source": "Found by",
}  # fmt: skip
USUAL = ("system", "owner", "detected", "due")
#: facet → column
FACETS = {
    "severity": "severity",
    "state": "state",
    "class": "incident_class",
    "system": "system_id",
    "owner": "owner_id",
}
FACET_TITLES = {
    "severity": "Severity",
    "state": "State",
    "class": "Class",
    "system": "System",
    "owner": "Commander",
}
NONE = "none"
MOST_VALUES = 12
#: Rows whose facets are counted; what is open in a large house is well below.
COUNTED = 5_000


def _late(rows: QuerySet[Incident], _: User) -> QuerySet[Incident]:
    due = ResponseDue.objects.filter(incident=OuterRef("pk"), met_at=None, due_at__lt=timezone.now())
    return rows.filter(Exists(due), state__in=lifecycle.OPEN)


#: name → (title, what it shows); the tabs above the list
VIEWS: dict[str, tuple[str, Callable[[QuerySet[Incident], User], QuerySet[Incident]]]] = {
    "": ("Open", lambda rows, _: rows.filter(state__in=lifecycle.OPEN)),
    "mine": ("Mine", lambda rows, user: rows.filter(Q(owner=user) | Q(pk__in=user.incident_roles.values("incident")), state__in=lifecycle.OPEN)),
    "new": ("Not acknowledged", lambda rows, _: rows.filter(acked_at=None, state__in=lifecycle.OPEN)),
    "late": ("Late", _late),
    "reported": ("Reported by me", lambda rows, user: rows.filter(reported_by=user)),
    "done": ("Closed", lambda rows, _: rows.exclude(state__in=lifecycle.OPEN)),
    "all": ("All", lambda rows, _: rows),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """A query of the list, read; what cannot be read is left out."""

    view: str
    sort: str
    words: str
    columns: tuple[str, ...]
    #: facet → chosen values as texts; NONE stands for "nobody", "no system"
    chosen: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, given: QueryDict) -> Asked:
        view, sort = given.get("view", ""), given.get("sort", "")
        columns = tuple(c for c in COLUMNS if c in given.getlist("col"))
        return cls(
            view=view if view in VIEWS else "",
            sort=sort if sort in SORTS else "",
            words=given.get("q", "").strip()[:200],
            columns=columns or USUAL,
            chosen={name: tuple(v for v in given.getlist(name)[:20] if v) for name in FACETS},
        )

    def base(self, user: User) -> QuerySet[Incident]:
        """What view and words show of what the person may see, facets aside."""
        return search.found(VIEWS[self.view][1](visible(user, Incident.objects.all()), user), self.words)

    def rows(self, user: User, without: str = "") -> QuerySet[Incident]:
        """What view, words and facets show, the facet `without` aside."""
        rows = self.base(user)
        for name, values in self.chosen.items():
            if values and name != without:
                rows = rows.filter(_facet(name, values))
        return rows

    @property
    def order(self) -> tuple[str, ...]:
        return SORTS[self.sort][1]


def _facet(name: str, values: Iterable[str]) -> Q:
    known = [v for v in values if v != NONE]
    match name:
        case "severity":
            hits = Q(severity__in=[int(v) for v in known if v in "12345" and len(v) == 1])
        case "state":
            hits = Q(state__in=known)
        case "class":
            hits = Q(incident_class__in=known)
        case "system":
            hits = Q(system__slug__in=known)
        case _:
            hits = Q(owner__username__in=known)
    if NONE in values:
        hits |= Q(**{FACETS[name]: "" if name == "class" else None})
    return hits


def facets(asked: Asked, user: User) -> list[dict[str, Any]]:
    """Each facet with its values and counts: how many there would be with that value and the other facets' choice.

    The newest `COUNTED` are counted, so that a list of any length answers at once; where there are more, the facet
    is `capped` and its counts are "at least".
    """
    free = [name for name in FACETS if not asked.chosen[name]]
    counts, capped = _counted(asked.rows(user), free)
    for name in FACETS:
        if name not in free:
            of_it, more = _counted(asked.rows(user, without=name), [name])
            counts |= of_it
            capped |= more
    names = _names(counts)
    found = []
    for name in FACETS:
        wanted = {_text_of(name, value, names) for value in asked.chosen[name]}
        values: list[dict[str, Any]] = [
            {
                "value": names[name].get(value, (value, ""))[0], "title": names[name].get(value, ("", value))[1],
                "count": count, "on": value in wanted,
            }
            for value, count in counts[name].items()
        ]  # fmt: skip
        values.sort(key=lambda v: _rank(name, v))
        kept = [v for at, v in enumerate(values) if at < MOST_VALUES or v["on"]]
        if len(values) > 1 or wanted:
            found.append(
                {"name": name, "title": FACET_TITLES[name], "values": kept, "more": len(values) - len(kept),
                 "capped": COUNTED if name in capped else 0}
            )  # fmt: skip
    return found


def _counted(rows: QuerySet[Incident], names: list[str]) -> tuple[dict[str, Counter[str]], set[str]]:
    """name → value → count among the newest of `rows`, and the names of which there are more rows than counted."""
    if not names:
        return {}, set()
    columns = [FACETS[name] for name in names]
    taken = list(rows.order_by("-detected_at", "-id").values_list(*columns)[: COUNTED + 1])
    counts = {
        name: Counter(map(_text, values))
        for name, values in zip(names, zip(*taken[:COUNTED], strict=True), strict=False)
    }
    return {name: counts.get(name, Counter()) for name in names}, set(names) if len(
        taken
    ) > COUNTED else set()


def _rank(facet: str, value: dict[str, Any]) -> tuple[Any, ...]:
    """Severities and states in their own order, the rest by how many there are."""
    if facet == "severity":
        return (value["value"],)
    if facet == "state":
        return ([code for code, _ in lifecycle.STATES].index(value["value"]),)
    return (-value["count"], value["title"])


def _text(value: Any) -> str:
    return NONE if value in (None, "") else str(value)


def _names(counts: dict[str, Counter[str]]) -> dict[str, dict[str, tuple[str, str]]]:
    """facet → value in the rows → (value in the address, title)."""
    systems = [int(value) for value in counts["system"] if value != NONE]
    owners = [int(value) for value in counts["owner"] if value != NONE]
    return {
        "severity": {str(n): (str(n), f"SEV{n}") for n in range(1, 6)},
        "state": {code: (code, title) for code, title in lifecycle.STATES},
        "class": {NONE: (NONE, "Unclassified"), **{code: (code, title) for code, title in CLASS_TITLES.items()}},
        "system": {NONE: (NONE, "Not known"), **{str(s.pk): (s.slug, s.name) for s in AISystem.objects.filter(pk__in=systems)}},
        "owner": {NONE: (NONE, "Nobody"), **{str(u.pk): (u.username, str(u)) for u in User.objects.filter(pk__in=owners)}},
    }  # fmt: skip


def _text_of(name: str, value: str, names: dict[str, dict[str, tuple[str, str]]]) -> str:
    return next((inner for inner, (outer, _) in names[name].items() if outer == value), value)
