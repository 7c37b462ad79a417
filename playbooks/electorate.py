"""Who may answer a question, and whose yes is still missing: roles, four eyes, people who left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from incidents.access import RIGHTS, NotAllowed, can, named_roles, sees_restricted
from incidents.lifecycle import Refused
from incidents.models import Incident, ModelVersion, User
from playbooks.contract import Action
from playbooks.definition import StepDef
from playbooks.definition.consent import alternatives, holders, in_words, named
from playbooks.models import Approval

#: (system, version) of model versions that a person authored
Authored = frozenset[tuple[int, str]]
#: From this class on requester, author and approver are different people.
FOUR_EYES = "R2"
#: People who are looked at for one question.
MOST = 200


class NotYou(Refused):
    """Refused because of who the person is; kept on the timeline."""


@dataclass(frozen=True, slots=True)
class Electorate:
    """Who may answer now, each with the roles that let them, and who holds such a role and may not."""

    may: tuple[tuple[User, tuple[str, ...]], ...]
    may_not: tuple[tuple[User, str], ...]


def asks_first(
    step: StepDef, action: Action | None, risk: str, incident: Incident, starter: User | None
) -> bool:
    """Whether a person is asked before the step acts: always from R2 on and where the playbook says so; for R1 only
    on SEV3 and below, when whoever started the run could not say yes."""
    if step.kind == "approve" or step.approve is not None or action is None or risk >= "R2":
        return True
    if risk == "R0" or not action.changes_world:
        return False
    return incident.severity > 2 and not (starter is not None and can(starter, "approve.R1", incident))


def right_of(asked: Approval) -> str:
    """The right that a yes needs; everything that is asked needs at least the one for R1."""
    return f"approve.{max(asked.risk, 'R1')}"


def wanted(asked: Approval) -> frozenset[str]:
    """Roles of which one lets a person answer."""
    narrowed = frozenset(asked.roles) | named(asked.all_of)
    if asked.kind == "form":
        return (narrowed or RIGHTS["run.control"]) | frozenset(asked.handed_to)
    if not narrowed:
        return RIGHTS[right_of(asked)]
    return holders(asked.risk, asked.incident.incident_class) & (narrowed | frozenset(asked.handed_to))


def roles_of(user: Any, incident: Incident) -> frozenset[str]:
    """The person's roles on the incident: granted, named there, and commander for its owner."""
    return frozenset(user.role_codes(incident.system_id) | named_roles(user, incident))


def electorate(asked: Approval) -> Electorate:
    """Everybody who holds a wanted role, apart from those who have voted. `asked` may be unsaved: a question
    that a plan foresees."""
    may, may_not = [], []
    voted = {vote["user"] for vote in asked.votes}
    for user in _holders(asked.incident, wanted(asked)):
        if user.pk in voted:
            continue
        try:
            role = allowed(asked, user) if asked.kind == "approve" else may_fill(asked, user)
        except (NotAllowed, Refused) as refusal:
            may_not.append((user, str(refusal)))
        else:
            may.append((user, tuple(sorted(roles_of(user, asked.incident) & wanted(asked))) or (role,)))
    return Electorate(tuple(may), tuple(may_not))


def allowed(asked: Approval, by: Any, authored: Authored | None = None) -> str:
    """The role in which the person approves. Raises NotAllowed, NotYou, Refused."""
    if not can(by, right_of(asked), asked.incident) and not _agrees_as_well(asked, by):
        raise NotAllowed(right_of(asked))
    narrowed = wanted(asked)
    mine = roles_of(by, asked.incident) & narrowed
    if not mine:
        raise NotYou(
            "approve", [f"This step asks for {' or '.join(sorted(narrowed)) or 'nobody who may approve it'}."]
        )
    if asked.risk >= FOUR_EYES and (why := _second_eyes(asked, by, authored)):
        raise NotYou("approve", [f"Four eyes: {why} Ask a colleague."])
    counted = standing(asked)
    if any(vote["user"] == by.pk for vote in asked.votes):
        raise Refused("approve", ["You have voted already; somebody else must be the next."])
    if asked.all_of and not _helps(asked, counted, mine):
        lacking = " and ".join(missing(asked, counted))
        raise Refused("approve", [f"Your role has said yes already; what is missing is a yes of {lacking}."])
    return sorted(mine & named(open_roles(asked, counted)) or mine)[0]


def may_fill(asked: Approval, by: Any) -> str:
    """The role in which the person answers a form. Raises NotAllowed, NotYou."""
    if not can(by, "incident.see", asked.incident):
        raise NotAllowed("incident.see")
    mine = roles_of(by, asked.incident) & wanted(asked)
    if not mine and not (by.is_superuser and not asked.roles):
        raise NotYou("answer", [f"This form asks for {' or '.join(sorted(wanted(asked)))}."])
    return sorted(mine)[0] if mine else ""


def standing(asked: Approval) -> list[dict[str, Any]]:
    """The yeses that count: those of people who have neither left since nor lost the role they agreed in."""
    yes = [vote for vote in asked.votes if vote["yes"]]
    if not yes:
        return []
    here = User.objects.in_bulk([vote["user"] for vote in yes])
    return [
        vote
        for vote in yes
        if (person := here.get(vote["user"])) is not None
        and person.is_active
        and roles_of(person, asked.incident) & frozenset(_voted_as(vote))
    ]


def missing(asked: Approval, counted: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What is still needed beside the yeses that count: the roles without one, then "1 more"; empty when enough."""
    lacking = open_roles(asked, counted)
    more = max(asked.quorum, len(asked.all_of)) - len(counted) - len(lacking)
    return (*map(in_words, lacking), *([f"{more} more"] if more > 0 else []))


def open_roles(asked: Approval, counted: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those of `all_of` for which nobody stands yet.

    One person stands for one role, so that "IC and BO" takes two people. Whoever the question was handed to may
    stand for any role.
    """
    return _uncovered(asked.all_of, [_stands_for(asked, _voted_as(vote)) for vote in counted])


def authored_by(user: Any, **which: Any) -> Authored:
    return frozenset(ModelVersion.objects.filter(author=user, **which).values_list("system_id", "version"))


def _holders(incident: Incident, roles: Iterable[str]) -> list[User]:
    codes = list(roles)
    granted = Q(grants__role__in=codes) & (Q(grants__system=None) | Q(grants__system=incident.system_id))
    named = Q(incident_roles__role__in=codes, incident_roles__incident=incident.pk)
    found = granted | named
    if "IC" in codes and incident.owner_id:
        found |= Q(pk=incident.owner_id)
    return list(User.objects.filter(found, is_active=True, is_service=False).distinct().order_by("pk")[:MOST])


def _second_eyes(asked: Approval, by: Any, authored: Authored | None) -> str:
    """Why this person's eyes are not the second pair; empty when they are."""
    again = asked.run.again.get(asked.step.key, {}).get("by")
    if by.pk in (asked.run.started_by_id, asked.step.actor_id, again):
        return "whoever asked for this cannot approve it."
    if asked.run.version.author_id == by.pk:
        return f"the author of {asked.run.version} cannot approve what it does."
    if (version := _authored(asked, by, authored)) is not None:
        return f"the author of model version {version} cannot approve its use."
    return ""


def _authored(asked: Approval, by: Any, authored: Authored | None) -> str | None:
    """The model version among the step's parameters that this person authored, if any."""
    named = {str(value) for value in _leaves(asked.step.inputs)}
    system = asked.incident.system_id
    if not named or system is None:
        return None
    known = authored_by(by, system=system) if authored is None else authored
    return next((version for version in sorted(named) if (system, version) in known), None)


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [] if value is None or isinstance(value, bool) else [value]


def _stands_for(asked: Approval, roles: Iterable[str]) -> frozenset[str]:
    mine = frozenset(roles)
    return named(asked.all_of) if mine & frozenset(asked.handed_to) else mine


def _voted_as(vote: Mapping[str, Any]) -> list[str]:
    return list(vote.get("roles") or [vote["role"]])


def _agrees_as_well(asked: Approval, by: Any) -> bool:
    """Whether the person's role agrees on incidents of this class beside those who hold the right."""
    if not getattr(by, "is_authenticated", False) or not by.is_active or by.is_service:
        return False
    if asked.incident.restricted and not sees_restricted(by, asked.incident):
        return False
    extra = holders(asked.risk, asked.incident.incident_class) - RIGHTS[right_of(asked)]
    return bool(roles_of(by, asked.incident) & extra)


def _helps(asked: Approval, counted: Sequence[Mapping[str, Any]], mine: frozenset[str]) -> bool:
    """Whether one more yes in these roles brings the question nearer to its end."""
    before = missing(asked, counted)
    return missing(asked, [*counted, {"role": "", "roles": sorted(mine)}]) != before


def _uncovered(needed: Sequence[str], offered: Sequence[frozenset[str]]) -> list[str]:
    """The needed roles that remain when as many as possible are given to one offer each (augmenting paths)."""
    given: dict[int, int] = {}  # offer → place in `needed`

    def place(role: int, seen: set[int]) -> bool:
        for at, roles in enumerate(offered):
            if alternatives(needed[role]) & roles and at not in seen:
                seen.add(at)
                if at not in given or place(given[at], seen):
                    given[at] = role
                    return True
        return False

    return [role for at, role in enumerate(needed) if not place(at, set())]
