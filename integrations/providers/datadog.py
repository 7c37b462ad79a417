"""Datadog: monitors by its webhooks integration, as JSON or as a form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from incidents.intake.signal import Level, Signal, Status
from integrations import normalise
from integrations.contract import Example, Inbound, Unreadable
from integrations.listening import FORM, Listening, is_unfilled, mapping, object_of
from integrations.normalise import first, text

_PRIORITIES: dict[str, Level] = {
    "p1": "critical", "p2": "critical", "p3": "warning", "p4": "info", "p5": "info",
    "1": "critical", "2": "critical", "3": "warning", "4": "info", "5": "info",
}  # fmt: skip
_TYPES: dict[str, Level] = {"error": "critical", "warning": "warning", "info": "info"}
_PREFIX = re.compile(r"^(?:\s*\[[^\]]{0,200}\])+\s*")
_OVER = re.compile(r"\[(?:re-)?recovered\b|\brecovered\b", re.I)
_QUERY = re.compile(
    r"^\s*(?:[a-z]+\(last_(?P<window>\w{1,12})\)\s*:)?\s*(?P<of>.*?)\s*(?P<sign>>=|<=|==|!=|>|<)\s*"
    r"(?P<threshold>-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*$",
    re.I | re.S,
)
_METRIC = re.compile(r"(?:^|[:(\s])([A-Za-z][\w.]*\.[\w.]+)\s*\{")
_MARKUP = re.compile(r"^%%%\s*|\s*%%%$|\s*@[\w.-]+(?=\s|$)")
#: Our fields by the names that templates give them: of docs/integrations/datadog.md, of common templates, and the
#: variables' own.
_NAMES = {
    "id": ("id", "event_id"),
    "monitor": ("alert_id", "monitor_id", "alertid"),
    "cycle": ("alert_cycle_key", "alertCycleKey", "cycle_key"),
    "aggregate": ("aggreg_key", "aggregation_key"),
    "transition": ("alert_transition", "transition", "alertTransition"),
    "type": ("alert_type", "alertType"),
    "priority": ("alert_priority", "severity", "alertPriority"),
    "title": ("alert_title", "title", "event_title", "alertTitle"),
    "status": ("alert_status", "alertStatus"),
    "query": ("alert_query", "query", "alertQuery"),
    "metric": ("alert_metric", "metric", "alertMetric"),
    "scope": ("alert_scope", "scopes", "scope", "alertScope"),
    "body": ("body", "event_msg", "text_only_msg", "message", "text"),
    "date": ("date", "last_updated", "last_updated_epoch"),
    "link": ("link", "url"),
    "snapshot": ("snapshot", "snapshot_url"),
    "tags": ("tags",),
    "host": ("hostname", "host"),
    "value": ("value", "alert_value", "metric_value"),
}


class Datadog(Listening):
    """The body is a template of the user, and every variable in it arrives as text; empty and unknown ones too."""

    title = "Datadog"
    docs = "https://docs.datadoghq.com/integrations/webhooks/"
    summary = "Monitors that trigger, warn, lack data and recover."
    content_types = ("application/json", FORM)
    templated = True
    limits = (
        "Datadog signs nothing: give the webhook the shared secret as a custom header. Five tries on 5xx. "
        "https://docs.datadoghq.com/integrations/webhooks/"
    )
    examples = (
        Example(
            "warning",
            b'{"alert_id":"77","alert_cycle_key":"c-1","alert_transition":"Re-Warn","alert_type":"warning",'
            b'"alert_priority":"","alert_title":"[Warn on {model:churn}] Drift","alert_query":'
            b'"avg(last_1h):avg:model.psi{env:prod} by {model} >= 0.2","alert_scope":"model:churn",'
            b'"tags":"env:staging,model:churn,model_version:9,monitor","date":"1772366400000","snapshot":"$SNAPSHOT"}',
        ),
        Example(
            "recovered, as a form",
            b"alert_id=77&alert_cycle_key=c-1&alert_transition=Recovered&title=%5BRecovered%5D+Drift&tags=model%3Achurn",
            {"content-type": FORM},
        ),
    )

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        message = object_of(body, "a message of Datadog's webhooks")
        filled = {name: value for name, value in message.items() if not is_unfilled(value)}
        told = {name: text(first(_lower(filled), *map(str.lower, names))) for name, names in _NAMES.items()}
        told["tags"] = first(_lower(filled), "tags")
        if not (told["title"] or told["monitor"] or told["cycle"]):
            raise Unreadable(
                "This message names no monitor: none of alert_id, alert_cycle_key and title is filled in. Copy the "
                "payload of docs/integrations/datadog.md into the webhook."
            )
        return [_signal(told, filled, inbound)]


def _lower(message: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower().removeprefix("$"): value for name, value in message.items()}


def _signal(told: Mapping[str, Any], message: Mapping[str, Any], inbound: Inbound) -> Signal:
    tags = _tags(told["tags"])
    scope = _tags(told["scope"])
    labels = {**tags, **scope}
    status = _status(told)
    title = _PREFIX.sub("", told["title"]) or told["title"] or f"Monitor {told['monitor']}"
    query = _QUERY.match(told["query"][:2000])
    named = _METRIC.search(told["query"][:2000])
    facts = normalise.facts(labels)
    at = normalise.moment(told["date"])
    metric = told["metric"] or facts["metric"] or (named[1] if named else "")
    return normalise.signal(
        inbound,
        "datadog",
        fingerprint=_identity(told, title, scope),
        status=status,
        title=title,
        level=_level(told, status),
        family=normalise.family(*(labels.get(name) for name in ("family", "incident_class", "class"))),
        description=_MARKUP.sub("", told["body"]).strip() or told["status"],
        observed_at=at,
        labels={
            **labels,
            **{
                name: value
                for name, value in (
                    ("alertname", title), ("monitor", told["monitor"]), ("host", told["host"]),
                    ("transition", told["transition"]), ("org", text(mapping(message.get("org")).get("name"))),
                )
                if value
            },
        },
        ends_at=at if status == "resolved" else None,
        links=normalise.links(
            ("Event", told["link"]),
            ("Chart", told["snapshot"]),
        ),
        delivery_key=_key(told),
        extra={"query": told["query"], "status": told["status"], "cycle": told["cycle"], "event": told["id"]},
        **{
            **facts,
            "metric": metric,
            "value": normalise.number(told["value"]) if told["value"] else facts["value"],
            "comparator": query["sign"] if query else facts["comparator"],
            "threshold": normalise.number(query["threshold"]) if query else facts["threshold"],
            "window": (query["window"] or "") if query else facts["window"],
        },
    )  # fmt: skip


def _identity(told: Mapping[str, Any], title: str, scope: Mapping[str, str]) -> str:
    """The cycle key links a trigger to its recovery; without it the monitor and its group do."""
    if told["cycle"]:
        return f"cycle {told['cycle']}"
    if told["monitor"]:
        return normalise.fingerprint("monitor", told["monitor"], dict(scope))
    return told["aggregate"] or normalise.fingerprint("title", title, dict(scope))


def _key(told: Mapping[str, Any]) -> str:
    return (
        " ".join(part for part in (told["id"], told["transition"], told["date"]) if part)
        if told["id"]
        else ""
    )


def _status(told: Mapping[str, Any]) -> Status:
    transition = told["transition"].lower()
    if transition:
        return "resolved" if "recover" in transition or transition in ("ok", "resolved") else "firing"
    if told["type"].lower() in ("success", "recovery"):
        return "resolved"
    return "resolved" if _OVER.search(told["title"][:500]) else "firing"


def _level(told: Mapping[str, Any], status: Status) -> Level | None:
    """A warning is one whatever the monitor's priority; else the priority, then the type."""
    if "warn" in told["transition"].lower():
        return "warning"
    priority = told["priority"].lower()
    found = _PRIORITIES.get(priority) or normalise.level(priority)
    if found is None and status == "firing":
        found = _TYPES.get(told["type"].lower())
    return found


def _tags(value: Any) -> dict[str, str]:
    """`env:prod,model:credit-risk,monitor`, or a list of such; a tag without a value is a label that is true."""
    parts = value if isinstance(value, list) else text(value).split(",")
    pairs = (text(part).partition(":") for part in parts)
    return {name.strip(): said.strip() or "true" for name, _, said in pairs if name.strip()}
