"""The post-mortem's verbs: start a draft from the facts, write sections, name causes, sign off."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from incidents.access import require
from incidents.lifecycle import Refused
from incidents.models import ActionItem, ContributingFactor, PostMortem, Review
from incidents.report.document import duration

if TYPE_CHECKING:
    from incidents.models import Incident, User

#: What people write, key → (title, what belongs there). The facts beside each are computed.
WRITTEN: dict[str, tuple[str, str]] = {
    "summary": ("Executive summary", "What happened, to whom, how it ended; 120 words at most."),
    "impact": ("Impact", "People, decisions, money, obligations; who was hit and how we know."),
    "detection": ("Detection", "Which signal, was it the first possible one, what would have caught it earlier."),
    "root_cause": ("Root-cause analysis", "The tree of whys with evidence; why it was not detected and not stopped earlier."),
    "fairness": ("Fairness and ethics", "Groups, measures before and after with intervals, remedy."),
    "lessons": ("What went well, what went poorly, where we were lucky", "Three short lists."),
    "changes": ("Playbook and monitoring changes", "What the next version should do differently."),
    "remedy": ("Remedy for affected parties", "Decisions corrected, messages sent, what remains."),
    "questions": ("Open questions", "What we still do not know."),
}  # fmt: skip
SUMMARY_WORDS = 120
#: Phrases that name no test of success (DOMAIN 5.4).
EMPTY_PROMISES = ("be more careful", "improve monitoring", "pay attention", "try harder", "train people")


def draft(incident: Incident, *, by: User | None = None) -> PostMortem:
    """The incident's post-mortem, made from the facts when it does not exist yet."""
    if by is not None:
        require(by, "postmortem.edit", incident)
    with transaction.atomic():
        pm, made = PostMortem.objects.get_or_create(
            incident=incident, defaults={"sections": {"summary": first_summary(incident)}}
        )
        if made:
            if by is not None:
                pm.authors.add(by)
            incident.record("postmortem.drafted", text="Post-mortem drafted from the facts.", by=by)
    return pm


def first_summary(incident: Incident) -> str:
    """Sentences that hold whatever people add: what, where, how bad, how long."""
    system = f" on {incident.system}" if incident.system else ""
    said = [
        f"{incident.title}{system}: a {incident.class_title.lower()} incident of severity SEV{incident.severity}, "
        f"detected {incident.detected_at:%Y-%m-%d %H:%M} UTC from {incident.alert_count or 'no'} "
        f"{'alert' if incident.alert_count == 1 else 'alerts'}."
    ]
    for stamp, word in (
        ("acked_at", "acknowledged"),
        ("contained_at", "contained"),
        ("mitigated_at", "mitigated"),
    ):
        moment = getattr(incident, stamp)
        if moment is not None:
            said.append(f"It was {word} after {duration(moment - incident.detected_at)}.")
    if incident.affected_people is not None:
        said.append(f"Best estimate of people adversely affected: {incident.affected_people:,}.")
    return " ".join(said)


class Overtaken(Refused):
    """Somebody else saved the same sections meanwhile: `theirs` is section → what they wrote."""

    def __init__(self, theirs: Mapping[str, str]) -> None:
        titles = ", ".join(WRITTEN[key][0].lower() for key in theirs)
        super().__init__(
            "write",
            [f"Somebody else saved this meanwhile: {titles}. Their words stand above yours; merge both, then save again."],
        )  # fmt: skip
        self.theirs = dict(theirs)


def mark_of(text: str) -> str:
    """A short digest of a section's text: what a writer has seen."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def write(
    pm: PostMortem, sections: Mapping[str, str], *, by: User, revision: int | None = None,
    seen: Mapping[str, str] | None = None,
) -> PostMortem:  # fmt: skip
    """Replace the text of some sections. With `revision`, refused when somebody else saved since; with `seen`
    (section → `mark_of` what it replaces), only when they saved the same section: raises Overtaken."""
    require(by, "postmortem.edit", pm.incident)
    if unknown := set(sections) - set(WRITTEN):
        raise Refused(
            "write", [f"There is no section {', '.join(sorted(unknown))}; choose among {', '.join(WRITTEN)}."]
        )
    with transaction.atomic():
        fresh = PostMortem.objects.select_for_update().get(pk=pm.pk)
        if revision is not None and revision != fresh.revision:
            raise Refused(
                "write",
                [
                    "Somebody saved this post-mortem since you opened it. Copy your text, reload, and put it in again."
                ],
            )
        theirs = {
            key: text
            for key in seen or {}
            if mark_of(text := fresh.sections.get(key, "")) != (seen or {})[key]
            and text != sections.get(key, text)
        }
        if theirs:
            raise Overtaken(theirs)
        _changeable(fresh)
        fresh.sections = {**fresh.sections, **sections}
        fresh.revision += 1
        fresh.updated_at = timezone.now()
        fresh.save(update_fields=["sections", "revision", "updated_at"])
        fresh.authors.add(by)
        changed = ", ".join(WRITTEN[key][0].lower() for key in sections)
        pm.incident.record(
            "postmortem.edited", text=f"Post-mortem: {changed}.", by=by, data={"sections": sorted(sections)}
        )
    return fresh


def no_actions(pm: PostMortem, *, by: User, because: str) -> PostMortem:
    """Say why there are no action items; an empty text takes that back."""
    require(by, "postmortem.edit", pm.incident)
    because = because.strip()
    with transaction.atomic():
        fresh = PostMortem.objects.select_for_update().get(pk=pm.pk)
        _changeable(fresh)
        if fresh.no_actions_because == because:
            return fresh
        fresh.no_actions_because, fresh.updated_at = because, timezone.now()
        fresh.save(update_fields=["no_actions_because", "updated_at"])
        fresh.authors.add(by)
        said = f"no action items, because {because}" if because else "action items are needed after all."
        pm.incident.record("postmortem.edited", text=f"Post-mortem: {said}", by=by)
    return fresh


def _changeable(pm: PostMortem) -> None:
    if pm.status == "approved":
        raise Refused("write", ["An approved post-mortem is not changed. Re-open the review first."])


def name_factor(
    pm: PostMortem, *, by: User, code: str, statement: str, contribution: str = "major", evidence: str = ""
) -> ContributingFactor:
    """Add one cause among several."""
    require(by, "postmortem.edit", pm.incident)
    if not statement.strip():
        raise Refused("factor", ["Say in a sentence what contributed."])
    with transaction.atomic():
        factor = ContributingFactor.objects.create(
            postmortem=pm, code=code, statement=statement, contribution=contribution, evidence=evidence
        )
        pm.incident.record("postmortem.factor", text=f"Contributing factor {code}: {statement}", by=by)
    return factor


def action_problems(incident: Incident, title: str, done_when: str, due_at: Any, priority: str) -> list[str]:
    """What keeps an action item from being one that will be done (DOMAIN 5.4)."""
    problems = []
    said = f"{title} {done_when}".lower()
    if not done_when.strip():
        problems.append("Say how one will see that it is done (“done when …”).")
    for phrase in EMPTY_PROMISES:
        if phrase in said and len(done_when.split()) < 4:
            problems.append(f"“{phrase}” cannot be checked; name the measure and its target.")
    if priority in ("P0", "P1") and due_at > timezone.now().date() + timedelta(days=90):
        problems.append("P0 and P1 items are due within 90 days.")
    if incident.action_items.filter(status="open").count() >= 10:
        problems.append("Ten items are open already; more will not be done. Drop or merge some first.")
    return problems


def add_action(incident: Incident, *, by: User, title: str, kind: str, owner: User, due_at: Any, done_when: str, priority: str = "P1", factor: ContributingFactor | None = None) -> ActionItem:  # fmt: skip
    """Create an action item. Raises Refused with what makes it uncheckable."""
    require(by, "postmortem.edit", incident)
    problems = action_problems(incident, title, done_when, due_at, priority)
    if problems:
        raise Refused("action", problems)
    with transaction.atomic():
        item = ActionItem.objects.create(
            incident=incident, title=title, kind=kind, owner=owner, due_at=due_at, done_when=done_when,
            priority=priority, factor=factor,
        )  # fmt: skip
        incident.record(
            "action.added",
            text=f"Action item for {owner} until {due_at}: {title}",
            by=by,
            data={"action": item.pk},
        )
    return item


def finish_action(item: ActionItem, *, by: User, evidence: str) -> None:
    """Close an action item with its evidence."""
    require(by, "postmortem.edit", item.incident)
    if not evidence.strip():
        raise Refused(
            "action", ["Closing needs evidence: a link or a sentence that shows the test of success."]
        )
    with transaction.atomic():
        item.status, item.closed_at, item.closing_evidence = "done", timezone.now(), evidence
        item.save(update_fields=["status", "closed_at", "closing_evidence"])
        item.incident.record("action.done", text=f"Action item done: {item.title} ({evidence})", by=by)


def review(pm: PostMortem, *, by: User, role: str, approved: bool, comment: str = "") -> Review:
    """Sign off in a role that the reviewer holds. The last missing yes approves the report."""
    incident = pm.incident
    require(by, "postmortem.review", incident)
    if role not in by.role_codes(incident.system_id):
        raise Refused("review", [f"You do not hold the role {role}; sign off in one of yours."])
    with transaction.atomic():
        row = Review.objects.create(postmortem=pm, role=role, by=by, approved=approved, comment=comment)
        word = "approved" if approved else "declined"
        incident.record(
            "postmortem.reviewed",
            text=f"{by} {word} the post-mortem as {role}. {comment}".strip(),
            by=by,
            data={"role": role, "approved": approved},
        )
        status = "approved" if approved and incident.reviews_complete() else "in_review"
        if status != pm.status:
            pm.status = status
            pm.save(update_fields=["status"])
            if status == "approved":
                incident.pm_approved_at = row.at
                incident.save(update_fields=["pm_approved_at"])
                incident.record("postmortem.published", text="The post-mortem is approved.", at=row.at)
    return row


def reopen_review(pm: PostMortem, *, by: User, reason: str) -> PostMortem:
    """Take the approval back so that the text can be corrected; the sign-offs so far stay on the timeline."""
    incident = pm.incident
    require(by, "postmortem.review", incident)
    if not reason.strip():
        raise Refused("review", ["Say why the approved post-mortem has to change."])
    with transaction.atomic():
        fresh = PostMortem.objects.select_for_update().get(pk=pm.pk)
        if fresh.status != "approved":
            raise Refused("review", ["The post-mortem is not approved; it can be changed as it is."])
        if incident.state == "closed":
            raise Refused("review", ["The incident is closed. Re-open the incident first."])
        fresh.status = "draft"
        fresh.save(update_fields=["status"])
        fresh.reviews.all().delete()
        incident.pm_approved_at = None
        incident.save(update_fields=["pm_approved_at"])
        incident.record("postmortem.reopened", text=f"{by} re-opened the review: {reason}", by=by)
    return fresh
