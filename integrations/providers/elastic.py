"""Elastic: Kibana rules by a webhook connector, and watches; the body of both is written by their users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from incidents.intake.signal import Signal, Status
from integrations import normalise
from integrations.contract import Example, Inbound, Unreadable
from integrations.listening import Listening, entries, mapping
from integrations.normalise import first, text
from integrations.shape import Unfit, signal_of

#: Names under which templates put the three objects of a Kibana rule.
_RULE = {
    "rule": ("rule", "rule_info"),
    "alert": ("alert", "alert_info"),
    "context": ("context", "context_info"),
}
_RECOVERED = frozenset({"recovered", "resolved", "ok"})
#: How Kibana's rules word a reason: `… is 1.9 s … Alert when > 1 s.`
_COMPARATORS = {">": ">", ">=": ">=", "<": "<", "<=": "<=", "between": "between", "greater": ">", "less": "<"}


class Elastic(Listening):
    """There is no fixed payload: the template of our page is read, Keep's, a watch's context, and our own shape."""

    title = "Elastic"
    docs = "https://www.elastic.co/docs/reference/kibana/connectors-kibana/webhook-action-type"
    summary = "Kibana alerting rules, fired and recovered, and watches."
    templated = True
    idempotency = (
        "Kibana names no delivery; an alert is known by its uuid, and a repeated report changes nothing."
    )
    limits = (
        'A watch reports no end: close its alerts by policy, or send status "resolved" by a second watch. A Kibana '
        "rule reports its end only where the connector is also chosen for Recovered."
    )
    examples = (
        Example(
            "kibana",
            b'{"rule":{"id":"r","name":"p95 of churn","tags":["model=churn","env:prod"]},"alert":{"id":"churn","uuid":"u-1",'
            b'"actionGroup":"metrics.threshold.fired","flapping":false},"context":{"reason":"p95 is 1.9 s","value":1.9},'
            b'"date":"2026-02-03T04:05:06.124Z","kibanaBaseUrl":"https://kib.example.org"}',
        ),
        Example(
            "kibana in strings",
            b'{"webhook_body":{"rule_info":"{\\"id\\":\\"r\\",\\"name\\":\\"Nulls\\"}","alert_info":"{\\"uuid\\":\\"u-2\\",'
            b'\\"actionGroup\\":\\"recovered\\"}","context_info":"{\\"reason\\":\\"fine\\"}"}}',
        ),
        Example(
            "watch",
            b'{"payload":{"metadata":{"model":"churn","severity":"critical"},"watch_id":"errors","id":"errors_1","execution_time":'
            b'"2026-02-03T04:05:06Z","payload":{"hits":{"total":{"value":42}}}},"status":"Alert"}',
        ),
    )  # fmt: skip

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Signal]:
        message = mapping(_opened(body))
        message = mapping(_opened(message.get("webhook_body"))) or message
        rule, alert, context = (
            mapping(next((_opened(message[n]) for n in names if n in message), None))
            for names in _RULE.values()
        )
        if alert or rule:
            return [_kibana(rule, alert, context, message, inbound)]
        record = mapping(message.get("watch_record"))
        watch = record or mapping(message.get("ctx")) or mapping(message.get("payload")) or message
        if "watch_id" in watch:
            return _watch(watch, message, inbound)
        try:
            return [signal_of(body, inbound, "elastic")]
        except Unfit as error:
            raise Unreadable(
                f"None of the templates that are read here: {error}. Take the body from docs/integrations/elastic.md."
            ) from error


def _opened(value: Any) -> Any:
    """JSON that a template wrote into a string; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return normalise.read_json(value)
    except normalise.NotJSON:
        return value


def _kibana(
    rule: Mapping[str, Any],
    alert: Mapping[str, Any],
    context: Mapping[str, Any],
    message: Mapping[str, Any],
    inbound: Inbound,
) -> Signal:
    """https://www.elastic.co/docs/explore-analyze/alerts-cases/alerts/rule-action-variables"""
    group = text(first(alert, "actionGroup", "actionGroupName"))
    tags = _tags(rule.get("tags")) | _tags(context.get("tags"))
    facts = normalise.facts(
        {**tags, **{name: value for name, value in context.items() if isinstance(value, str | int | float)}}
    )
    facts["system"] = text(first(tags, "system", "model", "model_name", "service")) or _subject(alert)
    facts["version"] = text(first(tags, "version", "model_version"))
    criterion = mapping(next(iter(entries(mapping(_opened(rule.get("params"))).get("criteria"))), None))
    bounds = criterion.get("threshold")
    bound = bounds[0] if isinstance(bounds, list) and bounds else bounds
    facts["metric"] = facts["metric"] or text(first(criterion, "metric", "aggType"))
    facts["threshold"] = normalise.number(bound) if facts["threshold"] is None else facts["threshold"]
    facts["comparator"] = facts["comparator"] or _COMPARATORS.get(text(criterion.get("comparator")), "")
    status: Status = "resolved" if group.lower() in _RECOVERED else "firing"
    at = normalise.moment(first(context, "timestamp", "date") or message.get("date"))
    name = text(first(rule, "name", "id"))
    reason = first(context, "reason", "message", "conditions")
    return normalise.signal(
        inbound,
        "elastic",
        fingerprint=text(alert.get("uuid")) or normalise.fingerprint("rule", rule.get("id"), name, alert.get("id")),
        status=status,
        title=name or text(context.get("title")) or text(reason) or "Kibana rule without a name",
        level=normalise.level(first(tags, "severity", "level") or first(context, "severity", "group"))
        or ("warning" if "warning" in group.lower() else None),
        family=normalise.family(tags.get("family"), tags.get("incident_class")),
        description=reason or "",
        labels={
            **tags,
            **{
                key: told
                for key, told in (
                    ("alertname", name),
                    ("alert_id", text(alert.get("id"))),
                    ("space", text(rule.get("spaceId"))),
                    ("flapping", "true" if alert.get("flapping") is True else ""),
                )
                if told
            },
        },
        observed_at=at,
        starts_at=at if status == "firing" else None,
        ends_at=at if status == "resolved" else None,
        links=normalise.links(
            ("Alert", context.get("alertDetailsUrl")),
            ("Kibana", first(context, "viewInAppUrl", "link")),
            ("Rule", rule.get("url")),
        ),
        extra={"rule": dict(rule), "action_group": group},
        **facts,
    )  # fmt: skip


def _tags(value: Any) -> dict[str, str]:
    """`model=churn` and `model:churn` as labels; a tag without a value as `tag: true`."""
    found = {}
    for tag in value if isinstance(value, list) else []:
        word = text(tag, 200)
        sign = next((s for s in ("=", ":") if s in word), "")
        name, _, told = word.partition(sign) if sign else (word, "", "true")
        if name.strip():
            found[name.strip()] = told.strip()
    return found


def _subject(alert: Mapping[str, Any]) -> str:
    """The group that an alert is about, where it says of what kind it is: `model:credit-risk`."""
    kind, _, name = text(alert.get("id")).partition(":")
    return name if kind in ("model", "system", "service.name", "service") else ""


def _watch(watch: Mapping[str, Any], message: Mapping[str, Any], inbound: Inbound) -> list[Signal]:
    """https://www.elastic.co/docs/explore-analyze/alerts-cases/watcher/actions#action-conditions"""
    metadata, name = mapping(watch.get("metadata")), text(watch.get("watch_id"))
    result = mapping(watch.get("result"))
    met = mapping(result.get("condition")).get("met")
    if text(watch.get("state")) in ("not_executed_watch_missing", "throttled"):
        return []
    said = normalise.status(first(message, "status", "state")) or normalise.status(first(metadata, "status"))
    status: Status = said or ("resolved" if met is False else "firing")
    payload = mapping(first(watch, "payload") or mapping(result.get("input")).get("payload"))
    hits = mapping(payload.get("hits"))
    total = mapping(hits.get("total")).get("value", hits.get("total"))
    found = mapping(next(iter(entries(hits.get("hits"))), None))
    source = mapping(found.get("_source"))
    facts = normalise.facts(metadata)
    facts["metric"] = facts["metric"] or ("hits" if normalise.number(total) is not None else "")
    facts["value"] = normalise.number(total) if facts["value"] is None else facts["value"]
    at = normalise.moment(
        first(watch, "execution_time", "@timestamp") or mapping(watch.get("trigger")).get("triggered_time")
    )
    return [
        normalise.signal(
            inbound,
            "elastic",
            fingerprint=normalise.fingerprint("watch", name, facts["system"], facts["feature"]),
            status=status,
            title=text(first(metadata, "name", "title")) or name or "Watch without a name",
            level=normalise.level(first(metadata, "severity", "level")),
            family=normalise.family(metadata.get("family"), metadata.get("incident_class")),
            description=text(first(metadata, "description", "message")) or text(source.get("message")),
            labels={**normalise.labels(metadata), "alertname": name},
            observed_at=at,
            starts_at=at if status == "firing" else None,
            ends_at=at if status == "resolved" else None,
            delivery_key=first(watch, "id") or message.get("_id"),
            extra={"first_hit": dict(source)},
            **facts,
        )
    ]  # fmt: skip
