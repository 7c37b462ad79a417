"""Who may do what: the rights of each role, asked by pages, API, admin and verbs alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Exists, OuterRef, Q, QuerySet

if TYPE_CHECKING:
    from incidents.models import Incident, User

RESPONDERS = frozenset({"MLE", "DSC", "DE", "DST", "SRE"})
GOVERNANCE = frozenset({"MRC", "ETH", "DPO", "LEG"})
EVERYBODY = RESPONDERS | GOVERNANCE | {"REP", "IC", "MO", "SEC", "BO", "COM", "EXE", "SAF", "SYS"}

#: Classes of incidents that security leads, as it does whatever somebody did on purpose.
SECURITY = frozenset({"POISON", "ADVERS", "INJECT", "LEAK"})
#: Rights that security holds on such incidents only, and the classes (DOMAIN 6.3, “x on security”).
OF_SECURITY = {
    "incident.change_state": SECURITY,
    "incident.change_severity": SECURITY,
}
#: Being named in one of these roles opens no restricted incident.
NOT_INTO_RESTRICTED = frozenset({"REP", "COM", "ADM", "SYS"})

#: right → roles that hold it (DOMAIN 6.3). "ADM" configures and takes no decisions about incidents.
RIGHTS: dict[str, frozenset[str]] = {
    "incident.create": EVERYBODY | {"ADM"},
    "incident.see": EVERYBODY - {"REP"} | {"AUD"},
    "incident.see_restricted": frozenset({"IC", "SEC"}),
    "incident.acknowledge": RESPONDERS | {"IC", "MO", "SEC", "EXE"},
    "incident.change_state": frozenset({"IC", "SEC", "EXE"}),
    "incident.change_severity": frozenset({"IC", "SEC", "EXE"}),
    "incident.raise_severity": frozenset({"SYS"}),
    "incident.edit": RESPONDERS | {"IC", "MO", "SEC"},
    "incident.attest": frozenset({"IC", "MO", "SEC"}),
    "timeline.append": EVERYBODY - {"EXE"},
    "timeline.correct": frozenset({"IC"}),
    "postmortem.edit": RESPONDERS | GOVERNANCE | {"IC", "MO", "SEC", "BO", "COM"},
    "postmortem.review": GOVERNANCE | {"IC", "MO", "BO", "SEC", "EXE", "SAF"},
    "postmortem.export": EVERYBODY - {"REP"} | {"AUD"},
    "evidence.see": RESPONDERS | GOVERNANCE | {"IC", "MO", "SEC", "SAF", "AUD"},
    "evidence.reveal": GOVERNANCE | {"IC", "SEC"},
    "run.start": RESPONDERS | {"IC", "MO", "SEC"},
    "run.start_authorised": frozenset({"SYS"}),
    "run.control": RESPONDERS | {"IC", "MO", "SEC"},
    "approve.R1": RESPONDERS | {"IC", "MO", "SEC", "BO", "EXE"},
    "approve.R2": frozenset({"IC", "BO", "EXE"}),
    "approve.R3": GOVERNANCE,
    "approve.R4": frozenset({"LEG", "DPO", "EXE"}),
    "playbook.draft": RESPONDERS | {"IC", "MO", "SEC"},
    "playbook.publish": GOVERNANCE,
    "system.edit": frozenset({"MO", "IC", "ADM"}),
    "clock.settle": GOVERNANCE,
    "silence.create": RESPONDERS | {"IC", "MO", "SEC"},
    "audit.see": frozenset({"AUD", "SEC", "ADM"}),
    "config.see": frozenset({"ADM", "IC", "SEC", "AUD"}) | RESPONDERS,
    "config.edit": frozenset({"ADM"}),
}

#: Being named in one of these roles opens the incident, restricted or not.
INTO_RESTRICTED = (EVERYBODY | {"AUD"}) - NOT_INTO_RESTRICTED

#: scopes an API token needs for a right, by the right's first word
READ_RIGHTS = frozenset(r for r in RIGHTS if r.split(".")[1].startswith("see") or r == "postmortem.export")


class NotAllowed(Exception):
    """The person may not do this; the message names the right and who holds it."""

    def __init__(self, right: str):
        holders = ", ".join(sorted(RIGHTS[right]))
        super().__init__(
            f"This needs the right “{right}”, held by the roles {holders}. Ask an administrator for one."
        )
        self.right = right


def can(user: Any, right: str, incident: Incident | None = None, system_id: int | None = None) -> bool:
    """True when the user holds the right, on this incident or system where one is given.

    A superuser holds every right except approvals, which always need the role. Restricted
    incidents are open only to their named people and to the roles that see restricted ones.
    """
    allowed = RIGHTS[right]
    if not getattr(user, "is_authenticated", False) or not user.is_active:
        return False
    if incident is not None:
        allowed = holders_on(right, incident)
        if incident.restricted and right != "incident.see_restricted" and not sees_restricted(user, incident):
            return False
        system_id = incident.system_id
    if user.is_service and right.startswith("approve."):
        return False
    if user.is_superuser and not right.startswith("approve."):
        return True
    if user.role_codes(system_id) & allowed:
        return True
    if incident is not None:
        if named_roles(user, incident) & allowed:
            return True
        if right == "incident.see" and incident.reported_by_id == user.pk:
            return True
    return False


def holders_on(right: str, incident: Incident) -> frozenset[str]:
    """The roles that hold the right on this incident: security's own rights end where nothing is security's."""
    classes = OF_SECURITY.get(right)
    if classes is None or incident.incident_class in classes or incident.intent == "malicious":
        return RIGHTS[right]
    return RIGHTS[right] - {"SEC"}


def can_somewhere(user: Any, right: str) -> bool:
    """True when the user holds the right everywhere or on at least one system: what is needed to be
    shown a place (a list, a menu entry) whose rows are narrowed to what the user may see."""
    if can(user, right):
        return True
    if not getattr(user, "is_authenticated", False) or not user.is_active:
        return False
    return bool(user.roles_anywhere() & RIGHTS[right])


def require_somewhere(user: Any, right: str) -> None:
    """Raise NotAllowed unless `can_somewhere`."""
    if not can_somewhere(user, right):
        raise NotAllowed(right)


def sees_restricted(user: User, incident: Incident) -> bool:
    """Named on the incident, or in a role that sees every restricted one."""
    if user.is_superuser or user.role_codes(incident.system_id) & RIGHTS["incident.see_restricted"]:
        return True
    if incident.owner_id == user.pk:
        return True
    return any(uid == user.pk and role not in NOT_INTO_RESTRICTED for role, uid in _named(incident))


def named_roles(user: User, incident: Incident) -> frozenset[str]:
    """Roles in which the user is named on the incident; whoever owns it commands it."""
    named = {role for role, uid in _named(incident) if uid == user.pk}
    return frozenset(named | {"IC"} if incident.owner_id == user.pk else named)


def _named(incident: Incident) -> list[tuple[str, int]]:
    if incident._named_people is None:
        # `all()` takes the rows that a list has prefetched
        incident._named_people = [(r.role, r.user_id) for r in incident.roles.all()] if incident.pk else []
    return incident._named_people


def require(user: Any, right: str, incident: Incident | None = None, system_id: int | None = None) -> None:
    """Raise NotAllowed unless `can`."""
    if not can(user, right, incident, system_id):
        raise NotAllowed(right)


def visible(user: Any, incidents: QuerySet[Incident]) -> QuerySet[Incident]:
    """Only the incidents that the user may see; the others are absent, also from counts."""
    rule = seeing(user)
    return incidents if rule is None else incidents.filter(rule)


def seeing(user: Any, via: str = "") -> Q | None:
    """Which incidents the user may see, as a condition on them (or on what hangs on them: `via="incident__"`);
    None when it is all of them.

    It joins nothing that would double rows, and names systems by number, so that an index can serve it.
    """
    if not user.is_authenticated:
        return Q(**{f"{via}pk__in": []})
    if user.is_superuser or user.role_codes() & RIGHTS["incident.see_restricted"]:
        return None
    if user.role_codes() & RIGHTS["incident.see"]:
        rule = Q(**{f"{via}restricted": False})
    else:
        rule = Q(**{f"{via}reported_by": user, f"{via}restricted": False})
        if some := _systems(user, "incident.see"):
            rule |= Q(**{f"{via}system__in": some, f"{via}restricted": False})
    if secret := _systems(user, "incident.see_restricted"):
        rule |= Q(**{f"{via}system__in": secret})
    # asked last, and row by row: a list of all one's incidents would be made first and keep indexes from being used
    named = user.incident_roles.filter(incident=OuterRef(f"{via}pk")).filter(
        Q(role__in=INTO_RESTRICTED) | Q(incident__restricted=False)
    )
    return rule | Q(**{f"{via}owner": user}) | Q(Exists(named))


def _systems(user: User, right: str) -> list[int]:
    """Systems on which the user holds a role with the right."""
    return sorted({on for role, on in user._granted() if on is not None and role in RIGHTS[right]})
