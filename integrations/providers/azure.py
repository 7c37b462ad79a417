"""Microsoft Azure: Azure Monitor alerts in all their schemas, and Event Grid with the events of Azure ML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from incidents.intake.signal import Signal, Status
from integrations import normalise
from integrations.authenticity import SHARED_SECRET, bearer, require_shared
from integrations.contract import (
    Change,
    Example,
    Field,
    Inbound,
    Reply,
    Request,
    Said,
    Unreadable,
)
from integrations.id_tokens import require_token
from integrations.listening import Listening, entries, mapping
from integrations.normalise import first, text
from integrations.shape import Unfit, signal_of

VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
ML = "Microsoft.MachineLearningServices."
#: Where Event Grid may ask us to visit it.
_GRID = re.compile(r"[a-z0-9.-]{1,100}\.eventgrid\.azure\.(net|us|cn)")
_TENANT = re.compile(r"[0-9a-fA-F-]{36}|[\w.-]{3,100}")

_SEVERITIES = {"0": "critical", "1": "critical", "2": "warning", "3": "info", "4": "info"}
_STATES: dict[str, Status] = {
    "fired": "firing", "activated": "firing", "resolved": "resolved", "deactivated": "resolved",
}  # fmt: skip
_COMPARATORS = {
    "greaterthan": ">", "greaterthanorequal": ">=", "greaterthanorequalto": ">=", "lessthan": "<", "lowerthan": "<",
    "lessthanorequal": "<=", "lowerthanorequal": "<=", "lessthanorequalto": "<=", "equals": "==", "equal": "==",
    "equalto": "==", "greater than": ">", "less than": "<", "greaterorlessthan": "<>",
}  # fmt: skip
_ENDPOINT = re.compile(r"/onlineendpoints/([^/]+)(?:/deployments/([^/]+))?", re.I)


class Azure(Listening):
    """Azure Monitor posts one alert, Event Grid a list of events, or one as a CloudEvent."""

    title = "Azure alerts"
    docs = "https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema"
    summary = "Azure Monitor alerts, and drift, failed runs and deployments of Azure Machine Learning."
    content_types = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json")
    fields = (
        SHARED_SECRET,
        Field("tenant", "Entra tenant", "Id of the tenant whose tokens a secure webhook carries.", required=False),
        Field("audience", "Audience", "Application ID URI of the secure webhook; when set, its token is checked.",
              required=False),
    )  # fmt: skip
    idempotency = (
        "Azure Monitor repeats an alert under the same alertId; an event of Event Grid is known by its id."
    )
    limits = (
        "Activity log alerts, test alerts and drift of a data set are never resolved by Azure: close them by policy. "
        "Log results are left out of alerts beyond 256 KB."
    )
    examples = (
        Example(
            "common schema",
            b'{"schemaId":"azureMonitorCommonAlertSchema","data":{"essentials":{"alertId":"/s/1/alerts/a","alertRule":"PSI",'
            b'"severity":"Sev1","monitorCondition":"Fired","alertTargetIDs":["/s/1/workspaces/w/onlineEndpoints/churn"],'
            b'"firedDateTime":"2026-02-03T04:05:06.1234567Z","description":null},"alertContext":{"condition":{"windowSize":'
            b'"PT5M","allOf":[{"metricName":"psi","operator":"GreaterThan","threshold":"0.2","metricValue":0.31,"dimensions":'
            b'[{"name":"feature","value":"age"}]}]}}}}',
        ),
        Example(
            "drift",
            b'[{"topic":"/s/1/workspaces/w","subject":"datadrifts/d","eventType":"Microsoft.MachineLearningServices.'
            b'DatasetDriftDetected","eventTime":"2026-02-03T04:05:06Z","id":"e-1","data":{"DataDriftId":"d","DataDriftName":'
            b'"churn","TargetDatasetId":"t","BaseDatasetId":"b","DriftCoefficient":0.83},"dataVersion":"1"}]',
        ),
        Example(
            "model registered",
            b'{"specversion":"1.0","id":"e-2","source":"/s/1/workspaces/w","type":"Microsoft.MachineLearningServices.'
            b'ModelRegistered","time":"2026-02-03T04:05:06Z","data":{"modelName":"churn","modelVersion":"9"}}',
            {"content-type": "application/cloudevents+json"},
            alerts=0,
            others=1,
        ),
    )  # fmt: skip

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        wrong = {}
        if settings.get("audience") and not settings.get("tenant"):
            wrong["tenant"] = "The tenant's id is needed to check tokens."
        elif settings.get("tenant") and not _TENANT.fullmatch(text(settings["tenant"])):
            wrong["tenant"] = "A tenant is named by its id or its domain."
        return wrong

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        audience, tenant = text(settings.get("audience")), text(settings.get("tenant"))
        if not (audience and _TENANT.fullmatch(tenant)):
            return require_shared(inbound, settings)
        require_token(
            bearer(inbound),
            keys=f"https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys",
            issuers=(
                f"https://sts.windows.net/{tenant}/",
                f"https://login.microsoftonline.com/{tenant}/v2.0",
            ),
            audience=audience,
        )
        return None

    def handshake(self, inbound: Inbound, settings: Mapping[str, Any]) -> Reply | None:
        """Event Grid asks in two ways: an event with a code (or an address to visit), or OPTIONS.
        https://learn.microsoft.com/azure/event-grid/webhook-event-delivery"""
        if inbound.method == "OPTIONS":
            origin = inbound.headers.get("webhook-request-origin", "")
            if not origin or not origin.isprintable():
                return None
            rate = text(settings.get("inbound_per_minute")) or "*"
            return Reply(headers={"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": rate})
        if inbound.method != "POST":
            return None
        try:
            body = normalise.read_json(inbound.body)
        except normalise.NotJSON:
            return None
        for event in entries(body if isinstance(body, list) else [body]):
            if event.get("eventType") == VALIDATION:
                return _validated(mapping(event.get("data")))
        return None

    def delivery_key(self, inbound: Inbound) -> str:
        try:
            body = normalise.read_json(inbound.body)
        except normalise.NotJSON:
            return super().delivery_key(inbound)
        events = entries(body if isinstance(body, list) else [body])
        if len(events) == 1 and ("eventType" in events[0] or "specversion" in events[0]):
            return f"{text(first(events[0], 'topic', 'source'))} {text(events[0].get('id'))}".strip()
        return super().delivery_key(inbound)

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Said]:
        if isinstance(body, list):
            if not body or not all(isinstance(event, Mapping) for event in body):
                raise Unreadable("This list holds no events of Event Grid; nothing of it was taken.")
            return [one for event in body for one in _event(event, inbound)]
        if not isinstance(body, Mapping):
            raise Unreadable("This is neither an alert of Azure Monitor nor an event.")
        if "eventType" in body or "specversion" in body:
            return _event(body, inbound)
        data = mapping(body.get("data"))
        if "essentials" in data:
            return [_common(body, data, inbound)]
        if "AlertRuleName" in data or "AlertRuleName" in body:
            return [_old_log(data or body, inbound)]
        if "context" in data:  # an activity log alert or a metric alert, before the common schema
            return [_old(data, inbound)]
        if "context" in body:
            return [_old(body, inbound)]
        raise Unreadable(
            "This is none of Azure Monitor's schemas. Switch the common alert schema on in the action group."
        )


def _validated(data: Mapping[str, Any]) -> Reply | None:
    code, url = text(data.get("validationCode")), text(data.get("validationUrl"), 2000)
    if code:
        answer = json.dumps({"validationResponse": code}).encode()
        return Reply(body=answer, headers={"Content-Type": "application/json"})
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme == "https" and _GRID.fullmatch(parts.hostname or "") and not parts.username:
        return Reply(confirm=Request("GET", url, timeout=10.0))
    return None


# --- Azure Monitor -------------------------------------------------------------------------------------


def _status(value: Any) -> Status:
    status = _STATES.get(text(value).lower()) or normalise.status(value)
    if status is None:
        raise Unreadable(f'The state "{text(value, 40)}" is none of Azure Monitor\'s: Fired or Resolved.')
    return status


def _level(value: Any) -> Any:
    word = text(value).lower().removeprefix("sev")
    return _SEVERITIES.get(word) or normalise.level(word)


def _common(body: Mapping[str, Any], data: Mapping[str, Any], inbound: Inbound) -> Signal:
    essentials, context = mapping(data.get("essentials")), mapping(data.get("alertContext"))
    status = _status(essentials.get("monitorCondition"))
    targets = [text(one) for one in essentials.get("alertTargetIDs") or [] if one] if isinstance(
        essentials.get("alertTargetIDs"), list) else []  # fmt: skip
    rule = text(essentials.get("alertRule"))
    own = {**normalise.labels(context.get("properties")), **normalise.labels(data.get("customProperties"))}
    own |= {**normalise.labels(body.get("customProperties")), **normalise.labels(context.get("labels"))}
    told = _condition(mapping(context.get("condition")), context, own)
    fingerprint = text(first(essentials, "alertId", "originAlertId")) or normalise.fingerprint(
        essentials.get("alertRuleId"), rule, *targets
    )
    return _made(
        inbound,
        status,
        fingerprint,
        title=rule or text(essentials.get("description")) or "Azure Monitor alert without a name",
        level=_level(essentials.get("severity")),
        description=text(essentials.get("description"))
        or text(first(mapping(context.get("annotations")), "description", "summary")),
        rule=rule,
        targets=targets,
        labels={**own, "monitoring_service": text(essentials.get("monitoringService"))},
        began=essentials.get("firedDateTime"),
        ended=essentials.get("resolvedDateTime"),
        links=(
            ("Results", told.pop("link", "")),
            ("Alert", essentials.get("investigationLink")),
        ),
        extra={
            "signal_type": text(essentials.get("signalType")),
            "origin": text(essentials.get("originAlertId")),
        },
        facts=told,
    )


def _condition(
    condition: Mapping[str, Any], context: Mapping[str, Any], own: Mapping[str, str]
) -> dict[str, Any]:
    """The fields of a Signal out of a condition: metric, log, dynamic threshold, log of version 1, Prometheus."""
    parts = entries(condition.get("allOf"))
    part = parts[0] if parts else condition
    dimensions = {text(one.get("name")): text(one.get("value")) for one in entries(part.get("dimensions"))}
    facts = normalise.facts({name.lower(): value for name, value in {**dimensions, **own}.items()})
    operator = text(first(part, "operator") or first(context, "Operator", "AlertThresholdOperator"))
    facts["metric"] = text(first(part, "metricName", "metricMeasureColumn") or facts["metric"])
    values = (part.get("metricValue"), first(context, "expressionValue", "ResultCount"))
    facts["value"] = next((v for v in map(normalise.number, values) if v is not None), facts["value"])
    bounds = (part.get("threshold"), first(context, "Threshold", "AlertThresholdValue"))
    facts["threshold"] = next((v for v in map(normalise.number, bounds) if v is not None), facts["threshold"])
    facts["comparator"] = _COMPARATORS.get(operator.lower(), "")
    facts["window"] = text(first(condition, "windowSize") or facts["window"])
    facts["link"] = first(part, "linkToSearchResultsUI", "linkToFilteredSearchResultsUI") or first(
        context, "linkToSearchResultsUI", "LinkToSearchResults"
    )
    return facts


def _old(body: Mapping[str, Any], inbound: Inbound) -> Signal:
    """Metric and activity log alerts of before the common schema."""
    context = mapping(body.get("context"))
    activity = mapping(context.get("activityLog"))
    if activity:
        context = {**activity, "name": first(activity, "operationName", "eventSource"), "id": first(activity, "resourceId", "correlationId"),
                   "timestamp": activity.get("eventTimestamp")}  # fmt: skip
    own = normalise.labels(body.get("properties"))
    told = _condition(mapping(context.get("condition")), context, own)
    rule = text(context.get("name"))
    target = text(context.get("resourceId"))
    return _made(
        inbound,
        _status(body.get("status")),
        normalise.fingerprint("rule", text(context.get("id")), rule, target),
        title=rule or text(context.get("description")) or "Azure Monitor alert without a name",
        level=_level(first(context, "severity", "level")),
        description=text(context.get("description")),
        rule=rule,
        targets=[target] if target else [],
        labels=own,
        began=context.get("timestamp"),
        ended=context.get("timestamp"),
        links=(("Portal", context.get("portalLink")), ("Results", told.pop("link", ""))),
        extra={"condition_type": text(context.get("conditionType"))},
        facts=told,
    )


def _old_log(body: Mapping[str, Any], inbound: Inbound) -> Signal:
    """Log alerts of before the common schema; they are never resolved."""
    rule = text(body.get("AlertRuleName"))
    told = _condition({}, body, {})
    return _made(
        inbound,
        "firing",
        normalise.fingerprint("log", text(body.get("SubscriptionId")), rule),
        title=rule or "Azure log alert without a name",
        level=_level(body.get("Severity")),
        description=text(body.get("Description")) or text(body.get("SearchQuery")),
        rule=rule,
        targets=[],
        labels={},
        began=body.get("SearchIntervalEndtimeUtc"),
        ended=None,
        links=(("Results", told.pop("link", "")),),
        extra={"query": text(body.get("SearchQuery"))},
        facts=told,
    )


def _made(
    inbound: Inbound,
    status: Status,
    fingerprint: str,
    *,
    rule: str,
    targets: Sequence[str],
    labels: Mapping[str, str],
    began: Any,
    ended: Any,
    links: Sequence[tuple[str, Any]],
    facts: dict[str, Any],
    **more: Any,
) -> Signal:
    endpoint = next((found for target in targets if (found := _ENDPOINT.search(target))), None)
    if endpoint:
        facts["system"] = facts["system"] or endpoint[1]
        facts["version"] = facts["version"] or text(endpoint[2])
    start, end = normalise.moment(began), normalise.moment(ended)
    resources = {"resource": targets[0]} if targets else {}
    return normalise.signal(
        inbound,
        "azure",
        fingerprint=fingerprint,
        status=status,
        family=normalise.family(labels.get("family"), labels.get("incident_class")),
        labels={name: value for name, value in {**resources, **labels, "alertname": rule}.items() if value},
        observed_at=(end if status == "resolved" else None) or start,
        starts_at=start,
        ends_at=end if status == "resolved" else None,
        links=normalise.links(*links),
        **facts,
        **more,
    )


# --- Event Grid ----------------------------------------------------------------------------------------


def _event(event: Mapping[str, Any], inbound: Inbound) -> list[Said]:
    kind = text(first(event, "eventType", "type"))
    if not kind:
        raise Unreadable("An event of the list has no eventType; nothing of it was taken.")
    data = {text(name).lower(): value for name, value in mapping(event.get("data")).items()}
    if kind == VALIDATION:
        return []
    if kind.startswith(ML):
        return _ml_event(kind.removeprefix(ML), event, data, inbound)
    if kind.startswith("Microsoft."):
        return []  # of other services: subscribed by a filter that is too wide, and none of our business
    try:
        defaults = {"title": kind, "observed_at": first(event, "eventTime", "time"), "id": event.get("id")}
        return [signal_of(mapping(event.get("data")), inbound, "azure", defaults=defaults)]
    except Unfit as error:
        raise Unreadable(f'The event "{text(kind, 100)}" cannot be read: {error}.') from error


def _ml_event(kind: str, event: Mapping[str, Any], data: Mapping[str, Any], inbound: Inbound) -> list[Said]:
    """`data` has lower-case names: its case differs between the documents and the service.
    https://learn.microsoft.com/azure/event-grid/event-schema-machine-learning"""
    where = text(first(event, "topic", "source"))
    at = normalise.moment(first(event, "eventTime", "time")) or inbound.received_at
    key = f"{where} {text(event.get('id'))}".strip()
    workspace = where.rpartition("/")[2]
    match kind:
        case "ModelRegistered" | "ModelDeployed":
            deployed = kind == "ModelDeployed"
            name = text(first(data, "servicename", "modelname"))
            version = text(first(data, "modelids") if deployed else first(data, "modelversion"))
            words = f"{name} deployed with {version}" if deployed else f"{name} {version} registered"
            return [Change(key or words, "deploy" if deployed else "registry", words[:300], at, name[:200], version[:120],
                           labels={"workspace": workspace})]  # fmt: skip
        case "DatasetDriftDetected":
            name = text(first(data, "datadriftname", "datadriftid"))
            window = " to ".join(text(data.get(side)) for side in ("starttime", "endtime") if data.get(side))
            return [
                normalise.signal(
                    inbound, "azure", status="firing", family="DRIFT", metric="drift_coefficient", window=window,
                    fingerprint=normalise.fingerprint("drift", where, data.get("datadriftid"), data.get("targetdatasetid")),
                    title=f"Drift of {name or 'a data set'}", value=data.get("driftcoefficient"),
                    dataset=data.get("targetdatasetid"), baseline=data.get("basedatasetid"),
                    labels={"alertname": kind, "monitor": name, "workspace": workspace},
                    observed_at=at, starts_at=at, delivery_key=key, extra={"data": dict(data)},
                )
            ]  # fmt: skip
        case "RunStatusChanged" | "RunCompleted":
            return _run(kind, where, workspace, data, at, key, inbound)
    return []


def _run(
    kind: str, where: str, workspace: str, data: Mapping[str, Any], at: Any, key: str, inbound: Inbound
) -> list[Said]:
    """A run that failed, or that completed: then the runs of its experiment are well again. A run of a model monitor
    whose thresholds were exceeded carries a tag that says so."""
    tags = normalise.labels(data.get("runtags"))
    exceeded = next((tag for name, tag in tags.items() if name.lower().endswith("threshold_breached")), "")
    state = text(data.get("runstatus")).lower() or ("completed" if kind == "RunCompleted" else "")
    status: Status | None = "firing" if exceeded or state in ("failed", "canceled_by_failure") else None
    if status is None and state in ("completed", "finished"):
        status = "resolved"
    if status is None:
        return []
    name = text(first(data, "experimentname", "experimentid")) or "an experiment"
    return [
        normalise.signal(
            inbound, "azure", status=status, fingerprint=normalise.fingerprint("run", where, name),
            title=f"Run of {name}: {'thresholds exceeded' if exceeded else state}", description=exceeded,
            system=first(tags, "model", "model_name", "endpoint") or mapping(data.get("runproperties")).get("model_name"),
            version=first(tags, "model_version", "version"),
            labels={**tags, "alertname": kind, "experiment": name, "workspace": workspace},
            observed_at=at, starts_at=at if status == "firing" else None, ends_at=at if status == "resolved" else None,
            delivery_key=key, extra={"run": text(data.get("runid"))},
        )
    ]  # fmt: skip
