"""Asks MLflow where the serving model version comes from: run, parameters, metrics, data, code, who promoted it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from integrations.context.model_lineage import lineage, reference_of
from integrations.context.settings import setting_of, skipped
from integrations.context.window import onset_of
from integrations.platforms.account import NotConnected, account_of
from integrations.platforms.rest import authorized
from playbooks.contract import Action, ActionError, Done, Exhibit, Param, StepContext

#: What is named in the evidence, so that it is found again.
KEPT = "model-lineage.json"


class MlflowLineage(Action):
    title = "Where the model version comes from"
    summary = "Run, parameters, metrics, data sets and commit of the version that served, and who promoted it, from MLflow."
    params = (
        Param("model", required=False, help="models:/credit@champion or models:/credit/7. Default: the system's."),
        Param("connection", required=False, help="MLflow server. Default: the system's, else the only one."),
    )  # fmt: skip
    outputs = ("found", "model", "version", "run", "commit", "promoted_by", "promoted_at", "data")
    timeout = 60.0

    def run(self, ctx: StepContext) -> Done:
        """The version that served at the onset, as the inventory's `registry_uri` names it, and the one that the
        alias of the serving settings points to now where that is another one.

        Without a connection, or where neither names a model of the registry, the step is skipped with the reason.
        """
        wanted = _wanted(ctx)
        if not wanted:
            return skipped(
                "neither serving settings nor the versions that served name a registered model (models:/name@alias)."
            )
        try:
            server = authorized("MLflow", account_of(ctx, "mlflow_server"))
        except NotConnected as absent:
            return skipped(str(absent))
        found: dict[str, dict[str, Any]] = {}
        for when, (model, alias, version) in wanted.items():
            one = lineage(server, model, alias=alias, version=version, now=ctx.now)
            known = next((known for known in found.values() if known["version"] == one["version"]), None)
            if known is None:
                found[when] = {"when": when, **one}
            else:
                known["when"] += f" and {when}"
        return _told(list(found.values()), server.base)


def _wanted(ctx: StepContext) -> dict[str, tuple[str, str, str]]:
    """When → (model, alias, version)."""
    if named := ctx.params.get("model"):
        given = reference_of(str(named))
        if given is None:
            raise ActionError(f"{named!r} names no model: write models:/name@alias or models:/name/7.")
        return {"as asked": given}
    found: dict[str, tuple[str, str, str]] = {}
    if ctx.system is None:
        return found
    for deployment in ctx.system.serving_at(onset_of(ctx.incident)):
        at_onset = reference_of(deployment.version.registry_uri)
        if at_onset is not None and at_onset[2]:
            found["at the onset"] = at_onset
            break
    places = [setting_of(ctx.system, "mlflow_endpoint"), setting_of(ctx.system, "endpoint")]
    places += [d.endpoint for d in ctx.system.serving_at(ctx.now) if d.platform == "mlflow"]
    now = next((known for place in places if place and (known := reference_of(str(place)))), None)
    if now is not None and (now[1] or now[2]):
        found["now"] = now
    return found


def _told(versions: list[dict[str, Any]], base: str) -> Done:
    first = versions[0]
    commit, promoted = str(first["git"].get("commit") or ""), first["promoted"]
    summary = (
        f"{first['model']} version {first['version']} ({first['when']}) "
        + (f"comes from run {first['run'].get('name') or first['run']['id']}" if first["run"] else "was registered without a run")
        + (f", commit {commit[:10]}" if commit else "")
        + (f", data {', '.join(one['name'] for one in first['data'][:3])}" if first["data"] else "")
        + _promotion(promoted)
        + "."
    )  # fmt: skip
    kept = {"kind": "model-lineage", "server": base, "versions": versions, "differs": differences(versions)}
    exhibit = Exhibit(KEPT, json.dumps(kept, indent=1).encode(), source=base, note=summary)
    outputs = {
        "found": True, "model": first["model"], "version": first["version"], "run": first["run"].get("id", ""),
        "commit": commit, "promoted_by": promoted.get("by", ""), "promoted_at": promoted.get("at", ""),
        "data": [f"{one['name']}@{one['digest']}" for one in first["data"]],
    }  # fmt: skip
    return Done(outputs, [exhibit], summary=summary)


def _promotion(promoted: Mapping[str, str]) -> str:
    by, at = promoted.get("by"), promoted.get("at")
    if not promoted:
        return ", who promoted it is not on record"
    return ", promoted" + (f" by {by}" if by else "") + (f" at {at[:16]}" if at else "")


def differences(versions: list[dict[str, Any]]) -> list[dict[str, str]]:
    """What the version now has otherwise than the one before: [{"what", "name", "then", "now"}]."""
    if len(versions) < 2:
        return []
    then, now = versions[0], versions[1]
    found = []
    for what in ("params", "metrics", "git"):
        for name in sorted({*then[what], *now[what]}):
            a, b = str(then[what].get(name, "")), str(now[what].get(name, ""))
            if a != b:
                found.append({"what": what, "name": name, "then": a, "now": b})
    digests = [{one["name"]: one["digest"] for one in version["data"]} for version in (then, now)]
    for name in sorted({*digests[0], *digests[1]}):
        if digests[0].get(name) != digests[1].get(name):
            found.append(
                {
                    "what": "data",
                    "name": name,
                    "then": digests[0].get(name, ""),
                    "now": digests[1].get(name, ""),
                }
            )
    return found
