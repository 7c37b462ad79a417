"""WhyLabs and whylogs: monitor actions, its PagerDuty events, and constraint reports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from incidents.intake.signal import Signal
from integrations import normalise, reports
from integrations.contract import Example, Inbound, Unreadable
from integrations.listening import Listening, entries, is_unfilled, mapping, object_of
from integrations.normalise import first, text

_SEVERITY = re.compile(r"\b(low|medium|high|critical) severity\b", re.I)
_FEATURE = re.compile(r'feature "([^"]{1,200})"')
_CONSTRAINED = re.compile(
    r"(?P<column>.+?) (?:is|has|greater|less|contains|matches|in|between|null|unique|types?)\b"
)
_WINDOWS = {"HOURS": "1h", "DAYS": "1d", "WEEKS": "1w", "MONTHS": "30d"}
#: Members of what users write into the body of a webhook action, by the macro that fills them.
_NAMES = {
    "org": ("org", "orgId", "org_id", "org-id"),
    "dataset": (
        "dataset",
        "datasetId",
        "dataset_id",
        "dataset-id",
        "model",
        "modelId",
        "model_id",
        "resource",
    ),
    "monitor": ("monitor", "monitorId", "monitor_id", "monitor-id"),
    "name": ("name", "monitorName", "monitor_name", "monitor-name", "title"),
    "run": ("run", "runId", "run_id", "run-id"),
}


class WhyLabs(Listening):
    """Its default webhook names the monitor and nothing else; whoever wants more templates the body."""

    title = "WhyLabs"
    docs = "https://docs.whylabs.ai/docs/notifications-webhook/"
    summary = "Anomalies of WhyLabs monitors, and constraint reports of whylogs."
    fields = reports.FIELDS
    templated = True
    limits = (
        "WhyLabs sends no resolution and does not repeat failed messages: close these alerts by policy. The query "
        "of the address is dropped; a secret has to be a header. https://docs.whylabs.ai/docs/notifications-webhook/"
    )
    examples = (
        Example("default body", b'{"monitorId":"nulls","monitorName":"Null values"}'),
        Example(
            "event for PagerDuty",
            b'{"event_action":"trigger","dedup_key":"k","payload":{"summary":"Anomaly: a medium severity issue",'
            b'"severity":"error","timestamp":"2026-02-03T04:05:06Z","custom_details":{"dataset_id":"model-3",'
            b'"analyzer_id":"psi-analyzer","feature":"age","metric":"frequent_items","segment":"country=de",'
            b'"id":"an-1","run_id":"r-1","algorithm":"psi","threshold_calculated_upper":"0.2"}}}',
        ),
        Example(
            "constraints",
            b'{"valid":false,"report":[["age is positive",1,0,null],{"name":"income has no missing values","passed":0,'
            b'"failed":1,"summary":{"metric":"counts","n":5,"null":2}}]}',
            alerts=2,
        ),
    )

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        constraints = _constraints(body)
        if constraints:
            return _checked(constraints, body, inbound, settings)
        message = object_of(body, "a message of WhyLabs")
        whom = reports.about({}, inbound, settings)
        if isinstance(message.get("payload"), Mapping):
            return [_event(message, inbound, whom)]
        told = {name: text(first(message, *others)) for name, others in _NAMES.items()}
        if not told["monitor"] and not told["name"]:
            raise Unreadable(
                'This names no monitor. Leave the body of the webhook action as it is, or write "monitor", "name", '
                '"dataset" and "run" into it (docs/integrations/whylabs.md).'
            )
        if any(is_unfilled(value) for value in told.values()):
            raise Unreadable("The macros of this webhook action were not filled in; no anomaly.")
        return [_templated(told, message, inbound, whom)]


def _templated(
    told: Mapping[str, str], message: Mapping[str, Any], inbound: Inbound, whom: reports.About
) -> Signal:
    monitor = told["monitor"] or told["name"]
    facts = normalise.facts(
        {key: value for key, value in message.items() if isinstance(value, str | int | float)}
    )
    return normalise.signal(
        inbound,
        "whylabs",
        fingerprint=normalise.fingerprint(
            told["org"], told["dataset"], monitor, facts["feature"], facts["segment"]
        ),
        status=normalise.status(first(message, "status", "state")) or "firing",
        title=f"Monitor {told['name'] or monitor} found an anomaly",
        level=normalise.level(message.get("severity")),
        labels={
            "alertname": told["name"] or monitor,
            "monitor": monitor,
            **{name: told[name] for name in ("org", "dataset") if told[name]},
            **({"env": whom.env} if whom.env else {}),
        },
        links=normalise.links(("WhyLabs", first(message, "url", "link"))),
        delivery_key=told["run"] and f"{monitor} {told['run']}",
        extra=dict(message),
        **{
            **facts,
            "system": whom.system or told["dataset"],
            "version": facts["version"] or whom.version,
            "dataset": whom.dataset,
            "metric": facts["metric"] or monitor,
        },
    )


def _event(message: Mapping[str, Any], inbound: Inbound, whom: reports.About) -> Signal:
    """The event that WhyLabs sends to PagerDuty's Events API v2: the fullest it has."""
    payload = mapping(message.get("payload"))
    details = mapping(payload.get("custom_details"))
    summary = text(payload.get("summary"))
    action = text(message.get("event_action")).lower()
    analyzer = text(first(details, "monitor_id", "analyzer_id", "monitor_ids"))
    severity, named = _SEVERITY.search(summary), _FEATURE.search(summary)
    feature = text(first(details, "feature", "column")) or (named[1] if named else "")
    metric = text(first(details, "algorithm") or first(details, "metric")) or analyzer
    segment = text(details.get("segment"))
    if not (summary or analyzer):
        raise Unreadable("This event of WhyLabs has neither a summary nor an analyzer.")
    return normalise.signal(
        inbound,
        "whylabs",
        fingerprint=normalise.fingerprint(
            details.get("dataset_id"), analyzer or summary, feature, details.get("metric"), segment
        ),
        status="resolved" if action == "resolve" else "firing",
        title=summary or f"{analyzer} found an anomaly",
        # the severity of the event is always the same; the sentence has that of the monitor
        level=normalise.level(severity[1]) if severity else normalise.level(payload.get("severity")),
        observed_at=normalise.moment(payload.get("timestamp")),
        labels={
            **{
                name: text(details[name])
                for name in ("analyzer_id", "dataset_id", "granularity", "target_level", "type", "mode", "metric")
                if text(details.get(name))
            },
            "alertname": analyzer or summary,
            **({"env": whom.env} if whom.env else {}),
        },
        system=whom.system or text(details.get("dataset_id")),
        version=whom.version,
        dataset=whom.dataset,
        segment=segment,
        feature=feature,
        metric=metric,
        value=first(details, "metric_value", "calculation_total", "diff_metric_value", "drift_metric_value"),
        threshold=first(details, "threshold_calculated_upper", "threshold_calculated_lower", "diff_threshold", "drift_threshold"),
        window=_WINDOWS.get(text(details.get("granularity")).upper(), ""),
        starts_at=normalise.moment(first(details, "dataset_timestamp")),
        links=normalise.links(
            ("WhyLabs", details.get("url")), *((text(one.get("text")), one.get("href")) for one in entries(message.get("links")))
        ),
        delivery_key=first(details, "id") or message.get("dedup_key"),
        extra={"custom_details": details, "dedup_key": message.get("dedup_key"), "weight": details.get("weight")},
    )  # fmt: skip


def _constraints(body: Any) -> list[Mapping[str, Any]]:
    """The rows of a constraints report: objects in late releases of whylogs, tuples in early ones."""
    rows = mapping(body).get("report") if isinstance(body, Mapping) else body
    read = []
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, Mapping) and "name" in row and ("failed" in row or "passed" in row):
            read.append(row)
        elif isinstance(row, list) and len(row) >= 3 and isinstance(row[0], str):
            read.append(dict(zip(("name", "passed", "failed", "summary"), row, strict=False)))
    return read


def _checked(
    rows: list[Mapping[str, Any]], body: Any, inbound: Inbound, settings: Mapping[str, Any]
) -> list[Signal]:
    whom = reports.about(mapping(body), inbound, settings)
    found = []
    for row in rows:
        name, summary = text(row.get("name")) or "Constraint without a name", mapping(row.get("summary"))
        failed, passed = normalise.number(row.get("failed")), normalise.number(row.get("passed"))
        column = _CONSTRAINED.match(name)
        if not failed and not passed:
            continue  # it was not evaluated
        found.append(
            reports.check(
                inbound,
                "whylabs",
                whom,
                key=("constraint", name),
                status="firing" if failed else "resolved",
                title=f"Constraint {'failed' if failed else 'holds'}: {name}",
                family="DATAQ",
                feature=text(column["column"]) if column else "",
                metric=text(summary.get("metric")) or "constraint",
                value=failed,
                threshold=0,
                comparator=">",
                sample_size=normalise.whole(summary.get("n")),
                labels={"alertname": name},
                extra={"summary": summary},
            )
        )
    return found
