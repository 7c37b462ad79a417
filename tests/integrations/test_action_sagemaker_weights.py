"""sagemaker_weights at a moto server, held against Amazon's own description of the service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import requests
from botocore.loaders import create_loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from incidents.models import AISystem
from integrations.actions.sagemaker_weights import SagemakerWeights
from integrations.connecting import connect
from integrations.contract import Request
from integrations.platforms.aws import Aws
from playbooks.contract import ActionError, Done, Wait
from tests import scenes
from tests.contracts import contract_json
from tests.integrations.local import Seen, reply, server
from tests.integrations.traffic_scenes import by_hand, contained, nearby, roll_back, state_before
from tests.peers.servers import moto_server
from tests.playbooks.scenes import step

__all__ = ["nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.timeout(400), pytest.mark.xdist_group("moto")]
REGION = "eu-central-1"
ENDPOINT = "credit"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def amazon(moto: str, nearby: None) -> str:
    """An account where `blue` serves nine of ten requests of the endpoint and `green` one."""
    requests.post(f"{moto}/moto-api/reset", timeout=30)
    aws = account(moto)
    role = "arn:aws:iam::123456789012:role/service"
    aws.ask(
        "sagemaker",
        "CreateModel",
        {"ModelName": "m", "ExecutionRoleArn": role, "PrimaryContainer": {"Image": "i"}},
    )
    variants = [
        {"VariantName": name, "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large", "InitialVariantWeight": weight}
        for name, weight in (("blue", 9.0), ("green", 1.0))
    ]  # fmt: skip
    aws.ask("sagemaker", "CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": variants})
    aws.ask("sagemaker", "CreateEndpoint", {"EndpointName": ENDPOINT, "EndpointConfigName": "c"})
    return moto


def account(url: str) -> Aws:
    return Aws(REGION, "AKIATEST", "s3cr3t-key", endpoint=url)


def weights(url: str) -> dict[str, float]:
    found = account(url).ask("sagemaker", "DescribeEndpoint", {"EndpointName": ENDPOINT})
    return {variant["VariantName"]: variant["CurrentWeight"] for variant in found["ProductionVariants"]}


def credit(url: str, **serving: Any) -> AISystem:
    secrets = {"access_key_id": "AKIATEST", "secret_access_key": "s3cr3t-key"}
    connect("aws_account", "prod", {"region": REGION, "endpoint_url": url, **secrets})
    return scenes.system("credit", serving={"platform": "sagemaker", "endpoint": ENDPOINT, **serving})


def test_traffic_moves_to_the_other_variant_and_is_read_back(amazon: str) -> None:
    run = roll_back(credit(amazon, names={"v6": "green"}), "sagemaker_weights", {"version": "v6"})
    assert run.state == "succeeded", run.reason
    assert weights(amazon) == {"blue": 0.0, "green": 1.0}
    assert step(run, "T-1").verified == {"shares": {"blue": 0, "green": 100}, "served": None}
    assert state_before(run)["shares"] == {"blue": 90, "green": 10}
    assert contained(run)


def test_what_did_not_help_is_taken_back(amazon: str) -> None:
    run = roll_back(credit(amazon), "sagemaker_weights", {"version": "green"}, helps=False)
    assert "Undone: T-1." in run.reason
    assert weights(amazon) == {"blue": 0.9, "green": 0.1}


def test_shift_traffic_finds_the_endpoint_by_the_system(amazon: str) -> None:
    run = roll_back(credit(amazon), "shift_traffic", {"version": "green"})
    assert run.state == "succeeded", run.reason
    assert weights(amazon) == {"blue": 0.0, "green": 1.0}


def test_shares_of_several_variants(amazon: str) -> None:
    run = roll_back(credit(amazon), "sagemaker_weights", {"shares": {"blue": 25, "green": 75}})
    assert run.state == "succeeded", run.reason
    assert weights(amazon) == {"blue": 0.25, "green": 0.75}


def operation_of(headers: dict[str, str]) -> str:
    return headers["x-amz-target"].rpartition(".")[2]


def through(
    amazon: str, change: Callable[[str, Any], tuple[int, Any]]
) -> Callable[[BaseHTTPRequestHandler], None]:
    """A proxy to `amazon` that answers changes itself and may bend descriptions; `change` gets the operation
    and Amazon's answer (None for a change)."""

    def handle(request: BaseHTTPRequestHandler) -> None:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        answer: Any = None
        if operation == "DescribeEndpoint":
            answer = account(amazon).ask("sagemaker", operation, {"EndpointName": ENDPOINT})
        status, body = change(operation, answer)
        reply(status, json.dumps(body).encode())(request)

    return handle


def test_a_platform_that_says_yes_and_does_nothing_is_caught(amazon: str) -> None:
    with server(through(amazon, lambda operation, answer: (200, answer or {"EndpointArn": "arn"}))) as (
        url,
        seen,
    ):
        run = roll_back(credit(url), "sagemaker_weights", {"version": "green"})
    assert "UpdateEndpointWeightsAndCapacities" in {operation_of(headers) for _, _, headers, _ in seen}
    assert run.state == "failed"
    assert "could not be read back: SageMaker endpoint credit shows blue 90 %, green 10 %" in run.reason
    assert not contained(run)


def test_an_update_is_waited_for(amazon: str) -> None:
    """SageMaker says Updating for a while; the step looks again and sends nothing twice."""
    sent: list[str] = []
    after = iter(["Updating", "Updating"])

    def slow(operation: str, answer: Any) -> tuple[int, Any]:
        if answer is None:
            sent.append(operation)
            green = [
                {"VariantName": "blue", "DesiredWeight": 0},
                {"VariantName": "green", "DesiredWeight": 1},
            ]
            forward = {"EndpointName": ENDPOINT, "DesiredWeightsAndCapacities": green}
            return 200, account(amazon).ask("sagemaker", operation, forward)
        return 200, {**answer, "EndpointStatus": next(after, "InService") if sent else "InService"}

    with server(through(amazon, slow)) as (url, _):
        run = roll_back(credit(url), "sagemaker_weights", {"version": "green"})
    assert run.state == "succeeded", run.reason
    assert sent == ["UpdateEndpointWeightsAndCapacities"]


def test_an_update_of_somebody_else_is_waited_for_before_anything_is_sent(amazon: str) -> None:
    with server(
        through(amazon, lambda operation, answer: (200, {**answer, "EndpointStatus": "Updating"}))
    ) as (url, seen):
        answer = SagemakerWeights().run(by_hand(credit(url), version="green"))
    assert isinstance(answer, Wait)
    assert {operation_of(headers) for _, _, headers, _ in seen} == {"DescribeEndpoint"}


def test_an_update_that_failed_says_why(amazon: str) -> None:
    failed = {"EndpointStatus": "Failed", "FailureReason": "no capacity"}
    proxy = through(amazon, lambda operation, answer: (200, {**(answer or {}), **failed}))
    with (
        server(proxy) as (url, _),
        pytest.raises(ActionError, match="gave the change up: Failed: no capacity"),
    ):
        SagemakerWeights().run(by_hand(credit(url), version="green"))


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"version": "purple"}, "has no version purple .any more.; there are: blue, green"),
        ({"version": "green", "endpoint": "nowhere"}, "Could not find endpoint"),
        ({}, "Say either which `version`"),
        ({"shares": {"blue": 50}}, "add up to 50 %"),
        ({"shares": {"blue": 50.5, "green": 49.5}}, "whole percentages"),
        ({"version": "green", "connection": "test"}, "no aws_account connection 'test'"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_changed(
    amazon: str, params: dict[str, Any], says: str
) -> None:
    with pytest.raises(ActionError, match=says):
        SagemakerWeights().precheck(by_hand(credit(amazon), **params))
    assert weights(amazon) == {"blue": 9.0, "green": 1.0}


@pytest.mark.parametrize(
    ("kind", "retryable"), [("ThrottlingException", True), ("AccessDeniedException", False)]
)
def test_throttling_passes_and_a_refusal_does_not(nearby: None, kind: str, retryable: bool) -> None:
    refusal = json.dumps({"__type": kind, "message": "Not now."}).encode()
    with (
        server(reply(400, refusal)) as (url, _),
        pytest.raises(ActionError, match=f"{kind}: Not now") as caught,
    ):
        SagemakerWeights().precheck(by_hand(credit(url), version="green"))
    assert caught.value.retryable is retryable


def described_by_amazon(seen: Seen, service: ServiceModel) -> set[str]:
    """Every request has the shape that the service model demands; the operations that were called."""
    called = set()
    for _, _, headers, body in seen:
        prefix, _, operation = headers["x-amz-target"].partition(".")
        assert prefix == service.metadata["targetPrefix"]
        assert headers["content-type"] == f"application/x-amz-json-{service.metadata['jsonVersion']}"
        shape = service.operation_model(operation).input_shape
        report = ParamValidator().validate(json.loads(body), shape)
        assert not report.has_errors(), report.generate_report()
        unknown = set(json.loads(body)) - set(shape.members)
        assert not unknown
        called.add(operation)
    return called


def test_requests_have_the_shape_that_amazon_publishes(amazon: str) -> None:
    with server(through(amazon, lambda operation, answer: (200, answer or {}))) as (url, seen):
        answer = SagemakerWeights().run(by_hand(credit(url), version="green"))
        assert isinstance(answer, Done)
    trimmed = ServiceModel(
        contract_json("aws", "outbound", "sagemaker_2017-07-24.botocore.trimmed.json"), "sagemaker"
    )
    whole = ServiceModel(create_loader().load_service_model("sagemaker", "service-2"), "sagemaker")
    for service in (trimmed, whole):
        assert described_by_amazon(seen, service) == {
            "DescribeEndpoint",
            "UpdateEndpointWeightsAndCapacities",
        }


def test_requests_are_signed_for_service_and_region_and_the_key_never_travels(amazon: str) -> None:
    with server(reply(200, b'{"ProductionVariants": []}')) as (url, seen):
        account(url).ask("sagemaker", "DescribeEndpoint", {"EndpointName": ENDPOINT})
    ((_, _, headers, body),) = seen
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIATEST/")
    assert f"/{REGION}/sagemaker/aws4_request" in headers["authorization"]
    assert "s3cr3t-key" not in json.dumps(headers) + body.decode()


def test_objects_are_signed_as_s3_wants_it(amazon: str) -> None:
    aws = Aws("us-east-1", "AKIATEST", "s3cr3t-key", "s3cr3t-session", endpoint=amazon)
    aws.send("s3", Request("PUT", f"{amazon}/batches"))
    address = f"{amazon}/batches/day%201/rows.csv"
    aws.send("s3", Request("PUT", address, {"Content-Type": "text/csv"}, body=b"a,b\n1,2\n"))
    assert aws.send("s3", Request("GET", address)).text == "a,b\n1,2\n"
    signed = aws.signed("s3", Request("GET", address))
    assert signed.headers["X-Amz-Security-Token"] == "s3cr3t-session"
    with pytest.raises(ActionError, match="NoSuchKey"):
        aws.send("s3", Request("GET", f"{amazon}/batches/none"))


def test_addresses_are_amazons_own_in_every_partition() -> None:
    assert Aws(REGION, "k", "s").address("sagemaker") == "https://api.sagemaker.eu-central-1.amazonaws.com"
    assert Aws("cn-north-1", "k", "s").address("s3") == "https://s3.cn-north-1.amazonaws.com.cn"
    with pytest.raises(ActionError, match="no s3 in the region 'mars-1'"):
        Aws("mars-1", "k", "s").address("s3")
