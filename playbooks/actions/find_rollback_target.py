"""Finds the model version that is safe to go back to, from the registry's lineage and the inventory."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils.dateparse import parse_datetime

from incidents.models import Change, ModelVersion
from playbooks.contract import Action, ActionError, Done, Param, StepContext

#: An alias of a registered model, as MLflow writes it: models:/credit-risk@champion
_ALIAS = re.compile(r"(?:models:/)?(?P<model>[^@]+)@(?P<alias>[^@]+)")


class FindRollbackTarget(Action):
    title = "Find the version to go back to"
    summary = (
        "The approved version that was champion of the registry or served last, other than the present one; if asked, "
        "trained before a moment."
    )
    params = (
        Param("trained_before", required=False, help="ISO 8601; only versions trained before it count."),
        Param("trained_before_onset", "bool", required=False, default=False, help="The same, for the onset."),
    )
    outputs = ("found", "version", "trained_at", "digest", "rejected")

    def run(self, ctx: StepContext) -> Done:
        if ctx.system is None:
            raise ActionError("The incident names no AI system: link one, then retry the step.")
        limit = self._limit(ctx)
        present, champions = _champions(ctx.system, ctx.now)
        current = {deployment.version_id for deployment in ctx.system.serving_at(ctx.now)}
        if present is not None:
            current.add(present.pk)
        rejected: list[dict[str, Any]] = []
        chosen = None
        for version in _newest_service_first(ctx.system, champions):
            why = _unsafe(version, current, limit, was_champion=version in champions)
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
        how = "was champion of the registry" if chosen in champions else "served"
        return Done(
            {"found": True, "version": chosen.version, "trained_at": trained, "digest": chosen.digest, "rejected": rejected},
            summary=f"{chosen.version} is approved{f', trained {trained[:10]},' if trained else ''} and {how} before.",
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


def _newest_service_first(system: Any, champions: list[ModelVersion]) -> list[ModelVersion]:
    """Former champions, then versions in the order of their last deployment; those that never served come last."""
    order = {version.pk: version for version in champions}
    for deployment in system.deployments.select_related("version").order_by("-started_at"):
        order.setdefault(deployment.version_id, deployment.version)
    for version in system.versions.order_by("-created_at"):
        order.setdefault(version.pk, version)
    return list(order.values())


def _champions(system: Any, now: datetime) -> tuple[ModelVersion | None, list[ModelVersion]]:
    """The registry's lineage as its changes tell it: the version that has the alias now, if the inventory knows
    it, and all that had it, the newest first."""
    serving = system.serving if isinstance(system.serving, dict) else {}
    named = _ALIAS.fullmatch(str(serving.get("mlflow_endpoint") or serving.get("endpoint") or ""))
    model, alias = (named["model"], named["alias"]) if named else ("", "champion")
    about = Q(system=system) | Q(system=None, system_name=model) if model else Q(system=system)
    moves = Change.objects.filter(about, kind="registry", labels__alias=alias, at__lte=now).exclude(
        version=""
    )
    told = moves.order_by("-at", "-id").values_list("version", "labels")
    lineage = [version for version, labels in told if labels.get("action") != "deleted"]
    known = {name: version for version in system.versions.all() for name in _names(version)}
    former = {known[name].pk: known[name] for name in lineage if name in known}
    return (known.get(lineage[0]) if lineage else None), list(former.values())


def _names(version: ModelVersion) -> set[str]:
    """How a registry may call it: as the inventory does, without its v, or as its address in the registry ends."""
    registered = version.registry_uri.rpartition("/")[2]
    return {version.version, version.version.lower().removeprefix("v"), registered} - {""}


def _unsafe(version: ModelVersion, current: set[int], limit: datetime | None, *, was_champion: bool) -> str:
    if version.pk in current:
        return "serves now"
    if not version.approved:
        return "was never approved"
    if not was_champion and not version.deployments.exists():
        return "never served"
    if limit is not None and version.trained_at is None:
        return "when it was trained is not known"
    if limit is not None and version.trained_at and version.trained_at >= limit:
        return f"was trained {version.trained_at:%Y-%m-%d %H:%M}, not before {limit:%Y-%m-%d %H:%M}"
    return ""
