"""The state machine on paper: states, moves and guards; page, API and tests ask this table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from incidents.models import Incident

DETECTED, TRIAGED, MITIGATED = "detected", "triaged", "mitigated"
POST_MORTEM, CLOSED = "post_mortem", "closed"
FALSE_POSITIVE, DUPLICATE, MERGED = "false_positive", "duplicate", "merged"

PATH = (DETECTED, TRIAGED, MITIGATED, POST_MORTEM, CLOSED)
SIDE = (FALSE_POSITIVE, DUPLICATE, MERGED)
STATES = [
    (DETECTED, "Detected"), (TRIAGED, "Triaged"), (MITIGATED, "Mitigated"), (POST_MORTEM, "Post-mortem"),
    (CLOSED, "Closed"), (FALSE_POSITIVE, "False positive"), (DUPLICATE, "Duplicate"), (MERGED, "Merged"),
]  # fmt: skip
#: being worked on: what "open" means in lists and counts
OPEN = (DETECTED, TRIAGED, MITIGATED, POST_MORTEM)


class Refused(Exception):
    """A move that may not be made now. `reasons` says what is missing, in sentences."""

    def __init__(self, move: str, reasons: list[str]):
        super().__init__(" ".join(reasons))
        self.move = move
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition of a move and the sentence that says what to do when it does not hold."""

    code: str
    say: str
    holds: Callable[[Incident], bool]


@dataclass(frozen=True, slots=True)
class Move:
    """One lifecycle move; `stamp` is the time stamp it sets."""

    name: str
    title: str
    sources: tuple[str, ...]
    target: str
    guards: tuple[Guard, ...] = ()
    stamp: str = ""
    right: str = "incident.change_state"


def _postmortem(incident: Incident) -> Any:
    return getattr(incident, "postmortem", None)


OWNED = Guard("owner", "Assign an owner.", lambda i: i.owner_id is not None)
LINKED = Guard(
    "system",
    "Link the AI system, or choose “unknown system”.",
    lambda i: bool(i.system_id or i.system_unknown),
)
CLASSED = Guard("class", "Confirm the incident class.", lambda i: bool(i.incident_class))
ASSESSED = Guard(
    "severity",
    "Confirm impact, urgency and severity in the matrix.",
    lambda i: i.assessments.exclude(by=None).exists(),
)
PLAYED = Guard(
    "playbook",
    "Attach a playbook run, or say why there is none.",
    lambda i: bool(i.runs_attached or i.no_playbook_reason),
)
ASKED = Guard(
    "questions",
    "Answer whether this may be a serious incident (Art. 3(49)) and whether personal data is involved (yes, no or unknown).",
    lambda i: bool(i.serious_incident and i.personal_data),
)
SNAPSHOT = Guard("evidence", "Keep an evidence snapshot first.", lambda i: i.evidence.exists())
PLANNED = Guard("comms", "Make the communications plan.", lambda i: bool(i.comms_plan))
VERIFIED = Guard(
    "verified",
    "Mitigated needs proof: a playbook's verification must pass, or both the commander and the model owner attest with evidence.",
    lambda i: i.is_verified(),
)
HARMLESS = Guard("harm", "State that the harm has stopped.", lambda i: i.harm_stopped)
FROZEN = Guard(
    "affected",
    "Freeze the list of affected parties (it may be empty).",
    lambda i: i.affected_frozen_at is not None,
)
REMEDIED = Guard(
    "remediation",
    "Create the remediation tasks, or say why none is needed.",
    lambda i: bool(i.no_remediation_reason or i.tasks.filter(kind="remediation").exists()),
)
CLOCKS_SHORT = Guard(
    "clocks_72h",
    "A statutory clock of 72 hours or less is running: fulfil it or have it set aside.",
    lambda i: not i.clocks.filter(state__in=("provisional", "running"), short=True).exists(),
)
UNWINDING = Guard(
    "measures",
    "Plan the removal of the temporary measures (or state that there are none).",
    lambda i: i.measures_planned_at is not None,
)
WRITTEN = Guard(
    "facts",
    "Complete the summary and impact sections of the post-mortem.",
    lambda i: (
        (pm := _postmortem(i)) is not None
        and all((pm.sections.get(k) or "").strip() for k in ("summary", "impact"))
    ),
)
ANALYSED = Guard(
    "rca",
    "Name at least one contributing factor and write the root-cause analysis.",
    lambda i: (
        (pm := _postmortem(i)) is not None
        and bool((pm.sections.get("root_cause") or "").strip())
        and pm.factors.exists()
    ),
)
ACTED = Guard(
    "actions",
    "Add an action item, or say why there is none.",
    lambda i: (
        (pm := _postmortem(i)) is not None
        and (bool(pm.no_actions_because.strip()) or i.action_items.exists())
    ),
)
REVIEWED = Guard(
    "reviews",
    "The reviews that this severity asks for are missing: SEV1 and SEV2 need model risk and the business owner.",
    lambda i: i.reviews_complete(),
)
CLOCKS = Guard(
    "clocks",
    "A statutory clock is still open: fulfil it or have it set aside.",
    lambda i: not i.clocks.filter(state__in=("provisional", "running")).exists(),
)

MOVES: dict[str, Move] = {
    m.name: m
    for m in (
        Move("triage", "Triage", (DETECTED,), TRIAGED, (OWNED, LINKED, CLASSED, ASSESSED), "triaged_at"),
        Move("mitigate", "Mark mitigated", (TRIAGED,), MITIGATED, (PLAYED, ASKED, SNAPSHOT, PLANNED, VERIFIED), "mitigated_at"),
        Move(
            "start_post_mortem", "Start post-mortem", (MITIGATED,), POST_MORTEM,
            (HARMLESS, FROZEN, REMEDIED, CLOCKS_SHORT, UNWINDING), "postmortem_at",
        ),
        Move("close", "Close", (POST_MORTEM,), CLOSED, (WRITTEN, ANALYSED, ACTED, REVIEWED, CLOCKS), "closed_at"),
        Move("reopen", "Re-open", (MITIGATED, POST_MORTEM, CLOSED), TRIAGED, (), "reopened_at"),
        Move("mark_false_positive", "Mark as false positive", (DETECTED, TRIAGED), FALSE_POSITIVE, (), "closed_at"),
        Move("mark_duplicate", "Mark as duplicate", (DETECTED, TRIAGED), DUPLICATE, (), "closed_at"),
        Move("merge_into", "Merge into another", (DETECTED, TRIAGED, MITIGATED), MERGED, (), "closed_at"),
    )
}  # fmt: skip


def moves_from(state: str) -> list[Move]:
    """Moves that start in `state`, the path first."""
    return [m for m in MOVES.values() if state in m.sources]


def move_to(state: str, target: str) -> Move:
    """The move from `state` to `target`; raises Refused with what is possible instead."""
    for move in moves_from(state):
        if move.target == target:
            return move
    possible = ", ".join(m.target for m in moves_from(state)) or "nothing: this state is final"
    raise Refused(target, [f"From {state} there is no move to {target}; possible: {possible}."])


def unmet(incident: Incident, move: Move) -> list[Guard]:
    """Guards that do not hold now."""
    return [g for g in move.guards if not g.holds(incident)]
