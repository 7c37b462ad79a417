"""Keeps what is true now, before anything is changed: versions, traffic, alerts, data hashes, settings."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

from django.conf import settings

from incidents.models import Alert
from playbooks.contract import Action, Done, Exhibit, Param, StepContext
from playbooks.diagnostics.dataset import DataProblem, load, shown_location
from playbooks.diagnostics.inputs import StepData

#: data settings that name a location
LOCATIONS = ("reference", "current", "season_reference", "training", "evaluation")
ALERTS = 500
KEPT_BYTES = 8 * 1024 * 1024
SECRETS = ("token", "secret", "password", "key")


class SnapshotEvidence(Action):
    title = "Snapshot evidence"
    summary = "Model versions and traffic, alert payloads, SHA-256 of the data sets, settings: kept before any change."
    params = (
        Param("hours", "number", required=False, default=72, help="Deployments and alerts of this long."),
        Param(
            "keep",
            "list",
            required=False,
            help="Data settings (such as current) whose bytes are kept too, up to 8 MiB each.",
        ),
    )
    outputs = ("items", "hashes", "versions", "alerts", "problems")
    timeout = 180.0

    def run(self, ctx: StepContext) -> Done:
        """Never fails for what cannot be read: that is told in `problems`, and the rest is kept."""
        since = ctx.now - timedelta(hours=float(ctx.params.get("hours", 72)))
        problems: list[str] = []
        exhibits = [_exhibit("incident.json", _incident(ctx), "The incident as it stood")]
        alerts = _alerts(ctx)
        exhibits.append(_exhibit("alerts.json", alerts, "Alerts as they were reported"))
        versions: list[str] = []
        hashes: dict[str, str] = {}
        if ctx.system is None:
            problems.append("the incident names no AI system, so no versions, traffic or data were kept")
        else:
            serving = _serving(ctx.system, since)
            versions = [item["version"] for item in serving["deployments"]]
            exhibits.append(_exhibit("serving.json", serving, "Versions, deployments and settings"))
            data, kept = self._data(ctx, problems)
            hashes = {name: item["sha256"] for name, item in data.items()}
            exhibits += [_exhibit("data.json", data, "Data sets with SHA-256 and size"), *kept]
        exhibits.append(
            _exhibit(
                "manifest.json",
                {item.name: hashlib.sha256(item.content).hexdigest() for item in exhibits},
                "SHA-256 of everything in this snapshot",
            )
        )
        outputs = {
            "items": len(exhibits),
            "hashes": hashes,
            "versions": versions,
            "alerts": len(alerts),
            "problems": problems,
        }
        missing = f" Not kept: {'; '.join(problems)}." if problems else ""
        summary = f"Kept {len(exhibits)} items: {len(versions)} deployments, {len(alerts)} alerts, {len(hashes)} data sets."
        return Done(outputs, exhibits, summary=summary + missing)

    def _data(self, ctx: StepContext, problems: list[str]) -> tuple[dict[str, Any], list[Exhibit]]:
        data = StepData(ctx)
        wanted = set(data.names("keep")) if ctx.params.get("keep") else set()
        found: dict[str, Any] = {}
        kept: list[Exhibit] = []
        for name in LOCATIONS:
            location = ctx.system.data.get(name) if ctx.system and isinstance(ctx.system.data, dict) else None
            if not location:
                if name in ("reference", "current"):
                    problems.append(f"{name} is not set in the AI system's data settings")
                continue
            ctx.renew()
            try:
                content = load(str(location), roots=settings.HOLDFAST_DATA_ROOTS, queries=data.queries())
            except DataProblem as problem:
                problems.append(f"{name}: {problem}".rstrip("."))
                continue
            shown = shown_location(str(location))
            digest = hashlib.sha256(content).hexdigest()
            found[name] = {"location": shown, "sha256": digest, "bytes": len(content)}
            if name in wanted and len(content) > KEPT_BYTES:
                problems.append(
                    f"{name} has {len(content) / 2**20:.0f} MiB, so only its hash was kept: copy the file itself"
                )
            elif name in wanted:
                ending = PurePosixPath(shown).suffix[:10]
                kept.append(
                    Exhibit(
                        f"{name}{ending}", content, "application/octet-stream", shown, "Bytes as they were"
                    )
                )
        return found, kept


def _exhibit(name: str, value: Any, note: str) -> Exhibit:
    return Exhibit(name, json.dumps(value, indent=1, default=str).encode(), source="own records", note=note)


def _incident(ctx: StepContext) -> dict[str, Any]:
    incident = ctx.incident
    return {
        "key": incident.key,
        "title": incident.title,
        "state": incident.state,
        "class": incident.incident_class,
        "severity": incident.severity,
        "detected_at": incident.detected_at,
        "onset_at": incident.onset_at,
        "served_at_detection": incident.serving,
        "run": ctx.run.ref,
        "playbook": str(ctx.run.version),
        "playbook_sha256": ctx.run.version.sha256,
    }


def _alerts(ctx: StepContext) -> list[dict[str, Any]]:
    columns = (
        "id", "source", "origin", "fingerprint", "status", "level", "title", "description", "labels", "metric", "value",
        "threshold", "comparator", "baseline", "window", "sample_size", "starts_at", "ends_at", "first_seen",
        "last_seen", "count", "last_inbox_id",
    )  # fmt: skip
    return list(Alert.objects.filter(incident=ctx.incident).order_by("id").values(*columns)[:ALERTS])


def _serving(system: Any, since: Any) -> dict[str, Any]:
    recent = system.deployments.select_related("version").exclude(ended_at__lt=since)
    return {
        "system": system.slug,
        "deployments": [
            {
                "version": row.version.version,
                "digest": row.version.digest,
                "registry_uri": row.version.registry_uri,
                "training_data": row.version.training_data,
                "trained_at": row.version.trained_at,
                "approved": row.version.approved,
                "endpoint": row.endpoint,
                "platform": row.platform,
                "traffic": float(row.traffic),
                "started_at": row.started_at,
                "ended_at": row.ended_at,
            }
            for row in recent
        ],
        "settings": _without_secrets({"data": system.data, "serving": system.serving}),
        "matchers": system.matchers,
        "upstream": list(system.upstream.values("name", "kind", "location")),
    }


def _without_secrets(value: Any, name: str = "") -> Any:
    """The settings with credentials hidden, should somebody have written one there."""
    if isinstance(value, dict):
        return {key: _without_secrets(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item, name) for item in value]
    words = set(name.lower().split("_"))
    if isinstance(value, str) and words & set(SECRETS):
        return "•••"
    return shown_location(value) if isinstance(value, str) else value
