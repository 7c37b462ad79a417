"""Finds the model version that is safe to go back to, from the inventory."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from incidents.models import ModelVersion
from playbooks.contract import Action, ActionError, Done, Param, StepContext


class FindRollbackTarget(Action):
    title = "Find the version to go back to"
    summary = "The approved version that served last, other than the present one; if asked, trained before a moment."
    params = (
        Param("trained_before", required=False, help="ISO 8601; only versions trained before it count."),
        Param("trained_before_onset", "bool", required=False, default=False, help="The same, for the onset."),
    )
    outputs = ("found", "version", "trained_at", "digest", "rejected")

    def run(self, ctx: StepContext) -> Done:
        if ctx.system is None:
            raise ActionError("The incident names no AI system: link one, then retry the step.")
        limit = self._limit(ctx)
        current = {deployment.version_id for deployment in ctx.system.serving_at(ctx.now)}
        rejected: list[dict[str, Any]] = []
        chosen = None
        for version in self._newest_service_first(ctx.system):
            why = _unsafe(version, current, limit)
            if not why:
                chosen = version
                break
            rejected.append({"version": version.version, "why": why})
        if chosen is None:
            reasons = "; ".join(f"{item['version']}: {item['why']}" for item in rejected[:10])
            return Done(
                {"found": False, "version": "", "trained_at": "", "digest": "", "rejected": rejected},
                verdict="inconclusive",
                summary=f"No version is safe to go back to ({reasons or 'the inventory knows none'}).",
            )
        trained = chosen.trained_at.isoformat() if chosen.trained_at else ""
        return Done(
            {"found": True, "version": chosen.version, "trained_at": trained, "digest": chosen.digest, "rejected": rejected},
            summary=f"{chosen.version} is approved{f', trained {trained[:10]},' if trained else ''} and served before.",
        )  # fmt: skip

    def _limit(self, ctx: StepContext) -> datetime | None:
        given = ctx.params.get("trained_before")
        if given:
            moment = parse_datetime(str(given))
            if moment is None or moment.tzinfo is None:
                raise ActionError(
                    f"trained_before is {given!r}: write a moment with zone, such as 2026-10-05T02:14:00Z."
                )
            return moment
        if ctx.params.get("trained_before_onset"):
            return ctx.incident.onset_at or ctx.incident.detected_at
        return None

    def _newest_service_first(self, system: Any) -> list[ModelVersion]:
        """Versions in the order of their last deployment; those that never served come last."""
        order: dict[int, ModelVersion] = {}
        for deployment in system.deployments.select_related("version").order_by("-started_at"):
            order.setdefault(deployment.version_id, deployment.version)
        for version in system.versions.order_by("-created_at"):
            order.setdefault(version.pk, version)
        return list(order.values())


def _unsafe(version: ModelVersion, current: set[int], limit: datetime | None) -> str:
    if version.pk in current:
        return "serves now"
    if not version.approved:
        return "was never approved"
    if not version.deployments.exists():
        return "never served"
    if limit is not None and version.trained_at is None:
        return "when it was trained is not known"
    if limit is not None and version.trained_at and version.trained_at >= limit:
        return f"was trained {version.trained_at:%Y-%m-%d %H:%M}, not before {limit:%Y-%m-%d %H:%M}"
    return ""
