"""SageMaker pipelines and data in S3, at a moto server: sagemaker_pipeline, sagemaker_stop, quarantine_data,
release_data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from botocore.loaders import create_loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from integrations.actions.quarantine_data import QuarantineData
from integrations.actions.release_data import ReleaseData
from integrations.actions.sagemaker_pipeline import SagemakerPipeline
from integrations.actions.sagemaker_stop import SagemakerStop
from integrations.connecting import connect
from integrations.platforms.s3 import S3
from playbooks.contract import ActionError, Done, Wait
from tests.integrations.data_scenes import acted, by_hand, kept, nearby, outputs
from tests.integrations.local import reply, server
from tests.integrations.test_action_sagemaker_weights import REGION, account, moto
from tests.playbooks.scenes import step

__all__ = ["moto", "nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.timeout(180), pytest.mark.xdist_group("moto")]
KEYS = {"access_key_id": "AKIATEST", "secret_access_key": "s3cr3t-key"}
ROWS = {"orders/2030-05-02/part-0.csv": "a,b\n1,2\n", "orders/2030-05-02/more/part 1.csv": "a,b\n3,4\n"}


@pytest.fixture
def amazon(moto: str, nearby: None) -> str:
    """A bucket with the batch of 2 May and of 3 May, and a pipeline that retrains."""
    requests.post(f"{moto}/moto-api/reset", timeout=30)
    connect("aws_account", "prod", {"region": REGION, "endpoint_url": moto, **KEYS})
    store = lake(moto)
    store.call("CreateBucket", Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
    for key, text in {**ROWS, "orders/2030-05-03/part-0.csv": "a,b\n5,6\n"}.items():
        store.call("PutObject", Bucket="lake", Key=key, body=text.encode())
    role = "arn:aws:iam::123456789012:role/service"
    body = {
        "PipelineName": "retrain",
        "PipelineDefinition": "{}",
        "RoleArn": role,
        "ClientRequestToken": "t" * 32,
    }
    account(moto).ask("sagemaker", "CreatePipeline", body)
    return moto


def lake(url: str) -> S3:
    return S3(account(url))


def objects(url: str, prefix: str) -> dict[str, str]:
    store = lake(url)
    page = store.call("ListObjectsV2", Bucket="lake", Prefix=prefix)
    return {
        entry["Key"]: store.call("GetObject", Bucket="lake", Key=entry["Key"])["Body"]
        for entry in page.get("Contents", ())
    }


# --- S3 ------------------------------------------------------------------------------------------------

PARAMS = {"location": "s3://lake/orders/2030-05-02/", "reason": "Null rate 40 %"}


def test_a_bad_prefix_is_held_and_its_neighbour_stays(amazon: str) -> None:
    run = acted("quarantine_data", PARAMS)
    assert run.state == "succeeded", run.reason
    assert set(objects(amazon, "orders/")) == {"orders/2030-05-03/part-0.csv"}
    held = outputs(run)["held_at"].removeprefix("s3://lake/")
    assert objects(amazon, f"{held}/data/") == {
        f"{held}/data/part-0.csv": "a,b\n1,2\n",
        f"{held}/data/more/part 1.csv": "a,b\n3,4\n",
    }
    assert [item["bytes"] for item in kept(run, "manifest.json")["items"]] == [8, 8]
    assert step(run, "A-1").verified == {"held": 2, "left": 0}


def test_what_did_not_help_is_brought_back(amazon: str) -> None:
    run = acted("quarantine_data", PARAMS, helps=False)
    assert "Undone: A-1." in run.reason
    assert objects(amazon, "orders/2030-05-02/") == ROWS


def test_a_try_that_broke_off_half_way_is_finished_by_the_next(amazon: str) -> None:
    ctx = by_hand(**PARAMS)
    renewed = iter(range(4))
    ctx.renew = lambda: next(renewed, None) is not None or (_ for _ in ()).throw(RuntimeError("killed"))
    with pytest.raises(RuntimeError, match="killed"):
        QuarantineData().run(ctx)
    done = QuarantineData().run(by_hand(**PARAMS))
    assert QuarantineData().verify(by_hand(**PARAMS), done.outputs) == {"held": 2, "left": 0}


def held_at() -> str:
    return str(QuarantineData().run(by_hand(**PARAMS)).outputs["held_at"])


def test_objects_are_released_and_taken_back_again(amazon: str) -> None:
    where = held_at()
    run = acted("release_data", {"held_at": where})
    assert run.state == "succeeded", run.reason
    assert objects(amazon, "orders/2030-05-02/") == ROWS


def test_a_release_that_did_not_help_is_taken_back(amazon: str) -> None:
    run = acted("release_data", {"held_at": held_at()}, helps=False)
    assert "Undone: A-1." in run.reason
    assert objects(amazon, "orders/2030-05-02/") == {}


def test_an_object_that_was_changed_in_quarantine_is_not_released(amazon: str) -> None:
    where = held_at()
    key = f"{where.removeprefix('s3://lake/')}/data/part-0.csv"
    lake(amazon).call("PutObject", Bucket="lake", Key=key, body=b"a,b\n9,9\n")
    with pytest.raises(ActionError, match=r"part-0\.csv has changed"):
        ReleaseData().precheck(by_hand(held_at=where))


def test_an_object_that_was_sent_again_is_not_overwritten(amazon: str) -> None:
    where = held_at()
    lake(amazon).call("PutObject", Bucket="lake", Key="orders/2030-05-02/part-0.csv", body=b"new")
    with pytest.raises(ActionError, match="There is data at"):
        ReleaseData().precheck(by_hand(held_at=where))


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("s3://lake", "is no place in S3"),
        ("s3://lake/nothing/", "There is nothing at"),
        ("s3://elsewhere/orders/", "NoSuchBucket"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_moved(amazon: str, location: str, says: str) -> None:
    with pytest.raises(ActionError, match=says):
        QuarantineData().precheck(by_hand(**{**PARAMS, "location": location}))


def test_a_single_object_is_not_taken_for_a_prefix(amazon: str) -> None:
    lake(amazon).call("PutObject", Bucket="lake", Key="orders/2030-05-03/part-0.csv.md5", body=b"x")
    done = QuarantineData().run(by_hand(**{**PARAMS, "location": "s3://lake/orders/2030-05-03/part-0.csv"}))
    assert done.outputs["items"] == 1
    assert set(objects(amazon, "orders/2030-05-03/")) == {"orders/2030-05-03/part-0.csv.md5"}


# --- pipelines -----------------------------------------------------------------------------------------


class Sagemaker:
    """SageMaker as its documentation describes it, where moto ends every execution at once."""

    def __init__(self, states: tuple[str, ...] = ("Executing", "Succeeded")) -> None:
        self.states = list(states)
        self.tokens: dict[str, str] = {}
        self.at: dict[str, str] = {}
        self.lies = False
        self.asked: list[tuple[str, Any]] = []

    def __call__(self, request: Any, body: Any) -> tuple[int, Any]:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        self.asked.append((operation, body))
        arn = body.get("PipelineExecutionArn", "")
        match operation:
            case "DescribePipeline" if body["PipelineName"] == "retrain":
                return 200, {"PipelineName": "retrain"}
            case "StartPipelineExecution":
                token = body["ClientRequestToken"]
                arn = self.tokens.setdefault(token, execution(len(self.tokens) + 1))
                self.at.setdefault(arn, self.states[0])
                return 200, {"PipelineExecutionArn": arn}
            case "DescribePipelineExecution":
                state = self.at[arn]
                if state in self.states[:-1]:
                    self.at[arn] = self.states[self.states.index(state) + 1]
                return 200, {
                    "PipelineExecutionArn": arn,
                    "PipelineExecutionStatus": state,
                    "FailureReason": "OOM",
                }
            case "ListPipelineExecutions":
                rows = [
                    {"PipelineExecutionArn": one, "PipelineExecutionStatus": at}
                    for one, at in self.at.items()
                ]
                return 200, {"PipelineExecutionSummaries": rows}
            case "StopPipelineExecution" | "RetryPipelineExecution":
                if not self.lies:
                    self.at[arn] = "Stopped" if operation.startswith("Stop") else "Executing"
                return 200, {"PipelineExecutionArn": arn}
        return 400, {"__type": "ResourceNotFound", "message": "Pipeline does not exist."}


def execution(number: int) -> str:
    return f"arn:aws:sagemaker:{REGION}:123456789012:pipeline/retrain/execution/e{number:011d}"


@pytest.fixture
def sagemaker(nearby: None) -> Iterator[Sagemaker]:
    made = Sagemaker()

    def handle(request: Any) -> None:
        status, answer = made(request, json.loads(seen[-1][3]))
        reply(status, json.dumps(answer).encode())(request)

    with server(handle) as (url, seen):
        connect("aws_account", "prod", {"region": REGION, "endpoint_url": url, **KEYS})
        yield made
    as_amazon_publishes(made.asked)


def as_amazon_publishes(asked: list[tuple[str, Any]]) -> None:
    """Every request has the shape that botocore's service model demands."""
    service = ServiceModel(create_loader().load_service_model("sagemaker", "service-2"), "sagemaker")
    for operation, body in asked:
        shape = service.operation_model(operation).input_shape
        report = ParamValidator().validate(body, shape)
        assert not report.has_errors(), report.generate_report()
        assert set(body) <= set(shape.members)


TRAIN = {"pipeline": "retrain", "parameters": {"days": 30}}


def test_a_pipeline_is_run_at_moto(amazon: str) -> None:
    run = acted("sagemaker_pipeline", TRAIN)
    assert run.state == "succeeded", run.reason
    arn = outputs(run)["execution"]
    found = account(amazon).ask("sagemaker", "DescribePipelineExecution", {"PipelineExecutionArn": arn})
    assert found["PipelineExecutionStatus"] == "Succeeded"


def test_an_execution_is_started_once_and_waited_for(sagemaker: Sagemaker) -> None:
    run = acted("sagemaker_pipeline", TRAIN)
    assert run.state == "succeeded", run.reason
    assert len(sagemaker.tokens) == 1
    started = [body for operation, body in sagemaker.asked if operation == "StartPipelineExecution"]
    assert [body["PipelineParameters"] for body in started] == [[{"Name": "days", "Value": "30"}]]
    assert step(run, "A-1").verified == {"state": "Succeeded"}


def test_a_try_whose_answer_was_lost_finds_its_execution(sagemaker: Sagemaker) -> None:
    first, second = (SagemakerPipeline().run(by_hand(**TRAIN, wait=True)) for _ in range(2))
    assert isinstance(first, Wait)
    assert isinstance(second, Done)
    assert len(sagemaker.tokens) == 1


def test_an_execution_that_fails_fails_the_step(sagemaker: Sagemaker) -> None:
    sagemaker.states = ["Executing", "Failed"]
    run = acted("sagemaker_pipeline", TRAIN)
    assert run.state == "failed"
    assert "is Failed: OOM" in run.reason


def test_an_execution_that_is_going_on_is_stopped_when_it_does_not_help(sagemaker: Sagemaker) -> None:
    sagemaker.states = ["Executing"]
    run = acted("sagemaker_pipeline", {**TRAIN, "wait": False}, helps=False)
    assert "Undone: A-1." in run.reason
    assert sagemaker.at == {execution(1): "Stopped"}


def test_an_execution_that_has_ended_is_not_taken_back_here(sagemaker: Sagemaker) -> None:
    run = acted("sagemaker_pipeline", TRAIN, helps=False)
    assert "Could NOT be undone, do it by hand: A-1" in run.reason


def test_retraining_is_stopped_and_resumed(sagemaker: Sagemaker) -> None:
    sagemaker.states = ["Executing"]
    sagemaker.at = {execution(7): "Executing", execution(6): "Succeeded"}
    run = acted("sagemaker_stop", {"pipeline": "retrain"}, helps=False)
    assert outputs(run)["stopped"] == [execution(7)]
    assert kept(run, "before.json") == {"running": [execution(7)]}
    assert "Undone: A-1." in run.reason
    assert sagemaker.at == {execution(7): "Executing", execution(6): "Succeeded"}


def test_a_stop_that_was_only_acknowledged_is_not_believed(sagemaker: Sagemaker) -> None:
    """The step looks again and again, and its deadline ends it: it is never done."""
    sagemaker.states, sagemaker.lies = ["Executing"], True
    sagemaker.at = {execution(7): "Executing"}
    assert isinstance(SagemakerStop().run(by_hand(pipeline="retrain")), Wait)
    with pytest.raises(ActionError, match="1 executions of retrain are going on"):
        SagemakerStop().verify(by_hand(pipeline="retrain"), {"pipeline": "retrain", "stopped": []})


def test_a_pipeline_that_is_not_there_is_said(sagemaker: Sagemaker) -> None:
    with pytest.raises(ActionError, match="Pipeline does not exist"):
        SagemakerPipeline().precheck(by_hand(pipeline="other"))
