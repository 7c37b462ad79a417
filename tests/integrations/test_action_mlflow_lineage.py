"""mlflow_lineage at a real MLflow server: the run, its data and commit, who promoted it, and what is otherwise now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from incidents import changes
from incidents.models import AISystem, Deployment, ModelVersion
from integrations.actions.mlflow_lineage import MlflowLineage
from integrations.connecting import connect
from playbooks.contract import ActionError, Done
from tests import scenes
from tests.integrations.data_scenes import nearby
from tests.peers.servers import mlflow_server

__all__ = ["nearby"]
pytestmark = [
    pytest.mark.django_db, pytest.mark.usefixtures("nearby"), pytest.mark.timeout(400), pytest.mark.xdist_group("mlflow"),
]  # fmt: skip
NOW = datetime(2030, 5, 6, 12, 0, tzinfo=UTC)
COMMIT = {"1": "a1" * 20, "2": "b2" * 20}


class Registry:
    """Dana trained two versions of `triage` from two sets of labels; version 2 is the champion."""

    def __init__(self, url: str) -> None:
        self.url = url
        experiment = self.post("experiments/create", name="triage-nightly")["experiment_id"]
        self.post("registered-models/create", name="triage")
        for number, digest, rate in (("1", "d1", "0.1"), ("2", "d2", "0.3")):
            self._version(experiment, number, digest, rate)
        self.post("model-versions/create", name="triage", source="s3://models/triage/by-hand")
        self.post("registered-models/alias", name="triage", alias="champion", version="2")
        self.post(
            "model-versions/set-tag", name="triage", version="1", key="approved_by", value="marc@example.org"
        )
        self.post("model-versions/set-tag", name="triage", version="1", key="approved_at", value="2030-03-01")

    def post(self, path: str, **body: Any) -> Any:
        answer = requests.post(f"{self.url}/api/2.0/mlflow/{path}", json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def _version(self, experiment: str, number: str, digest: str, rate: str) -> None:
        tags = {
            "mlflow.user": "dana", "mlflow.source.git.commit": COMMIT[number], "mlflow.source.git.branch": "main",
            "mlflow.source.name": "train.py",
        }  # fmt: skip
        run = self.post(
            "runs/create", experiment_id=experiment, run_name=f"nightly-{number}", start_time=1_900_000_000_000,
            tags=[{"key": key, "value": value} for key, value in tags.items()],
        )["run"]["info"]["run_id"]  # fmt: skip
        self.post(
            "runs/log-batch", run_id=run,
            params=[{"key": "learning_rate", "value": rate}, {"key": "api_token", "value": "tell-nobody"}],
            metrics=[{"key": "recall", "value": 0.8 + int(number) / 100, "timestamp": 1_900_000_000_000, "step": 0}],
        )  # fmt: skip
        self.post("runs/log-inputs", run_id=run, datasets=[{
            "tags": [{"key": "mlflow.data.context", "value": "training"}],
            "dataset": {"name": "labels", "digest": digest, "source_type": "s3", "source": '{"uri": "s3://labels"}'},
        }])  # fmt: skip
        self.post("runs/update", run_id=run, status="FINISHED", end_time=1_900_000_060_000)
        self.post("model-versions/create", name="triage", source=f"s3://models/triage/{number}", run_id=run)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder: Path = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder) as url:
        yield Registry(url)


def triage(registry: Registry, uri: str = "models:/triage/1", **serving: Any) -> AISystem:
    """The inventory says which version serves; the alias may say otherwise."""
    connect("mlflow_server", "registry", {"base_url": registry.url})
    system = scenes.system("triage", serving={"mlflow_endpoint": "models:/triage@champion", **serving})
    served = ModelVersion.objects.create(system=system, version="2030-03", registry_uri=uri)
    Deployment.objects.create(
        system=system, version=served, endpoint="/triage", started_at=NOW - timedelta(days=9)
    )
    return system


def ran(system: AISystem | None, **params: Any) -> Done:
    incident = SimpleNamespace(onset_at=NOW - timedelta(hours=2), detected_at=NOW)
    step: Any = SimpleNamespace(params=params, incident=incident, system=system, now=NOW)
    return MlflowLineage().run(step)


def kept(done: Done) -> Any:
    return json.loads(done.exhibits[0].content)


def test_the_version_that_served_is_traced_to_its_run_data_commit_and_approver(registry: Registry) -> None:
    done = ran(triage(registry))
    assert done.outputs["version"] == "1"
    assert (done.outputs["commit"], done.outputs["data"]) == (COMMIT["1"], ["labels@d1"])
    assert (done.outputs["promoted_by"], done.outputs["promoted_at"]) == ("marc@example.org", "2030-03-01")
    then, now = kept(done)["versions"]
    assert (then["when"], now["when"], now["version"], now["aliases"]) == (
        "at the onset",
        "now",
        "2",
        ["champion"],
    )
    assert then["run"]["name"] == "nightly-1"
    assert (then["run"]["by"], then["run"]["experiment"], then["run"]["status"]) == (
        "dana",
        "triage-nightly",
        "FINISHED",
    )
    assert then["run"]["started_at"] == "2030-03-17T17:46:40+00:00"
    assert (then["params"]["learning_rate"], then["metrics"]["recall"]) == ("0.1", 0.81)
    assert then["data"] == [
        {
            "name": "labels",
            "digest": "d1",
            "source_type": "s3",
            "source": '{"uri": "s3://labels"}',
            "context": "training",
        }
    ]
    assert then["created_at"]
    assert "tell-nobody" not in bytes(done.exhibits[0].content).decode()


def test_what_the_version_now_has_otherwise_is_listed(registry: Registry) -> None:
    differs = {
        (one["what"], one["name"]): (one["then"], one["now"])
        for one in kept(ran(triage(registry)))["differs"]
    }
    assert differs[("params", "learning_rate")] == ("0.1", "0.3")
    assert differs[("data", "labels")] == ("d1", "d2")
    assert differs[("git", "commit")] == (COMMIT["1"], COMMIT["2"])


def test_when_the_alias_moved_is_known_from_the_registrys_messages(registry: Registry) -> None:
    changes.keep(
        "connection:1", "k1", kind="registry", title="Alias moved", system="triage", version="2", by="mo@example.org",
        at=NOW - timedelta(days=2), labels={"alias": "champion", "action": "created"},
    )  # fmt: skip
    done = ran(triage(registry, uri=""))
    assert done.outputs["version"] == "2"
    assert done.outputs["promoted_by"] == "mo@example.org"
    assert done.outputs["promoted_at"].startswith("2030-05-04")
    [only] = kept(done)["versions"]
    assert only["promoted"]["how"] == "alias champion, as the registry told"


def test_one_version_then_and_now_is_told_once(registry: Registry) -> None:
    done = ran(triage(registry, uri="models:/triage/2"))
    assert [one["when"] for one in kept(done)["versions"]] == ["at the onset and now"]
    assert "who promoted it is not on record" in done.summary


def test_a_version_without_a_run_says_so(registry: Registry) -> None:
    done = ran(triage(registry), model="models:/triage/3")
    assert "was registered without a run" in done.summary
    assert kept(done)["versions"][0]["params"] == {}


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("models:/triage@nobody", "knows no triage@nobody"),
        ("models:/triage/77", "knows no triage 77"),
        ("triage", "names no model"),
    ],
)
def test_what_is_not_there_is_named(registry: Registry, model: str, says: str) -> None:
    with pytest.raises(ActionError, match=says):
        ran(triage(registry), model=model)


def test_without_connection_or_model_the_step_is_skipped_with_the_reason() -> None:
    assert "No mlflow_server connection is named" in ran(None, model="models:/triage/1").outputs["skipped"]
    assert "name a registered model" in ran(scenes.system("plain")).outputs["skipped"]
    assert "name a registered model" in ran(None).outputs["skipped"]
