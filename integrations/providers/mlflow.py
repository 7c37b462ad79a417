"""MLflow: changes of the model and prompt registry by signed webhooks, and spending beyond a budget."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from incidents.intake.signal import Signal
from integrations import normalise
from integrations.authenticity import is_among, require_recent, secrets_in
from integrations.contract import Change, Example, Field, Inbound, Refusal, Reply, Said, Unreadable
from integrations.listening import Listening, mapping, object_of, thanks
from integrations.normalise import text

_ENTITIES = {
    "registered_model": "model",
    "model_version": "model",
    "model_version_tag": "model",
    "model_version_alias": "model",
    "prompt": "prompt",
    "prompt_version": "prompt",
    "prompt_tag": "prompt",
    "prompt_version_tag": "prompt",
    "prompt_alias": "prompt",
}
#: What the server sends when somebody presses "Test": fixed payloads of mlflow/webhooks/types.py.
_TRIALS: tuple[Mapping[str, Any], ...] = (
    {"name": "example_model", "alias": "example_alias"},
    {"name": "example_model", "key": "example_key"},
    {"name": "example_model", "tags": {"example_key": "example_value"}},
    {"name": "example_prompt", "alias": "example_alias"},
    {"name": "example_prompt", "key": "example_key"},
    {"name": "example_prompt", "tags": {"example_key": "example_value"}},
    {"budget_policy_id": "bp-abc123", "target_value": "ep-abc123"},
)


class MLflow(Listening):
    """Every move in the registry is a change that an incident may have followed. Playbooks move aliases by a connection of their own."""

    title = "MLflow webhooks"
    docs = "https://mlflow.org/docs/latest/ml/webhooks/"
    summary = "New versions, aliases and tags of registered models and prompts; budgets of the gateway."
    fields = (
        Field(
            "secret",
            "Webhook secret",
            "When set, unsigned, wrongly signed and old messages are refused. Several may be given while one is replaced.",
            secret=True,
            required=False,
        ),
    )  # fmt: skip
    idempotency = "X-MLflow-Delivery-Id names a delivery over its retries: the same one is answered with its first receipt."
    limits = (
        "Stage transitions send nothing; setting an alias again sends the same event. Three retries, then a message "
        "is dropped. A budget has no resolution. https://mlflow.org/docs/latest/ml/webhooks/"
    )
    examples = (
        Example(
            "alias",
            b'{"entity":"model_version_alias","action":"created","timestamp":"2026-02-03T04:05:06.7+00:00",'
            b'"data":{"name":"churn","alias":"champion","version":"9"}}',
            {"content-type": "application/json", "x-mlflow-delivery-id": "d-1"},
            alerts=0,
            others=1,
        ),
        Example(
            "prompt",
            b'{"entity":"prompt_version","action":"created","timestamp":"2026-02-03T04:05:06+00:00","workspace":"w",'
            b'"data":{"name":"greeting","version":"2","template":"Hello {{name}}!","tags":{},"description":null}}',
            alerts=0,
            others=1,
        ),
        Example(
            "budget",
            b'{"entity":"budget_policy","action":"exceeded","timestamp":"2026-02-03T04:05:06+00:00","data":'
            b'{"budget_policy_id":"bp-7","budget_unit":"USD","budget_amount":100.0,"current_spend":104.5,'
            b'"duration_unit":"DAYS","duration_value":1,"target_scope":"ENDPOINT","target_value":"ep-1",'
            b'"window_start":1772366400000}}',
        ),
        Example(
            "trial",
            b'{"entity":"registered_model","action":"created","timestamp":"2026-02-03T04:05:06+00:00","data":'
            b'{"name":"example_model","tags":{"example_key":"example_value"},"description":"x"}}',
            alerts=0,
        ),
    )

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        """`v1,` and base64 of HMAC-SHA256 over `<delivery id>.<timestamp>.<raw body>`, as mlflow/webhooks/delivery.py
        signs; unlike Standard Webhooks, the secret is used as it is written."""
        if not (secrets := secrets_in(settings.get("secret"))):
            return
        identity, stamp, offered = (
            inbound.headers.get(f"x-mlflow-{name}", "") for name in ("delivery-id", "timestamp", "signature")
        )
        if not (identity and stamp and offered):
            raise Refusal(
                "This connection takes signed messages only: create the webhook at MLflow with this secret, or take "
                "the secret out of the connection.",
                401,
            )
        content = f"{identity}.{stamp}.".encode(errors="replace") + inbound.body
        right = [
            base64.b64encode(
                hmac.new(one.encode(errors="replace"), content, hashlib.sha256).digest()
            ).decode()
            for one in secrets
        ]
        signatures = [one.removeprefix("v1,") for one in offered.split() if one.startswith("v1,")]
        if not any(is_among(one, right) for one in signatures):
            raise Refusal(
                "The signature does not fit. Compare the secret here with that of the webhook.", 401
            )
        require_recent(normalise.moment(stamp), inbound.received_at)

    def delivery_key(self, inbound: Inbound) -> str:
        return inbound.headers.get("x-mlflow-delivery-id", "")

    def handshake(self, inbound: Inbound, settings: Mapping[str, Any]) -> Reply | None:
        if inbound.method != "POST":
            return None
        return thanks("The trial has arrived; nothing was stored.")

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Said]:
        event = object_of(body, "a webhook of MLflow")
        entity, action = text(event.get("entity")).lower(), text(event.get("action")).lower()
        data = mapping(event.get("data"))
        if not entity or not action or not data:
            raise Unreadable('This is no webhook of MLflow: it lacks "entity", "action" or "data".')
        if any(trial.items() <= data.items() for trial in _TRIALS):
            return []
        if entity == "budget_policy":
            return [_budget(event, data, inbound)]
        if not text(data.get("name")):
            raise Unreadable(f"MLflow's event {entity}.{action} does not name what was changed.")
        return [_change(entity, action, event, data, inbound)]


def _change(
    entity: str, action: str, event: Mapping[str, Any], data: Mapping[str, Any], inbound: Inbound
) -> Change:
    name, version = text(data.get("name")), text(data.get("version"))
    what = _ENTITIES.get(entity, "prompt" if entity.startswith("prompt") else "model")
    workspace = text(event.get("workspace"))
    delivery = inbound.headers.get("x-mlflow-delivery-id", "")
    return Change(
        key=normalise.short_key(delivery) or normalise.fingerprint(entity, action, event.get("timestamp"), data),
        kind="prompt" if what == "prompt" else "registry",
        title=text(_sentence(what, entity, action, name, version, data), 300),
        at=normalise.moment(event.get("timestamp")) or inbound.received_at,
        system=text(name, 200),
        version=text(version, 120),
        labels={
            label: value
            for label, value in (
                ("entity", entity), ("action", action), ("alias", text(data.get("alias"))),
                ("key", text(data.get("key"))), ("workspace", workspace),
            )
            if value
        },
        extra=normalise.storable(dict(data)),
    )  # fmt: skip


def _sentence(what: str, entity: str, action: str, name: str, version: str, data: Mapping[str, Any]) -> str:
    of = f"{what} {name}"
    if entity.endswith("_alias"):
        alias = text(data.get("alias"))
        if action == "deleted":
            return f"Alias {alias} of {of} was deleted"
        return f"Alias {alias} of {of} points to version {version}"
    if entity.endswith("_tag"):
        tag = text(data.get("key"))
        at = f"version {version} of {of}" if version else of
        if action == "deleted":
            return f"Tag {tag} of {at} was deleted"
        return f"Tag {tag} of {at} was set to {text(data.get('value'), 100)}"
    if entity.endswith("_version"):
        return f"Version {version} of {of} was {action}"
    return f"{what.capitalize()} {name} was {action}"


def _budget(event: Mapping[str, Any], data: Mapping[str, Any], inbound: Inbound) -> Signal:
    policy, unit = text(data.get("budget_policy_id")), text(data.get("budget_unit")) or "USD"
    scope, target = text(data.get("target_scope")).lower(), text(data.get("target_value"))
    spent, most = normalise.number(data.get("current_spend")), normalise.number(data.get("budget_amount"))
    whose = " ".join(part for part in (scope, target) if part) or "the gateway"
    return normalise.signal(
        inbound,
        "mlflow",
        fingerprint=normalise.fingerprint("budget", policy, event.get("workspace")),
        status="firing",
        title=f"Spending of {whose} is beyond its budget",
        family="PERF",
        description=f"{spent} {unit} were spent of {most} {unit}.",
        observed_at=normalise.moment(event.get("timestamp")),
        labels={
            "alertname": "Budget exceeded",
            **{name: text(data[name]) for name in ("budget_policy_id", "target_scope", "workspace") if text(data.get(name))},
        },
        metric="spend",
        value=spent,
        threshold=most,
        comparator=">",
        system=target if scope == "endpoint" else "",
        window=" ".join(text(data.get(name)).lower() for name in ("duration_value", "duration_unit")).strip(),
        starts_at=normalise.moment(data.get("window_start")),
        delivery_key=inbound.headers.get("x-mlflow-delivery-id"),
        extra=dict(data),
    )  # fmt: skip
