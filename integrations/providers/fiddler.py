"""Fiddler: alert records from its API, and the messages it sends to Slack or Teams addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from incidents.intake.signal import Level, Signal
from integrations import normalise, reports
from integrations.contract import Example, Inbound, Unreadable
from integrations.listening import Listening, entries, mapping, object_of
from integrations.normalise import first, text

_LEVELS: dict[str, Level] = {"CRITICAL": "critical", "WARNING": "warning"}
_CONDITIONS = {"greater": ">", "lesser": "<"}
#: `*Model:* credit-risk`, `Severity: CRITICAL`
_LINE = re.compile(r"^[ \t*_>•-]{0,20}([A-Za-z][A-Za-z /_-]{1,40}?)[*_]{0,4} ?[:=][*_]{0,4}(.{1,500})$", re.M)
_LINK = re.compile(r"<(https?://[^|>\s]{1,2000})(?:\|[^>]{0,200})?>|(https?://[^\s<>|\"')]{1,2000})")
_NAMES = {
    "model": "system", "model name": "system", "project": "project", "severity": "severity", "feature": "feature",
    "column": "feature", "columns": "feature", "metric": "metric", "value": "value", "alert value": "value",
    "metric value": "value", "threshold": "threshold", "critical threshold": "threshold", "segment": "segment",
    "version": "version", "model version": "version", "baseline": "baseline", "alert name": "name", "alert": "name",
    "rule": "name", "alert rule": "name", "bin size": "window", "environment": "env",
}  # fmt: skip
#: Elements of one Slack or Teams message that are looked at.
_MOST_PIECES = 500


class Fiddler(Listening):
    """No body of its own is published: records of its API are posted by a job, chat messages come by themselves."""

    title = "Fiddler"
    docs = "https://docs.fiddler.ai/observability/platform/alerts-platform"
    summary = "Drift, data integrity, performance and traffic alerts."
    fields = reports.FIELDS
    limits = (
        "Messages to chat addresses carry no resolution; a record whose is_alert is false resolves its rule. "
        "https://docs.fiddler.ai/observability/platform/alerts-platform"
    )
    examples = (
        Example(
            "records of a rule",
            b'{"alert_rule":{"name":"Drift of age","model":{"name":"churn"},"metric":{"id":"jsd"},"condition":"greater"},'
            b'"data":{"items":[{"uuid":"u-1","alert_config_uuid":"c-1","alert_time_bucket":1772366400000,'
            b'"alert_value":0.4,"critical_threshold":0.2,"is_alert":true,"severity":"CRITICAL","feature_name":"age"},'
            b'{"uuid":"u-2","alert_config_uuid":"c-1","alert_time_bucket":1772370000000,"alert_value":0.1,'
            b'"critical_threshold":0.2,"is_alert":false,"severity":"NA","feature_name":"job"}]}}',
            alerts=2,
        ),
        Example(
            "as for Slack",
            b'{"text":"Alert triggered: Drift of age","blocks":[{"type":"section","text":{"type":"mrkdwn","text":'
            b'"*Model:* churn\\n*Severity:* CRITICAL\\n<https://acme.fiddler.ai/alerts/1|See>"}}]}',
        ),
    )

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        whom = reports.about({}, inbound, settings)
        records, rule = _records(body)
        if records:
            return [
                _record(one, {**mapping(one.get("alert_rule")), **rule}, whom, inbound) for one in records
            ]
        message = object_of(body, "a record or message of Fiddler")
        return [_chat(message, whom, inbound)]


def _records(body: Any) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
    """(alert records, the rule they belong to where it is sent along): one, a list, or a page of the API."""
    rule = mapping(mapping(body).get("alert_rule") or mapping(body).get("alert_config"))
    if isinstance(body, Mapping):
        for name in ("items", "records", "alert_records", "data"):
            inner = body.get(name)
            if isinstance(inner, Mapping):
                inner = inner.get("items")
            if isinstance(inner, list):
                body = inner
                break
    found = body if isinstance(body, list) else [body]
    return [one for one in entries(found) if "is_alert" in one or "alert_config_uuid" in one], rule


def _record(
    record: Mapping[str, Any], rule: Mapping[str, Any], whom: reports.About, inbound: Inbound
) -> Signal:
    severity = text(record.get("severity")).upper()
    alerting = record.get("is_alert")
    if not isinstance(alerting, bool):
        alerting = severity in _LEVELS
    feature = text(record.get("feature_name"))
    rule_id = text(first(record, "alert_config_uuid", "alert_rule_uuid")) or text(first(rule, "id", "uuid"))
    name = text(first(rule, "name")) or f"Alert rule {rule_id[:8] or 'without a name'}"
    metric = mapping(rule.get("metric"))
    value = normalise.number(record.get("alert_value"))
    critical, warning = (normalise.number(record.get(f"{one}_threshold")) for one in ("critical", "warning"))
    threshold = warning if severity == "WARNING" and warning is not None else critical
    comparator = _CONDITIONS.get(text(rule.get("condition")).lower(), "")
    if not comparator and alerting and value is not None and threshold is not None:
        comparator = ">" if value >= threshold else "<"
    title = f"{name} ({feature})" if feature and feature not in name else name
    return reports.check(
        inbound,
        "fiddler",
        whom,
        key=(rule_id, feature),
        status="firing" if alerting else "resolved",
        title=title,
        level=_LEVELS.get(severity),
        description=text(record.get("message")),
        system=text(mapping(rule.get("model")).get("name")) or text(record.get("model_name")),
        segment=text(mapping(rule.get("segment")).get("name")),
        baseline=text(mapping(rule.get("baseline")).get("name")) or text(record.get("baseline_value")),
        feature=feature,
        metric=text(first(metric, "display_name", "name", "id")) or name,
        value=value,
        threshold=threshold,
        comparator=comparator,
        window=text(first(rule, "bin_size")) or text(record.get("alert_time_bucket")),
        starts_at=normalise.moment(record.get("alert_time_bucket")),
        observed_at=normalise.moment(first(record, "alert_run_start_time", "updated_at", "created_at")),
        labels={"alertname": name, "failure_reason": _reason(record), "rule": rule_id},
        delivery_key=_version_of(record),
        extra=dict(record),
    )


def _reason(record: Mapping[str, Any]) -> str:
    reason = text(record.get("failure_reason"))
    return "" if reason == "NA" else reason


def _version_of(record: Mapping[str, Any]) -> str:
    """A record is rewritten when late data arrive; each writing has its own number."""
    parts = (
        record.get("uuid"),
        record.get("alert_record_main_version"),
        record.get("alert_record_sub_version"),
    )
    return ".".join(text(part) for part in parts) if text(record.get("uuid")) else ""


def _chat(message: Mapping[str, Any], whom: reports.About, inbound: Inbound) -> Signal:
    pieces = list(dict.fromkeys(_pieces(message)))
    written = "\n".join(pieces)
    if not written:
        raise Unreadable(
            "This is neither a record of Fiddler's API nor a message as it sends them to Slack or Teams."
        )
    told = {_NAMES[name]: value for name, value in _lines(written) if name in _NAMES}
    links = [found[0] or found[1] for found in _LINK.findall(written)]
    said = text(first(message, "text", "title", "summary")) or pieces[0]
    title = told.get("name") or said.splitlines()[0]
    over = re.search(r"\b(resolved|recovered|back to normal|cleared)\b", said, re.I)
    return reports.check(
        inbound,
        "fiddler",
        whom,
        key=("chat", told.get("name") or _steady(title), told.get("system"), told.get("feature")),
        status="resolved" if over else "firing",
        title=text(_LINK.sub("", title).strip(" *_")) or "Alert of Fiddler",
        level=normalise.level(told.get("severity")),
        description=written[:20_000],
        **{
            name: told.get(name, "")
            for name in ("system", "version", "segment", "feature", "metric", "baseline")
        },
        value=told.get("value"),
        threshold=told.get("threshold"),
        labels={"alertname": told.get("name") or "", "project": told.get("project", "")},
        links=[("Fiddler", url) for url in links[:5]],
    )


def _steady(title: str) -> str:
    """A title without its numbers, which change from one message of a rule to the next."""
    return re.sub(r"\d[\d.,:%]*", "#", title)


def _lines(written: str) -> Iterator[tuple[str, str]]:
    for name, value in _LINE.findall(written[:20_000]):
        yield name.strip().lower(), value.strip(" \t*_")


def _pieces(value: Any) -> Iterator[str]:
    """The texts of Slack blocks and attachments and of Teams cards, in their order."""
    waiting = [value]
    for _ in range(_MOST_PIECES):
        if not waiting:
            return
        one = waiting.pop(0)
        if isinstance(one, list):
            waiting = [*one[:_MOST_PIECES], *waiting]
        elif isinstance(one, Mapping):
            if isinstance(one.get("name"), str) and isinstance(one.get("value"), str):
                yield f"{text(one['name']).rstrip(':')}: {text(one['value'])}"  # a fact of a Teams card
            elif isinstance(one.get("title"), str) and isinstance(one.get("value"), str):
                yield f"{text(one['title']).rstrip(':')}: {text(one['value'])}"  # a field of an attachment
            else:
                for name in ("title", "text", "summary", "fallback", "pretext", "value", "title_link", "url"):
                    if isinstance(one.get(name), str) and text(one[name]):
                        yield text(one[name])
            waiting = [*(inner for inner in one.values() if isinstance(inner, Mapping | list)), *waiting]
