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


def form(**fields: str) -> Inbound:
    return request(urlencode(fields).encode(), content_type=FORM)


def raw(text: str, **headers: str) -> Inbound:
    return request(text.encode(), **headers)


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
    ("mixed group", request({**AM, "alerts": [AM_ALERT, ENDED]}), {}, "1 firing, 1 resolved"),
    ("no alerts", request({**AM, "alerts": []}), {}, "nothing"),
    ("truncated", request({**AM, "truncatedAlerts": 7, "notification_reason": "new"}), {}, "1 firing"),
    ("version 3", request({**AM, "version": "3", "alerts": [changed(AM_ALERT, fingerprint=...)]}), {}, "1 firing"),
    ("version as a number", request({**AM, "version": 4}), {}, "1 firing"),
    ("unknown version", request({**AM, "version": "9"}), {}, "refused 400"),
    ("custom payload", request({"text": "FIRING Psi"}), {}, "refused 400"),
    ("a list", request([AM_ALERT]), {}, "refused 400"),
    ("alerts no list", request({**AM, "alerts": {"0": AM_ALERT}}), {}, "refused 400"),
    ("alerts null", request({**AM, "alerts": None}), {}, "refused 400"),
    ("no labels", request({**AM, "alerts": [changed(AM_ALERT, labels={}, annotations={})]}), {}, "1 firing"),
    ("labels null", request({**AM, "alerts": [changed(AM_ALERT, labels=None, annotations=None)]}), {}, "1 firing"),
    ("numbers as labels", request({**AM, "alerts": [changed(AM_ALERT, labels={"alertname": 5, "v": 0.1})]}), {}, "1 firing"),
    ("unicode", request({**AM, "alerts": [changed(AM_ALERT, labels__model="モデル", annotations__summary="⚠️ <b>é</b>")]}), {}, "1 firing"),
    ("NaN value", raw(json.dumps({**AM, "alerts": [changed(AM_ALERT, annotations={"value": "NaN"})]})), {}, "1 firing"),
    ("NaN literal", raw('{"version":"4","alerts":[{"status":"firing","labels":{"a":"b"},"value":NaN}]}'), {}, "1 firing"),
    ("two thousand", request({**AM, "alerts": [changed(AM_ALERT, fingerprint=str(n)) for n in range(2000)]}), {}, "2000 firing"),
    ("cut off", raw(json.dumps(AM)[:-20]), {}, "refused 422"),
    ("empty", raw(""), {}, "refused 422"),
    ("bearer fits", request(AM, authorization="Bearer right-secret"), {"secret": "right-secret"}, "1 firing"),
    ("bearer wrong", request(AM, authorization="Bearer wrong"), {"secret": "right-secret"}, "refused 401"),
    ("basic fits", request(AM, authorization="Basic " + base64.b64encode(b"am:right-secret").decode()), {"secret": "right-secret"}, "1 firing"),
    ("bearer though none is asked", request(AM, authorization="Bearer x"), {}, "1 firing"),
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
    ("one back, one not", request(ANODOT), {}, "1 firing, 1 resolved"),
    ("group closed, metrics open", request(changed(ANODOT, alertGroupStatus="close", alerts__0__metrics__1__state="OPEN")), {}, "2 firing"),
    ("extended", raw(json.dumps({**ANODOT, "type": "Anomaly-extended"}).replace('"peak": 12', '"from":1,"from":2,"to":3,"to":4,"peak":12')), {}, "1 firing, 1 resolved"),
    ("static in capitals", request({**ANODOT, "type": "STATIC"}), {}, "1 firing, 1 resolved"),
    ("no data closed", request({**ANODOT, "type": "no data", "alerts": [{"title": "t", "alertId": "r", "metrics": [{"name": "m", "state": "CLOSED", "lastSeenEpoch": "1772366400"}]}]}), {}, "1 resolved"),
    ("numbers and text", request(changed(ANODOT, alerts__0__metrics__0__peak="1,5", alerts__0__metrics__1__state="closed")), {}, "1 firing, 1 resolved"),
    ("merged anomalies", request({**ANODOT, "mergedAnomalies": "[a, b]", "events": {"Total": 3}}), {}, "1 firing, 1 resolved"),
    ("without metrics", request(changed(ANODOT, alerts__0__metrics=[])), {}, "1 firing"),
    ("without alerts", request({**ANODOT, "alerts": []}), {}, "set aside"),
    ("a list", request([ANODOT]), {}, "set aside"),
]  # fmt: skip

# --- arize -----------------------------------------------------------------------------------------------


def arize(body: Any, event: str, secret: str = "whsec_arize", stamp: str = STAMP, more: str = "") -> Inbound:
    written = json.dumps(body).encode()
    signature = digest(secret, stamp.encode() + b"." + written).hex()
    return request(
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
    ("unsigned", request({"data": {}}), AR, "refused 401"),
    ("stored token as it is", request({"event": "ONLINE_TASK_RUN_FAILED"}, authorization="stored-token"), {"secret": "stored-token"}, "1 firing"),
    ("bearer token", request({"event": "ONLINE_TASK_RUN_FAILED"}, authorization="Bearer stored-token"), {"secret": "stored-token"}, "1 firing"),
    ("monitor resolved", request({"monitor": {"id": "M", "name": "PSI", "status": "cleared"}}), {}, "1 resolved"),
    ("monitor without data", request({"monitor": {"id": "M", "name": "PSI", "status": "no_data"}}), {}, "1 firing"),
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
    return request(json.dumps(body).encode(), content_type="text/plain; charset=UTF-8")


def event(kind: str, detail: Any, source: str = "aws.sagemaker", **more: Any) -> Inbound:
    return request(
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
    ("alarm without envelope", request(ALARM), {}, "1 firing"),
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
    ("no violations", request({"violations": []}), {}, "nothing"),
    ("attribution", request({"version": "1.0", "violations": [{"label": "l0", "metric_name": "shap", "constraint_check_type": "feature_attribution_drift_check", "description": "Value 0.4 below 0.9"}]}), {}, "1 firing"),
    ("a list", request([ALARM]), {}, "set aside"),
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
    ("everything null", request(changed(COMMON, data__essentials__severity=None, data__essentials__alertRule=None, data__essentials__signalType=None, data__essentials__alertTargetIDs=None)), {}, "1 firing"),
    ("resolved in capitals", request(changed(COMMON, data__essentials__monitorCondition="RESOLVED")), {}, "1 resolved"),
    ("context null", request(changed(COMMON, data__alertContext=None)), {}, "1 firing"),
    ("unknown condition", request(changed(COMMON, data__essentials__monitorCondition="Muted")), {}, "set aside"),
    ("log of version 1", request(changed(COMMON, data__alertContext={"SearchQuery": "q", "ResultCount": 5, "Threshold": 1, "SearchIntervalStartTimeUtc": "3/22/2026 1:36:31 PM", "LinkToSearchResults": "https://portal.azure.com/x"})), {}, "1 firing"),
    ("dynamic threshold", request(changed(COMMON, data__alertContext={"condition": {"windowSize": "PT5M", "allOf": [{"alertSensitivity": "High", "metricName": "m", "threshold": "0.1", "operator": "GreaterOrLessThan", "metricValue": "7.5", "dimensions": None}]}})), {}, "1 firing"),
    ("service health", request(changed(COMMON, data__essentials__signalType="Activity Log", data__alertContext={"channels": 1, "level": 3, "properties": {"title": "t", "stage": "Active"}})), {}, "1 firing"),
    ("prometheus", request(changed(COMMON, data__alertContext={"interval": "PT1M", "expression": "up == 0", "expressionValue": "NaN", "for": "PT2M", "labels": {"model": "churn"}, "annotations": {}})), {}, "1 firing"),
    ("cost", request(changed(COMMON, data__essentials__severity=None, data__essentials__monitoringService="CostAlerts", data__alertContext={"AlertCategory": "budgets"})), {}, "1 firing"),
    ("custom properties", request(changed(COMMON, data__customProperties={"model": "churn"})), {}, "1 firing"),
    ("old log alert", request({"schemaId": "Microsoft.Insights/LogAlert", "data": {"AlertRuleName": "r", "Severity": "1", "ResultCount": 5}}), {}, "1 firing"),
    ("old activity log", request({"schemaId": "Microsoft.Insights/activityLogs", "data": {"status": "Activated", "context": {"activityLog": {"operationName": "delete", "level": "Warning"}}}}), {}, "1 firing"),
    ("classic deactivated", request({"status": "Deactivated", "context": {"name": "cpu", "resourceId": "/s/1", "condition": {"metricName": "m"}}}), {}, "1 resolved"),
    ("two events", request([grid(ML + "ModelRegistered", {"modelName": "m", "modelVersion": "2"}), grid(ML + "RunStatusChanged", {"runId": "r", "experimentName": "x", "runStatus": "Failed"}, id="f")]), {}, "1 firing, 1 registry"),
    ("camel case", request([grid(ML + "DatasetDriftDetected", {"dataDriftName": "churn", "driftCoefficient": 0.7})]), {}, "1 firing"),
    ("coefficient as text", request([grid(ML + "DatasetDriftDetected", {"DataDriftName": "churn", "DriftCoefficient": "0.7", "StartTime": None})]), {}, "1 firing"),
    ("data null", request([grid(ML + "DatasetDriftDetected", None)]), {}, "1 firing"),
    ("unknown kind", request([grid(ML + "SomethingElse", {"a": 1})]), {}, "nothing"),
    ("storage", request([grid("Microsoft.Storage.BlobCreated", {"url": "https://x.example"})]), {}, "nothing"),
    ("no events", request([]), {}, "set aside"),
    ("validated by code", request([grid("Microsoft.EventGrid.SubscriptionValidationEvent", {"validationCode": "c"})]), {}, "handshake"),
    ("validated by address", request([grid("Microsoft.EventGrid.SubscriptionValidationEvent", {"validationUrl": "https://rp-eastus2.eventgrid.azure.net:553/eventsubscriptions/x/validate?id=1"})]), {}, "handshake"),
    ("unsubscribed", request([grid("Microsoft.EventGrid.SubscriptionDeletedEvent", {"eventSubscriptionId": "/s/1"})]), {}, "nothing"),
    ("cloud events in a batch", request([{"specversion": "1.0", "id": "1", "source": "/s", "type": ML + "RunCompleted", "data": {"experimentName": "x", "runStatus": "Completed"}}], content_type="application/cloudevents-batch+json"), {}, "1 resolved"),
    ("secret in the address", request(COMMON), {"secret": "right-secret"}, "refused 401"),
    ("empty object", request({}), {}, "set aside"),
]  # fmt: skip

# --- cloudevents -----------------------------------------------------------------------------------------

CE = {"specversion": "1.0", "id": "1", "source": "/jobs", "type": "org.drift.detected", "data": {"psi": 0.3}}
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
CLOUDEVENTS: list[Case] = [
    ("batch", request([CE, {**CE, "id": "2", "type": "org.drift.resolved"}], content_type=BATCH), {}, "1 firing, 1 resolved"),
    ("empty batch", request([], content_type=BATCH), {}, "nothing"),
    ("charset", request(CE, content_type=STRUCTURED + "; charset=UTF-8"), {}, "1 firing"),
    ("base64 data", request({**changed(CE, data=...), "data_base64": base64.b64encode(b'{"psi":0.4}').decode()}, content_type=STRUCTURED), {}, "1 firing"),
    ("base64 of bytes", request({**changed(CE, data=...), "datacontenttype": "application/octet-stream", "data_base64": "/////w=="}, content_type=STRUCTURED), {}, "1 firing"),
    ("both data", request({**CE, "data_base64": "eA=="}, content_type=STRUCTURED), {}, "refused 422"),
    ("no data", request(changed(CE, data=...), content_type=STRUCTURED), {}, "1 firing"),
    ("data null", request({**CE, "data": None, "subject": None, "dataschema": None}, content_type=STRUCTURED), {}, "1 firing"),
    ("data a number", request({**CE, "data": 5}, content_type=STRUCTURED), {}, "1 firing"),
    ("data a list", request({**CE, "data": [1, 2]}, content_type=STRUCTURED), {}, "1 firing"),
    ("extensions", request({**CE, "traceparent": "00-x", "flag": True, "count": 5}, content_type=STRUCTURED), {}, "1 firing"),
    ("no id", request(changed(CE, id=...), content_type=STRUCTURED), {}, "refused 422"),
    ("empty source", request({**CE, "source": ""}, content_type=STRUCTURED), {}, "refused 422"),
    ("version 0.3", request({**CE, "specversion": "0.3"}, content_type=STRUCTURED), {}, "refused 422"),
    ("one of two broken", request([CE, {"id": "2"}], content_type=BATCH), {}, "refused 422"),
    ("avro", request(b"\x01\x02", content_type="application/cloudevents+avro"), {}, "refused 415"),
    ("binary without content type", Inbound({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/a", "ce-type": "org.x"}, b"", NOON, "connection:1", 7), {}, "1 firing"),
    ("binary of text", request(b"hello", content_type="text/plain", ce_specversion="1.0", ce_id="1", ce_source="/a", ce_type="org.x", ce_subject="%E2%82%AC"), {}, "1 firing"),
    ("binary without type", request({}, ce_specversion="1.0", ce_id="1", ce_source="/a"), {}, "refused 422"),
    ("no event", request(b"hello", content_type="text/plain"), {}, "refused 415"),
    ("offset time", request({**CE, "time": "2026-03-01T12:00:00.123456789+02:00"}, content_type=STRUCTURED), {}, "1 firing"),
    ("asks for permission", Inbound({"webhook-request-origin": "eventemitter.example.com"}, b"", NOON, "connection:1", 7, method="OPTIONS"), {}, "handshake"),
    ("secret", request(CE, content_type=STRUCTURED), {"secret": "right-secret"}, "refused 401"),
]  # fmt: skip

# --- datadog ---------------------------------------------------------------------------------------------

DD = {
    "alert_id": "7", "alert_cycle_key": "c", "alert_transition": "Triggered", "alert_type": "error", "alert_title": "[Triggered] PSI",
    "alert_priority": "P2", "tags": "env:prod,model:churn", "date": "1772366400000", "alert_query": "avg(last_1h):avg:psi{*} > 0.2",
}  # fmt: skip
DATADOG: list[Case] = [
    *[(word, request({**DD, "alert_transition": word}), {}, "1 firing") for word in
      ("Re-Triggered", "Warn", "Re-Warn", "No Data", "Re-No Data", "Renotify")],
    ("recovered", request({**DD, "alert_transition": "Recovered"}), {}, "1 resolved"),
    ("nothing filled in but the id", request(dict.fromkeys(DD, "") | {"alert_id": "7"}), {}, "1 firing"),
    ("unknown variables", request({**DD, "snapshot": "$SNAPSHOTS", "alert_cycle_key": "$ALERT_CYCLE_KEYS"}), {}, "1 firing"),
    ("not filled in at all", request({"alert_id": "$ALERT_ID", "title": "$EVENT_TITLE"}), {}, "set aside"),
    ("a form", form(**DD), {}, "1 firing"),
    ("a form around JSON", form(payload=json.dumps(DD)), {}, "1 firing"),
    ("line breaks and quotes", raw('{"alert_id":"7","alert_title":"PSI of "age"","body":"a\nb","alert_transition":"Triggered"}'), {}, "1 firing"),
    ("names of its own template", request({"id": "1", "title": "[Recovered] PSI", "last_updated": "1772366400000", "event_type": "x", "alert_id": "7", "alert_transition": "Recovered"}), {}, "1 resolved"),
    ("tags as a list", request({**DD, "tags": ["env:prod", "model:churn"]}), {}, "1 firing"),
    ("event without a monitor", request({"id": "9", "title": "Deployed", "body": "x", "alert_type": "info"}), {}, "1 firing"),
    ("success", request({**DD, "alert_transition": "", "alert_type": "success"}), {}, "1 resolved"),
    ("secret missing", request(DD), {"secret": "right-secret"}, "refused 401"),
    ("secret in a header", request(DD, x_holdfast_secret="right-secret"), {"secret": "right-secret"}, "1 firing"),
    ("empty object", request({}), {}, "set aside"),
    ("a list", request([DD]), {}, "set aside"),
]  # fmt: skip

# --- dbt -------------------------------------------------------------------------------------------------

JOB = {
    "accountId": 1, "eventId": "w", "timestamp": "2026-03-01T11:00:00.123456789Z", "eventType": "job.run.completed", "webhookId": "x",
    "data": {"jobId": "7", "jobName": "nightly", "runId": "70", "runStatus": "Success", "runStatusCode": 10, "runStatusMessage": "None"},
}  # fmt: skip


def job(secret: str = "", **changes: Any) -> Inbound:
    written = json.dumps(changed(JOB, **changes)).encode()
    return request(written, authorization=digest(secret, written).hex()) if secret else request(written)


def artifact(*results: Any, version: str = "run-results/v6") -> Inbound:
    return request({
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
    ("results no list", request({"metadata": {}, "results": {"a": 1}}), {}, "set aside"),
    ("no artifact", request({"nodes": {}}), {}, "set aside"),
]  # fmt: skip

CASES: dict[str, list[Case]] = {
    "alertmanager": ALERTMANAGER, "anodot": ANODOT_CASES, "arize": ARIZE, "aws": AWS, "azure": AZURE, "cloudevents": CLOUDEVENTS,
    "datadog": DATADOG, "dbt": DBT,
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
