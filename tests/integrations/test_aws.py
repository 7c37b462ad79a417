"""What AWS sends on paper: SNS and its signatures, alarms, events, Model Monitor's dialects, a bucket that is polled."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from incidents.intake.signal import Signal
from integrations import http, sns
from integrations.contract import (
    Change,
    Inbound,
    Polled,
    Refusal,
    Request,
    Response,
    SendError,
    Unreadable,
)
from integrations.shelf import provider
from tests.contracts import contract_path
from tests.integrations.inbound import NOON, knock, monitor, request, sample

pytestmark = pytest.mark.once

SETTINGS = {"signature": "unchecked"}
SAMPLES = {
    "eventbridge_cw_alarm_metric_math": "1 firing",
    "eventbridge_cw_alarm_single_metric": "1 firing",
    "eventbridge_cw_alarm_single_metric_ok": "1 resolved",
    "eventbridge_s3_object_created_violations": "1 firing",
    "eventbridge_sagemaker_endpoint_deployment_bluegreen": "1 deploy",
    "eventbridge_sagemaker_endpoint_failed": "1 deploy, 1 firing",
    "eventbridge_sagemaker_endpoint_in_service": "1 deploy, 1 resolved",
    "eventbridge_sagemaker_endpoint_scaling": "1 deploy",
    "eventbridge_sagemaker_model_card": "1 registry",
    "eventbridge_sagemaker_pipeline_execution": "1 resolved",
    "eventbridge_sagemaker_pipeline_step": "1 resolved",
    "eventbridge_sagemaker_training_job": "1 resolved",
    "model_monitor_bias_constraint_violations": "2 firing",
    "model_monitor_constraints": "set aside",
    "model_monitor_data_quality_constraint_violations": "7 firing",
    "model_monitor_statistics": "set aside",
    "signed_sns_model_monitor_alarm_v2": "1 firing",
    "signed_sns_model_monitor_ok_v1": "1 resolved",
    "signed_sns_tampered_message": "1 firing",
    "sns_cloudwatch_alarm": "1 firing",
    "sns_notification_plain_text": "1 firing",
    "sns_subscription_confirmation": "handshake",
    "sns_subscription_confirmation_real": "handshake",
}
TOPIC = "arn:aws:sns:eu-central-1:123456789012:model-monitor-alarms"
CERTIFICATE = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-TESTONLY.pem"


@pytest.fixture(autouse=True)
def no_certificates() -> Iterator[None]:
    sns._certificates.clear()
    yield
    sns._certificates.clear()


def served(monkeypatch: pytest.MonkeyPatch, pem: bytes) -> list[str]:
    """Certificates are fetched from this instead of Amazon; returns the addresses that were asked."""
    asked: list[str] = []

    def fetch(url: str, max_bytes: int, **more: Any) -> bytes:
        asked.append(url)
        return pem

    monkeypatch.setattr(http, "fetch_bytes", fetch)
    return asked


def said(body: Any, **settings: Any) -> list[Any]:
    inbound = body if isinstance(body, Inbound) else request(body)
    one = provider("aws")
    found = list(one.parse(inbound, settings))
    assert one.admit(inbound, {"signature": "unchecked", **settings}) == len(found)
    return found


# --- SNS: who sent it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("signed_sns_model_monitor_alarm_v2", True),
        ("signed_sns_model_monitor_ok_v1", True),
        ("signed_sns_tampered_message", False),
    ],
)
def test_a_signature_is_checked_with_amazons_certificate(
    monkeypatch: pytest.MonkeyPatch, name: str, allowed: bool
) -> None:
    asked = served(monkeypatch, contract_path("aws", "signature_test_cert.pem").read_bytes())
    message = sample("aws", name)
    if allowed:
        assert [provider("aws").admit(message, {}) for _ in range(2)] == [1, 1]
    else:
        with pytest.raises(Refusal, match="does not fit") as refused:
            provider("aws").admit(message, {})
        assert refused.value.status == 401
    assert asked == [CERTIFICATE], "the certificate is remembered"


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def signed(**more: Any) -> dict[str, Any]:
    """An SNS message with a signature of our own."""
    envelope = {
        "Type": "Notification", "MessageId": "m-1", "TopicArn": TOPIC, "Message": "Grüße 📉",
        "Timestamp": "2026-03-01T12:00:00.000Z", "SignatureVersion": "2", "SigningCertURL": CERTIFICATE, **more,
    }  # fmt: skip
    signature = KEY.sign(sns.signed_text(envelope), padding.PKCS1v15(), hashes.SHA256())
    return {**envelope, "Signature": base64.b64encode(signature).decode()}


CONFIRM = {
    "Type": "SubscriptionConfirmation",
    "Token": "t-1",
    "SubscribeURL": f"https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t-1",
}


def test_a_signed_message_passes_and_every_change_of_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, pem())
    one, whole = provider("aws"), signed(Subject="Re: drift")
    assert one.admit(request(whole), {}) == 1
    for name in ("Message", "MessageId", "Subject", "Timestamp", "TopicArn"):
        with pytest.raises(Refusal):
            one.admit(request({**whole, name: "changed"}), {})
    with pytest.raises(Refusal):
        one.admit(request({name: text for name, text in whole.items() if name != "Subject"}), {})


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-central-1.amazonaws.com/x.pem",
        "https://sns.eu-central-1.amazonaws.com.evil.example/x.pem",
        "https://evil.example/sns.eu-central-1.amazonaws.com.pem",
        "https://sns.eu-central-1.amazonaws.com@evil.example/x.pem",
        "https://user@sns.eu-central-1.amazonaws.com/x.pem",
        "https://sns.eu-central-1.amazonaws.com:8443/x.pem",
        "https://s3.amazonaws.com/bucket/x.pem",
        "https://sns.eu central.amazonaws.com/",
        "https://[",
        None,
    ],
)
def test_a_certificate_from_elsewhere_is_not_even_fetched(monkeypatch: pytest.MonkeyPatch, url: Any) -> None:
    asked = served(monkeypatch, pem())
    with pytest.raises(Refusal, match="does not lead to Amazon SNS"):
        provider("aws").admit(request(signed(SigningCertURL=url)), {})
    assert asked == []


def test_the_chinese_partition_has_its_own_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, pem())
    url = "https://sns.cn-north-1.amazonaws.com.cn/x.pem"
    assert provider("aws").admit(request(signed(SigningCertURL=url)), {}) == 1


def test_a_certificate_that_cannot_be_fetched_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(url: str, max_bytes: int, **more: Any) -> bytes:
        raise SendError("Could not reach sns.eu-central-1.amazonaws.com: no answer.", retryable=True)

    monkeypatch.setattr(http, "fetch_bytes", fetch)
    with pytest.raises(Refusal, match="cannot be fetched") as refused:
        provider("aws").admit(request(signed()), {})
    assert refused.value.status == 503, "SNS tries again"
    served(monkeypatch, b"not a certificate")
    with pytest.raises(Refusal, match="cannot be read"):
        provider("aws").admit(request(signed()), {})


@pytest.mark.parametrize("more", [{"SignatureVersion": "3"}, {"Signature": "%"}, {"SignatureVersion": None}])
def test_a_message_without_a_known_signature_is_refused(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    served(monkeypatch, pem())
    with pytest.raises(Refusal) as refused:
        provider("aws").admit(request({**signed(), **more}), {})
    assert refused.value.status == 401


def test_only_the_connections_topics_may_report(monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, pem())
    assert provider("aws").admit(request(signed()), {"topics": f"arn:other, {TOPIC}"}) == 1
    with pytest.raises(Refusal, match="not among"):
        provider("aws").admit(request(signed()), {"topics": "arn:other"})


def test_a_subscription_is_confirmed_at_amazon_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, pem())
    one, message = provider("aws"), request(signed(**CONFIRM))
    assert one.admit(message, {}) == 0
    reply = one.handshake(message, {})
    assert reply is not None
    assert reply.confirm is not None
    assert (reply.confirm.method, reply.confirm.url) == ("GET", CONFIRM["SubscribeURL"])
    for url in (
        "https://evil.example/?Action=ConfirmSubscription",
        CONFIRM["SubscribeURL"].replace("Confirm", "Un"),
    ):
        with pytest.raises(Refusal):
            one.admit(request(signed(**{**CONFIRM, "SubscribeURL": url})), {})
        assert one.handshake(request(signed(**{**CONFIRM, "SubscribeURL": url})), {}) is None


@pytest.mark.django_db(transaction=True)
def test_the_front_door_visits_the_address_and_asks_again_when_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served(monkeypatch, pem())
    answers, visited = [Response(500, {}, ""), Response(200, {}, "<ok/>")], []

    def send(asked: Request, **more: Any) -> Response:
        visited.append(asked.url)
        return answers.pop(0)

    monkeypatch.setattr(http, "send", send)
    scene = monitor("aws")
    first, second = (
        knock(scene.path, json.dumps(signed(**CONFIRM)).encode(), content_type="text/plain; charset=UTF-8")
        for _ in range(2)
    )
    assert (first.status, second.status) == (503, 200)
    assert visited == [CONFIRM["SubscribeURL"]] * 2


def test_the_end_of_a_subscription_is_a_change_and_is_never_visited() -> None:
    [change] = said(signed(**{**CONFIRM, "Type": "UnsubscribeConfirmation"}))
    assert isinstance(change, Change)
    assert "no longer arrive" in change.title
    assert (
        provider("aws").handshake(request(signed(**{**CONFIRM, "Type": "UnsubscribeConfirmation"})), {})
        is None
    )


def test_a_message_without_envelope_needs_the_shared_secret() -> None:
    one, body = provider("aws"), {"violations": []}
    with pytest.raises(Refusal, match="shared secret"):
        one.admit(request(body), {"secret": "right-secret"})
    assert one.admit(request(body, authorization="Bearer right-secret"), {"secret": "right-secret"}) == 0


# --- alarms -------------------------------------------------------------------------------------------------


def test_an_alarm_of_model_monitor_says_what_it_is_about() -> None:
    [signal] = said(sample("aws", "signed_sns_model_monitor_alarm_v2"))
    assert (signal.system, signal.feature, signal.metric) == (
        "credit-risk-prod",
        "age",
        "feature_baseline_drift_age",
    )
    assert (signal.value, signal.comparator, signal.threshold) == (0.2417, ">", 0.1)
    assert (signal.family, signal.window, signal.status) == ("DRIFT", "3600 s", "firing")
    assert signal.starts_at == datetime(2025, 3, 1, 12, 3, 11, 482000, UTC)
    assert signal.delivery_key == "5f0a3a7e-0001-4b6e-9c1e-000000000001"
    assert signal.labels["MonitoringSchedule"] == "credit-risk-data-quality-hourly"
    assert signal.links[0][1].startswith("https://eu-central-1.console.aws.amazon.com/cloudwatch/")
    [over] = said(sample("aws", "signed_sns_model_monitor_ok_v1"))
    assert (over.fingerprint, over.status) == (signal.fingerprint, "resolved")


def test_an_alarm_is_the_same_by_sns_and_by_eventbridge() -> None:
    [by_event] = said(sample("aws", "eventbridge_cw_alarm_single_metric"))
    [over] = said(sample("aws", "eventbridge_cw_alarm_single_metric_ok"))
    assert (
        by_event.fingerprint
        == over.fingerprint
        == "arn:aws:cloudwatch:us-east-1:123456789012:alarm:ServerCpuTooHigh"
    )
    message = {"AlarmName": "ServerCpuTooHigh", "NewStateValue": "ALARM", "AWSAccountId": "123456789012"}
    topic = "arn:aws:sns:us-east-1:123456789012:t"
    [by_sns] = said({"Type": "Notification", "TopicArn": topic, "Message": json.dumps(message)})
    assert by_sns.fingerprint == by_event.fingerprint
    assert (by_event.metric, by_event.threshold, by_event.window) == ("CPUUtilization", 50, "300 s")
    assert by_event.value == pytest.approx(99.5, abs=0.01)


def alarm(**more: Any) -> dict[str, Any]:
    return {"AlarmName": "A", "NewStateValue": "ALARM", "AWSAccountId": "1", **more}


def test_metric_math_and_composite_alarms_are_read() -> None:
    [math] = said(sample("aws", "eventbridge_cw_alarm_metric_math"))
    assert (math.metric, math.value, math.comparator) == ("Total Network Traffic", 45628, ">")
    series = [
        {
            "Id": "m1",
            "MetricStat": {
                "Metric": {"MetricName": "Lag", "Dimensions": [{"name": "Endpoint", "value": "churn"}]}
            },
        }
    ]
    [by_sns] = said(alarm(Trigger={"Metrics": series, "Threshold": 5}))
    assert (by_sns.metric, by_sns.system, by_sns.threshold) == ("Lag", "churn", 5)
    [composite] = said(alarm(AlarmRule="ALARM(a) OR ALARM(b)", TriggeringChildren=[{"Arn": "a"}]))
    assert composite.extra["rule"] == "ALARM(a) OR ALARM(b)"


def test_insufficient_data_changes_nothing_and_an_unknown_state_is_refused() -> None:
    assert said(alarm(NewStateValue="INSUFFICIENT_DATA")) == []
    with pytest.raises(Unreadable, match="EXPLODED"):
        provider("aws").parse(request(alarm(NewStateValue="EXPLODED")), {})


def test_infinity_as_model_monitor_publishes_it_is_no_value() -> None:
    [signal] = said(
        alarm(NewStateReason="1 datapoint [2.348543E108 (01/03/25)] was greater than the threshold (0.1).")
    )
    assert (signal.value, signal.threshold) == (None, 0.1)


@pytest.mark.parametrize(
    ("namespace", "metric", "family"),
    [
        ("/aws/sagemaker/Endpoints/data-metric", "feature_non_null_age", "DATAQ"),
        ("aws/sagemaker/Endpoints/bias-metrics", "bias_metric_DI", "BIAS"),
        ("aws/sagemaker/Endpoints/explainability-metrics", "feature_attribution_age", "DRIFT"),
        ("aws/sagemaker/Endpoints/model-metrics", "f1", "PERF"),
        ("AWS/EC2", "CPUUtilization", None),
    ],
)
def test_the_namespace_tells_the_kind_of_monitor(namespace: str, metric: str, family: str | None) -> None:
    [signal] = said(alarm(Trigger={"Namespace": namespace, "MetricName": metric}))
    assert signal.family == family


# --- events -------------------------------------------------------------------------------------------------


def test_an_endpoint_that_failed_is_well_again_when_it_is_in_service() -> None:
    failed, moved = said(sample("aws", "eventbridge_sagemaker_endpoint_failed"))
    well, again = said(sample("aws", "eventbridge_sagemaker_endpoint_in_service"))
    assert (failed.system, failed.family, failed.status, well.status) == (
        "MyEndpoint",
        "INTEG",
        "firing",
        "resolved",
    )
    assert failed.fingerprint == well.fingerprint
    assert "ping health check" in failed.description
    assert (moved.kind, moved.version, again.at.year) == ("deploy", "MyEndpointConfig", 2020)


def event(kind: str, **detail: Any) -> dict[str, Any]:
    return {
        "detail-type": kind,
        "source": "aws.sagemaker",
        "id": "e",
        "time": "2026-03-01T11:00:00Z",
        "detail": detail,
    }


def test_models_approved_and_jobs_failed_are_told() -> None:
    [approved] = said(event("SageMaker Model Package State Change", ModelPackageGroupName="churn",
                            ModelPackageVersion=9, ModelApprovalStatus="Approved"))  # fmt: skip
    assert (approved.kind, approved.system, approved.version) == ("registry", "churn", "9")
    [failed] = said(event("SageMaker Processing Job State Change", ProcessingJobName="mm-1", ProcessingJobStatus="Failed",
                          FailureReason="AlgorithmError"))  # fmt: skip
    assert (failed.status, failed.description) == ("firing", "AlgorithmError")
    assert said(event("SageMaker Training Job State Change", TrainingJobStatus="InProgress")) == []


def test_a_report_that_s3_announces_is_named_with_its_place() -> None:
    [signal] = said(sample("aws", "eventbridge_s3_object_created_violations"))
    assert (signal.system, signal.labels["monitoring_schedule"]) == ("credit-risk", "hourly")
    records = {"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "p/churn/daily/2026/03/01/constraint_violations.json"}}},
                           {"s3": {"bucket": {"name": "b"}, "object": {"key": "p/other.csv"}}}]}  # fmt: skip
    [direct] = said(records)
    assert (direct.system, direct.window) == ("churn", "2026/03/01")
    assert said({"Service": "Amazon S3", "Event": "s3:TestEvent"}) == []


def test_plain_text_and_json_of_our_own_shape_come_through_sns_too() -> None:
    [text] = said(sample("aws", "sns_notification_plain_text"))
    assert (text.title, text.description) == ("My First Message", "Hello world!")
    shaped = json.dumps({"title": "PSI", "dedup_key": "psi/churn", "severity": "warning"})
    [own] = said({"Type": "Notification", "TopicArn": TOPIC, "Message": shaped})
    assert (own.fingerprint, own.level) == ("psi/churn", "warning")


# --- Model Monitor ------------------------------------------------------------------------------------------


def violation(check: str, description: str, **more: Any) -> dict[str, Any]:
    return {"constraint_check_type": check, "description": description, **more}


@pytest.mark.parametrize(
    ("one", "family", "about", "value", "threshold"),
    [
        (violation("baseline_drift_check", "Baseline drift distance: 0.31 exceeds threshold: 0.1", feature_name="age"),
         "DRIFT", "age", 0.31, 0.1),
        (violation("data_type_check", "Data type match requirement is not met. Expected data type: Integral, Expected "
                   "match: 100.0%. Observed: Only 99.71% of data is Integral.", feature_name="age"),
         "DATAQ", "age", 99.71, 100.0),
        (violation("bias_drift_check", "Value -0.0791 does not meet the constraint requirement", facet="Age",
                   facet_value="40", metric_name="DPPL"), "BIAS", "Age=40", -0.0791, None),
        (violation("feature_attribution_drift_check", "Feature attribution drift 0.76 exceeds threshold 0.9",
                   label="label0", metric_name="shap"), "DRIFT", "label0", 0.76, 0.9),
        (violation("LessThanThreshold", "Metric f2 with 0.72 +/- 0.0061 was LessThanThreshold '0.9'", metric_name="f2"),
         "PERF", "", 0.72, 0.9),
        (violation("missing_column_check", "There are missing columns in current dataset. Number of missing columns: 1",
                   feature_name="Missing columns"), "DATAQ", "Missing columns", None, None),
        (violation("odd", "", feature_name=None), "DATAQ", "", None, None),
    ],
)  # fmt: skip
def test_every_dialect_of_violations_is_read(
    one: dict[str, Any], family: str, about: str, value: float | None, threshold: float | None
) -> None:
    [signal] = said({"violations": [one], "endpoint_name": "churn"})
    assert (signal.family, signal.feature or signal.segment) == (family, about)
    assert (signal.value, signal.threshold, signal.system) == (value, threshold, "churn")


def test_a_report_names_each_condition_once() -> None:
    one = violation("data_type_check", "x", feature_name="age")
    signals = said({"violations": [one, one, {**one, "feature_name": "income"}]})
    assert len({signal.fingerprint for signal in signals}) == len(signals) == 2
    many = [{"feature_name": str(number)} for number in range(2001)]
    with pytest.raises(Refusal, match="at most"):
        provider("aws").admit(request({"violations": many}), {})


# --- the bucket ---------------------------------------------------------------------------------------------

BUCKET = {
    "bucket": "mm",
    "prefix": "reports/",
    "region": "eu-central-1",
    "access_key_id": "AKIA1",
    "secret_access_key": "s3cret",
}
DAY = "reports/churn/hourly/2026/03/01"


class Store:
    """A bucket on paper: keys with content and hour of the day."""

    def __init__(self, *objects: tuple[str, Any, int], page: int = 1000):
        self.objects = {
            key: (body if isinstance(body, str) else json.dumps(body), hour) for key, body, hour in objects
        }
        self.asked: list[Request] = []
        self.page = page

    def __call__(self, asked: Request) -> Response:
        self.asked.append(asked)
        path, _, query = asked.url.partition("?")
        if not query:
            return Response(200, {}, self.objects[path.partition("/mm/")[2]][0])
        start = int(query.partition("continuation-token=")[2].partition("&")[0] or 0)
        some = list(self.objects.items())[start : start + self.page]
        more = start + self.page < len(self.objects)
        token = f"<NextContinuationToken>{start + self.page}</NextContinuationToken>" if more else ""
        rows = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-03-01T{hour:02}:10:00.000Z</LastModified>"
            f"<ETag>&quot;e{hour}&quot;</ETag><Size>9</Size></Contents>"
            for key, (_, hour) in some
        )
        return Response(
            200,
            {},
            f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{token}{rows}</ListBucketResult>',
        )


def round_of(store: Any, memory: Any = None, now: datetime = NOON, **more: Any) -> Polled:
    polling = provider("aws").poll({**BUCKET, **more}, memory or {}, now)
    try:
        asked = next(polling)
        while True:
            asked = polling.send(store(asked))
    except StopIteration as end:
        polled: Polled = end.value
        return polled


def test_a_run_that_passes_resolves_what_the_run_before_it_found() -> None:
    age, income = (violation("baseline_drift_check", "d", feature_name=name) for name in ("age", "income"))
    store = Store(
        (f"{DAY}/09/constraint_violations.json", {"violations": [age, income]}, 9),
        (f"{DAY}/09/statistics.json", {}, 9),
        (f"{DAY}/09/constraints.json", {}, 9),
        page=2,
    )
    first = round_of(store)
    assert len(first.messages) == 1
    told = said(first.messages[0].body)
    assert [(one.feature, one.status, one.system) for one in told] == [
        ("age", "firing", "churn"),
        ("income", "firing", "churn"),
    ]
    assert first.messages[0].items == 2
    assert not round_of(store, first.memory).messages, "nothing new"

    store.objects[f"{DAY}/10/constraint_violations.json"] = (json.dumps({"violations": [income]}), 10)
    second = round_of(store, first.memory)
    statuses = {one.feature: one.status for one in said(second.messages[0].body)}
    assert statuses == {"income": "firing", "age": "resolved"}
    store.objects[f"{DAY}/11/statistics.json"] = ("{}", 11)
    third = round_of(store, second.memory)
    [over] = said(third.messages[0].body)
    assert (over.feature, over.status) == ("income", "resolved")
    assert over.fingerprint == told[1].fingerprint
    assert third.memory["failing"] == {}


def test_a_round_that_is_repeated_finds_the_same_keys() -> None:
    store = Store((f"{DAY}/09/constraint_violations.json", {"violations": [violation("x", "")]}, 9))
    assert [one.key for one in round_of(store).messages] == [one.key for one in round_of(store).messages]


def test_the_first_round_looks_a_day_back() -> None:
    store = Store((f"{DAY}/09/constraint_violations.json", {"violations": [violation("x", "")]}, 9))
    assert not round_of(store, now=NOON + timedelta(days=2)).messages


def test_requests_are_signed_and_nothing_secret_is_in_them() -> None:
    store = Store()
    round_of(store, session_token="tok")
    [asked] = store.asked
    assert asked.url.startswith("https://s3.eu-central-1.amazonaws.com/mm?")
    assert asked.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIA1/")
    assert asked.headers["X-Amz-Security-Token"] == "tok"
    assert "s3cret" not in repr(asked)


def test_a_report_that_cannot_be_read_is_set_aside_and_the_others_come() -> None:
    store = Store(
        (f"{DAY}/08/constraint_violations.json", {"violations": [violation("x", "")]}, 8),
        (f"{DAY}/09/constraint_violations.json", "<html>", 9),
    )
    first, second = round_of(store).messages
    assert len(said(first.body)) == 1
    with pytest.raises(Unreadable, match="none of Model Monitor's"):
        provider("aws").parse(request(second.body), {})


@pytest.mark.parametrize(
    ("answer", "words", "retryable"),
    [
        (Response(403, {}, "<Error><Code>AccessDenied</Code></Error>"), "AccessDenied.*s3:ListBucket", False),
        (Response(503, {"retry-after": "7"}, "slow down"), "503", True),
        (Response(200, {}, "<html>"), "not its API", False),
    ],
)
def test_a_refusal_of_s3_says_what_to_do(answer: Response, words: str, retryable: bool) -> None:
    with pytest.raises(SendError, match=words) as failed:
        round_of(lambda asked: answer)
    assert failed.value.retryable is retryable


def test_a_connection_without_bucket_is_not_polled() -> None:
    polling = provider("aws").poll({}, {"until": "x"}, NOON)
    with pytest.raises(StopIteration) as end:
        next(polling)
    assert end.value.value == Polled(memory={"until": "x"})
    assert set(provider("aws").check({"bucket": "mm"})) == {"region", "access_key_id", "secret_access_key"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "none of the messages"),
        ({}, "None of the messages"),
        ({"detail-type": "X"}, "no detail"),
        ({"version": 0, "features": []}, "baseline"),
        ({"violations": ["x"]}, "not a list of violations"),
        ({"detail-type": "Object Created", "source": "aws.s3", "detail": {}}, "no bucket"),
        ({"Type": "Notification", "TopicArn": TOPIC}, "neither subject nor text"),
    ],
)
def test_what_is_none_of_it_is_set_aside(body: Any, words: str) -> None:
    assert provider("aws").admit(request(body), {"signature": "unchecked"}) == 1, "it is kept"
    with pytest.raises(Unreadable, match=words):
        provider("aws").parse(request(body), {})


def test_what_is_no_json_is_refused() -> None:
    for body in (b"", b"plain text", b"<html>"):
        with pytest.raises(Refusal, match="not JSON"):
            provider("aws").admit(request(body), {})


def test_messages_are_known_again() -> None:
    one = provider("aws")
    assert one.delivery_key(request(signed())) == "m-1"
    assert one.delivery_key(request(event("X"))) == "e"
    assert one.delivery_key(request(alarm(), x_amz_sns_message_id="raw-1")) == "raw-1"
    assert one.delivery_key(request(b"<")) == ""
    assert all(isinstance(made, Signal) for made in said(alarm()))
