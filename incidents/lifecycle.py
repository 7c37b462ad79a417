"""The state machine on paper: states, moves and guards; page, API and tests ask this table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from incidents.models import Incident, PostMortem

DETECTED, TRIAGED, MITIGATED = "detected", "triaged", "mitigated"
POST_MORTEM, CLOSED = "post_mortem", "closed"
FALSE_POSITIVE, DUPLICATE, MERGED = "false_positive", "duplicate", "merged"

PATH = (DETECTED, TRIAGED, MITIGATED, POST_MORTEM, CLOSED)
SIDE = (FALSE_POSITIVE, DUPLICATE, MERGED)
STATES = [
    (DETECTED, "Detected"), (TRIAGED, "Triaged"), (MITIGATED, "Mitigated"), (POST_MORTEM, "Post-mortem"),
    (CLOSED, "Closed"), (FALSE_POSITIVE, "False positive"), (DUPLICATE, "Duplicate"), (MERGED, "Merged"),
]  # fmt: skip
TITLES = dict(STATES)
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


def guard(code: str, say: str) -> Callable[[Callable[[Incident], bool]], Guard]:
    """Makes a Guard of the function below it."""
    return lambda holds: Guard(code, say, holds)


def _postmortem(incident: Incident) -> PostMortem | None:
    return getattr(incident, "postmortem", None)


@guard("owner", "Assign an owner.")
def owned(i: Incident) -> bool:
    return i.owner_id is not None


@guard("system", "Link the AI system, or choose “unknown system”.")
def linked(i: Incident) -> bool:
    return bool(i.system_id or i.system_unknown)


@guard("class", "Confirm the incident class.")
def classed(i: Incident) -> bool:
    return bool(i.incident_class)


@guard("severity", "Confirm impact, urgency and severity in the matrix.")
def assessed(i: Incident) -> bool:
    return i.assessments.exclude(by=None).exists()


@guard("playbook", "Attach a playbook run, or say why there is none.")
def played(i: Incident) -> bool:
    return bool(i.runs_attached or i.no_playbook_reason)


@guard(
    "questions",
    "Answer whether this may be a serious incident (Art. 3(49)) and whether personal data is involved "
    "(yes, no or unknown).",
)
def asked(i: Incident) -> bool:
    return bool(i.serious_incident and i.personal_data)


@guard("evidence", "Keep an evidence snapshot first.")
def snapshot(i: Incident) -> bool:
    return i.evidence.exists()


@guard("comms", "Make the communications plan.")
def planned(i: Incident) -> bool:
    return bool(i.comms_plan)


@guard(
    "verified",
    "Mitigated needs proof: a playbook's verification must pass, or both the commander and the model owner "
    "attest with evidence.",
)
def verified(i: Incident) -> bool:
    return i.is_verified()


@guard("harm", "State that the harm has stopped.")
def harmless(i: Incident) -> bool:
    return i.harm_stopped


@guard("affected", "Freeze the list of affected parties (it may be empty).")
def frozen(i: Incident) -> bool:
    return i.affected_frozen_at is not None


@guard("remediation", "Create the remediation tasks, or say why none is needed.")
def remedied(i: Incident) -> bool:
    return bool(i.no_remediation_reason or i.tasks.filter(kind="remediation").exists())


@guard("clocks_72h", "A statutory clock of 72 hours or less is running: fulfil it or have it set aside.")
def short_clocks_settled(i: Incident) -> bool:
    return not i.clocks.filter(state__in=("provisional", "running"), short=True).exists()


@guard("measures", "Plan the removal of the temporary measures (or state that there are none).")
def unwinding(i: Incident) -> bool:
    return i.measures_planned_at is not None


@guard("facts", "Complete the summary and impact sections of the post-mortem.")
def written(i: Incident) -> bool:
    pm = _postmortem(i)
    return pm is not None and all((pm.sections.get(key) or "").strip() for key in ("summary", "impact"))


@guard("rca", "Name at least one contributing factor and write the root-cause analysis.")
def analysed(i: Incident) -> bool:
    pm = _postmortem(i)
    return pm is not None and bool((pm.sections.get("root_cause") or "").strip()) and pm.factors.exists()


@guard("actions", "Add an action item, or say why there is none.")
def acted(i: Incident) -> bool:
    pm = _postmortem(i)
    return pm is not None and (bool(pm.no_actions_because.strip()) or i.action_items.exists())


@guard(
    "reviews",
    "The reviews that this severity asks for are missing: SEV1 and SEV2 need model risk and the business owner.",
)
def reviewed(i: Incident) -> bool:
    return i.reviews_complete()


@guard("clocks", "A statutory clock is still open: fulfil it or have it set aside.")
def clocks_settled(i: Incident) -> bool:
    return not i.clocks.filter(state__in=("provisional", "running")).exists()


MOVES: dict[str, Move] = {
    m.name: m
    for m in (
        Move("triage", "Triage", (DETECTED,), TRIAGED, (owned, linked, classed, assessed), "triaged_at"),
        Move("mitigate", "Mark mitigated", (TRIAGED,), MITIGATED, (played, asked, snapshot, planned, verified), "mitigated_at"),
        Move(
            "start_post_mortem", "Start post-mortem", (MITIGATED,), POST_MORTEM,
            (harmless, frozen, remedied, short_clocks_settled, unwinding), "postmortem_at",
        ),
        Move("close", "Close", (POST_MORTEM,), CLOSED, (written, analysed, acted, reviewed, clocks_settled), "closed_at"),
        Move("reopen", "Re-open", (MITIGATED, POST_MORTEM, CLOSED), TRIAGED, (), "reopened_at"),
        Move("mark_false_positive", "Mark as false positive", (DETECTED, TRIAGED), FALSE_POSITIVE, (), "closed_at"),
        Move("mark_duplicate", "Mark as duplicate", (DETECTED, TRIAGED), DUPLICATE, (), "closed_at"),
        Move("merge_into", "Merge into another", (DETECTED, TRIAGED, MITIGATED), MERGED, (), "closed_at"),
        # what was known before may be out of date by now: it is triaged again, with the answers that are there
        Move("unmerge", "Undo the merge", (MERGED,), DETECTED, (), "reopened_at"),
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
