"""Weights & Biases: automations on registries and artifacts as changes, on runs as signals."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from incidents.intake.signal import Signal, Status
from integrations import normalise
from integrations.authenticity import SHARED_SECRET, is_among, require_shared, secrets_in
from integrations.contract import Change, Example, Field, Inbound, Refusal, Reply, Said, Unreadable
from integrations.listening import Listening, is_unfilled, mapping, object_of, thanks
from integrations.normalise import first, text

_ARTIFACTS = ("artifact_version_string", "artifact_version", "artifact_collection_name", "alias")
_RUN_STATES: dict[str, Status] = {
    "failed": "firing", "crashed": "firing", "killed": "firing", "preempted": "firing",
    "finished": "resolved",
}  # fmt: skip
_UNDER_WAY = frozenset({"running", "pending", "queued", "preempting"})
_COMPARATORS = {
    "$gt": ">",
    "$gte": ">=",
    "$lt": "<",
    "$lte": "<=",
    ">": ">",
    ">=": ">=",
    "<": "<",
    "<=": "<=",
}
_HINT = (
    "Put the signing secret of the webhook at Weights & Biases into this connection, or take it out of it."
)


class WeightsAndBiases(Listening):
    """The body is a template of the user; any that uses the documented variables is read."""

    title = "Weights & Biases"
    docs = "https://docs.wandb.ai/models/automations/create-automations/webhook"
    summary = "Model versions linked and relabelled, and runs that fail or cross a threshold."
    fields = (
        Field(
            "signing_secret",
            "Signing secret",
            "When set, messages without a right X-Wandb-Signature are refused.",
            secret=True,
            required=False,
        ),
        SHARED_SECRET,
    )
    templated = True
    idempotency = (
        "Weights & Biases names no delivery; the same change of the same artifact within an hour is one."
    )
    limits = (
        "A crossed threshold has no resolution; a run that finishes resolves the failure of the run of that name. "
        "https://docs.wandb.ai/models/automations/create-automations/webhook"
    )
    examples = (
        Example(
            "alias",
            b'{"event_type":"ADD_ARTIFACT_ALIAS","event_author":"ann","alias":"production","artifact_version":'
            b'"wandb-artifact://_id/abc","artifact_version_string":"acme/registry/churn:v9",'
            b'"artifact_collection_name":"churn","project_name":"registry","entity_name":"acme"}',
            alerts=0,
            others=1,
        ),
        Example(
            "as for GitHub",
            b'{"event_type":"DEPLOY","client_payload":{"artifact_version_string":"acme/registry/churn:v9",'
            b'"artifact_collection_name":"churn","entity_name":"acme","project_name":"registry"}}',
            alerts=0,
            others=1,
        ),
        Example(
            "metric of a run",
            b'{"event_type":"RUN_METRIC_THRESHOLD","run_name":"nightly-7","project_name":"churn","entity_name":"acme",'
            b'"metric_name":"val/loss","metric_value":"2.5","threshold":"2","operator":"$gt"}',
        ),
        Example("trial", b"{}", alerts=0),
    )

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        """HMAC-SHA256 of the raw body; published receivers disagree between hex and base64, so both are taken."""
        if secrets := secrets_in(settings.get("signing_secret")):
            offered = inbound.headers.get("x-wandb-signature", "").strip().removeprefix("sha256=")
            if not offered:
                raise Refusal(f"This connection takes signed messages only. {_HINT}", 401)
            digests = [
                hmac.new(s.encode(errors="replace"), inbound.body, hashlib.sha256).digest() for s in secrets
            ]
            right = [digest.hex() for digest in digests] + [base64.b64encode(d).decode() for d in digests]
            if not is_among(offered, right) and not is_among(offered.lower(), right):
                raise Refusal(f"The signature does not fit. {_HINT}", 401)
        if settings.get("secret"):
            require_shared(inbound, settings)

    def handshake(self, inbound: Inbound, settings: Mapping[str, Any]) -> Reply | None:
        if inbound.method != "POST" or inbound.body.strip() != b"{}":
            return None
        return thanks("The trial has arrived; nothing was stored.")

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Said]:
        if body == {}:
            return []
        message = object_of(body, "a message of an automation")
        told = {**message, **mapping(message.get("client_payload")), **mapping(message.get("data"))}
        event = text(first(told, "event_type", "event", "type"))
        if is_unfilled(event) or is_unfilled(told.get("artifact_version_string")):
            raise Unreadable("The variables of this automation's payload were not filled in.")
        kind = event.upper()
        metric = text(first(told, "metric_name", "metric"))
        if "RUN" in re.split(r"[^A-Z]+", kind) or metric or first(told, "run_state", "run_name") is not None:
            if text(first(told, "run_state", "state", "status")).lower() in _UNDER_WAY:
                return []
            return [_run(event, metric, told, inbound)]
        if any(text(told.get(name)) for name in _ARTIFACTS):
            return [_change(event, told, inbound)]
        title = text(first(told, "title", "alert_title"))
        if title:
            return [_alert(title, told, inbound)]
        raise Unreadable(
            "This payload names neither an artifact nor a run: use the variables of docs/integrations/wandb.md in it."
        )


def _collection(told: Mapping[str, Any]) -> tuple[str, str]:
    """(collection, version or alias) out of `entity/project/collection:version`."""
    written = text(told.get("artifact_version_string")).rpartition("/")[2]
    name, _, version = written.partition(":")
    return text(told.get("artifact_collection_name")) or name, version


def _change(event: str, told: Mapping[str, Any], inbound: Inbound) -> Change:
    collection, version = _collection(told)
    alias, author = text(told.get("alias")), text(first(told, "event_author", "author"))
    whole = text(told.get("artifact_version_string")) or collection
    happened = {
        "ADD_ARTIFACT_ALIAS": f"Alias {alias or version} was given to {whole}",
        "LINK_ARTIFACT": f"{whole} was linked to the registry",
        "LINK_MODEL": f"{whole} was linked to the registry",
        "CREATE_ARTIFACT": f"{whole} was created",
        "ADD_ARTIFACT_TAG": f"{whole} was given a tag",
    }.get(event.upper(), f"{event or 'Automation'}: {whole}")
    place = tuple(text(told.get(name)) for name in ("entity_name", "project_name"))
    return Change(
        # a version that comes back later is a change again, so the hour belongs to it
        key=normalise.fingerprint(
            *place, told.get("artifact_version"), whole, event, alias, f"{inbound.received_at:%Y-%m-%dT%H}"
        ),
        kind="registry",
        title=text(happened, 300),
        at=normalise.moment(first(told, "timestamp", "created_at")) or inbound.received_at,
        system=text(collection, 200),
        version=text(version, 120),
        by=text(author, 200),
        labels={
            name: value
            for name, value in (
                ("event", event),
                ("alias", alias),
                ("entity", place[0]),
                ("project", place[1]),
            )
            if value
        },
        extra=normalise.storable(dict(told)),
    )


def _run(event: str, metric: str, told: Mapping[str, Any], inbound: Inbound) -> Signal:
    state = text(first(told, "run_state", "state", "status")).lower()
    run = text(first(told, "run_name", "run_id", "run")) or "a run"
    project, entity = text(told.get("project_name")), text(told.get("entity_name"))
    value = first(told, "metric_value", "value")
    if metric:
        title = f"{metric} of run {run} crossed its threshold"
        status: Status = normalise.status(state) or "firing"
    else:
        title = f"Run {run} is {state or 'reported'}"
        status = _RUN_STATES.get(state) or normalise.status(state) or "firing"
    return normalise.signal(
        inbound,
        "wandb",
        fingerprint=normalise.fingerprint(entity, project, run, metric),
        status=status,
        title=text(first(told, "title")) or title,
        level=normalise.level(first(told, "severity", "level")),
        family=normalise.family(told.get("class")) or (None if metric else "INTEG"),
        description=first(told, "text", "message", "description") or "",
        labels={
            name: said
            for name, said in (
                ("alertname", event or metric or "run"), ("run", run), ("project", project), ("entity", entity),
                ("state", state), ("author", text(told.get("event_author"))),
            )
            if said
        },
        system=text(first(told, "model", "system", "artifact_collection_name")) or project,
        metric=metric or "run_state",
        value=value,
        threshold=first(told, "threshold", "threshold_value"),
        comparator=_COMPARATORS.get(text(first(told, "operator", "comparison")), ""),
        links=normalise.links(("Run", first(told, "run_url", "url"))),
        extra=dict(told),
    )  # fmt: skip


def _alert(title: str, told: Mapping[str, Any], inbound: Inbound) -> Signal:
    """What a script forwards of `wandb.alert(title, text, level)`."""
    project, entity = text(told.get("project_name")), text(told.get("entity_name"))
    return normalise.signal(
        inbound,
        "wandb",
        fingerprint=normalise.fingerprint(entity, project, title),
        status=normalise.status(first(told, "status", "state")) or "firing",
        title=title,
        level=normalise.level(first(told, "level", "severity")),
        description=first(told, "text", "message", "alert_text") or "",
        labels={"alertname": title, **({"project": project} if project else {})},
        links=normalise.links(("Run", first(told, "run_url", "url"))),
        extra=dict(told),
        **{**normalise.facts(told), "system": normalise.facts(told)["system"] or project},
    )
