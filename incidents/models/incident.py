"""Incident: what needs a coordinated response. Verbs change it and write the fact together."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django_fsm import transition

from incidents import comms, lifecycle, regrouping, targets
from incidents import severity as severity_rules
from incidents.access import can, require

from .event import Event, origin_of_now
from .severity import SEVERITIES, SeverityAssessment, SeverityProfile
from .state import Moved, StateField
from .views import Pin
from .work import Attestation

CLASS_TITLES = {
    "DRIFT": "Model drift", "DATAQ": "Data quality", "BIAS": "Bias and fairness", "POISON": "Poisoning",
    "PERF": "Performance", "INTEG": "Integration and serving", "ADVERS": "Adversarial attack",
    "COMPL": "Compliance", "HALLUC": "Hallucination", "INJECT": "Prompt injection", "LEAK": "Data leakage",
    "HARM": "Harmful output", "AGENT": "Agent misoperation", "SUPPLY": "Third party",
}  # fmt: skip
#: moves whose event is not named after the state that they lead to
EVENT_OF_MOVE = {"reopen": "incident.reopened", "unmerge": "incident.unmerged"}
ANSWERS = [("", "Not answered"), ("yes", "Yes"), ("no", "No"), ("unknown", "Unknown")]


class Incident(Moved, models.Model):
    """One incident. `severity` is the chosen one (that of the newest assessment).

    `open_key` carries the grouping key while new firings belong here; its uniqueness is the promise
    "one open incident per grouping key".
    """

    title = models.CharField(max_length=300)
    summary = models.TextField(blank=True)
    state = StateField(default=lifecycle.DETECTED, choices=lifecycle.STATES, protected=True)
    incident_class = models.CharField(max_length=8, blank=True, choices=list(CLASS_TITLES.items()))
    subtype = models.CharField(max_length=40, blank=True)
    realisation = models.CharField(
        max_length=16, default="hazard",
        choices=[("hazard", "Hazard"), ("near_miss", "Near miss"), ("incident", "Incident"), ("serious_incident", "Serious incident")],
    )  # fmt: skip
    intent = models.CharField(
        max_length=10, default="unknown",
        choices=[("accidental", "Accidental"), ("negligent", "Negligent"), ("malicious", "Malicious"), ("unknown", "Unknown")],
    )  # fmt: skip
    severity = models.PositiveSmallIntegerField(choices=SEVERITIES, default=3)
    computed_severity = models.PositiveSmallIntegerField(choices=SEVERITIES, default=3)
    priority = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Backlog order; empty means severity."
    )

    system = models.ForeignKey(
        "incidents.AISystem", on_delete=models.PROTECT, null=True, blank=True, related_name="incidents"
    )
    system_unknown = models.BooleanField(default=False, help_text="Somebody chose “unknown system”.")
    #: what served when it was detected: [{"version", "endpoint", "traffic"}]
    serving = models.JSONField(default=list, blank=True)
    owner = models.ForeignKey(
        "incidents.User", on_delete=models.PROTECT, null=True, blank=True, related_name="owned_incidents"
    )
    reported_by = models.ForeignKey(
        "incidents.User", on_delete=models.PROTECT, null=True, blank=True, related_name="reported_incidents"
    )
    detection_source = models.CharField(max_length=60, blank=True, help_text="Provider, or “person”.")
    restricted = models.BooleanField(default=False)
    is_drill = models.BooleanField(default=False)
    escalated_external = models.BooleanField(default=False)
    evidence_hold = models.BooleanField(default=False, help_text="Steps that destroy evidence are blocked.")

    grouping_key = models.CharField(max_length=400, blank=True)
    open_key = models.CharField(max_length=400, null=True, blank=True, editable=False)
    rule = models.ForeignKey("incidents.GroupingRule", on_delete=models.PROTECT, null=True, blank=True)
    storm = models.ForeignKey("incidents.Storm", on_delete=models.SET_NULL, null=True, blank=True)
    reopen_seconds = models.PositiveIntegerField(default=7 * 86_400)
    alert_count = models.PositiveIntegerField(default=0)
    firing_count = models.IntegerField(default=0)
    report_count = models.PositiveIntegerField(default=0, help_text="Reports received for its alerts.")
    muted_until = models.DateTimeField(
        null=True, blank=True, help_text="Silenced: messages wait, state does not."
    )
    reopened_count = models.PositiveSmallIntegerField(default=0)
    recurrence_of = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="recurrences"
    )
    duplicate_of = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="duplicates"
    )
    merged_into = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="merged_from"
    )

    runs_attached = models.PositiveSmallIntegerField(default=0)
    no_playbook_reason = models.CharField(max_length=300, blank=True)
    serious_incident = models.CharField(max_length=8, blank=True, choices=ANSWERS, help_text="Art. 3(49)?")
    personal_data = models.CharField(max_length=8, blank=True, choices=ANSWERS)
    #: [{"audience", "due_at", "done_at", "done_by"}], times as ISO texts; see `comms.plan`
    comms_plan = models.JSONField(default=list, blank=True)
    #: {"passed": bool, "by": "run:12", "at": iso, "checks": [...]} of the newest verification
    verification = models.JSONField(default=dict, blank=True)
    harm_stopped = models.BooleanField(default=False)
    affected_people = models.PositiveBigIntegerField(null=True, blank=True)
    exposed_population = models.PositiveBigIntegerField(null=True, blank=True)
    affected_frozen_at = models.DateTimeField(null=True, blank=True)
    no_remediation_reason = models.CharField(max_length=300, blank=True)
    measures_planned_at = models.DateTimeField(null=True, blank=True)
    estimated_loss = models.DecimalField(max_digits=14, decimal_places=2, null=True, blank=True)
    affected_decisions = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Decisions taken from the last good moment to the containment."
    )
    decisions_rescored = models.PositiveBigIntegerField(
        default=0, help_text="How many of them were taken again, where they are not listed one by one."
    )
    last_good_at = models.DateTimeField(
        null=True, blank=True, help_text="When the system is last known to have decided well."
    )

    onset_at = models.DateTimeField(null=True, blank=True)
    onset_confidence = models.CharField(
        max_length=6, blank=True, choices=[("low", "Low"), ("medium", "Medium"), ("high", "High")]
    )
    detected_at = models.DateTimeField(default=timezone.now)
    opened_at = models.DateTimeField(default=timezone.now)
    acked_at = models.DateTimeField(null=True, blank=True)
    triaged_at = models.DateTimeField(null=True, blank=True)
    contained_at = models.DateTimeField(null=True, blank=True)
    recovered_at = models.DateTimeField(
        null=True, blank=True, help_text="When the monitors last all went quiet."
    )
    mitigated_at = models.DateTimeField(null=True, blank=True)
    remediated_at = models.DateTimeField(null=True, blank=True)
    postmortem_at = models.DateTimeField(null=True, blank=True)
    pm_review_at = models.DateTimeField(null=True, blank=True)
    pm_approved_at = models.DateTimeField(null=True, blank=True)
    reopened_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(default=timezone.now)

    #: how many verbs are at work on this object (see `_Changing`)
    _depth = 0
    #: people named on it, once looked up (see `incidents.access`)
    _named_people: list[tuple[str, int]] | None = None

    class Meta:
        ordering = ["-detected_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["open_key"], name="one_open_incident_per_grouping_key")
        ]
        indexes = [
            models.Index(fields=["state", "severity", "-detected_at"], name="incidents_by_state"),
            models.Index(fields=["-detected_at", "-id"], name="incidents_newest_first"),
            models.Index(fields=["severity", "-detected_at", "-id"], name="incidents_worst_first"),
            models.Index(fields=["-updated_at", "-id"], name="incidents_last_changed_first"),
            models.Index(fields=["system", "-detected_at"], name="incidents_of_system"),
            models.Index(fields=["grouping_key", "-id"], name="incidents_by_grouping_key"),
            models.Index(fields=["mitigated_at"], condition=~Q(open_key=None), name="held_open_keys"),
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.title}"

    # --- verbs: opening ------------------------------------------------------------------------
    @classmethod
    def declare(
        cls, *, title: str, by: Any, incident_class: str = "", system: Any = None, summary: str = "",
        severity: int = 3, restricted: bool = False, at: datetime | None = None,
    ) -> Incident:  # fmt: skip
        """Open an incident by hand. Raises NotAllowed."""
        require(by, "incident.create")
        moment = at or timezone.now()
        with transaction.atomic():
            incident = cls.objects.create(
                title=title, summary=summary, incident_class=incident_class, system=system,
                severity=severity, computed_severity=severity, restricted=restricted, reported_by=by,
                detection_source="person", detected_at=moment, opened_at=moment, updated_at=moment,
                serving=serving_snapshot(system, moment),
            )  # fmt: skip
            targets.schedule(incident)
            incident.record(
                "incident.opened",
                text=f"{by} declared the incident.",
                by=by,
                at=moment,
                data={"by_hand": True},
            )
        return incident

    # --- verbs: lifecycle ----------------------------------------------------------------------
    def acknowledge(self, *, by: Any, actor: str = "", at: datetime | None = None) -> Event | None:
        """Somebody is on it. The first acknowledgement counts; a further one changes nothing."""
        require(by, "incident.acknowledge", self)
        with self._changing():
            if self.acked_at is not None:
                return None
            self.acked_at = at or timezone.now()
            fields = ["acked_at"]
            if self.owner_id is None:
                self.owner = by
                fields.append("owner")
            self._keep(*fields)
            targets.met(self, "ack", self.acked_at)
            return self.record(
                "incident.acknowledged",
                text=f"{by} acknowledged the incident.",
                by=by,
                actor=actor,
                at=self.acked_at,
            )

    def assign(self, owner: Any, *, by: Any, note: str = "", at: datetime | None = None) -> Event:
        """Give the incident a (new) commander; a hand-over is on the record."""
        require(by, "incident.acknowledge", self)
        with self._changing():
            before = self.owner
            self.owner = owner
            self._keep("owner")
            text = (
                f"{before} handed over to {owner}."
                if before and before != owner
                else f"{owner} took command."
            )
            return self.record(
                "incident.assigned", text=text + (f" {note}" if note else ""), by=by, at=at,
                data={"from": before and before.pk, "to": owner.pk, "note": note},
            )  # fmt: skip

    def move(self, to: str, *, by: Any, at: datetime | None = None, note: str = "", **data: Any) -> Event:
        """Make the lifecycle move to state `to`. `data` may carry what guards ask for (see `fill`).

        Raises NotAllowed, or Refused with every unmet guard; nothing is changed then.
        """
        other = data.pop("into", None)
        with transaction.atomic(), regrouping.held(self, other or self.merged_into), self._changing():
            move = lifecycle.move_to(self.state, to)
            require(by, move.right, self)
            moment = at or timezone.now()
            self.fill(by=by, at=moment, **data)
            missing = lifecycle.unmet(self, move)
            if missing:
                raise lifecycle.Refused(move.name, [g.say for g in missing])
            before = self.state
            told = getattr(self, f"_{move.name}")(*([] if other is None else [other])) or {}
            setattr(self, move.stamp, moment)
            self._keep(
                "state", move.stamp, "open_key", "reopened_count", "duplicate_of", "merged_into", "mitigated_at",
                "closed_at",
            )  # fmt: skip
            targets.on_move(self, move.name, moment)
            regrouping.follow(self, move.name, told, by=by, at=moment)
            return self.record(
                EVENT_OF_MOVE.get(move.name, f"incident.{to}"),
                text=f"{move.title}: {lifecycle.TITLES[before]} → {lifecycle.TITLES[to]}." + (f" {note}" if note else ""),
                by=by, at=moment, data={"from": before, "to": to, "move": move.name, "note": note, **told},
            )  # fmt: skip

    def fill(self, *, by: Any, at: datetime | None = None, **data: Any) -> None:
        """Set the fields that guards and reports ask for; unknown names raise ValueError.

        Accepts any of FILLABLE, plus `assessment` ({"impact", "urgency", "facts", "chosen",
        "reason"}), `owner` (User), `system` (AISystem), `measures_planned`, `affected_frozen`.
        """
        moment = at or timezone.now()
        assessment = data.pop("assessment", None)
        if (owner := data.pop("owner", None)) is not None and owner != self.owner:
            self.assign(owner, by=by, at=moment)
        if data.pop("measures_planned", False):
            data["measures_planned_at"] = self.measures_planned_at or moment
        if data.pop("affected_frozen", False):
            data["affected_frozen_at"] = self.affected_frozen_at or moment
        if "system" in data and data["system"] is not None and not self.serving:
            data["serving"] = serving_snapshot(data["system"], self.detected_at)
        if unknown := set(data) - FILLABLE:
            raise ValueError(
                f"Unknown field {', '.join(sorted(unknown))}; a move takes {', '.join(sorted(FILLABLE))}, "
                "owner, assessment, measures_planned, affected_frozen and note."
            )
        if data:
            require(by, "incident.edit", self)
            changed = {}
            for name, value in data.items():
                if getattr(self, name) != value:
                    setattr(self, name, value)
                    changed[name] = getattr(value, "pk", value)
            if changed:
                self._keep(*changed)
                self.record(
                    "incident.edited", text="Changed " + ", ".join(sorted(changed)).replace("_", " ") + ".",
                    by=by, at=moment, data={k: v if isinstance(v, (str, int, bool, list, dict)) else str(v) for k, v in changed.items()},
                )  # fmt: skip
        if assessment:
            self.assess(by=by, at=moment, **assessment)

    def contain(
        self, *, by: Any = None, actor: str = "", at: datetime | None = None, text: str = ""
    ) -> Event | None:
        """The harm stopped growing (by a playbook or by hand); the state stays as it is."""
        with self._changing():
            if self.contained_at is not None:
                return None
            self.contained_at = at or timezone.now()
            self._keep("contained_at")
            targets.met(self, "contain", self.contained_at)
            return self.record(
                "incident.contained", text=text or "Contained: the harm stopped growing.", by=by, actor=actor,
                at=self.contained_at,
            )  # fmt: skip

    def verified(
        self,
        *,
        passed: bool,
        source: str,
        checks: list[dict[str, Any]],
        at: datetime | None = None,
        text: str = "",
    ) -> Event:
        """Record a playbook's verification. Only `passed` verifications allow “mitigated”."""
        with self._changing():
            moment = at or timezone.now()
            self.verification = {"passed": passed, "by": source, "at": moment.isoformat(), "checks": checks}
            self._keep("verification")
            return self.record(
                "incident.verified" if passed else "incident.unverified",
                text=text or ("Verification passed." if passed else "Verification failed: the harm may go on."),
                actor=source, at=moment, data=self.verification,
            )  # fmt: skip

    def attest(self, *, by: Any, role: str, statement: str, at: datetime | None = None) -> Event:
        """A signed statement that the harm stopped, in the role of commander or model owner."""
        require(by, "incident.attest", self)
        held = by.role_codes(self.system_id) | {r.role for r in self.roles.filter(user=by)}
        if self.owner_id == by.pk:
            held |= {"IC"}
        if self.system is not None and self.system.owner_id == by.pk:
            held |= {"MO"}
        if role not in held:
            raise lifecycle.Refused("attest", [f"You are not {role} here; attest in a role that you hold."])
        with transaction.atomic():
            row = Attestation.objects.create(
                incident=self, by=by, role=role, statement=statement, at=at or timezone.now()
            )
            return self.record(
                "incident.attested",
                text=f"{by} attests as {role}: {statement}",
                by=by,
                at=row.at,
                data={"role": role},
            )

    def is_verified(self) -> bool:
        """Verification passed since the last re-opening, or commander and model owner both attested."""
        since = self.reopened_at or self.detected_at
        if self.verification.get("passed") and datetime.fromisoformat(self.verification["at"]) >= since:
            return True
        given = self.attestations.filter(at__gte=since).values_list("role", "by_id")
        return (
            {"IC", "MO"} <= {role for role, _ in given}
            and len({uid for _, uid in given}) > 1
            and self.evidence.exists()
        )

    def reviews_complete(self) -> bool:
        """The sign-offs of DOMAIN 2.4: SEV1-2 model risk and business owner; bias adds compliance and ethics."""
        needed: set[str] = set()
        if self.severity <= 2:
            needed |= {"MRC", "BO"}
            if self.incident_class in ("BIAS", "HARM"):
                needed.add("ETH")
        if not needed:
            return True
        pm = getattr(self, "postmortem", None)
        return pm is not None and needed <= set(
            pm.reviews.filter(approved=True).values_list("role", flat=True)
        )

    # --- verbs: severity -----------------------------------------------------------------------
    def assess(
        self, *, impact: Mapping[str, int], urgency: Mapping[str, int], facts: Mapping[str, bool] | None = None,
        chosen: int | None = None, reason: str = "", cap_approved: bool = False,
        by: Any = None, at: datetime | None = None,
    ) -> SeverityAssessment:  # fmt: skip
        """Answer the matrix. A chosen severity other than the computed one needs a reason; caps apply
        only when `by`, who is then their named approver, says so (`cap_approved`).
        Raises ValueError, NotAllowed, Refused."""
        if by is not None and not can(by, "incident.raise_severity", self):
            require(by, "incident.change_severity", self)
        elif by is None and cap_approved:
            raise lifecycle.Refused("assess", ["Caps need a named approver; automation cannot apply them."])
        profile = SeverityProfile.current()
        result = severity_rules.assess(profile.data, impact, urgency, facts, cap_approved)
        picked = chosen or result.computed
        if by is not None and picked >= self.severity:  # automation may only raise
            require(by, "incident.change_severity", self)
        if picked != result.computed and not reason.strip():
            raise lifecycle.Refused(
                "assess",
                [f"The matrix gives SEV{result.computed}; to choose SEV{picked} instead, write the reason."],
            )
        with self._changing():
            row = SeverityAssessment.objects.create(
                incident=self, profile=profile, by=by, at=at or timezone.now(), reason=reason,
                answers={
                    "impact": dict(impact), "urgency": dict(urgency), "facts": dict(facts or {}),
                    "cap_approved": cap_approved,
                },
                result=result.as_json(), computed=result.computed, chosen=picked,
            )  # fmt: skip
            before, first = self.severity, not self.assessments.exclude(pk=row.pk).exists()
            self.severity, self.computed_severity = picked, result.computed
            self._keep("severity", "computed_severity")
            if before != picked or first:
                targets.schedule(self)
            if before != picked:
                self.record(
                    "incident.severity_changed",
                    text=f"Severity SEV{before} → SEV{picked}" + (f" (matrix: SEV{result.computed}): {reason}" if reason else "."),
                    by=by, at=row.at,
                    data={"from": before, "to": picked, "computed": result.computed, "caps": list(result.caps), "assessment": row.pk},
                )  # fmt: skip
        return row

    # --- verbs: work ---------------------------------------------------------------------------
    def note(self, text: str, *, by: Any, at: datetime | None = None, corrects: Event | None = None) -> Event:
        """Add a Markdown note to the timeline (or a correction of an earlier entry)."""
        require(by, "timeline.append" if corrects is None else "timeline.correct", self)
        if not text.strip():
            raise lifecycle.Refused("note", ["Write something first."])
        return self.record(
            "note.added" if corrects is None else "note.corrected", text=text, by=by, at=at, corrects=corrects
        )

    def pin(self, event: Event, *, by: Any, pinned: bool = True) -> None:
        """Show an entry of the timeline on top, or no longer. Raises NotAllowed."""
        require(by, "timeline.append", self)
        if pinned:
            Pin.objects.get_or_create(event=event, defaults={"by": by})
        else:
            Pin.objects.filter(event=event).delete()

    def attach_run(self, ref: str, title: str, *, at: datetime | None = None) -> Event:
        """A playbook run belongs to this incident now."""
        with self._changing():
            self.runs_attached += 1
            self._keep("runs_attached")
            return self.record(
                "run.attached", text=f"Playbook “{title}” attached.", actor=ref, at=at, data={"run": ref}
            )

    def plan_communications(self, *, by: Any = None, at: datetime | None = None) -> None:
        """Write the plan that the matrix of audiences gives for class and severity (DOMAIN 3.6)."""
        if by is not None:
            require(by, "incident.edit", self)
        with self._changing():
            self.comms_plan = comms.plan(self.severity, self.incident_class, at or timezone.now())
            self._keep("comms_plan")
            self.record(
                "comms.planned",
                text=f"Communications plan for {len(self.comms_plan)} audiences.",
                by=by,
                at=at,
            )

    def tell_audience(
        self, index: int, *, by: Any, at: datetime | None = None, text: str = ""
    ) -> Event | None:
        """An audience of the communications plan, by its place, was told (in the words `text`).

        Told again without words, nothing changes; with words it is one more update. What the audience's
        news were due for is met. Raises NotAllowed, and IndexError where the plan has no such place.
        """
        require(by, "incident.edit", self)
        with self._changing():
            row = self.comms_plan[index]
            if row.get("done_at") and not text.strip():
                return None
            moment = at or timezone.now()
            row["done_at"], row["done_by"] = moment.isoformat(), str(by)
            self._keep("comms_plan")
            data = {"audience": row["audience"], "meets": comms.MEETS.get(row["audience"], ""), "text": text}
            event = self.record(
                "comms.told", by=by, at=moment, data=data,
                text=f"Told: {row['audience']}." + (f"\n\n{text.strip()}" if text.strip() else ""),
            )  # fmt: skip
            if data["meets"]:
                targets.updated(self, data["meets"], moment)
            return event

    def restrict(
        self, *, reason: str, by: Any = None, actor: str = "", at: datetime | None = None
    ) -> Event | None:
        """Need-to-know from now on: only named people, commanders and security see it."""
        if by is not None:
            require(by, "incident.change_state", self)
        with self._changing():
            if self.restricted:
                return None
            self.restricted = True
            self._keep("restricted")
            return self.record("incident.restricted", text=f"Restricted: {reason}", by=by, actor=actor, at=at)

    def hold_evidence(
        self, *, reason: str, by: Any = None, actor: str = "", at: datetime | None = None
    ) -> Event | None:
        """From now on steps that destroy evidence are blocked; nothing here lifts the hold by itself."""
        if by is not None:
            require(by, "incident.change_state", self)
        with self._changing():
            if self.evidence_hold:
                return None
            self.evidence_hold = True
            self._keep("evidence_hold")
            return self.record("evidence.held", text=f"Evidence hold: {reason}", by=by, actor=actor, at=at)

    def freeze_affected(
        self, *, people: int, text: str, by: Any = None, actor: str = "", at: datetime | None = None
    ) -> Event | None:
        """The list of affected parties is final, with this many people; a frozen list stays."""
        if by is not None:
            require(by, "incident.edit", self)
        with self._changing():
            if self.affected_frozen_at is not None:
                return None
            self.affected_people, self.affected_frozen_at = people, at or timezone.now()
            self._keep("affected_people", "affected_frozen_at")
            return self.record(
                "incident.affected_frozen", text=text, by=by, actor=actor, at=self.affected_frozen_at,
                data={"people": people},
            )  # fmt: skip

    def record(
        self, kind: str, *, text: str = "", by: Any = None, actor: str = "", at: datetime | None = None,
        data: dict[str, Any] | None = None, corrects: Event | None = None,
    ) -> Event:  # fmt: skip
        """Write a fact to the timeline, which is also the outbox."""
        return Event.objects.create(
            incident=self,
            kind=kind,
            text=text,
            by=by,
            actor=actor,
            at=at or timezone.now(),
            data={**(data or {}), **origin_of_now()},
            corrects=corrects,
        )

    # --- queries -------------------------------------------------------------------------------
    @property
    def key(self) -> str:
        return f"INC-{self.pk}"

    @property
    def is_open(self) -> bool:
        return self.state in lifecycle.OPEN

    @property
    def is_muted(self) -> bool:
        return self.muted_until is not None and self.muted_until > timezone.now()

    @property
    def class_title(self) -> str:
        return CLASS_TITLES.get(self.incident_class, self.incident_class or "Unclassified")

    def get_absolute_url(self) -> str:
        return reverse("incidents:incident", args=[self.key])

    def since_detection(self, moment: datetime | None) -> timedelta | None:
        return moment - self.detected_at if moment else None

    # --- the state machine ---------------------------------------------------------------------
    @transition(field=state, source=list(lifecycle.MOVES["triage"].sources), target=lifecycle.TRIAGED)
    def _triage(self) -> None:
        if not self.comms_plan:
            self.plan_communications()

    @transition(field=state, source=list(lifecycle.MOVES["mitigate"].sources), target=lifecycle.MITIGATED)
    def _mitigate(self) -> None: ...

    @transition(
        field=state, source=list(lifecycle.MOVES["start_post_mortem"].sources), target=lifecycle.POST_MORTEM
    )
    def _start_post_mortem(self) -> None: ...

    @transition(field=state, source=list(lifecycle.MOVES["close"].sources), target=lifecycle.CLOSED)
    def _close(self) -> None: ...

    @transition(field=state, source=list(lifecycle.MOVES["reopen"].sources), target=lifecycle.TRIAGED)
    def _reopen(self) -> None:
        self.reopened_count += 1
        self.mitigated_at = None

    @transition(
        field=state,
        source=list(lifecycle.MOVES["mark_false_positive"].sources),
        target=lifecycle.FALSE_POSITIVE,
    )
    def _mark_false_positive(self) -> None:
        self.open_key = None

    @transition(
        field=state, source=list(lifecycle.MOVES["mark_duplicate"].sources), target=lifecycle.DUPLICATE
    )
    def _mark_duplicate(self, other: Incident) -> None:
        self.open_key = None
        self.duplicate_of = other

    @transition(field=state, source=list(lifecycle.MOVES["merge_into"].sources), target=lifecycle.MERGED)
    def _merge_into(self, other: Incident) -> dict[str, Any]:
        self.open_key = None
        self.merged_into = other
        return {"into": other.pk}

    @transition(field=state, source=list(lifecycle.MOVES["unmerge"].sources), target=lifecycle.DETECTED)
    def _unmerge(self) -> dict[str, Any]:
        from_ = self.merged_into_id
        self.merged_into = self.mitigated_at = self.closed_at = None
        return {"out_of": from_}

    def _changing(self) -> Any:
        """Lock the row and read it fresh, so that a verb decides on what is true now."""
        return _Changing(self)

    def _keep(self, *fields: str) -> None:
        # Only named columns: intake adds to the counters of the same row by SQL.
        self.updated_at = timezone.now()
        self.save(update_fields=[*fields, "updated_at"])


class _Changing:
    """`transaction.atomic()` that first locks and refreshes the incident (outermost use only)."""

    def __init__(self, incident: Incident) -> None:
        self.incident = incident

    def __enter__(self) -> None:
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        depth = self.incident._depth
        self.incident._depth += 1
        if depth == 0:
            try:
                self.incident.refresh_from_db(from_queryset=Incident.objects.select_for_update())
            except BaseException:
                # `with` calls no __exit__ then: the thread's connection would stay inside the transaction for ever
                self.__exit__(*sys.exc_info())
                raise

    def __exit__(self, *exc: Any) -> None:
        self.incident._depth -= 1
        self.atomic.__exit__(*exc)


FILLABLE = frozenset(
    {
        "title", "summary", "incident_class", "subtype", "realisation", "intent", "system", "system_unknown", "priority",
        "no_playbook_reason", "serious_incident", "personal_data", "harm_stopped", "affected_people",
        "exposed_population", "affected_frozen_at", "no_remediation_reason", "measures_planned_at",
        "estimated_loss", "affected_decisions", "last_good_at", "onset_at", "onset_confidence", "serving", "escalated_external", "remediated_at",
    }
)  # fmt: skip


def serving_snapshot(system: Any, moment: datetime) -> list[dict[str, Any]]:
    """What served at `moment`, as kept on the incident."""
    if system is None:
        return []
    return [
        {
            "version": d.version.version,
            "endpoint": d.endpoint,
            "traffic": float(d.traffic),
            "platform": d.platform,
        }
        for d in system.serving_at(moment)
    ]
