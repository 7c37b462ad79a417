"""CloudWatch alarms as signals, whether SNS or EventBridge tells of them: the same alarm, the same fingerprint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from incidents.intake.signal import Signal, Status
from integrations import normalise
from integrations.contract import Inbound
from integrations.normalise import first, text

#: INSUFFICIENT_DATA is neither: an alarm in it keeps the state it was told in before.
STATES: dict[str, Status] = {"ALARM": "firing", "OK": "resolved"}
SILENT_STATES = frozenset({"INSUFFICIENT_DATA"})

_COMPARATORS = {
    "GreaterThanOrEqualToThreshold": ">=",
    "GreaterThanThreshold": ">",
    "GreaterThanUpperThreshold": ">",
    "LessThanThreshold": "<",
    "LessThanOrEqualToThreshold": "<=",
    "LessThanLowerThreshold": "<",
}
#: The words of a reason, which is all that tells the sign where the configuration is not sent along.
_WORDS = (
    ("greater than or equal to", ">="),
    ("less than or equal to", "<="),
    ("greater than", ">"),
    ("less than", "<"),
)
_DATAPOINT = re.compile(r"\[\s*(-?\d[\d.]*(?:E[+-]?\d+)?)", re.I)
_BOUND = re.compile(r"threshold \((-?\d[\d.]*(?:E[+-]?\d+)?)\)", re.I)
#: feature_baseline_drift_<feature>, feature_non_null_<feature>, …: what Model Monitor publishes
_FEATURE = re.compile(r"feature_(?P<kind>baseline_drift|non_null|unique|completeness)_(?P<feature>.+)")
#: Infinity as Model Monitor publishes it.
INFINITE = 2.348543e108


def of_sns(message: Mapping[str, Any], envelope: Mapping[str, Any], inbound: Inbound) -> list[Signal]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html"""
    trigger = message.get("Trigger")
    trigger = trigger if isinstance(trigger, Mapping) else {}
    topic = text(envelope.get("TopicArn")).split(":")
    region, account = (topic[3], topic[4]) if len(topic) > 4 else ("", "")
    # where no envelope came along, the alarm's own name in AWS tells the region
    own = text(message.get("AlarmArn")).split(":")
    region = own[3] if len(own) > 6 else region
    account = text(message.get("AWSAccountId")) or account
    metric, dimensions = _metric(trigger, "Metrics")
    return _signal(
        inbound,
        name=text(message.get("AlarmName")),
        arn=text(message.get("AlarmArn")),
        place=(region, account),
        state=text(message.get("NewStateValue")),
        reason=text(message.get("NewStateReason")),
        description=text(message.get("AlarmDescription")),
        at=message.get("StateChangeTime") or envelope.get("Timestamp"),
        metric=text(trigger.get("MetricName")) or metric,
        namespace=text(trigger.get("Namespace")),
        dimensions=dimensions or _pairs(trigger.get("Dimensions")),
        threshold=trigger.get("Threshold"),
        comparator=text(trigger.get("ComparisonOperator")),
        seconds=_product(trigger.get("Period"), trigger.get("EvaluationPeriods")),
        delivery_key=text(envelope.get("MessageId")),
        extra={"rule": message.get("AlarmRule"), "children": message.get("TriggeringChildren")},
    )


def of_event(event: Mapping[str, Any], detail: Mapping[str, Any], inbound: Inbound) -> list[Signal]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html"""
    state, configuration = _mapping(detail.get("state")), _mapping(detail.get("configuration"))
    metric, dimensions = _metric(configuration, "metrics")
    found = _mapping(_read(state.get("reasonData")))
    resources = event.get("resources")
    arns = [text(one) for one in resources] if isinstance(resources, list) else []
    return _signal(
        inbound,
        name=text(detail.get("alarmName")),
        arn=next((arn for arn in arns if ":alarm:" in arn), ""),
        place=(text(event.get("region")), text(event.get("account"))),
        state=text(state.get("value")),
        reason=text(state.get("reason")),
        description=text(configuration.get("description")),
        at=state.get("timestamp") or event.get("time"),
        metric=metric,
        namespace=_namespace(configuration),
        dimensions=dimensions,
        threshold=found.get("threshold"),
        comparator="",
        seconds=normalise.number(found.get("period")),
        delivery_key=text(event.get("id")),
        extra={"rule": configuration.get("alarmRule"), "previous": _mapping(detail.get("previousState")).get("value")},
    )  # fmt: skip


def _signal(
    inbound: Inbound,
    *,
    name: str,
    arn: str,
    place: tuple[str, str],
    state: str,
    reason: str,
    description: str,
    at: Any,
    metric: str,
    namespace: str,
    dimensions: dict[str, str],
    threshold: Any,
    comparator: str,
    seconds: float | None,
    delivery_key: str,
    extra: dict[str, Any],
) -> list[Signal]:
    status = STATES.get(state.upper())
    if status is None:
        return []
    region, account = place
    facts = normalise.facts({key.lower(): value for key, value in dimensions.items()})
    kind = _FEATURE.fullmatch(metric)
    point, bound = _DATAPOINT.search(reason), _BOUND.search(reason)
    value = normalise.number(point[1]) if point else None
    threshold = normalise.number(threshold)
    moment = normalise.moment(at)
    facts |= {
        "system": first(dimensions, "Endpoint", "EndpointName", "InferenceComponentName") or facts["system"],
        "feature": kind["feature"] if kind else facts["feature"],
        "metric": metric,
        "value": None if value is not None and abs(value) >= INFINITE else value,
        "threshold": normalise.number(bound[1]) if threshold is None and bound else threshold,
        "comparator": _COMPARATORS.get(comparator) or next((s for w, s in _WORDS if w in reason), ""),
        "window": f"{seconds:g} s" if seconds else "",
    }
    return [
        normalise.signal(
            inbound,
            "aws",
            fingerprint=arn or f"arn:aws:cloudwatch:{region}:{account}:alarm:{name}",
            status=status,
            title=name or "CloudWatch alarm without a name",
            family=_family(namespace, kind["kind"] if kind else ""),
            description="\n".join(part for part in (description, reason) if part),
            labels={
                **dimensions,
                "alertname": name,
                **{
                    key: told
                    for key, told in (("namespace", namespace), ("region", region), ("account", account))
                    if told
                },
            },
            observed_at=moment,
            starts_at=moment if status == "firing" else None,
            ends_at=moment if status == "resolved" else None,
            links=normalise.links(("Alarm", _console(region, name))),
            delivery_key=delivery_key,
            extra={key: told for key, told in extra.items() if told},
            **facts,
        )
    ]


def _console(region: str, name: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]+", region):
        return ""
    return f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#alarmsV2:alarm/{quote(name)}"


def _family(namespace: str, kind: str) -> str | None:
    """What kind of monitor publishes into a namespace of SageMaker; other namespaces say nothing.
    https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-interpreting-cloudwatch.html"""
    said = namespace.lower()
    if "sagemaker/endpoints" not in said:
        return None
    for word, family in (("bias", "BIAS"), ("explainability", "DRIFT"), ("model-metric", "PERF")):
        if word in said:
            return family
    if "data-metric" in said:
        return "DRIFT" if kind in ("", "baseline_drift") else "DATAQ"
    return None


def _metric(holder: Mapping[str, Any], name: str) -> tuple[str, dict[str, str]]:
    """The metric and dimensions of the series that an alarm watches, out of its list of series."""
    series = [one for one in _list(holder.get(name)) if isinstance(one, Mapping)]
    watched = [one for one in series if first(one, "returnData", "ReturnData") is True] or series
    dimensions: dict[str, str] = {}
    metric = ""
    for one in [*watched, *series]:
        measured = _mapping(_mapping(first(one, "metricStat", "MetricStat")).get("metric"))
        measured = measured or _mapping(_mapping(one.get("MetricStat")).get("Metric"))
        metric = metric or text(
            first(measured, "name", "MetricName") or first(one, "label", "Label", "expression", "Expression")
        )
        for key, value in _pairs(first(measured, "dimensions", "Dimensions")).items():
            dimensions.setdefault(key, value)
    return metric, dimensions  # fmt: skip


def _namespace(configuration: Mapping[str, Any]) -> str:
    for one in _list(configuration.get("metrics")):
        if found := text(_mapping(_mapping(_mapping(one).get("metricStat")).get("metric")).get("namespace")):
            return found
    return ""


def _pairs(value: Any) -> dict[str, str]:
    """Dimensions: a mapping, or a list of {"name": …, "value": …}."""
    if isinstance(value, list):
        entries = [one for one in value if isinstance(one, Mapping)]
        return {
            text(first(one, "name", "Name")): text(first(one, "value", "Value"))
            for one in entries
            if first(one, "name", "Name")
        }
    return normalise.labels(value)


def _product(*values: Any) -> float | None:
    numbers = [normalise.number(value) for value in values]
    return None if numbers[0] is None else numbers[0] * (numbers[1] or 1)


def _read(value: Any) -> Any:
    """JSON that stands in JSON as text; None where it is none."""
    if not isinstance(value, str):
        return value
    try:
        return normalise.read_json(value)
    except normalise.NotJSON:
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
