"""Google Cloud: Cloud Monitoring incidents and anomalies of Vertex AI, posted directly or pushed by Pub/Sub."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

from incidents.intake.signal import Signal, Status
from integrations import normalise
from integrations.authenticity import SHARED_SECRET, bearer, require_shared
from integrations.contract import Example, Field, Inbound, Refusal, Said, Unreadable
from integrations.id_tokens import require_token
from integrations.listening import Listening, entries, mapping
from integrations.normalise import first, text
from integrations.shape import Unfit, signal_of

KEYS = "https://www.googleapis.com/oauth2/v3/certs"
ISSUERS = ("https://accounts.google.com", "accounts.google.com")

_STATES: dict[str, Status] = {"open": "firing", "opened": "firing", "closed": "resolved"}
_COMPARISONS = {"GT": ">", "GE": ">=", "LT": "<", "LE": "<=", "EQ": "==", "NE": "!="}
_SAID = re.compile(
    r"(above|below) the threshold of (-?\d+(?:\.\d+)?)%? with a value of (-?\d+(?:\.\d+)?)", re.I
)
_RETURNED = re.compile(r"with a value of (-?\d+(?:\.\d+)?)", re.I)
#: Severities of log entries that are worth an alert when nothing else of them is known.
_SERIOUS = frozenset({"ERROR", "CRITICAL", "ALERT", "EMERGENCY"})


class GoogleCloud(Listening):
    """A notification of Cloud Monitoring, a log entry of Vertex AI, or Pub/Sub's envelope around either."""

    title = "Google Cloud alerts"
    docs = "https://cloud.google.com/monitoring/support/notification-options"
    summary = "Cloud Monitoring incidents, and skew and drift found by Vertex AI Model Monitoring."
    fields = (
        SHARED_SECRET,
        Field("audience", "Audience", "Of the push subscription's token; when set, Google's signature is checked.",
              required=False),
        Field("service_account", "Service account", "E-mail address that the push subscription authenticates as.",
              required=False),
    )  # fmt: skip
    idempotency = (
        "Pub/Sub's messageId is the same on every delivery; an incident is known by its incident_id."
    )
    limits = (
        "Vertex AI reports no end of an anomaly: close these alerts by policy. Every message is acknowledged, also one "
        "that cannot be read: it is set aside here, and Pub/Sub does not deliver it for ever."
    )
    examples = (
        Example(
            "incident",
            b'{"version":"1.2","incident":{"incident_id":"0.a","state":"open","severity":"Critical","started_at":1770091506,'
            b'"ended_at":null,"policy_name":"Latency","condition_name":"p95","observed_value":"1.9","threshold_value":"1",'
            b'"metric":{"type":"aiplatform.googleapis.com/prediction/latencies"},"resource":{"labels":{"endpoint_id":"77"}},'
            b'"condition":{"conditionThreshold":{"comparison":"COMPARISON_GT","duration":"60s"}},"summary":"p95 is 1.9 s",'
            b'"url":"https://console.cloud.google.com/monitoring/alerting/incidents/0.a"}}',
        ),
        Example(
            "anomalies by Pub/Sub",
            b'{"subscription":"projects/p/subscriptions/s","message":{"messageId":"1","data":"'
            + base64.b64encode(
                b'{"insertId":"i","timestamp":"2026-02-03T04:05:06Z","jsonPayload":{"@type":"type.googleapis.com/google.cloud.'
                b'aiplatform.logging.ModelMonitoringAnomaliesLogEntry","anomalyObjective":"RAW_FEATURE_DRIFT",'
                b'"deployedModelId":"9","modelDeploymentMonitoringJob":"projects/p/j/1","featureAnomalies":['
                b'{"featureDisplayName":"age","deviation":0.9,"threshold":0.7},{"featureDisplayName":"sex","deviation":1}]}}'
            )
            + b'"}}',
            alerts=2,
        ),
    )  # fmt: skip

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        """A push subscription proves itself with Google's token, a notification channel with its secret."""
        audience = text(settings.get("audience"))
        if not audience:
            return require_shared(inbound, settings)
        if settings.get("secret") and not bearer(inbound):
            return require_shared(inbound, settings)
        claims = require_token(bearer(inbound), keys=KEYS, issuers=ISSUERS, audience=audience)
        account = text(settings.get("service_account"))
        if account and (claims.get("email") != account or claims.get("email_verified") is not True):
            raise Refusal(f"The token is not {account}'s.", 401)
        return None

    def delivery_key(self, inbound: Inbound) -> str:
        try:
            message = mapping(mapping(normalise.read_json(inbound.body)).get("message"))
        except normalise.NotJSON:
            message = {}
        return text(first(message, "messageId", "message_id")) or super().delivery_key(inbound)

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Said]:
        if isinstance(body, list):
            if not body:
                raise Unreadable("The list is empty.")
            return [one for entry in body for one in _document(entry, inbound)]
        if isinstance(message := mapping(body).get("message"), Mapping) and not mapping(body).get("incident"):
            return _document(_unwrapped(message), inbound)
        return _document(body, inbound)


def _unwrapped(message: Mapping[str, Any]) -> Any:
    """https://cloud.google.com/pubsub/docs/push#receive_push"""
    try:
        data = base64.b64decode(text(message.get("data")), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unreadable("The data of this Pub/Sub message is not base64.") from error
    if not data:
        raise Unreadable("This Pub/Sub message has no data.")
    try:
        return normalise.read_json(data)
    except normalise.NotJSON as error:
        raise Unreadable(f"The data of this Pub/Sub message cannot be read. {error}") from error


def _document(body: Any, inbound: Inbound) -> list[Said]:
    if not isinstance(body, Mapping):
        raise Unreadable("This is neither a notification of Cloud Monitoring nor a log entry.")
    if isinstance(body.get("incident"), Mapping):
        return [_incident(body["incident"], text(body.get("version")), inbound)]
    payload = mapping(first(body, "jsonPayload", "json_payload"))
    if "anomalyObjective" in payload or "featureAnomalies" in payload:
        return list(_anomalies(payload, body, inbound))
    if "anomalyObjective" in body:
        return list(_anomalies(body, {}, inbound))
    if "logName" in body:
        return list(_log_entry(body, payload, inbound))
    try:
        return [signal_of(body, inbound, "gcp")]
    except Unfit as error:
        raise Unreadable(
            f"None of the messages of Google Cloud that are read here: {error}. See docs/integrations/gcp.md."
        ) from error


def _incident(incident: Mapping[str, Any], version: str, inbound: Inbound) -> Signal:
    """https://cloud.google.com/monitoring/support/notification-options#schema-structure"""
    status = _STATES.get(text(incident.get("state")).lower())
    if status is None:
        raise Unreadable(f'The incident has the state "{text(incident.get("state"), 40)}": open or closed.')
    metric, resource = mapping(incident.get("metric")), mapping(incident.get("resource"))
    metadata = mapping(incident.get("metadata"))
    labels: dict[str, str] = {}
    for holder in (
        metadata.get("user_labels"),
        resource.get("labels"),
        metric.get("labels"),
        incident.get("policy_user_labels"),
    ):
        labels |= normalise.labels(holder)
    summary = text(incident.get("summary"))
    rule = mapping(mapping(incident.get("condition")).get("conditionThreshold"))
    facts = normalise.facts(labels)
    facts["system"] = facts["system"] or text(
        first(labels, "endpoint_id", "endpoint", "service_name", "model_deployment_monitoring_job")
    )
    facts["version"] = facts["version"] or text(first(labels, "deployed_model_id", "revision_name"))
    kind = text(metric.get("type"))
    facts["metric"] = "" if kind == "__missing__" else kind or text(metric.get("displayName"))
    spoken, returned = _SAID.search(summary), _RETURNED.search(summary)
    facts["value"] = normalise.number(incident.get("observed_value"))
    if facts["value"] is None and (spoken or returned):
        facts["value"] = normalise.number(spoken[3] if spoken else returned[1] if returned else None)
    facts["threshold"] = next(
        (n for n in map(normalise.number, (incident.get("threshold_value"), rule.get("thresholdValue"),
                                           spoken[2] if spoken else None)) if n is not None), None)  # fmt: skip
    compared = _COMPARISONS.get(text(rule.get("comparison")).removeprefix("COMPARISON_"), "")
    facts["comparator"] = compared or ({"above": ">", "below": "<"}[spoken[1].lower()] if spoken else "")
    facts["window"] = facts["window"] or text(rule.get("duration"))
    policy, condition = text(incident.get("policy_name")), text(incident.get("condition_name"))
    document = mapping(incident.get("documentation"))
    start, end = normalise.moment(incident.get("started_at")), normalise.moment(incident.get("ended_at"))
    identity = text(incident.get("incident_id"))
    return normalise.signal(
        inbound,
        "gcp",
        fingerprint=identity or normalise.fingerprint("incident", policy, condition, labels),
        status=status,
        title=": ".join(part for part in (policy, condition) if part) or summary or "Incident without a name",
        level=normalise.level(incident.get("severity")),
        family=normalise.family(labels.get("family"), labels.get("incident_class")),
        description="\n\n".join(part for part in (summary, text(document.get("content"))) if part),
        labels={
            **labels,
            **{
                name: told
                for name, told in (
                    ("alertname", policy or condition),
                    ("resource", text(first(incident, "resource_display_name", "resource_name"))),
                    ("project", text(first(incident, "scoping_project_id", "project_id"))),
                )
                if told
            },
        },
        observed_at=(end if status == "resolved" else None) or start,
        starts_at=start,
        ends_at=end if status == "resolved" else None,
        links=normalise.links(
            ("Incident", incident.get("url")),
            *((text(link.get("displayName")), link.get("url")) for link in entries(document.get("links"))),
        ),
        extra={
            "version": version,
            "condition": text(mapping(incident.get("condition")).get("name")),
            "subject": text(document.get("subject")),
        },
        **facts,
    )


def _anomalies(payload: Mapping[str, Any], entry: Mapping[str, Any], inbound: Inbound) -> list[Signal]:
    """https://cloud.google.com/vertex-ai/docs/model-monitoring/using-model-monitoring#logs"""
    job, model = text(payload.get("modelDeploymentMonitoringJob")), text(payload.get("deployedModelId"))
    objective = text(payload.get("anomalyObjective"))
    labels = normalise.labels(mapping(entry.get("resource")).get("labels"))
    at = normalise.moment(first(entry, "timestamp", "receiveTimestamp")) or inbound.received_at
    endpoint = text(first(payload, "endpoint", "endpointId")).rpartition("/")[2]
    window = " to ".join(text(payload.get(side)) for side in ("startTime", "endTime") if payload.get(side))
    features = entries(payload.get("featureAnomalies"))
    if not features and not normalise.whole(payload.get("totalAnomaliesCount")):
        raise Unreadable("This entry of Vertex AI Model Monitoring names no anomaly.")
    words = objective.replace("_", " ").lower() or "anomaly"
    told = {text(first(one, "featureDisplayName", "featureName")): one for one in features} or {"": {}}
    return [
        normalise.signal(
            inbound,
            "gcp",
            fingerprint=normalise.fingerprint("vertex", job, model, objective, name),
            status="firing",
            title=f"{words.capitalize()}{f' of {name}' if name else ''}",
            level=normalise.level(entry.get("severity")),
            family="DRIFT",
            labels={
                **labels,
                "alertname": objective,
                **({"monitoring_job": job.rpartition("/")[2]} if job else {}),
            },
            system=endpoint or model,
            version=model if endpoint else "",
            feature=name,
            metric=objective.lower(),
            value=one.get("deviation"),
            threshold=one.get("threshold"),
            comparator=">" if one.get("threshold") is not None else "",
            baseline="training data" if "SKEW" in objective else "",
            window=window,
            observed_at=at,
            starts_at=at,
            delivery_key=f"{text(entry.get('insertId'))} {name}" if entry.get("insertId") else "",
            extra={"job": job, "anomalies": normalise.whole(payload.get("totalAnomaliesCount"))},
        )
        for name, one in told.items()
    ]  # fmt: skip


def _log_entry(entry: Mapping[str, Any], payload: Mapping[str, Any], inbound: Inbound) -> list[Signal]:
    """Any other entry of a log sink: an alert where its severity says so."""
    severity = text(entry.get("severity")).upper()
    if severity not in _SERIOUS:
        return []
    labels = normalise.labels(mapping(entry.get("resource")).get("labels"))
    message = text(entry.get("textPayload")) or text(first(payload, "message", "msg")) or text(payload)
    at = normalise.moment(entry.get("timestamp"))
    log = text(entry.get("logName"))
    return [
        normalise.signal(
            inbound,
            "gcp",
            fingerprint=normalise.fingerprint("log", log, labels),
            status="firing",
            title=next(iter(message.splitlines()), "") or log,
            level=normalise.level(severity),
            description=message,
            labels={**labels, "alertname": log.rpartition("/")[2]},
            system=first(labels, "endpoint_id", "service_name", "job_id") or "",
            observed_at=at,
            starts_at=at,
            delivery_key=entry.get("insertId"),
        )
    ]
