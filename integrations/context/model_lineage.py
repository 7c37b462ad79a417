"""Where a model version comes from, as MLflow tells it: run, parameters, metrics, data, code, and who promoted it.

REST API 2.0: https://mlflow.org/docs/latest/api_reference/rest-api.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from incidents.models import Change
from integrations.masking import mask
from integrations.platforms.mlflow import API
from integrations.platforms.rest import Rest
from playbooks.contract import ActionError

#: Parameters, metrics and data sets kept at most, and characters of one value.
KEPT, VALUE = 80, 300
#: models:/credit-risk@champion, models:/credit-risk/7
_REFERENCE = re.compile(r"(?:models:/)?(?P<model>[^@/]+)(?:@(?P<alias>[^@/]+)|/(?P<version>\d+))")
#: Tags in which teams write down who promoted a version, and when; MLflow itself keeps neither.
PROMOTERS = ("promoted_by", "approved_by", "validated_by")
PROMOTIONS = ("promoted_at", "approved_at", "validated_at")


def reference_of(text: str) -> tuple[str, str, str] | None:
    """(model, alias, version) of `models:/m@alias` or `models:/m/7`; one of the latter two is empty."""
    named = _REFERENCE.fullmatch(text.strip())
    return (named["model"], named["alias"] or "", named["version"] or "") if named else None


def lineage(server: Rest, model: str, *, alias: str = "", version: str = "", now: datetime) -> dict[str, Any]:
    """What MLflow knows of the version that an alias points to, or of a version by its number.

    Keys: model, version, aliases, status, created_at, created_by, source, description, tags, promoted, run, git, params,
    metrics, data, url. Times are ISO 8601. Raises ActionError.
    """
    if alias:
        found = _version(server, "registered-models/alias", name=model, alias=alias)
    else:
        found = _version(server, "model-versions/get", name=model, version=version)
    number = str(found["version"])
    tags = _pairs(found.get("tags"))
    run = _run(server, str(found.get("run_id") or ""))
    known = {
        "model": model,
        "version": number,
        "aliases": _aliases(server, model, number),
        "status": str(found.get("status") or ""),
        "created_at": _moment(found.get("creation_timestamp")),
        "created_by": str(found.get("user_id") or ""),
        "source": str(found.get("source") or ""),
        "description": str(found.get("description") or "")[:VALUE],
        "tags": tags,
        "promoted": _promoted(model, number, alias, tags, now),
        "url": f"{server.base.rstrip('/')}/#/models/{model}/versions/{number}",
        **run,
    }
    shown: dict[str, Any] = mask(known, server.secrets)
    return shown


def _version(server: Rest, path: str, **params: str) -> Mapping[str, Any]:
    answer = server.ask("GET", f"{API}/{path}", params=params, bearing=(400, 404))
    found = answer.json.get("model_version") if isinstance(answer.json, Mapping) else None
    if not isinstance(found, Mapping) or "version" not in found:
        wanted = "@".join(params.values()) if "alias" in params else " ".join(params.values())
        raise ActionError(f"MLflow knows no {wanted}: correct the model, alias or version.")
    return found


def _aliases(server: Rest, model: str, number: str) -> list[str]:
    answer = server.ask("GET", f"{API}/registered-models/get", params={"name": model}, bearing=(400, 404))
    found = answer.json.get("registered_model") if isinstance(answer.json, Mapping) else None
    listed = found.get("aliases") if isinstance(found, Mapping) else None
    return sorted(str(one["alias"]) for one in listed or () if str(one.get("version")) == number)


def _run(server: Rest, run_id: str) -> dict[str, Any]:
    """The run that made the version; empty where the version was registered without one, or it was deleted."""
    nothing: dict[str, Any] = {"run": {}, "git": {}, "params": {}, "metrics": {}, "data": []}
    if not run_id:
        return nothing
    answer = server.ask("GET", f"{API}/runs/get", params={"run_id": run_id}, bearing=(400, 404))
    run = answer.json.get("run") if isinstance(answer.json, Mapping) else None
    if not isinstance(run, Mapping):
        return {**nothing, "run": {"id": run_id, "gone": True}}
    info, data = run.get("info") or {}, run.get("data") or {}
    tags = _pairs(data.get("tags"))
    experiment = str(info.get("experiment_id") or "")
    return {
        "run": {
            "id": run_id,
            "name": str(info.get("run_name") or ""),
            "experiment": _experiment(server, experiment),
            "by": tags.get("mlflow.user") or str(info.get("user_id") or ""),
            "status": str(info.get("status") or ""),
            "started_at": _moment(info.get("start_time")),
            "ended_at": _moment(info.get("end_time")),
            "artifacts": str(info.get("artifact_uri") or ""),
            "url": f"{server.base.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}",
        },
        "git": {
            name: tags[tag]
            for name, tag in (
                ("commit", "mlflow.source.git.commit"), ("branch", "mlflow.source.git.branch"),
                ("repository", "mlflow.source.git.repoURL"), ("script", "mlflow.source.name"),
            )
            if tags.get(tag)
        },
        "params": _pairs(data.get("params")),
        "metrics": {str(one["key"]): one.get("value") for one in _rows(data.get("metrics"))[:KEPT] if "key" in one},
        "data": [_data_set(one) for one in _rows((run.get("inputs") or {}).get("dataset_inputs"))[:KEPT]],
    }  # fmt: skip


def _experiment(server: Rest, number: str) -> str:
    answer = server.ask("GET", f"{API}/experiments/get", params={"experiment_id": number}, bearing=(400, 404))
    found = answer.json.get("experiment") if isinstance(answer.json, Mapping) else None
    return str(found.get("name") or number) if isinstance(found, Mapping) else number


def _data_set(given: Mapping[str, Any]) -> dict[str, str]:
    found = given.get("dataset") or {}
    context = _pairs(given.get("tags")).get("mlflow.data.context", "")
    kept = {name: str(found.get(name) or "")[:VALUE] for name in ("name", "digest", "source_type", "source")}
    return {**kept, "context": context}


def _promoted(model: str, number: str, alias: str, tags: Mapping[str, str], now: datetime) -> dict[str, str]:
    """{"by", "at", "how"}: from what the registry's webhooks told us, else from the version's own tags."""
    told = Change.objects.filter(
        kind="registry", system_name=model, version=number, at__lte=now, labels__action="created",
        labels__alias__isnull=False,
    )  # fmt: skip
    if alias:
        told = told.filter(labels__alias=alias)
    moved = told.order_by("-at", "-id").first()
    by = next((tags[name] for name in PROMOTERS if tags.get(name)), "")
    if moved is not None:
        said = f"alias {moved.labels.get('alias')}, as the registry told"
        return {"by": moved.by or by, "at": moved.at.isoformat(), "how": said}
    at = next((tags[name] for name in PROMOTIONS if tags.get(name)), "")
    return {"by": by, "at": at, "how": "tags of the version"} if by or at else {}


def _rows(value: Any) -> Sequence[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _pairs(value: Any) -> dict[str, str]:
    return {str(one["key"]): str(one.get("value", ""))[:VALUE] for one in _rows(value)[:KEPT] if "key" in one}


def _moment(milliseconds: Any) -> str:
    try:
        return datetime.fromtimestamp(int(milliseconds) / 1000, UTC).isoformat(timespec="seconds")
    except (TypeError, ValueError, OverflowError, OSError):
        return ""
