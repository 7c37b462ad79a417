"""Arize: prompt and evaluator versions as changes, failed evaluation tasks and monitors as signals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from incidents.intake.signal import Signal
from integrations import normalise
from integrations.authenticity import SHARED_SECRET, require_hmac, require_recent, require_shared
from integrations.contract import Change, Example, Field, Inbound, Said, Unreadable
from integrations.listening import Listening, mapping, object_of
from integrations.normalise import first, text

_CHANGES = {
    "PROMPT_VERSION_CREATED": "has a new version",
    "PROMPT_VERSION_LABELED": "was given a label",
    "PROMPT_VERSION_UNLABELED": "lost a label",
    "EVALUATOR_VERSION_CREATED": "has a new version",
}
_FAILED = "ONLINE_TASK_RUN_FAILED"
_STATUSES = {"triggered": "firing", "nottriggered": "resolved", "cleared": "resolved", "nodata": "firing"}
_COMPARATORS = {"greaterthan": ">", "lessthan": "<", "greaterthanorequal": ">=", "lessthanorequal": "<=",
                "equals": "==", "notequals": "!=", "gt": ">", "lt": "<"}  # fmt: skip


class Arize(Listening):
    """The vendor publishes the transport and the events but not the bodies: bodies are read by likely names."""

    title = "Arize"
    docs = "https://arize.com/docs/ax/observe/production-monitoring"
    summary = "Monitors, failed evaluation tasks, and new or relabelled versions of prompts and evaluators."
    fields = (
        Field(
            "signing_secret",
            "Signing secret",
            "Of a webhook with HMAC_SHA256. When set, unsigned or wrongly signed messages are refused.",
            secret=True,
            required=False,
        ),
        SHARED_SECRET,
    )
    idempotency = "X-Arize-Webhook-Id names an event: a retry is answered with the first receipt."
    limits = (
        "A failed task has no resolution: close its alert by policy. Signatures may be five minutes old. "
        "https://arize.com/docs/ax/observe/production-monitoring"
    )
    examples = (
        Example(
            "failed task",
            b'{"event":"ONLINE_TASK_RUN_FAILED","source":{"type":"ONLINE_TASK","id":"T-7"},'
            b'"data":{"task_name":"toxicity","error":"timeout","model_name":"assistant"}}',
            {"content-type": "application/json", "x-arize-webhook-id": "e-1"},
        ),
        Example(
            "prompt",
            b'{"source":{"type":"PROMPT","id":"P-1"},"data":{"prompt_name":"greeting","version":"3"}}',
            {"content-type": "application/json", "x-arize-webhook-event": "PROMPT_VERSION_CREATED"},
            alerts=0,
            others=1,
        ),
        Example(
            "monitor",
            b'{"monitor":{"id":"M-1","name":"PSI of age","model_name":"churn","status":"triggered",'
            b'"drift_metric":"psi","dimension_name":"age","current_value":0.4,"threshold":0.2,'
            b'"operator":"greater_than","monitor_url":"https://app.arize.com/monitors/M-1"}}',
        ),
    )

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        """`v1=<hex HMAC-SHA256>` of `<timestamp>.<raw body>`, as the vendor's OpenAPI document describes it."""
        if secret := settings.get("signing_secret"):
            stamp = inbound.headers.get("x-arize-webhook-timestamp", "")
            offered = inbound.headers.get("x-arize-webhook-signature", "").split(",")
            require_hmac(
                stamp.encode(errors="replace") + b"." + inbound.body,
                [one.strip().removeprefix("v1=") for one in offered],
                secret,
                "X-Arize-Webhook-Signature",
            )
            require_recent(normalise.moment(stamp), inbound.received_at)
        elif settings.get("secret"):
            require_shared(inbound, settings)

    def delivery_key(self, inbound: Inbound) -> str:
        # one event goes once to each subscription, and may have several kinds
        identity = inbound.headers.get("x-arize-webhook-id", "")
        return f"{identity} {inbound.headers.get('x-arize-webhook-event', '')}".strip() if identity else ""

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Said]:
        message = object_of(body, "a message of Arize")
        event = text(
            first(message, "event", "event_type", "type") or inbound.headers.get("x-arize-webhook-event")
        )
        event = event.upper().replace(".", "_").replace("-", "_")
        data = {**message, **mapping(message.get("source")), **mapping(message.get("data"))}
        source = mapping(message.get("source"))
        if event in _CHANGES:
            return [_change(event, source, data, inbound)]
        if event == _FAILED:
            return [_failed_task(source, data, inbound)]
        monitor = {
            **data,
            **mapping(message.get("monitor")),
            **mapping(mapping(message.get("data")).get("monitor")),
        }
        name = text(first(monitor, "monitor_name", "monitorName", "name"))
        if name and first(monitor, "status", "monitor_status", "state", "monitorStatus") is not None:
            return [_monitor(name, monitor, inbound)]
        raise Unreadable(
            f"Arize's event {event or 'without a name'} is not known here, and its message names no monitor."
        )


def _at(data: Mapping[str, Any], inbound: Inbound) -> Any:
    stamp = inbound.headers.get("x-arize-webhook-timestamp")
    return normalise.moment(
        first(data, "occurred_at", "triggered_at", "created_at", "timestamp")
    ) or normalise.moment(stamp)


def _change(event: str, source: Mapping[str, Any], data: Mapping[str, Any], inbound: Inbound) -> Change:
    what = "prompt" if event.startswith("PROMPT") else "evaluator"
    identity = text(first(source, "id") or first(data, f"{what}_id"))
    name = text(first(data, f"{what}_name", "name")) or identity or "without a name"
    version, label = (
        text(first(data, "version", "version_number", "version_id")),
        text(first(data, "label", "label_name")),
    )
    told = f"The {what} {name} {_CHANGES[event]}"
    details = ", ".join(part for part in (f"version {version}" if version else "", label) if part)
    return Change(
        key=normalise.short_key(
            inbound.headers.get("x-arize-webhook-id", "") + " " + normalise.fingerprint(event, identity, version, label, name)
        ),
        kind="prompt" if what == "prompt" else "config",
        title=text(f"{told}: {details}" if details else told, 300),
        at=_at(data, inbound) or inbound.received_at,
        system=text(first(data, "model_name", "project_name", "space_name"), 200),
        version=text(version, 120),
        by=text(first(data, "created_by", "user", "created_by_user_id"), 200),
        labels={k: v for k, v in (("event", event), (what, name), ("label", label)) if v},
        extra=normalise.storable(dict(data)),
    )  # fmt: skip


def _failed_task(source: Mapping[str, Any], data: Mapping[str, Any], inbound: Inbound) -> Signal:
    name = text(first(data, "task_name", "name")) or text(source.get("id")) or "without a name"
    facts = normalise.facts({k: v for k, v in data.items() if k != "version"})
    facts["metric"] = "evaluation task"
    facts["system"] = facts["system"] or text(data.get("project_name"))
    return normalise.signal(
        inbound,
        "arize",
        fingerprint=normalise.fingerprint(_FAILED, text(source.get("id")) or name),
        status="firing",
        title=f"The evaluation task {name} failed",
        family="INTEG",
        description=first(data, "error", "error_message", "reason", "message") or "",
        observed_at=_at(data, inbound),
        labels={"alertname": name, "event": _FAILED},
        links=normalise.links(("Arize", first(data, "url", "link"))),
        extra=dict(data),
        **facts,
    )


def _monitor(name: str, monitor: Mapping[str, Any], inbound: Inbound) -> Signal:
    snake = {_snake(key): value for key, value in monitor.items() if not isinstance(value, dict | list)}
    word = text(first(snake, "status", "monitor_status", "state")).lower()
    status = _STATUSES.get(re.sub(r"[\s_]", "", word)) or normalise.status(word) or "firing"
    facts = normalise.facts(snake)
    operator = re.sub(r"[\s_]", "", text(first(snake, "operator", "comparator"))).lower()
    return normalise.signal(
        inbound,
        "arize",
        fingerprint=normalise.fingerprint(
            "monitor", text(first(snake, "monitor_id", "id")) or name, text(first(snake, "model_name", "model_id"))
        ),
        status=status,
        title=name,
        level=normalise.level(first(snake, "severity", "priority", "level")),
        family=normalise.family(snake.get("monitor_category"), snake.get("category"), snake.get("monitor_type")),
        description=first(snake, "message", "description", "notes") or "",
        observed_at=_at(snake, inbound),
        labels={
            "alertname": name,
            **{key: text(snake[key]) for key in ("environment", "space_name", "space_id", "category") if text(snake.get(key))},
        },
        links=normalise.links(("Arize", first(snake, "monitor_url", "uri", "url", "link"))),
        extra=dict(monitor),
        **{
            **facts,
            "system": facts["system"] or text(first(snake, "project_name")),
            "feature": facts["feature"]
            or text(first(snake, "dimension_name", "dimension") or mapping(monitor.get("dimension")).get("name")),
            "metric": facts["metric"] or text(first(snake, "drift_metric", "performance_metric", "data_quality_metric")),
            "value": first(snake, "latest_computed_value", "current_value", "metric_value", "value"),
            "threshold": first(mapping(monitor.get("threshold")), "value", "threshold") or facts["threshold"],
            "comparator": _COMPARATORS.get(operator, ""),
        },
    )  # fmt: skip


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
