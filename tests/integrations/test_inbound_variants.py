"""What vendors may also send, beyond their samples: other events, empty and missing parts, null, numbers as text,
unicode, batches, lower-case headers, rotated and wrong secrets, trials. One table per vendor, bodies of our own.

Outcomes are worded as in `test_inbound_table`.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from integrations.contract import Inbound
from integrations.listening import FORM
from tests.integrations.inbound import NOON, request
from tests.integrations.test_inbound_table import outcome

pytestmark = pytest.mark.once

#: The second of NOON, as signed times are written.
STAMP = str(int(NOON.timestamp()))
STALE = str(int(NOON.timestamp()) - 3600)


def came(body: Any, **headers: str) -> Inbound:
    return request(body, NOON, **headers)


def form(**fields: str) -> Inbound:
    return came(urlencode(fields).encode(), content_type=FORM)


def raw(text: str, **headers: str) -> Inbound:
    return came(text.encode(), **headers)


def digest(secret: str, content: bytes) -> bytes:
    return hmac.new(secret.encode(), content, hashlib.sha256).digest()


def changed(whole: Mapping[str, Any], **paths: Any) -> dict[str, Any]:
    """A copy with members replaced, `a__b` being b in a; `...` takes one out."""
    made = copy.deepcopy(dict(whole))
    for path, value in paths.items():
        *way, last = path.split("__")
        at: Any = made
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at[step]
        if value is ...:
            del at[last]
        else:
            at[int(last) if isinstance(at, list) else last] = value
    return made


Case = tuple[str, Inbound, Mapping[str, Any], str]

# --- alertmanager ----------------------------------------------------------------------------------------

AM_ALERT = {
    "status": "firing", "labels": {"alertname": "Psi", "model": "churn"}, "annotations": {"summary": "PSI"},
    "startsAt": "2026-03-01T11:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": "f1",
}  # fmt: skip
AM = {
    "version": "4", "groupKey": "{}:{}", "status": "firing", "receiver": "h", "groupLabels": {}, "commonLabels": {},
    "commonAnnotations": {}, "externalURL": "http://am", "alerts": [AM_ALERT],
}  # fmt: skip
ENDED = {**AM_ALERT, "status": "resolved", "endsAt": "2026-03-01T11:30:00Z", "fingerprint": "f2"}

ALERTMANAGER: list[Case] = [
    ("mixed group", came({**AM, "alerts": [AM_ALERT, ENDED]}), {}, "1 firing, 1 resolved"),
    ("no alerts", came({**AM, "alerts": []}), {}, "nothing"),
    ("truncated", came({**AM, "truncatedAlerts": 7, "notification_reason": "new"}), {}, "1 firing"),
    ("version 3", came({**AM, "version": "3", "alerts": [changed(AM_ALERT, fingerprint=...)]}), {}, "1 firing"),
    ("version as a number", came({**AM, "version": 4}), {}, "1 firing"),
    ("unknown version", came({**AM, "version": "9"}), {}, "refused 400"),
    ("custom payload", came({"text": "FIRING Psi"}), {}, "refused 400"),
    ("a list", came([AM_ALERT]), {}, "refused 400"),
    ("alerts no list", came({**AM, "alerts": {"0": AM_ALERT}}), {}, "refused 400"),
    ("alerts null", came({**AM, "alerts": None}), {}, "refused 400"),
    ("no labels", came({**AM, "alerts": [changed(AM_ALERT, labels={}, annotations={})]}), {}, "1 firing"),
    ("labels null", came({**AM, "alerts": [changed(AM_ALERT, labels=None, annotations=None)]}), {}, "1 firing"),
    ("numbers as labels", came({**AM, "alerts": [changed(AM_ALERT, labels={"alertname": 5, "v": 0.1})]}), {}, "1 firing"),
    ("unicode", came({**AM, "alerts": [changed(AM_ALERT, labels__model="モデル", annotations__summary="⚠️ <b>é</b>")]}), {}, "1 firing"),
    ("NaN value", raw(json.dumps({**AM, "alerts": [changed(AM_ALERT, annotations={"value": "NaN"})]})), {}, "1 firing"),
    ("NaN literal", raw('{"version":"4","alerts":[{"status":"firing","labels":{"a":"b"},"value":NaN}]}'), {}, "1 firing"),
    ("two thousand", came({**AM, "alerts": [changed(AM_ALERT, fingerprint=str(n)) for n in range(2000)]}), {}, "2000 firing"),
    ("cut off", raw(json.dumps(AM)[:-20]), {}, "refused 422"),
    ("empty", raw(""), {}, "refused 422"),
    ("bearer fits", came(AM, authorization="Bearer right-secret"), {"secret": "right-secret"}, "1 firing"),
    ("bearer wrong", came(AM, authorization="Bearer wrong"), {"secret": "right-secret"}, "refused 401"),
    ("basic fits", came(AM, authorization="Basic " + base64.b64encode(b"am:right-secret").decode()), {"secret": "right-secret"}, "1 firing"),
    ("bearer though none is asked", came(AM, authorization="Bearer x"), {}, "1 firing"),
]  # fmt: skip

# --- anodot ----------------------------------------------------------------------------------------------

ANODOT = {
    "subject": "Anomaly Alert", "severity": "high", "type": "Anomaly", "alertGroupId": "g", "alertGroupStatus": "open",
    "investigationUrl": "https://app.anodot.example/x", "startTimeEpoch": "1772366400",
    "alerts": [{"title": "Approvals", "alertId": "r", "severity": "high", "metrics": [
        {"name": "what=approvals.country=de", "state": "OPEN", "peak": "41.5", "direction": "UP"},
        {"name": "what=approvals.country=fr", "state": "CLOSED", "peak": 12}]}],
}  # fmt: skip

ANODOT_CASES: list[Case] = [
    ("one back, one not", came(ANODOT), {}, "1 firing, 1 resolved"),
    ("group closed, metrics open", came(changed(ANODOT, alertGroupStatus="close", alerts__0__metrics__1__state="OPEN")), {}, "2 firing"),
    ("extended", raw(json.dumps({**ANODOT, "type": "Anomaly-extended"}).replace('"peak": 12', '"from":1,"from":2,"to":3,"to":4,"peak":12')), {}, "1 firing, 1 resolved"),
    ("static in capitals", came({**ANODOT, "type": "STATIC"}), {}, "1 firing, 1 resolved"),
    ("no data closed", came({**ANODOT, "type": "no data", "alerts": [{"title": "t", "alertId": "r", "metrics": [{"name": "m", "state": "CLOSED", "lastSeenEpoch": "1772366400"}]}]}), {}, "1 resolved"),
    ("numbers and text", came(changed(ANODOT, alerts__0__metrics__0__peak="1,5", alerts__0__metrics__1__state="closed")), {}, "1 firing, 1 resolved"),
    ("merged anomalies", came({**ANODOT, "mergedAnomalies": "[a, b]", "events": {"Total": 3}}), {}, "1 firing, 1 resolved"),
    ("without metrics", came(changed(ANODOT, alerts__0__metrics=[])), {}, "1 firing"),
    ("without alerts", came({**ANODOT, "alerts": []}), {}, "set aside"),
    ("a list", came([ANODOT]), {}, "set aside"),
]  # fmt: skip

# --- arize -----------------------------------------------------------------------------------------------


def arize(body: Any, event: str, secret: str = "whsec_arize", stamp: str = STAMP, more: str = "") -> Inbound:
    written = json.dumps(body).encode()
    signature = digest(secret, stamp.encode() + b"." + written).hex()
    return came(
        written, x_arize_webhook_id="e-1", x_arize_webhook_timestamp=stamp, x_arize_webhook_event=event,
        x_arize_webhook_signature=f"{more}v1={signature}",
    )  # fmt: skip


AR = {"signing_secret": "whsec_arize"}
ARIZE: list[Case] = [
    ("created", arize({"data": {"prompt_name": "g", "version": 4}}, "PROMPT_VERSION_CREATED"), AR, "1 prompt"),
    ("unlabeled", arize({"data": {"prompt_name": "g", "label": "prod"}}, "PROMPT_VERSION_UNLABELED"), AR, "1 prompt"),
    ("evaluator", arize({"data": {"evaluator_name": "toxic"}}, "EVALUATOR_VERSION_CREATED"), AR, "1 config"),
    ("failed task of other keys", arize({"payload": {"x": 1}}, "ONLINE_TASK_RUN_FAILED"), AR, "1 firing"),
    ("empty data", arize({"data": None}, "ONLINE_TASK_RUN_FAILED"), AR, "1 firing"),
    ("new event", arize({"data": {"a": 1}}, "SOMETHING_NEW"), AR, "set aside"),
    ("rotated", arize({"data": {}}, "ONLINE_TASK_RUN_FAILED", "old-secret"), {"signing_secret": "whsec_arize,old-secret"}, "1 firing"),
    ("two signatures", arize({"data": {}}, "ONLINE_TASK_RUN_FAILED", more="v1=00ff, "), AR, "1 firing"),
    ("stale", arize({"data": {}}, "ONLINE_TASK_RUN_FAILED", stamp=STALE), AR, "refused 401"),
    ("another's", arize({"data": {}}, "ONLINE_TASK_RUN_FAILED", "wrong"), AR, "refused 401"),
    ("unsigned", came({"data": {}}), AR, "refused 401"),
    ("stored token as it is", came({"event": "ONLINE_TASK_RUN_FAILED"}, authorization="stored-token"), {"secret": "stored-token"}, "1 firing"),
    ("bearer token", came({"event": "ONLINE_TASK_RUN_FAILED"}, authorization="Bearer stored-token"), {"secret": "stored-token"}, "1 firing"),
    ("monitor resolved", came({"monitor": {"id": "M", "name": "PSI", "status": "cleared"}}), {}, "1 resolved"),
    ("monitor without data", came({"monitor": {"id": "M", "name": "PSI", "status": "no_data"}}), {}, "1 firing"),
]  # fmt: skip

# --- aws -------------------------------------------------------------------------------------------------

UNCHECKED = {"signature": "unchecked"}
ALARM = {
    "AlarmName": "drift", "AlarmArn": "arn:aws:cloudwatch:eu-central-1:1:alarm:drift", "NewStateValue": "ALARM",
    "OldStateValue": "OK", "NewStateReason": "Threshold Crossed: 1 datapoint [0.31 (03/02/26)] was greater than the threshold (0.2).",
    "StateChangeTime": "2026-03-01T11:00:00.000+0000", "Region": "EU (Frankfurt)",
    "Trigger": {"MetricName": "psi", "Namespace": "ml", "Dimensions": [{"name": "Endpoint", "value": "churn"}], "Threshold": 0.2},
}  # fmt: skip


def sns(message: Any, kind: str = "Notification", **more: Any) -> Inbound:
    body = {
        "Type": kind, "MessageId": "m", "TopicArn": "arn:aws:sns:eu-central-1:1:ml", "Timestamp": "2026-03-01T11:00:00.000Z",
        "Message": message if isinstance(message, str) else json.dumps(message), "SignatureVersion": "1", "Signature": "QQ==",
        "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/x.pem", **more,
    }  # fmt: skip
    return came(json.dumps(body).encode(), content_type="text/plain; charset=UTF-8")


def event(kind: str, detail: Any, source: str = "aws.sagemaker", **more: Any) -> Inbound:
    return came(
        {"version": "0", "id": "e", "detail-type": kind, "source": source, "account": "1", "time": "2026-03-01T11:00:00Z",
         "region": "eu-central-1", "resources": ["arn:aws:sagemaker:eu-central-1:1:endpoint/churn"], "detail": detail, **more}
    )  # fmt: skip


CW = {
    "alarmName": "drift",
    "state": {"value": "ALARM", "reason": "r", "timestamp": "2026-03-01T11:00:00.000+0000"},
}
CONFIRM = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
AWS: list[Case] = [
    ("ok", sns({**ALARM, "NewStateValue": "OK"}), UNCHECKED, "1 resolved"),
    ("insufficient data", sns({**ALARM, "NewStateValue": "INSUFFICIENT_DATA"}), UNCHECKED, "nothing"),
    ("unknown state", sns({**ALARM, "NewStateValue": "MAYBE"}), UNCHECKED, "1 firing"),
    ("metric math", sns(changed(ALARM, Trigger={"Metrics": [{"Id": "e1", "Expression": "m1/m2"}, {"Id": "m1", "MetricStat": {"Metric": {"MetricName": "err", "Dimensions": []}}}]})), UNCHECKED, "1 firing"),
    ("composite", sns({**changed(ALARM, Trigger=...), "AlarmRule": "ALARM(a) OR ALARM(b)", "TriggeringChildren": [{"Arn": "x"}]}), UNCHECKED, "1 firing"),
    ("trigger null", sns({**ALARM, "Trigger": None, "AlarmDescription": None}), UNCHECKED, "1 firing"),
    ("infinity", sns({**ALARM, "NewStateReason": "Threshold Crossed: 1 datapoint [2.348543E108 (01/03/26)] was greater"}), UNCHECKED, "1 firing"),
    ("alarm without envelope", came(ALARM), {}, "1 firing"),
    ("plain text without subject", sns("Something happened"), UNCHECKED, "1 firing"),
    ("nothing to say", sns(""), UNCHECKED, "set aside"),
    ("unicode text", sns("Überlast – モデル", Subject="Ä"), UNCHECKED, "1 firing"),
    ("unsubscribed", sns("You have chosen to deactivate", "UnsubscribeConfirmation", Token="t", SubscribeURL=CONFIRM), UNCHECKED, "1 config"),
    ("confirmation", sns("You have chosen", "SubscriptionConfirmation", Token="t", SubscribeURL=CONFIRM), UNCHECKED, "handshake"),
    ("confirmation of another host", sns("You have chosen", "SubscriptionConfirmation", Token="t", SubscribeURL="https://sns.eu-central-1.amazonaws.com.evil.example/?Action=ConfirmSubscription"), UNCHECKED, "refused 401"),
    ("confirmation by http", sns("You have chosen", "SubscriptionConfirmation", Token="t", SubscribeURL=CONFIRM.replace("https", "http")), UNCHECKED, "refused 401"),
    ("certificate of another host", sns(ALARM, SigningCertURL="https://evil.example/sns.amazonaws.com.pem"), {}, "refused 401"),
    ("certificate by http", sns(ALARM, SigningCertURL="http://sns.eu-central-1.amazonaws.com/x.pem"), {}, "refused 401"),
    ("signature version 3", sns(ALARM, SignatureVersion="3"), {}, "refused 401"),
    ("no signature", sns(ALARM, Signature=None), {}, "refused 401"),
    ("other topic", sns(ALARM), {**UNCHECKED, "topics": "arn:aws:sns:eu-central-1:1:other"}, "refused 401"),
    ("event in SNS", sns(json.loads(event("CloudWatch Alarm State Change", CW, "aws.cloudwatch").body)), UNCHECKED, "1 firing"),
    ("alarm event ok", event("CloudWatch Alarm State Change", changed(CW, state__value="OK"), "aws.cloudwatch"), {}, "1 resolved"),
    ("alarm event insufficient", event("CloudWatch Alarm State Change", changed(CW, state__value="INSUFFICIENT_DATA"), "aws.cloudwatch"), {}, "nothing"),
    ("alarm event without configuration", event("CloudWatch Alarm State Change", {**CW, "configuration": None}, "aws.cloudwatch", resources=[]), {}, "1 firing"),
    ("endpoint creating", event("SageMaker Endpoint State Change", {"EndpointName": "churn", "EndpointStatus": "CREATING"}), {}, "1 deploy"),
    ("endpoint failed", event("SageMaker Endpoint State Change", {"EndpointName": "churn", "EndpointStatus": "FAILED"}), {}, "1 deploy, 1 firing"),
    ("tags as a list, times as text", event("SageMaker Endpoint State Change", {"EndpointName": "churn", "EndpointStatus": "IN_SERVICE", "Tags": [], "CreationTime": "2026"}, time="1772366400000"), {}, "1 deploy, 1 resolved"),
    ("training failed", event("SageMaker Training Job State Change", {"TrainingJobName": "t", "TrainingJobStatus": "Failed", "SecondaryStatus": "Failed", "FailureReason": "oom"}), {}, "1 firing"),
    ("training stopped", event("SageMaker Training Job State Change", {"TrainingJobName": "t", "TrainingJobStatus": "Stopped"}), {}, "nothing"),
    ("processing failed", event("SageMaker Processing Job State Change", {"ProcessingJobName": "monitor", "ProcessingJobStatus": "Failed"}), {}, "1 firing"),
    ("transform completed", event("SageMaker Transform Job State Change", {"TransformJobName": "t", "TransformJobStatus": "Completed"}), {}, "1 resolved"),
    ("tuning failed", event("SageMaker HyperParameter Tuning Job State Change", {"HyperParameterTuningJobName": "t", "HyperParameterTuningJobStatus": "Failed"}), {}, "1 firing"),
    ("pipeline failed", event("SageMaker Model Building Pipeline Execution Status Change", {"pipelineArn": "p", "currentPipelineExecutionStatus": "Failed", "previousPipelineExecutionStatus": "Executing"}), {}, "1 firing"),
    ("step failed", event("SageMaker Model Building Pipeline Execution Step Status Change", {"stepName": "train", "currentStepStatus": "Failed", "previousStepStatus": "Executing", "failureReason": "x"}), {}, "1 firing"),
    ("package approved", event("SageMaker Model Package State Change", {"ModelPackageName": "m", "ModelPackageVersion": 3, "ModelPackageGroupName": "churn", "ModelPackageStatus": "Completed", "ModelApprovalStatus": "Approved"}), {}, "1 registry"),
    ("feature group", event("SageMaker Feature Group State Change", {"FeatureGroupName": "f", "FeatureGroupStatus": "CreateFailed"}), {}, "1 firing"),
    ("unknown detail type", event("SageMaker Something New", {"a": 1}), {}, "nothing"),
    ("detail of text", event("SageMaker Endpoint State Change", "text"), {}, "set aside"),
    ("another service", event("EC2 Instance State-change Notification", {"instance-id": "i", "state": "stopped"}, "aws.ec2"), {}, "set aside"),
    ("other object in S3", event("Object Created", {"bucket": {"name": "b"}, "object": {"key": "x/statistics.json"}}, "aws.s3"), {}, "nothing"),
    ("violations in S3", event("Object Created", {"bucket": {"name": "b"}, "object": {"key": "r/churn/hourly/2026/03/01/11/constraint_violations.json"}}, "aws.s3"), {}, "1 firing"),
    ("S3 by SNS itself", sns({"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "r/churn/hourly/2026/03/01/11/constraint_violations.json"}}}]}), UNCHECKED, "1 firing"),
    ("S3 test", sns({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}), UNCHECKED, "nothing"),
    ("no violations", came({"violations": []}), {}, "nothing"),
    ("attribution", came({"version": "1.0", "violations": [{"label": "l0", "metric_name": "shap", "constraint_check_type": "feature_attribution_drift_check", "description": "Value 0.4 below 0.9"}]}), {}, "1 firing"),
    ("a list", came([ALARM]), {}, "set aside"),
    ("empty", raw(""), {}, "refused 422"),
]  # fmt: skip

# --- azure -----------------------------------------------------------------------------------------------

ESSENTIALS = {
    "alertId": "/subscriptions/1/alerts/a", "alertRule": "PSI", "severity": "Sev2", "signalType": "Metric",
    "monitorCondition": "Fired", "monitoringService": "Platform", "alertTargetIDs": ["/s/1/onlineEndpoints/churn"],
    "firedDateTime": "2026-03-01T11:00:00.1234567Z", "description": "",
}  # fmt: skip
COMMON = {"schemaId": "azureMonitorCommonAlertSchema", "data": {"essentials": ESSENTIALS, "alertContext": {}}}


def grid(kind: str, data: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": "e", "topic": "/s/1/workspaces/w", "subject": "x", "eventType": kind, "eventTime": "2026-03-01T11:00:00Z",
        "data": data, "dataVersion": "1", **more,
    }  # fmt: skip


ML = "Microsoft.MachineLearningServices."
AZURE: list[Case] = [
    ("everything null", came(changed(COMMON, data__essentials__severity=None, data__essentials__alertRule=None, data__essentials__signalType=None, data__essentials__alertTargetIDs=None)), {}, "1 firing"),
    ("resolved in capitals", came(changed(COMMON, data__essentials__monitorCondition="RESOLVED")), {}, "1 resolved"),
    ("context null", came(changed(COMMON, data__alertContext=None)), {}, "1 firing"),
    ("unknown condition", came(changed(COMMON, data__essentials__monitorCondition="Muted")), {}, "set aside"),
    ("log of version 1", came(changed(COMMON, data__alertContext={"SearchQuery": "q", "ResultCount": 5, "Threshold": 1, "SearchIntervalStartTimeUtc": "3/22/2026 1:36:31 PM", "LinkToSearchResults": "https://portal.azure.com/x"})), {}, "1 firing"),
    ("dynamic threshold", came(changed(COMMON, data__alertContext={"condition": {"windowSize": "PT5M", "allOf": [{"alertSensitivity": "High", "metricName": "m", "threshold": "0.1", "operator": "GreaterOrLessThan", "metricValue": "7.5", "dimensions": None}]}})), {}, "1 firing"),
    ("service health", came(changed(COMMON, data__essentials__signalType="Activity Log", data__alertContext={"channels": 1, "level": 3, "properties": {"title": "t", "stage": "Active"}})), {}, "1 firing"),
    ("prometheus", came(changed(COMMON, data__alertContext={"interval": "PT1M", "expression": "up == 0", "expressionValue": "NaN", "for": "PT2M", "labels": {"model": "churn"}, "annotations": {}})), {}, "1 firing"),
    ("cost", came(changed(COMMON, data__essentials__severity=None, data__essentials__monitoringService="CostAlerts", data__alertContext={"AlertCategory": "budgets"})), {}, "1 firing"),
    ("custom properties", came(changed(COMMON, data__customProperties={"model": "churn"})), {}, "1 firing"),
    ("old log alert", came({"schemaId": "Microsoft.Insights/LogAlert", "data": {"AlertRuleName": "r", "Severity": "1", "ResultCount": 5}}), {}, "1 firing"),
    ("old activity log", came({"schemaId": "Microsoft.Insights/activityLogs", "data": {"status": "Activated", "context": {"activityLog": {"operationName": "delete", "level": "Warning"}}}}), {}, "1 firing"),
    ("classic deactivated", came({"status": "Deactivated", "context": {"name": "cpu", "resourceId": "/s/1", "condition": {"metricName": "m"}}}), {}, "1 resolved"),
    ("two events", came([grid(ML + "ModelRegistered", {"modelName": "m", "modelVersion": "2"}), grid(ML + "RunStatusChanged", {"runId": "r", "experimentName": "x", "runStatus": "Failed"}, id="f")]), {}, "1 firing, 1 registry"),
    ("camel case", came([grid(ML + "DatasetDriftDetected", {"dataDriftName": "churn", "driftCoefficient": 0.7})]), {}, "1 firing"),
    ("coefficient as text", came([grid(ML + "DatasetDriftDetected", {"DataDriftName": "churn", "DriftCoefficient": "0.7", "StartTime": None})]), {}, "1 firing"),
    ("data null", came([grid(ML + "DatasetDriftDetected", None)]), {}, "1 firing"),
    ("unknown kind", came([grid(ML + "SomethingElse", {"a": 1})]), {}, "nothing"),
    ("storage", came([grid("Microsoft.Storage.BlobCreated", {"url": "https://x.example"})]), {}, "nothing"),
    ("no events", came([]), {}, "set aside"),
    ("validated by code", came([grid("Microsoft.EventGrid.SubscriptionValidationEvent", {"validationCode": "c"})]), {}, "handshake"),
    ("validated by address", came([grid("Microsoft.EventGrid.SubscriptionValidationEvent", {"validationUrl": "https://rp-eastus2.eventgrid.azure.net:553/eventsubscriptions/x/validate?id=1"})]), {}, "handshake"),
    ("unsubscribed", came([grid("Microsoft.EventGrid.SubscriptionDeletedEvent", {"eventSubscriptionId": "/s/1"})]), {}, "nothing"),
    ("cloud events in a batch", came([{"specversion": "1.0", "id": "1", "source": "/s", "type": ML + "RunCompleted", "data": {"experimentName": "x", "runStatus": "Completed"}}], content_type="application/cloudevents-batch+json"), {}, "1 resolved"),
    ("secret in the address", came(COMMON), {"secret": "right-secret"}, "refused 401"),
    ("empty object", came({}), {}, "set aside"),
]  # fmt: skip

# --- cloudevents -----------------------------------------------------------------------------------------

CE = {"specversion": "1.0", "id": "1", "source": "/jobs", "type": "org.drift.detected", "data": {"psi": 0.3}}
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
CLOUDEVENTS: list[Case] = [
    ("batch", came([CE, {**CE, "id": "2", "type": "org.drift.resolved"}], content_type=BATCH), {}, "1 firing, 1 resolved"),
    ("empty batch", came([], content_type=BATCH), {}, "nothing"),
    ("charset", came(CE, content_type=STRUCTURED + "; charset=UTF-8"), {}, "1 firing"),
    ("base64 data", came({**changed(CE, data=...), "data_base64": base64.b64encode(b'{"psi":0.4}').decode()}, content_type=STRUCTURED), {}, "1 firing"),
    ("base64 of bytes", came({**changed(CE, data=...), "datacontenttype": "application/octet-stream", "data_base64": "/////w=="}, content_type=STRUCTURED), {}, "1 firing"),
    ("both data", came({**CE, "data_base64": "eA=="}, content_type=STRUCTURED), {}, "refused 422"),
    ("no data", came(changed(CE, data=...), content_type=STRUCTURED), {}, "1 firing"),
    ("data null", came({**CE, "data": None, "subject": None, "dataschema": None}, content_type=STRUCTURED), {}, "1 firing"),
    ("data a number", came({**CE, "data": 5}, content_type=STRUCTURED), {}, "1 firing"),
    ("data a list", came({**CE, "data": [1, 2]}, content_type=STRUCTURED), {}, "1 firing"),
    ("extensions", came({**CE, "traceparent": "00-x", "flag": True, "count": 5}, content_type=STRUCTURED), {}, "1 firing"),
    ("no id", came(changed(CE, id=...), content_type=STRUCTURED), {}, "refused 422"),
    ("empty source", came({**CE, "source": ""}, content_type=STRUCTURED), {}, "refused 422"),
    ("version 0.3", came({**CE, "specversion": "0.3"}, content_type=STRUCTURED), {}, "refused 422"),
    ("one of two broken", came([CE, {"id": "2"}], content_type=BATCH), {}, "refused 422"),
    ("avro", came(b"\x01\x02", content_type="application/cloudevents+avro"), {}, "refused 415"),
    ("binary without content type", Inbound({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/a", "ce-type": "org.x"}, b"", NOON, "connection:1", 7), {}, "1 firing"),
    ("binary of text", came(b"hello", content_type="text/plain", ce_specversion="1.0", ce_id="1", ce_source="/a", ce_type="org.x", ce_subject="%E2%82%AC"), {}, "1 firing"),
    ("binary without type", came({}, ce_specversion="1.0", ce_id="1", ce_source="/a"), {}, "refused 422"),
    ("no event", came(b"hello", content_type="text/plain"), {}, "refused 415"),
    ("offset time", came({**CE, "time": "2026-03-01T12:00:00.123456789+02:00"}, content_type=STRUCTURED), {}, "1 firing"),
    ("asks for permission", Inbound({"webhook-request-origin": "eventemitter.example.com"}, b"", NOON, "connection:1", 7, method="OPTIONS"), {}, "handshake"),
    ("secret", came(CE, content_type=STRUCTURED), {"secret": "right-secret"}, "refused 401"),
]  # fmt: skip

# --- datadog ---------------------------------------------------------------------------------------------

DD = {
    "alert_id": "7", "alert_cycle_key": "c", "alert_transition": "Triggered", "alert_type": "error", "alert_title": "[Triggered] PSI",
    "alert_priority": "P2", "tags": "env:prod,model:churn", "date": "1772366400000", "alert_query": "avg(last_1h):avg:psi{*} > 0.2",
}  # fmt: skip
DATADOG: list[Case] = [
    *[(word, came({**DD, "alert_transition": word}), {}, "1 firing") for word in
      ("Re-Triggered", "Warn", "Re-Warn", "No Data", "Re-No Data", "Renotify")],
    ("recovered", came({**DD, "alert_transition": "Recovered"}), {}, "1 resolved"),
    ("nothing filled in but the id", came(dict.fromkeys(DD, "") | {"alert_id": "7"}), {}, "1 firing"),
    ("unknown variables", came({**DD, "snapshot": "$SNAPSHOTS", "alert_cycle_key": "$ALERT_CYCLE_KEYS"}), {}, "1 firing"),
    ("not filled in at all", came({"alert_id": "$ALERT_ID", "title": "$EVENT_TITLE"}), {}, "set aside"),
    ("a form", form(**DD), {}, "1 firing"),
    ("a form around JSON", form(payload=json.dumps(DD)), {}, "1 firing"),
    ("line breaks and quotes", raw('{"alert_id":"7","alert_title":"PSI of "age"","body":"a\nb","alert_transition":"Triggered"}'), {}, "1 firing"),
    ("names of its own template", came({"id": "1", "title": "[Recovered] PSI", "last_updated": "1772366400000", "event_type": "x", "alert_id": "7", "alert_transition": "Recovered"}), {}, "1 resolved"),
    ("tags as a list", came({**DD, "tags": ["env:prod", "model:churn"]}), {}, "1 firing"),
    ("event without a monitor", came({"id": "9", "title": "Deployed", "body": "x", "alert_type": "info"}), {}, "1 firing"),
    ("success", came({**DD, "alert_transition": "", "alert_type": "success"}), {}, "1 resolved"),
    ("secret missing", came(DD), {"secret": "right-secret"}, "refused 401"),
    ("secret in a header", came(DD, x_holdfast_secret="right-secret"), {"secret": "right-secret"}, "1 firing"),
    ("empty object", came({}), {}, "set aside"),
    ("a list", came([DD]), {}, "set aside"),
]  # fmt: skip

# --- dbt -------------------------------------------------------------------------------------------------

JOB = {
    "accountId": 1, "eventId": "w", "timestamp": "2026-03-01T11:00:00.123456789Z", "eventType": "job.run.completed", "webhookId": "x",
    "data": {"jobId": "7", "jobName": "nightly", "runId": "70", "runStatus": "Success", "runStatusCode": 10, "runStatusMessage": "None"},
}  # fmt: skip


def job(secret: str = "", **changes: Any) -> Inbound:
    written = json.dumps(changed(JOB, **changes)).encode()
    return came(written, authorization=digest(secret, written).hex()) if secret else came(written)


def artifact(*results: Any, version: str = "run-results/v6") -> Inbound:
    return came({
        "metadata": {"dbt_schema_version": f"https://schemas.getdbt.com/dbt/{version}.json", "invocation_id": "i", "generated_at": "2026-03-01T11:00:00Z"},
        "results": list(results), "elapsed_time": 1.0, "args": {},
    })  # fmt: skip


SIGNED = {"signing_secret": "dbt-secret-1"}
DBT: list[Case] = [
    ("started", job(eventType="job.run.started", data__runStatus="Running", data__runStatusCode=3), {}, "nothing"),
    ("cancelled", job(data__runStatus="Cancelled", data__runStatusCode=30), {}, "nothing"),
    ("errored", job(eventType="job.run.errored", data__runStatus="Errored", data__runStatusCode=20), {}, "1 firing"),
    ("completed with an error", job(data__runStatus="Errored", data__runStatusCode=20), {}, "1 firing"),
    ("code as text", job(data__runStatusCode="20", data__runStatus="Errored"), {}, "1 firing"),
    ("no code", job(data__runStatusCode=...), {}, "1 resolved"),
    ("errored without a status", job(eventType="job.run.errored", data__runStatusCode=None, data__runStatus=None), {}, "1 firing"),
    ("old name of the webhook", job(webhookId=...), {}, "1 resolved"),
    ("signed", job("dbt-secret-1"), SIGNED, "1 resolved"),
    ("signed by another", job("dbt-secret-2"), SIGNED, "refused 401"),
    ("unsigned", job(), SIGNED, "refused 401"),
    ("rotated", job("dbt-secret-2"), {"signing_secret": "dbt-secret-1,dbt-secret-2"}, "1 resolved"),
    ("no results", artifact(), {}, "nothing"),
    ("no-op and skipped", artifact({"status": "no-op", "unique_id": "model.a.b"}, {"status": "skipped", "unique_id": "model.a.c"}), {}, "nothing"),
    ("partial success", artifact({"status": "partial success", "unique_id": "model.a.b"}), {}, "1 firing"),
    ("runtime error", artifact({"status": "runtime error", "unique_id": "source.a.b.c", "error": "no"}, version="sources/v3"), {}, "1 firing"),
    ("message null", artifact({"status": "fail", "unique_id": "test.a.b", "message": None, "failures": None, "compiled_code": None}), {}, "1 firing"),
    ("fresh", artifact({"status": "pass", "unique_id": "source.a.b.c", "max_loaded_at_time_ago_in_s": 5.0, "criteria": {"warn_after": None, "error_after": None}}, version="sources/v3"), {}, "1 resolved"),
    ("results no list", came({"metadata": {}, "results": {"a": 1}}), {}, "set aside"),
    ("no artifact", came({"nodes": {}}), {}, "set aside"),
]  # fmt: skip

# --- elastic, evidently, fiddler -------------------------------------------------------------------------

KIBANA = {
    "rule": {"id": "r", "name": "p95", "tags": ["model:churn"]}, "context": {"reason": "slow", "value": "1.9"},
    "alert": {"id": "churn", "uuid": "u", "actionGroup": "query matched", "flapping": True}, "date": "2026-03-01T11:00:00Z",
}  # fmt: skip
ELASTIC: list[Case] = [
    ("recovered", came(changed(KIBANA, alert__actionGroup="recovered")), {}, "1 resolved"),
    ("null everywhere", came(changed(KIBANA, rule__tags=None, context=None, date=None)), {}, "1 firing"),
    ("mustache left blank", came(changed(KIBANA, alert__uuid="", rule__tags="")), {}, "1 firing"),
    ("quotes in a template", raw('{"title":"p95 of "churn"","status":"firing"}'), {}, "1 firing"),
    ("watch throttled", came({"watch_id": "w", "state": "throttled"}), {}, "nothing"),
    ("watch in ctx", came({"ctx": {"watch_id": "w", "id": "w_1", "execution_time": "2026-03-01T11:00:00Z", "payload": {"hits": {"total": 5}}}}), {}, "1 firing"),
    ("watch not met", came({"watch_record": {"watch_id": "w", "result": {"condition": {"met": False}}}}), {}, "1 resolved"),
    ("no template of ours", came({"text": "hello", "x": 1}), {}, "set aside"),
    ("a list", came([KIBANA]), {}, "set aside"),
]  # fmt: skip
TEST = {"id": "t", "name": "Row count", "metric_config": {"metric_id": "m", "params": {}}, "status": "FAIL"}
EVIDENTLY: list[Case] = [
    ("warning and error", came({"metrics": [], "tests": [{**TEST, "status": "WARNING"}, {**TEST, "id": "u", "status": "ERROR"}]}), {}, "2 firing"),
    ("NaN and infinity", raw('{"metrics":[{"id":"m","value":NaN},{"id":"n","value":-Infinity}],"tests":[' + json.dumps(TEST) + "]}"), {}, "1 firing"),
    ("value of counts", came({"metrics": [{"id": "m", "value": {"count": 1.0, "share": 0.5}}], "tests": [TEST]}), {}, "1 firing"),
    ("no tests, no drift", came({"metrics": [], "tests": []}), {}, "set aside"),
    ("old report without drift metrics", came({"metrics": [{"metric": "DatasetSummaryMetric", "result": {}}]}), {}, "set aside"),
    ("old suite passes", came({"version": "0.4", "tests": [{"name": "a", "status": "SUCCESS", "parameters": {}}], "summary": {"all_passed": True}}), {}, "1 resolved"),
    ("in an envelope", came({"system": "churn", "report": {"tests": [TEST], "metrics": []}}), {}, "1 firing"),
    ("skipped only", came({"tests": [{**TEST, "status": "SKIPPED"}]}), {}, "nothing"),
    ("a list", came([TEST]), {}, "set aside"),
]  # fmt: skip
RECORD = {
    "uuid": "u",
    "alert_config_uuid": "c",
    "alert_time_bucket": 1772366400000,
    "alert_value": 0.4,
    "critical_threshold": 0.2,
    "is_alert": True,
    "severity": "CRITICAL",
    "feature_name": "age",
}
FIDDLER: list[Case] = [
    ("warning", came({**RECORD, "severity": "WARNING", "warning_threshold": 0.1}), {}, "1 firing"),
    ("no alert", came({**RECORD, "is_alert": False, "severity": "NA"}), {}, "1 resolved"),
    ("value null", came({**RECORD, "alert_value": None, "feature_name": None}), {}, "1 firing"),
    ("a list", came([RECORD, {**RECORD, "uuid": "v", "is_alert": False}]), {}, "1 firing, 1 resolved"),
    ("a page of the API", came({"data": {"items": [RECORD], "total": 1}}), {}, "1 firing"),
    ("for Teams", came({"@type": "MessageCard", "title": "Drift of age", "sections": [{"facts": [{"name": "Model", "value": "churn"}]}]}), {}, "1 firing"),
    ("only a text", came({"text": "Alert resolved: drift"}), {}, "1 resolved"),
    ("nothing", came({}), {}, "set aside"),
]  # fmt: skip

# --- gcp, generic ----------------------------------------------------------------------------------------

INCIDENT = {
    "incident_id": "0.a",
    "state": "open",
    "started_at": 1772366400,
    "ended_at": None,
    "policy_name": "P",
    "condition_name": "c",
    "observed_value": "1.9",
    "threshold_value": "1",
    "metric": {"type": "__missing__"},
    "severity": "No severity",
}
VERTEX = {
    "logName": "projects/p/logs/aiplatform.googleapis.com%2Fmodel_monitoring_anomaly", "insertId": "i", "timestamp": "2026-03-01T11:00:00Z",
    "jsonPayload": {"anomalyObjective": "PREDICTION_FEATURE_DRIFT", "deployedModelId": "9", "modelDeploymentMonitoringJob": "j", "totalAnomaliesCount": 1.0, "featureAnomalies": [{"featureDisplayName": "age", "deviation": 0.4, "threshold": 0.3}]},
}  # fmt: skip


def push(data: Any, **more: Any) -> Inbound:
    coded = base64.b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).decode()
    return came(
        {
            "message": {"data": coded, "messageId": "1", "message_id": "1", "attributes": {}, **more},
            "subscription": "s",
        }
    )


GCP: list[Case] = [
    ("trial", came({"version": "test", "incident": {**INCIDENT, "state": "OPEN"}}), {}, "1 firing"),
    ("closed in capitals", came({"version": "1.2", "incident": {**INCIDENT, "state": "CLOSED", "ended_at": 1772366500}}), {}, "1 resolved"),
    ("all null", came({"version": "1.2", "incident": {"incident_id": "x", "state": "open", "metric": None, "resource": None, "condition": None}}), {}, "1 firing"),
    ("promql", came({"version": "1.2", "incident": {**INCIDENT, "condition": None, "observed_value": "", "threshold_value": ""}}), {}, "1 firing"),
    ("unknown state", came({"version": "1.2", "incident": {**INCIDENT, "state": "acked"}}), {}, "set aside"),
    ("pushed", push({"version": "1.2", "incident": INCIDENT}), {}, "1 firing"),
    ("anomaly", push(VERTEX), {}, "1 firing"),
    ("objective attribution", push(changed(VERTEX, jsonPayload__anomalyObjective="FEATURE_ATTRIBUTION_SKEW")), {}, "1 firing"),
    ("no anomaly", push(changed(VERTEX, jsonPayload__featureAnomalies=[], jsonPayload__totalAnomaliesCount=0)), {}, "set aside"),
    ("text pushed", push(b"test message"), {}, "set aside"),
    ("binary pushed", push(b"\xff\x00"), {}, "set aside"),
    ("no data", came({"message": {"messageId": "1", "attributes": {"a": "b"}}, "subscription": "s"}), {}, "set aside"),
    ("data no base64", came({"message": {"data": "%%", "messageId": "1"}}), {}, "set aside"),
    ("log entry of info", push({"logName": "l", "severity": "INFO", "textPayload": "x"}), {}, "nothing"),
    ("log entry of an error", push({"logName": "l", "severity": "ERROR", "jsonPayload": {"message": "x"}}), {}, "1 firing"),
    ("basic", came({"version": "1.2", "incident": INCIDENT}, authorization="Basic " + base64.b64encode(b"u:right-secret").decode()), {"secret": "right-secret"}, "1 firing"),
    ("no token", push(VERTEX), {"audience": "https://h.example"}, "refused 401"),
    ("token that is none", came({"message": {}}, authorization="Bearer a.b.c"), {"audience": "https://h.example"}, "refused 401"),
]  # fmt: skip
KEY = base64.b64encode(b"a key of twenty-four byt").decode()


def standard(
    body: bytes, stamp: str = STAMP, key: bytes = b"a key of twenty-four byt", **more: str
) -> Inbound:
    signature = base64.b64encode(
        hmac.new(key, f"m.{stamp}.".encode() + body, hashlib.sha256).digest()
    ).decode()
    return came(body, webhook_id="m", webhook_timestamp=stamp, webhook_signature=f"v1,{signature}", **more)


ONE = {"title": "PSI"}
GENERIC: list[Case] = [
    ("a list", came([ONE, {"dedup_key": "k", "status": "resolved"}]), {}, "1 firing, 1 resolved"),
    ("one of two broken", came([ONE, 5]), {}, "refused 422"),
    ("nothing in it", came([]), {}, "refused 422"),
    ("empty object", came({}), {}, "refused 422"),
    ("null", raw("null"), {}, "refused 422"),
    ("NaN", raw('{"title":"a","value":NaN,"threshold":1e999}'), {}, "1 firing"),
    ("huge", raw('{"title":"a","value":' + "9" * 400 + "}"), {}, "1 firing"),
    ("number as text", came({**ONE, "value": "0.3", "threshold": "0,2"}), {}, "1 firing"),
    ("status as a number", came({**ONE, "status": 5}), {}, "refused 422"),
    ("null members", came({**ONE, "status": None, "labels": None, "links": None, "metric": None}), {}, "1 firing"),
    ("html", came({"title": "<script>alert(1)</script>", "url": "javascript:alert(1)"}), {}, "1 firing"),
    ("long", came({"title": "x" * 100_000}), {}, "1 firing"),
    ("signed", standard(b'{"title":"a"}'), {"secret": "whsec_" + KEY}, "1 firing"),
    ("stale", standard(b'{"title":"a"}', STALE), {"secret": "whsec_" + KEY}, "refused 401"),
    ("another's", standard(b'{"title":"a"}', key=b"x"), {"secret": "whsec_" + KEY}, "refused 401"),
    ("unsigned", came(ONE), {"secret": "whsec_" + KEY}, "refused 401"),
]  # fmt: skip

# --- github ----------------------------------------------------------------------------------------------

REPOSITORY = {"full_name": "acme/churn", "name": "churn", "default_branch": "main"}
RUN = {"id": 5, "name": "train", "workflow_id": 3, "head_branch": "main", "conclusion": "failure"}


def hub(kind: str, body: Any, secret: str = "", **more: str) -> Inbound:
    written = json.dumps(
        {"repository": REPOSITORY, "sender": {"login": "ann", "type": "User"}, **body}
    ).encode()
    signed = {"x_hub_signature_256": "sha256=" + digest(secret, written).hex()} if secret else {}
    return came(written, x_github_event=kind, x_github_delivery="d", **signed, **more)


HUB = {"secret": "hub-secret-1"}
GITHUB: list[Case] = [
    ("ping", hub("ping", {"zen": "Keep it simple.", "hook_id": 1}, "hub-secret-1"), HUB, "nothing"),
    ("unknown event", hub("star", {"action": "created"}), {}, "nothing"),
    ("push", hub("push", {"ref": "refs/heads/main", "commits": []}), {}, "nothing"),
    ("pending", hub("deployment_status", {"deployment_status": {"state": "pending"}, "deployment": {}}), {}, "nothing"),
    ("deployment failed", hub("deployment_status", {"deployment_status": {"state": "failure"}, "deployment": {"payload": ""}}), {}, "1 firing"),
    ("run in progress", hub("workflow_run", {"action": "in_progress", "workflow_run": {**RUN, "conclusion": None}}), {}, "nothing"),
    ("run failed", hub("workflow_run", {"action": "completed", "workflow_run": RUN}), {}, "1 firing"),
    ("run cancelled", hub("workflow_run", {"action": "completed", "workflow_run": {**RUN, "conclusion": "cancelled"}}), {}, "nothing"),
    ("released", hub("release", {"action": "published", "release": {"id": 1, "tag_name": "v9", "name": None}}), {}, "1 deploy"),
    ("vulnerable", hub("dependabot_alert", {"action": "created", "alert": {"number": 1, "security_advisory": {"severity": "high", "summary": "x"}}}), {}, "1 firing"),
    ("issue without a body", hub("issues", {"action": "closed", "issue": {"number": 4, "title": "t", "body": None}}), {}, "1 state"),
    ("form", form(payload=json.dumps({"zen": "x"})), {}, "nothing"),
    ("only the old signature", hub("ping", {"zen": "x"}, x_hub_signature="sha1=00"), HUB, "refused 401"),
    ("another's", hub("ping", {"zen": "x"}, "wrong"), HUB, "refused 401"),
    ("rotated", hub("ping", {"zen": "x"}, "hub-secret-0"), {"secret": "hub-secret-1,hub-secret-0"}, "nothing"),
]  # fmt: skip

# --- grafana ---------------------------------------------------------------------------------------------

GF = {**AM, "version": "1", "orgId": 1, "title": "t", "state": "alerting", "message": "m"}
BODY = json.dumps(GF).encode()
GRAFANA: list[Case] = [
    ("no data", came({**GF, "alerts": [changed(AM_ALERT, labels={"alertname": "DatasourceNoData", "rulename": "Psi"}, annotations={})]}), {}, "1 firing"),
    ("values null", came({**GF, "alerts": [{**AM_ALERT, "values": None, "valueString": ""}]}), {}, "1 firing"),
    ("no fingerprint", came({**GF, "alerts": [changed(AM_ALERT, fingerprint=...)]}), {}, "1 firing"),
    ("no alerts", came({**GF, "alerts": []}), {}, "nothing"),
    ("trial", came({**GF, "alerts": [changed(AM_ALERT, labels={"alertname": "TestAlert", "instance": "Grafana"})]}), {}, "1 firing"),
    ("mixed", came({**GF, "alerts": [AM_ALERT, ENDED]}), {}, "1 firing, 1 resolved"),
    ("custom payload", came({"anything": 1}), {}, "set aside"),
    ("empty payload", raw(""), {}, "refused 422"),
    ("legacy paused", came({"ruleName": "a", "state": "paused"}), {}, "nothing"),
    ("legacy no data", came({"ruleName": "a", "state": "no_data", "evalMatches": None}), {}, "1 firing"),
    ("signed", came(BODY, x_grafana_alerting_signature=digest("grafana-1", BODY).hex()), {"hmac_secret": "grafana-1"}, "1 firing"),
    ("signed with time", came(BODY, x_grafana_alerting_signature=digest("grafana-1", STAMP.encode() + b":" + BODY).hex(), x_at=STAMP), {"hmac_secret": "grafana-1", "timestamp_header": "X-At"}, "1 firing"),
    ("stale", came(BODY, x_grafana_alerting_signature=digest("grafana-1", STALE.encode() + b":" + BODY).hex(), x_at=STALE), {"hmac_secret": "grafana-1", "timestamp_header": "X-At"}, "refused 401"),
    ("unsigned", came(BODY), {"hmac_secret": "grafana-1"}, "refused 401"),
]  # fmt: skip

# --- great expectations, hexnode -------------------------------------------------------------------------

EXPECTATION = {
    "success": False,
    "expectation_config": {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "price"}},
    "result": {},
}
GX = {"success": False, "suite_name": "orders", "results": [EXPECTATION], "meta": {}, "statistics": {}}
GREAT: list[Case] = [
    ("nothing expected", came({**GX, "success": True, "results": []}), {}, "nothing"),
    ("failed without results", came({**GX, "results": []}), {}, "set aside"),
    ("0.x words", came({**GX, "results": [changed(EXPECTATION, expectation_config={"expectation_type": "expect_x", "kwargs": {}})]}), {}, "1 firing"),
    ("exception flat", came({**GX, "results": [{**EXPECTATION, "result": None, "exception_info": {"raised_exception": True, "exception_message": "m"}}]}), {}, "1 firing"),
    ("success null", came({**GX, "results": [{**EXPECTATION, "success": None}]}), {}, "set aside"),
    ("NaN", raw(json.dumps(GX).replace('"result": {}', '"result": {"observed_value": NaN}')), {}, "1 firing"),
    ("checkpoint", came({"success": False, "run_id": {}, "run_results": {"k": GX}}), {}, "1 firing"),
    ("no result", came({"a": 1}), {}, "set aside"),
]  # fmt: skip
HEXNODE: list[Case] = [
    ("no devices", came({"count": 0, "next": None, "previous": None, "results": []}), {}, "nothing"),
    ("one of each", came({"results": [{"id": 1, "compliant": True}, {"id": 2, "compliant": False, "device_name": None}]}), {}, "1 firing, 1 resolved"),
    ("not judged", came({"results": [{"id": 1}]}), {}, "nothing"),
    ("an error of the API", came({"detail": "Invalid key"}), {}, "set aside"),
]  # fmt: skip

# --- jira ------------------------------------------------------------------------------------------------

JIRA_SECRET = {"webhook_secret": "jira-secret-1"}
ISSUE = {
    "id": "1",
    "key": "ML-1",
    "self": "https://acme.atlassian.net/rest/api/2/issue/1",
    "fields": {"labels": ["holdfast-inc-7"], "status": {"name": "Done", "statusCategory": {"key": "done"}}},
}


def jira(secret: str = "", scheme: str = "sha256", **body: Any) -> Inbound:
    written = json.dumps(
        {
            "timestamp": 1772366400000,
            "webhookEvent": "jira:issue_updated",
            "user": {"accountId": "a"},
            "issue": ISSUE,
            **body,
        }
    ).encode()
    return (
        came(written, x_hub_signature=f"{scheme}={digest(secret, written).hex()}")
        if secret
        else came(written)
    )


def moved(*items: Any) -> dict[str, Any]:
    return {"changelog": {"id": "1", "items": list(items)}}


JIRA: list[Case] = [
    ("done", jira(**moved({"field": "status", "fromString": "To Do", "toString": "Erledigt"})), {}, "1 state"),
    ("in progress", jira(issue=changed(ISSUE, fields__status={"statusCategory": {"key": "indeterminate"}}), **moved({"field": "status", "toString": "Doing"})), {}, "1 acknowledge"),
    ("unassigned", jira(**moved({"field": "assignee", "to": None, "toString": None})), {}, "nothing"),
    ("priority unknown", jira(**moved({"field": "priority", "toString": "Whenever"})), {}, "nothing"),
    ("other field", jira(**moved({"field": "description", "toString": "x"})), {}, "nothing"),
    ("no changelog", jira(), {}, "nothing"),
    ("changelog null", jira(changelog=None), {}, "nothing"),
    ("comment without fields", jira(webhookEvent="comment_created", issue={"id": "1", "key": "ML-1"}, comment={"id": "9", "body": "On it", "author": {"accountId": "a"}}), {}, "1 comment"),
    ("comment as a document", jira(webhookEvent="comment_created", comment={"id": "9", "body": {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": "On it"}]}]}}), {}, "1 comment"),
    ("comment edited", jira(webhookEvent="comment_updated", comment={"id": "9", "body": "x"}), {}, "nothing"),
    ("worklog", jira(webhookEvent="worklog_created"), {}, "nothing"),
    ("sprint", came({"timestamp": 1, "webhookEvent": "sprint_started", "sprint": {"id": 1}}), {}, "nothing"),
    ("link created", came({"timestamp": 1, "webhookEvent": "issuelink_created", "issueLink": {"id": 1}}), {}, "nothing"),
    ("no event", came({"issue": ISSUE}), {}, "set aside"),
    ("signed", jira("jira-secret-1"), JIRA_SECRET, "nothing"),
    ("another's", jira("wrong"), JIRA_SECRET, "refused 401"),
    ("unsigned", jira(), JIRA_SECRET, "refused 401"),
    ("other method", jira("jira-secret-1", "sha1"), JIRA_SECRET, "refused 401"),
    ("rotated", jira("jira-secret-0"), {"webhook_secret": "jira-secret-1,jira-secret-0"}, "nothing"),
]  # fmt: skip

# --- mlflow ----------------------------------------------------------------------------------------------


def mlflow(entity: str, action: str, data: Any, secret: str = "", stamp: str = STAMP, **more: Any) -> Inbound:
    written = json.dumps(
        {"entity": entity, "action": action, "timestamp": "2026-03-01T11:00:00+00:00", "data": data, **more}
    ).encode()
    signature = base64.b64encode(digest(secret or "x", f"d.{stamp}.".encode() + written)).decode()
    signed = {
        "x_mlflow_delivery_id": "d",
        "x_mlflow_timestamp": stamp,
        "x_mlflow_signature": f"v1,{signature}",
    }
    return came(written, **(signed if secret else {}))


ML_SECRET = {"secret": "mlflow-secret-1"}
MLFLOW: list[Case] = [
    ("version", mlflow("model_version", "created", {"name": "m", "version": 3, "source": "s", "run_id": None}), {}, "1 registry"),
    ("tag deleted", mlflow("model_version_tag", "deleted", {"name": "m", "version": "3", "key": "k"}), {}, "1 registry"),
    ("prompt", mlflow("prompt", "created", {"name": "p", "prompt_text": "x"}), {}, "1 prompt"),
    ("prompt alias", mlflow("prompt_alias", "created", {"name": "p", "alias": "a", "version": "1"}), {}, "1 prompt"),
    ("workspace", mlflow("registered_model", "created", {"name": "m"}, workspace="w"), {}, "1 registry"),
    ("new entity", mlflow("something", "created", {"name": "m"}), {}, "1 registry"),
    ("no data", mlflow("registered_model", "created", None), {}, "set aside"),
    ("signed", mlflow("registered_model", "created", {"name": "m"}, "mlflow-secret-1"), ML_SECRET, "1 registry"),
    ("rotated", mlflow("registered_model", "created", {"name": "m"}, "mlflow-secret-0"), {"secret": "mlflow-secret-1,mlflow-secret-0"}, "1 registry"),
    ("stale", mlflow("registered_model", "created", {"name": "m"}, "mlflow-secret-1", STALE), ML_SECRET, "refused 401"),
    ("another's", mlflow("registered_model", "created", {"name": "m"}, "wrong"), ML_SECRET, "refused 401"),
    ("unsigned", mlflow("registered_model", "created", {"name": "m"}), ML_SECRET, "refused 401"),
]  # fmt: skip

# --- nannyml, newrelic, opsgenie -------------------------------------------------------------------------

CHUNK = {
    "chunk.key": "[0:9]",
    "chunk.start_date": None,
    "chunk.period": "analysis",
    "roc_auc.value": 0.7,
    "roc_auc.lower_threshold": 0.8,
    "roc_auc.alert": True,
}
NANNYML: list[Case] = [
    ("quiet", came([{**CHUNK, "roc_auc.alert": False}]), {}, "1 resolved"),
    ("alert as text", came([{**CHUNK, "roc_auc.alert": "True"}]), {}, "1 firing"),
    ("value null", came([{**CHUNK, "roc_auc.value": None, "roc_auc.lower_threshold": None}]), {}, "1 firing"),
    ("NaN", raw(json.dumps([CHUNK]).replace("0.7", "NaN")), {}, "1 firing"),
    ("drift of a column", came([{"chunk.key": "a", "age.jensen_shannon.value": 0.3, "age.jensen_shannon.alert": True}]), {}, "1 firing"),
    ("reference only", came([{**CHUNK, "chunk.period": "reference"}]), {}, "nothing"),
    ("no rows", came([]), {}, "set aside"),
    ("no result", came({"a": 1}), {}, "set aside"),
]  # fmt: skip
NR = {
    "id": "i",
    "title": "Latency",
    "state": "ACTIVATED",
    "priority": "CRITICAL",
    "createdAt": 1772366400000,
    "updatedAt": 1772366460000,
}
NEWRELIC: list[Case] = [
    ("created", came({**NR, "state": "CREATED"}), {}, "1 firing"),
    ("closed, small letters", came({**NR, "state": "closed", "closedAt": "1772366460000"}), {}, "1 resolved"),
    ("lists of values", came({**NR, "title": ["Latency"], "impactedEntities": ["churn"], "labels": {"model": ["churn"]}}), {}, "1 firing"),
    ("legacy closed", came({"incident_id": 7, "current_state": "closed", "condition_name": "c"}), {}, "1 resolved"),
    ("legacy acknowledged", came({"incident_id": 7, "current_state": "acknowledged", "condition_name": "c"}), {}, "1 firing"),
    ("a template", came({"id": "{{ issueId }}", "title": "{{ issueTitle }}"}), {}, "set aside"),
    ("without a state", came(changed(NR, state=...)), {}, "1 firing"),
    ("null members", came({**NR, "owner": None, "impactedEntities": None, "createdAt": None, "updatedAt": None}), {}, "1 firing"),
    ("unknown state", came({**NR, "state": "PAUSED"}), {}, "set aside"),
    ("nothing", came({}), {}, "set aside"),
]  # fmt: skip
OG = {
    "action": "Create",
    "alert": {
        "alertId": "a",
        "alias": "x",
        "message": "m",
        "priority": "P3",
        "createdAt": 1772366400000,
        "updatedAt": 1772366400000000000,
        "tags": ["model:churn"],
        "username": "ann@example.org",
    },
}
OPSGENIE: list[Case] = [
    ("deleted", came({**OG, "action": "Delete"}), {}, "1 resolved"),
    ("escalated", came({**OG, "action": "EscalateToNext"}), {}, "nothing"),
    ("unknown action", came({**OG, "action": "SomethingNew"}), {}, "nothing"),
    ("tags null", came(changed(OG, alert__tags=None, alert__priority=None, alert__updatedAt=None)), {}, "1 firing"),
    ("ours, by a person", came(changed(OG, action="Acknowledge", alert__alias="INC-7")), {}, "1 acknowledge"),
    ("ours, by our call", came(changed(OG, action="Acknowledge", alert__alias="INC-7", alert__username="Holdfast")), {}, "nothing"),
    ("no alert", came({"action": "Create"}), {}, "set aside"),
    ("secret missing", came(OG), {"secret": "right-secret"}, "refused 401"),
]  # fmt: skip

# --- pagerduty -------------------------------------------------------------------------------------------

PD = {
    "event": {
        "id": "e",
        "event_type": "incident.triggered",
        "resource_type": "incident",
        "occurred_at": "2026-03-01T11:00:00Z",
        "agent": None,
        "client": None,
        "data": {
            "id": "P",
            "type": "incident",
            "title": "t",
            "incident_key": "abc",
            "priority": None,
            "service": None,
            "urgency": "high",
        },
    }
}


def pager(secret: str = "", before: str = "", **changes: Any) -> Inbound:
    written = json.dumps(changed(PD, **changes)).encode()
    signed = {"x_pagerduty_signature": f"{before}v1={digest(secret, written).hex()}"} if secret else {}
    return came(written, x_webhook_id="w", **signed)


PD_SECRET = {"webhook_secret": "pager-secret-1"}
PAGERDUTY: list[Case] = [
    ("rotated at PagerDuty", pager("pager-secret-1", "v1=00ff,"), PD_SECRET, "1 firing"),
    ("rotated here", pager("pager-secret-0"), {"webhook_secret": "pager-secret-1,pager-secret-0"}, "1 firing"),
    ("another version only", came(PD, x_pagerduty_signature="v2=00"), PD_SECRET, "refused 401"),
    ("another's", pager("wrong"), PD_SECRET, "refused 401"),
    ("unsigned", pager(), PD_SECRET, "refused 401"),
    ("unknown event", pager(event__event_type="incident.something.new"), {}, "nothing"),
    ("event of a service", pager(event__event_type="service.updated", event__resource_type="service"), {}, "nothing"),
    ("escalated", pager(event__event_type="incident.escalated"), {}, "nothing"),
    ("delegated to nobody", pager(event__event_type="incident.delegated"), {}, "nothing"),
    ("priority taken away", pager(event__event_type="incident.priority_updated"), {}, "nothing"),
    ("reopened", pager(event__event_type="incident.reopened"), {}, "1 firing"),
    ("status update", pager(event__event_type="incident.status_update_published", event__data={"id": "S", "type": "incident_status_update", "message": "m", "incident": {"id": "P"}}), {}, "nothing"),
    ("responder of a policy", pager(event__event_type="incident.responder.added", event__data={"type": "incident_responder", "user": None, "escalation_policy": {"id": "E"}, "incident": {"id": "P"}}), {}, "nothing"),
    ("data null", pager(event__data=None), {}, "set aside"),
    ("no event", came({"messages": "x"}), {}, "set aside"),
    ("version 2, none", came({"messages": []}), {}, "nothing"),
    ("version 2, resolved", came({"messages": [{"event": "incident.resolve", "incident": {"id": "P", "title": "t"}}]}), {}, "1 resolved"),
]  # fmt: skip

# --- sentry ----------------------------------------------------------------------------------------------


def sentry(resource: str, action: str, data: Any, secret: str = "", **more: str) -> Inbound:
    written = json.dumps(
        {"action": action, "data": data, "actor": {}, "installation": {"uuid": "u"}}
    ).encode()
    signed = {"sentry_hook_signature": digest(secret, written).hex()} if secret else {}
    return came(written, sentry_hook_resource=resource, request_id="r", **signed, **more)


PROBLEM = {
    "issue": {
        "id": "1",
        "title": "ValueError",
        "level": "error",
        "count": "7",
        "permalink": None,
        "status": "unresolved",
    }
}
SENTRY_SECRET = {"secret": "sentry-secret-1"}
METRIC = {
    "metric_alert": {"id": "4", "alert_rule": {"id": "7", "name": "Errors"}, "date_closed": None},
    "description_text": "x",
}
SENTRY: list[Case] = [
    *[(word, sentry("issue", word, PROBLEM), {}, "nothing") for word in ("assigned", "archived", "ignored")],
    ("unresolved", sentry("issue", "unresolved", PROBLEM), {}, "1 firing"),
    ("installed", sentry("installation", "created", {"installation": {"status": "pending"}}), {}, "nothing"),
    ("error event", sentry("error", "created", {"error": {"event_id": "e", "title": "ValueError", "issue_id": "1", "level": "error"}}), {}, "1 firing"),
    ("metric warning", sentry("metric_alert", "warning", METRIC), {}, "1 firing"),
    ("metric open", sentry("metric_alert", "open", METRIC), {}, "1 firing"),
    ("comment", sentry("comment", "created", {"comment": "x", "issue_id": 1}), {}, "nothing"),
    ("signed", sentry("issue", "created", PROBLEM, "sentry-secret-1"), SENTRY_SECRET, "1 firing"),
    ("another's", sentry("issue", "created", PROBLEM, "wrong"), SENTRY_SECRET, "refused 401"),
    ("unsigned", sentry("issue", "created", PROBLEM), SENTRY_SECRET, "refused 401"),
    ("nothing", came({}), {}, "set aside"),
]  # fmt: skip

# --- slack -----------------------------------------------------------------------------------------------


def slack(inbound: Inbound, secret: str = "slack-secret-1", stamp: str = STAMP) -> Inbound:
    signature = digest(secret, b"v0:" + stamp.encode() + b":" + inbound.body).hex()
    told = {**inbound.headers, "x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={signature}"}
    return Inbound(told, inbound.body, NOON, inbound.origin, inbound.inbox_id)


def acted(kind: str, **more: Any) -> Inbound:
    return slack(form(payload=json.dumps({"type": kind, "user": {"id": "U"}, "trigger_id": "1.2", **more})))


PRESS = {"action_id": "holdfast_acknowledge", "value": "INC-7", "action_ts": "1772366400.1"}
SL = {"signing_secret": "slack-secret-1"}
COMMAND = {"command": "/holdfast", "user_id": "U", "text": "open", "trigger_id": "1.3"}
SLACK: list[Case] = [
    ("pressed", acted("block_actions", actions=[PRESS]), SL, "1 acknowledge"),
    ("pressed in a modal", acted("block_actions", actions=[PRESS], channel=None, message=None, response_url=None, view={"id": "V"}), SL, "1 acknowledge"),
    ("another app's button", acted("block_actions", actions=[{"action_id": "x", "value": "y"}]), SL, "handshake"),
    ("no actions", acted("block_actions", actions=None), SL, "handshake"),
    ("modal sent", acted("view_submission", view={"state": {"values": {}}}), SL, "handshake"),
    ("modal closed", acted("view_closed", view={}), SL, "handshake"),
    ("shortcut", acted("shortcut", callback_id="x"), SL, "handshake"),
    ("message shortcut", acted("message_action", callback_id="x"), SL, "handshake"),
    ("command", slack(form(**COMMAND)), SL, "1 list"),
    ("command without text", slack(form(**{**COMMAND, "text": ""})), SL, "1 list"),
    ("command in other words", slack(form(**{**COMMAND, "text": "dance"})), SL, "handshake"),
    ("certificate check", slack(form(ssl_check="1", token="x")), SL, "handshake"),
    ("challenge", slack(came({"type": "url_verification", "challenge": "c", "token": "t"})), SL, "handshake"),
    ("mentioned", slack(came({"type": "event_callback", "event_id": "E", "event": {"type": "app_mention", "user": "U", "text": "hi"}})), SL, "handshake"),
    ("reaction", slack(came({"type": "event_callback", "event_id": "E", "event": {"type": "reaction_added", "user": "U"}})), SL, "handshake"),
    ("rate limited", slack(came({"type": "app_rate_limited", "minute_rate_limited": 1})), SL, "handshake"),
    ("event null", slack(came({"type": "event_callback", "event": None})), SL, "handshake"),
    ("payload no JSON", slack(form(payload="{")), SL, "set aside"),
    ("stale", slack(form(**COMMAND), stamp=STALE), SL, "refused 401"),
    ("of the future", slack(form(**COMMAND), stamp=str(int(STAMP) + 3600)), SL, "refused 401"),
    ("no time", slack(form(**COMMAND), stamp=""), SL, "refused 401"),
    ("another's", slack(form(**COMMAND), "wrong"), SL, "refused 401"),
    ("unsigned", form(**COMMAND), SL, "refused 401"),
    ("rotated", slack(form(**COMMAND), "slack-secret-0"), {"signing_secret": "slack-secret-1,slack-secret-0"}, "1 list"),
]  # fmt: skip

# --- soda, splunk, statuspage, trello --------------------------------------------------------------------

CHECK: dict[str, Any] = {"id": "c", "name": "n", "outcome": "fail", "datasets": [], "diagnostics": None}
SODA: list[Case] = [
    ("no results", came({"event": "checkEvaluation", "checkResults": []}), {}, "nothing"),
    ("warn in capitals", came({"event": "checkEvaluation", "checkResults": [{**CHECK, "outcome": "WARN"}]}), {}, "1 firing"),
    ("not evaluated", came({"event": "checkEvaluation", "checkResults": [{**CHECK, "outcome": "notEvaluated"}]}), {}, "nothing"),
    ("incident resolved", came({"event": "incidentUpdated", "incident": {"id": "i", "status": "resolved"}}), {}, "1 resolved"),
    ("incident at work", came({"event": "incidentUpdated", "incident": {"id": "i", "status": "investigating", "lead": None}}), {}, "1 firing"),
    ("agreement", came({"event": "agreementApproved", "agreement": {}}), {}, "nothing"),
    ("errors without checks", came({"definitionName": "d", "hasErrors": True, "hasFailures": False, "checks": []}), {}, "1 firing"),
    ("scan well", came({"definitionName": "d", "hasErrors": False, "checks": []}), {}, "1 resolved"),
    ("address check", came({"event": "validate"}), {}, "handshake"),
    ("new event", came({"event": "somethingNew"}), {}, "set aside"),
]  # fmt: skip
SPLUNK: list[Case] = [
    ("no result", came({"sid": "s", "search_name": "n", "app": "a", "owner": "o", "results_link": ""}), {}, "1 firing"),
    ("result null", came({"sid": "s", "search_name": "n", "result": None}), {}, "1 firing"),
    ("no name", came({"sid": "s", "app": "a", "result": {"_raw": "x"}}), {}, "1 firing"),
    ("no link", came({"search_name": "n", "result": {"count": "5"}}), {}, "1 firing"),
    ("several values", came({"search_name": "n", "result": {"host": ["a", "b"], "value": ["5"]}}), {}, "1 firing"),
    ("long", came({"search_name": "n" * 5000, "result": {"_raw": "x" * 50_000}}), {}, "1 firing"),
    ("nothing", came({}), {}, "set aside"),
]  # fmt: skip
PAGE = {"meta": {}, "page": {"id": "p", "status_description": "x"}}
STATUSPAGE: list[Case] = [
    ("component down", came({**PAGE, "component": {"id": "c", "name": "API", "status": "major_outage"}, "component_update": {"id": "u", "new_status": "major_outage", "old_status": "operational"}}), {}, "1 firing"),
    ("component well", came({**PAGE, "component": {"id": "c", "name": "API", "status": "operational"}, "component_update": {"id": "u", "new_status": "operational"}}), {}, "1 resolved"),
    ("resolved", came({**PAGE, "incident": {"id": "i", "name": "n", "status": "resolved", "incident_updates": None}}), {}, "1 resolved"),
    ("postmortem", came({**PAGE, "incident": {"id": "i", "name": "n", "status": "postmortem"}}), {}, "1 resolved"),
    ("planned", came({**PAGE, "incident": {"id": "i", "name": "n", "status": "scheduled"}}), {}, "1 other"),
    ("no subject", came(PAGE), {}, "nothing"),
    ("unknown status", came({**PAGE, "incident": {"id": "i", "status": "odd"}}), {}, "set aside"),
    ("nothing", came({}), {}, "set aside"),
]  # fmt: skip
CALLBACK = "https://h.example.org/inbound/x/"
BOARD = {"app_secret": "trello-secret-1", "callback_url": CALLBACK, "lists": {"mitigated": "Done"}}


def trello(kind: str, secret: str = "trello-secret-1", **data: Any) -> Inbound:
    action = {
        "id": "a",
        "type": kind,
        "idMemberCreator": "m",
        "date": "2026-03-01T11:00:00.000Z",
        "data": {"card": {"id": "c", "name": "INC-7 · SEV2 · t"}, **data},
    }
    written = json.dumps({"action": action, "model": {"id": "b"}}).encode()
    signature = base64.b64encode(
        hmac.new(secret.encode(), written + CALLBACK.encode(), hashlib.sha1).digest()
    ).decode()
    return came(written, x_trello_webhook=signature)


TRELLO: list[Case] = [
    ("moved", trello("updateCard", listBefore={"name": "To do"}, listAfter={"name": "done"}), BOARD, "1 state"),
    ("renamed", trello("updateCard", old={"name": "x"}), BOARD, "nothing"),
    ("moved to an unnamed list", trello("updateCard", listAfter=None), BOARD, "nothing"),
    ("comment", trello("commentCard", text="über 日本"), BOARD, "1 comment"),
    ("empty comment", trello("commentCard", text=""), BOARD, "nothing"),
    ("deleted", trello("deleteCard"), BOARD, "nothing"),
    ("checklist item", trello("updateCheckItemStateOnCard", checkItem={"state": "complete"}), BOARD, "nothing"),
    ("board renamed", trello("updateBoard", card=None), BOARD, "nothing"),
    ("another's", trello("commentCard", "wrong", text="x"), BOARD, "refused 401"),
    ("unsigned", came({"action": {}}), BOARD, "refused 401"),
    ("no action", came({"model": {}}), {}, "set aside"),
    ("looks whether we are there", Inbound({}, b"", NOON, "connection:1", 7, method="HEAD"), BOARD, "handshake"),
]  # fmt: skip

# --- wandb, whylabs --------------------------------------------------------------------------------------

WB = {
    "event_type": "LINK_ARTIFACT",
    "event_author": "ann",
    "artifact_version_string": "acme/reg/churn:v9",
    "entity_name": "acme",
    "project_name": "reg",
}
WB_BODY = json.dumps(WB).encode()
WANDB: list[Case] = [
    ("hex", came(WB_BODY, x_wandb_signature=digest("wandb-secret", WB_BODY).hex()), {"signing_secret": "wandb-secret"}, "1 registry"),
    ("capitals", came(WB_BODY, x_wandb_signature=digest("wandb-secret", WB_BODY).hex().upper()), {"signing_secret": "wandb-secret"}, "1 registry"),
    ("base64", came(WB_BODY, x_wandb_signature=base64.b64encode(digest("wandb-secret", WB_BODY)).decode()), {"signing_secret": "wandb-secret"}, "1 registry"),
    ("another's", came(WB_BODY, x_wandb_signature="00ff"), {"signing_secret": "wandb-secret"}, "refused 401"),
    ("unsigned", came(WB_BODY), {"signing_secret": "wandb-secret"}, "refused 401"),
    ("token", came(WB_BODY, authorization="Bearer right-secret"), {"secret": "right-secret"}, "1 registry"),
    ("trial", raw("{}"), {}, "handshake"),
    ("not filled in", came({"event_type": "${event_type}"}), {}, "set aside"),
    ("run failed", came({"event_type": "RUN_STATE", "run_name": "r", "run_state": "failed"}), {}, "1 firing"),
    ("run finished", came({"event_type": "RUN_STATE", "run_name": "r", "run_state": "finished"}), {}, "1 resolved"),
    ("tag", came({**WB, "event_type": "ADD_ARTIFACT_TAG", "alias": None}), {}, "1 registry"),
    ("template of another", came({"text": "hello"}), {}, "set aside"),
]  # fmt: skip
WHYLABS: list[Case] = [
    ("no name", came({"monitorId": "m"}), {}, "1 firing"),
    ("macros left", came({"monitorId": "<[[monitor-id]]>"}), {}, "set aside"),
    ("quotes in a name", raw('{"monitorId":"m","monitorName":"a "b" c"}'), {}, "1 firing"),
    ("pagerduty resolved", came({"event_action": "resolve", "dedup_key": "k", "payload": {"summary": "s", "custom_details": None}}), {}, "1 resolved"),
    ("constraints hold", came([{"name": "a", "passed": 5, "failed": 0, "summary": None}]), {}, "1 resolved"),
    ("no constraints", came([]), {}, "set aside"),
    ("secret in a header", came({"monitorId": "m"}, authorization="Bearer right-secret"), {"secret": "right-secret"}, "1 firing"),
    ("secret missing", came({"monitorId": "m"}), {"secret": "right-secret"}, "refused 401"),
    ("nothing", came({}), {}, "set aside"),
]  # fmt: skip

CASES: dict[str, list[Case]] = {
    "alertmanager": ALERTMANAGER, "anodot": ANODOT_CASES, "arize": ARIZE, "aws": AWS, "azure": AZURE,
    "cloudevents": CLOUDEVENTS, "datadog": DATADOG, "dbt": DBT, "elastic": ELASTIC, "evidently": EVIDENTLY,
    "fiddler": FIDDLER, "gcp": GCP, "generic": GENERIC, "github": GITHUB, "grafana": GRAFANA,
    "great_expectations": GREAT, "hexnode": HEXNODE, "jira": JIRA, "mlflow": MLFLOW, "nannyml": NANNYML,
    "newrelic": NEWRELIC, "opsgenie": OPSGENIE, "pagerduty": PAGERDUTY, "sentry": SENTRY, "slack": SLACK, "soda": SODA,
    "splunk": SPLUNK, "statuspage": STATUSPAGE, "trello": TRELLO, "wandb": WANDB, "whylabs": WHYLABS,
}  # fmt: skip


@pytest.mark.parametrize(
    ("slug", "inbound", "settings", "expected"),
    [
        pytest.param(slug, *case[1:], id=f"{slug}-{case[0]}")
        for slug, cases in CASES.items()
        for case in cases
    ],
)
def test_a_variant_becomes_what_it_says(
    slug: str, inbound: Inbound, settings: Mapping[str, Any], expected: str
) -> None:
    assert outcome(slug, inbound, settings) == expected
