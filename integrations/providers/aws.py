"""Amazon Web Services: CloudWatch alarms, SageMaker events and Model Monitor reports, pushed or found in S3."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from incidents.intake.signal import Status
from integrations import cloudwatch, model_monitor, normalise, sns
from integrations.authenticity import SHARED_SECRET, require_shared
from integrations.contract import (
    Change,
    Example,
    Field,
    Inbound,
    Polled,
    Polling,
    Refusal,
    Reply,
    Said,
    Unreadable,
)
from integrations.listening import Listening
from integrations.model_monitor import VIOLATIONS
from integrations.normalise import first, text
from integrations.shape import Unfit, signal_of

#: How a job, an endpoint or a pipeline says that it failed (`Failed`, `CreateFailed`, `ROLLING_BACK`, …), or is well.
_FAILED = re.compile(r".*failed|rolling_?back", re.I)
_WELL = frozenset({"in_service", "inservice", "completed", "succeeded"})
#: Moves of SageMaker that are changes somebody made, by a word of their detail-type.
_CHANGES: tuple[tuple[str, Literal["deploy", "registry", "config"]], ...] = (
    ("Endpoint Config", "config"),
    ("Endpoint", "deploy"),
    ("Model Package", "registry"),
    ("Model Card", "registry"),
    ("Model State", "registry"),
)
_NAME = re.compile(r"(\w*name|pipelinearn|\w*arn)", re.I)


class AWS(Listening):
    """What arrives may be wrapped by SNS, by EventBridge, by both, or not at all (raw delivery)."""

    title = "AWS alerts"
    docs = "https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor.html"
    summary = "CloudWatch alarms, SageMaker events and Model Monitor reports by SNS, EventBridge or from S3."
    content_types = ("application/json", "text/plain")  # SNS calls its JSON text
    polls_every = 300.0
    fields = (
        Field(
            "topics",
            "SNS topics",
            "ARNs of the topics that may report here, separated by commas. Empty: any topic that has the address.",
            required=False,
        ),
        Field(
            "signature",
            "SNS signature",
            "Unchecked only where this installation cannot reach sns.<region>.amazonaws.com.",
            kind="choice",
            choices=("checked", "unchecked"),
            default="checked",
            required=False,
        ),
        SHARED_SECRET,
        Field(
            "bucket",
            "S3 bucket",
            "Where Model Monitor writes its reports; empty: not polled.",
            required=False,
        ),
        Field("prefix", "Prefix", "The folder of the reports in the bucket.", required=False),
        Field("region", "Region", "Region of the bucket, e.g. eu-central-1.", required=False),
        Field("access_key_id", "Access key", "With s3:ListBucket and s3:GetObject.", required=False),
        Field("secret_access_key", "Secret access key", secret=True, required=False),
        Field("session_token", "Session token", "Of temporary credentials.", secret=True, required=False),
        Field(
            "endpoint_url",
            "S3 address",
            "For a VPC endpoint or a compatible store.",
            kind="url",
            required=False,
        ),
    )
    idempotency = "SNS's MessageId and EventBridge's id are the same on every retry; a report in S3 is known by key and ETag."
    limits = (
        "INSUFFICIENT_DATA changes nothing. A report of Model Monitor that is pushed resolves nothing; polled ones "
        "resolve what the next run of the same schedule no longer finds. An S3 event that names a report is "
        "resolved by a person."
    )
    examples = (
        Example(
            "alarm by SNS",
            b'{"Type":"Notification","MessageId":"m-1","TopicArn":"arn:aws:sns:eu-central-1:111122223333:ml",'
            b'"Subject":"ALARM","Timestamp":"2026-02-03T04:05:06.789Z","SignatureVersion":"1","Signature":"QQ==",'
            b'"SigningCertURL":"https://sns.eu-central-1.amazonaws.com/x.pem","Message":"{\\"AlarmName\\":\\"churn drift\\",'
            b'\\"NewStateValue\\":\\"ALARM\\",\\"NewStateReason\\":\\"Threshold Crossed: 1 datapoint [0.31 (03/02/26)] was '
            b'greater than the threshold (0.2).\\",\\"StateChangeTime\\":\\"2026-02-03T04:05:06.000+0000\\",\\"Trigger\\":'
            b'{\\"MetricName\\":\\"feature_baseline_drift_age\\",\\"Namespace\\":\\"aws/sagemaker/Endpoints/data-metrics\\",'
            b'\\"Dimensions\\":[{\\"name\\":\\"Endpoint\\",\\"value\\":\\"churn\\"}]}}"}',
            {"content-type": "text/plain; charset=UTF-8"},
            settings={"signature": "unchecked"},
        ),
        Example(
            "endpoint event",
            b'{"version":"0","id":"e-1","detail-type":"SageMaker Endpoint State Change","source":"aws.sagemaker","account":'
            b'"111122223333","time":"2026-02-03T04:05:06Z","region":"eu-central-1","resources":["arn:aws:sagemaker:x"],'
            b'"detail":{"EndpointName":"churn","EndpointConfigName":"churn-9","EndpointStatus":"FAILED","FailureReason":"ping"}}',
            others=1,
        ),
        Example(
            "violations",
            b'{"endpoint":"churn","schedule":"hourly","violations":[{"feature_name":"age","constraint_check_type":'
            b'"baseline_drift_check","description":"Baseline drift distance: 0.31 exceeds threshold: 0.1"},{"facet":"Age",'
            b'"facet_value":"40","metric_name":"CI","constraint_check_type":"bias_drift_check","description":"Value 0.07"}]}',
            alerts=2,
        ),
    )  # fmt: skip

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        if not settings.get("bucket"):
            return {}
        missing = [
            name for name in ("region", "access_key_id", "secret_access_key") if not settings.get(name)
        ]
        return dict.fromkeys(missing, "Polling a bucket needs this.")

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        body = self._body(inbound)
        if not sns.is_envelope(body):
            return require_shared(inbound, settings)
        if settings.get("signature") == "unchecked":
            require_shared(inbound, settings)
        else:
            sns.verify(body)
        topics = [topic.strip() for topic in text(settings.get("topics")).split(",") if topic.strip()]
        if topics and body["TopicArn"] not in topics:
            raise Refusal(
                f"The topic {text(body['TopicArn'], 200)} is not among those of this connection.", 401
            )
        if body["Type"] == "SubscriptionConfirmation":
            sns.confirmation(body)
        return None

    def handshake(self, inbound: Inbound, settings: Mapping[str, Any]) -> Reply | None:
        """A confirmation that `admit` let in is answered by visiting SNS, as its documentation asks."""
        try:
            body = self._body(inbound)
            if sns.is_envelope(body) and body["Type"] == "SubscriptionConfirmation":
                return Reply(confirm=sns.confirmation(body))
        except Refusal:
            return None  # it was not let in either
        return None

    def delivery_key(self, inbound: Inbound) -> str:
        try:
            body = self._body(inbound)
        except Refusal:
            return super().delivery_key(inbound)
        if sns.is_envelope(body):
            return text(body.get("MessageId"))
        named = text(body.get("id")) if isinstance(body, Mapping) and "detail-type" in body else ""
        return (
            named
            or inbound.headers.get("x-amz-sns-message-id", "")
            or inbound.headers.get("idempotency-key", "")
        )

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Said]:
        return _said(body, inbound)

    def poll(self, settings: Mapping[str, Any], memory: Mapping[str, Any], now: datetime) -> Polling:
        """New reports since the last round; the first one looks a day back."""
        if not settings.get("bucket"):
            return Polled(memory=dict(memory))
        return (yield from model_monitor.new_reports(settings, memory, now))


def _said(body: Any, inbound: Inbound) -> list[Said]:
    """What a body says, unwrapped. Raises Unreadable."""
    if not sns.is_envelope(body):
        return _document(body, {}, inbound)
    if body["Type"] == "SubscriptionConfirmation":
        return []
    at = normalise.moment(body.get("Timestamp")) or inbound.received_at
    if body["Type"] == "UnsubscribeConfirmation":
        title = f"Subscription to {text(body['TopicArn'])} was removed; its alarms no longer arrive"
        return [Change(text(body.get("MessageId")) or title, "config", title[:300], at)]
    message = text(body.get("Message"))
    try:
        return _document(normalise.read_json(message), body, inbound)
    except (normalise.NotJSON, Unreadable) as error:
        title = text(body.get("Subject")) or next(iter(message.splitlines()), "")
        if not title:
            raise Unreadable(f"The message of SNS has neither subject nor text: {error}") from error
    return [
        normalise.signal(
            inbound,
            "aws",
            fingerprint=normalise.fingerprint("sns", body["TopicArn"], title),
            status="firing",
            title=title,
            description=body.get("Message"),
            labels={"alertname": title, "topic": text(body["TopicArn"])},
            observed_at=at,
            starts_at=at,
            delivery_key=body.get("MessageId"),
        )
    ]


def _document(body: Any, envelope: Mapping[str, Any], inbound: Inbound) -> list[Said]:
    if not isinstance(body, Mapping):
        raise Unreadable(
            "This is none of the messages of AWS that are read here; see docs/integrations/aws.md."
        )
    if "AlarmName" in body and "NewStateValue" in body:
        if text(body["NewStateValue"]).upper() not in {*cloudwatch.STATES, *cloudwatch.SILENT_STATES}:
            raise Unreadable(
                f'The alarm has the state "{text(body["NewStateValue"], 40)}", which CloudWatch has not.'
            )
        return list(cloudwatch.of_sns(body, envelope, inbound))
    if "detail-type" in body:
        return _event(body, inbound)
    if model_monitor.is_report(body):
        if "unreadable" in body:
            raise Unreadable(f"The report {text(body.get('key'))} is none of Model Monitor's.")
        return list(model_monitor.signals(body, inbound))
    if isinstance(records := body.get("Records"), list):  # S3 that notifies SNS itself
        entries = [one.get("s3") for one in records if isinstance(one, Mapping)]
        return [
            made for one in entries if isinstance(one, Mapping) for made in _object_created(one, {}, inbound)
        ]
    if text(body.get("Event")) == "s3:TestEvent":
        return []
    if "features" in body and "version" in body:
        raise Unreadable(f"This is a baseline of Model Monitor. Send its {VIOLATIONS}.")
    try:
        return [signal_of(body, inbound, "aws", defaults={"id": envelope.get("MessageId")})]
    except Unfit as error:
        raise Unreadable(f"None of the messages of AWS that are read here: {error}.") from error


def _event(event: Mapping[str, Any], inbound: Inbound) -> list[Said]:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html"""
    kind, source = text(event["detail-type"]), text(event.get("source"))
    detail = event.get("detail")
    if not isinstance(detail, Mapping):
        raise Unreadable(
            "The event has no detail; send it as EventBridge does, without an input transformer."
        )
    if kind == "CloudWatch Alarm State Change":
        return list(cloudwatch.of_event(event, detail, inbound))
    if source == "aws.s3":
        return _object_created(detail, event, inbound)
    if source == "aws.sagemaker" or kind.startswith("SageMaker"):
        return _sagemaker(kind, event, detail, inbound)
    try:
        return [signal_of(detail, inbound, "aws", defaults={"title": kind, "id": event.get("id")})]
    except Unfit as error:
        raise Unreadable(f'The event "{text(kind, 100)}" cannot be read: {error}.') from error


def _sagemaker(
    kind: str, event: Mapping[str, Any], detail: Mapping[str, Any], inbound: Inbound
) -> list[Said]:
    state = next((text(v) for n, v in detail.items() if n.lower().endswith("status") and n.lower() != "secondarystatus"
                  and not n.lower().startswith("previous") and isinstance(v, str)), "")  # fmt: skip
    # where several words end so, the main one of this kind of thing counts
    for name in (
        "EndpointStatus",
        "currentPipelineExecutionStatus",
        "currentStepStatus",
        "ModelApprovalStatus",
    ):
        state = text(detail.get(name)) or state
    endpoint, reason = text(detail.get("EndpointName")), text(first(detail, "FailureReason", "failureReason"))
    name = endpoint or text(
        first(
            detail,
            "stepName",
            "pipelineExecutionDisplayName",
            "ModelPackageName",
            "ModelCardName",
            "ModelName",
        )
        or next((v for n, v in detail.items() if _NAME.fullmatch(n)), None)
    )
    resources = event.get("resources")
    resource = text(resources[0]) if isinstance(resources, list) and resources else name
    at = normalise.moment(event.get("time")) or inbound.received_at
    title = f"{kind.removeprefix('SageMaker ').removesuffix(' State Change').removesuffix(' Status Change')} {name}"
    version = text(first(detail, "EndpointConfigName", "ModelPackageVersion", "ModelCardVersion"))
    system = endpoint or text(first(detail, "ModelPackageGroupName", "ModelId", "ModelName"))
    said: list[Said] = []
    status: Status | None = (
        "firing" if _FAILED.fullmatch(state) else "resolved" if state.lower() in _WELL else None
    )
    if status is not None:
        said.append(
            normalise.signal(
                inbound,
                "aws",
                fingerprint=normalise.fingerprint(kind.split(" State")[0], resource, detail.get("stepName")),
                status=status,
                title=f"{title}: {state}",
                family="INTEG" if endpoint else None,
                description=reason,
                labels={"alertname": kind, "status": state, "region": text(event.get("region"))},
                system=system,
                version=version,
                observed_at=at,
                starts_at=at if status == "firing" else None,
                ends_at=at if status == "resolved" else None,
                delivery_key=event.get("id"),
                extra={"detail": dict(detail)},
            )
        )
    for word, what in _CHANGES:
        if word in kind:
            told = f"{title}: {state}" if state else title
            key = text(event.get("id")) or normalise.fingerprint(kind, resource, state, at.isoformat())
            said.append(Change(key, what, told[:300], at, system[:200], version[:120]))
            break
    return said


def _object_created(detail: Mapping[str, Any], event: Mapping[str, Any], inbound: Inbound) -> list[Said]:
    """A report was written. The event does not hold it: whoever gave no access to the bucket learns where it is."""
    bucket, item = detail.get("bucket"), detail.get("object")
    if not isinstance(bucket, Mapping) or not isinstance(item, Mapping):
        raise Unreadable("The event of S3 names no bucket and object.")
    place = model_monitor.place_of(text(bucket.get("name")), text(item.get("key")))
    if place["file"] != VIOLATIONS:
        return []
    at = normalise.moment(event.get("time")) or inbound.received_at
    where = place["endpoint"] or place["bucket"]
    return [
        normalise.signal(
            inbound,
            "aws",
            fingerprint=normalise.fingerprint("model monitor report", place["bucket"], place["path"]),
            status="firing",
            title=f"Model Monitor found violations on {where}",
            description=f"s3://{place['bucket']}/{place['key']}",
            labels={
                "alertname": "constraint_violations",
                "endpoint": place["endpoint"],
                "monitoring_schedule": place["schedule"],
            },
            system=place["endpoint"],
            window=place["run"],
            observed_at=at,
            starts_at=at,
            delivery_key=event.get("id"),
            links=normalise.links(*model_monitor.links_of(place)),
        )
    ]
