"""What a run tells: to the timeline, to the incident, to people who are asked, and what it keeps as evidence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.urls import NoReverseMatch

from incidents import wake
from incidents.models import Event, Evidence
from playbooks.conductor import Decision, Expired, Failed, RunStep
from playbooks.contract import Exhibit
from playbooks.known import Known
from playbooks.models import Approval, Run, Step
from playbooks.perform import input_hash
from playbooks.result import Request, Result

LARGEST_OUTPUT = 256 * 1024


class Telling(Known):
    """A run that says what happens to it. What is told is written with the commit that follows."""

    def __init__(self, run: Run, clock: datetime | None) -> None:
        super().__init__(run, clock)
        self._told: list[Event] = []

    def keep(self, row: Step, exhibits: Sequence[Exhibit]) -> list[int]:
        return [
            Evidence.keep(
                self.incident, exhibit.name, exhibit.content, media_type=exhibit.media_type,
                source=exhibit.source[:300], note=exhibit.note, at=self.now, run_ref=f"{self.run.ref}/{row.key}",
            ).pk
            for exhibit in exhibits
        ]  # fmt: skip

    def _ask(self, row: Step, request: Request) -> None:
        asked = Approval.objects.create(
            step=row, run=self.run, incident=self.incident, kind=request.kind, prompt=request.prompt,
            risk=request.risk, roles=list(request.roles), quorum=request.quorum, all_of=list(request.all_of),
            form=[dict(field) for field in request.form], input_hash=input_hash(row.inputs),
            requested_at=self.now, expires_at=request.until,
        )  # fmt: skip
        shown = [(name, str(value)[:200]) for name, value in row.inputs.items() if value is not None]
        self.tell(
            "approval.requested", f"{row.key} {row.title}: {request.prompt}", step=row.key, approval=asked.pk,
            url=_address(asked), facts=[("Risk", request.risk), *shown],
        )  # fmt: skip

    def _marks(self, row: Step, result: Result) -> bool:
        """Whether the step's end means something for the incident."""
        means = bool(self.definition.step(row.key).mark) or _refuted(result)
        return means and not self.run.dry_run and row.state in ("done", "failed")

    def _mark(self, row: Step, result: Result) -> None:
        """Tell the incident what the step's end means for it."""
        step = self.definition.step(row.key)
        if row.state == "done" and step.mark == "contained":
            self.incident.contain(
                actor=self.run.ref, at=self.now, text=f"Contained by {step.id} {step.title}."
            )
        elif step.mark == "verified" or _refuted(result):
            passed = row.state == "done"
            checks = result.checks or row.outputs.get("checks")
            if not checks:
                checks = [{"name": step.title, "value": row.error or row.summary, "limit": "", "ok": passed}]
            self.incident.verified(passed=passed, source=self.run.ref, checks=checks, at=self.now)
        self._facts = None

    # --- telling -------------------------------------------------------------------------------
    def _report(self, row: Step, result: Result, decision: Decision) -> None:
        what = f"{row.key} {row.title}"
        match row.state:
            case "done":
                say = row.summary or "done."
                self.tell("step.done", f"{what}: {say}", step=row.key, verdict=row.verdict)
            case "failed" if isinstance(result.outcome, Expired):
                again = isinstance(decision, RunStep) and decision.id == row.key
                kind = "approval.escalated" if again else "approval.expired"
                more = " It is asked again." if again else ""
                self.tell(kind, f"{what}: nobody answered in time.{more}", step=row.key)
            case "failed":
                self.tell("step.failed", f"{what}: {row.error}", step=row.key)
            case "cancelled":
                self.tell("step.outdated", f"{what}: {row.summary} It is asked again.", step=row.key)
            case "waiting" if row.error:
                at = row.wake_at.strftime("%H:%M:%S UTC") if row.wake_at else "once more"
                self.tell("step.retry", f"{what}: {row.error} Tried again {at}.", step=row.key)

    def tell(self, kind: str, text: str, **data: Any) -> None:
        self._told.append(
            Event(
                incident=self.incident, kind=kind, text=text, actor=self.run.ref, at=self.now,
                data={"run": self.run.pk, "playbook": self.run.version.playbook.slug, **data},
            )
        )  # fmt: skip

    def publish(self) -> None:
        if self._told:
            Event.objects.bulk_create(self._told)
            self._published()

    def _published(self) -> None:
        # whoever is asked hears of it at once; what only the timeline tells waits for the relay's next look
        if not all(event.kind.startswith(("run.", "step.")) for event in self._told):
            wake.wake("outbox")
        self._told = []

    def _rehearsed(self) -> str:
        if not self.run.dry_run:
            return ""
        would = [f"{row.key}: {row.summary}" for row in self._rows if row.outputs.get("dry_run")]
        return "\n".join(would) or "Nothing outside would have been changed."

    def _in_force(self) -> str:
        left = [f"{row.key} {row.title}" for row in self.effects().values()]
        more = f" Still in force: {', '.join(left)}." if left else ""
        return f"{more} Retry the step or skip it when the cause is removed, or work by hand."


def _refuted(result: Result) -> bool:
    return isinstance(result.outcome, Failed) and result.outcome.cause == "unverified"


def capped(row: Step, result: Result) -> tuple[list[Exhibit], dict[str, Any]]:
    """Exhibits to keep and outputs of a size that rows can carry; larger outputs become evidence."""
    outputs = {**row.outputs, **result.outputs}
    text = json.dumps(outputs).encode()
    if len(text) <= LARGEST_OUTPUT:
        return list(result.exhibits), outputs
    name = f"{row.key}-outputs.json"
    small = {key: value for key, value in outputs.items() if len(json.dumps(value)) <= 1000}
    kept = Exhibit(
        name,
        text,
        source=f"{row.action or row.kind} in step {row.key}",
        note="Outputs too large for the run.",
    )
    return [*result.exhibits, kept], {**small, "kept_as_evidence": name, "size": len(text)}


def _address(asked: Approval) -> str:
    try:
        return asked.get_absolute_url()
    except NoReverseMatch:  # an installation that serves no pages
        return ""
