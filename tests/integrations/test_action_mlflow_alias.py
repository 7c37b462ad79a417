"""mlflow_alias at a real MLflow server: the alias moves back, what serves changes, and a liar is caught."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests

from incidents import changes
from incidents.models import AISystem, ModelVersion
from integrations.actions.mlflow_alias import MlflowAlias
from integrations.connecting import connect
from playbooks import approvals, shelf
from playbooks.contract import ActionError, Done
from tests import scenes
from tests.integrations.data_scenes import NOON, to_the_end
from tests.integrations.local import reply, server
from tests.integrations.traffic_scenes import by_hand, contained, nearby, roll_back, state_before
from tests.peers.servers import mlflow_server
from tests.playbooks.scenes import advance, asked, started, step

__all__ = ["nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.timeout(400), pytest.mark.xdist_group("mlflow")]
API = "/api/2.0/mlflow"
CHAMPION = "models:/triage@champion"


@dataclass
class Registry:
    """A registry where version 2 of `triage` was poisoned and is the champion."""

    url: str

    def post(self, path: str, **body: Any) -> Any:
        answer = requests.post(f"{self.url}{API}/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def champion(self) -> str:
        answer = requests.get(
            f"{self.url}{API}/registered-models/alias", {"name": "triage", "alias": "champion"}, timeout=30
        )
        return str(answer.json()["model_version"]["version"])


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder: Path = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder) as url:
        registry = Registry(url)
        registry.post("registered-models/create", name="triage")
        for version in (1, 2):
            registry.post("model-versions/create", name="triage", source=f"s3://models/triage/{version}")
        yield registry


@pytest.fixture
def registry(mlflow: Registry, nearby: None) -> Registry:
    mlflow.post("registered-models/alias", name="triage", alias="champion", version="2")
    return mlflow


@pytest.fixture
def serving(registry: Registry) -> Iterator[str]:
    """A service that resolves the alias for each request; the poisoned version sends the sick home."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        version = registry.champion()
        body = {"model": {"version": version}, "decision": "admit" if version == "1" else "send home"}
        reply(200, json.dumps(body).encode())(request)

    with server(answer) as (url, _):
        yield url


def triage(registry_url: str, serving: str = "") -> AISystem:
    connect("mlflow_server", "registry", {"base_url": registry_url})
    asked = {"version_url": f"{serving}/version", "version_field": "model.version"} if serving else {}
    return scenes.system("triage", serving={"platform": "mlflow", "endpoint": CHAMPION, **asked})


def decision(serving: str) -> str:
    return str(requests.get(f"{serving}/score", timeout=30).json()["decision"])


def test_the_alias_moves_back_and_what_serves_changes(registry: Registry, serving: str) -> None:
    assert decision(serving) == "send home"
    run = roll_back(triage(registry.url, serving), "mlflow_alias", {"version": "1"})
    assert run.state == "succeeded", run.reason
    assert registry.champion() == "1"
    assert decision(serving) == "admit"
    assert step(run, "T-1").verified == {"shares": {"1": 100}, "served": "1"}
    assert state_before(run) == {
        "shares": {"2": 100},
        "raw": {"source": "s3://models/triage/2"},
        "served": "2",
    }
    assert contained(run)


def test_what_did_not_help_is_taken_back(registry: Registry, serving: str) -> None:
    run = roll_back(triage(registry.url, serving), "mlflow_alias", {"version": "v1"}, helps=False)
    assert "Undone: T-1." in run.reason
    assert registry.champion() == "2"
    assert decision(serving) == "send home"


def test_a_server_that_says_yes_and_does_nothing_is_caught(registry: Registry) -> None:
    """A proxy in between answers every change itself."""

    def lie(request: BaseHTTPRequestHandler) -> None:
        if request.command == "GET":
            answer = requests.get(registry.url + request.path, timeout=30)
            reply(answer.status_code, answer.content)(request)
        else:
            reply(200, b"{}")(request)

    with server(lie) as (proxy, seen):
        run = roll_back(triage(proxy), "mlflow_alias", {"version": "1"})
    assert [path for method, path, _, _ in seen if method == "POST"] == [f"{API}/registered-models/alias"]
    assert run.state == "failed"
    assert (
        "could not be read back: MLflow alias triage@champion shows 2 100 %, expected 1 100 %" in run.reason
    )
    assert registry.champion() == "2"
    assert not contained(run)


def test_an_alias_that_moved_without_changing_what_serves_is_no_containment(registry: Registry) -> None:
    """The service resolved the alias when it started and keeps its model."""
    with server(reply(200, b'{"model": {"version": "2"}}')) as (stubborn, _):
        run = roll_back(triage(registry.url, stubborn), "mlflow_alias", {"version": "1"})
    assert registry.champion() == "1"
    assert "the serving side answers with version 2, expected 1 100 %" in run.reason
    assert not contained(run)


def test_a_version_that_is_gone_is_noticed_before_anybody_is_asked(registry: Registry) -> None:
    run = roll_back(triage(registry.url), "mlflow_alias", {"version": "7"})
    assert run.state == "failed"
    assert "triage@champion has no version 7 (any more)" in run.reason
    assert registry.champion() == "2"


def test_shift_traffic_finds_the_registry_by_the_system(registry: Registry, serving: str) -> None:
    run = roll_back(triage(registry.url, serving), "shift_traffic", {"version": "1"})
    assert run.state == "succeeded", run.reason
    assert decision(serving) == "admit"


FIND_AND_GO_BACK = """
- {id: F-1, kind: auto, title: Where to, action: find_rollback_target}
- id: F-2
  kind: auto
  title: Go back
  action: shift_traffic
  with: {version: "{{ steps.F-1.version }}"}
  approve: {roles: [IC]}
  mark: contained
"""


def test_the_way_back_is_found_in_the_registrys_lineage_and_taken(
    registry: Registry, serving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inventory calls versions by month, the registry by number; both moves of the alias were told."""
    monkeypatch.setattr(type(shelf.action("find_rollback_target")), "timeout", 0)
    system = triage(registry.url, serving)
    for number, month in (("1", "2030-03"), ("2", "2030-04")):
        uri = f"models:/triage/{number}"
        ModelVersion.objects.create(system=system, version=month, registry_uri=uri, approved=True)
        changes.keep(
            "connection:1", number, kind="registry", title="Alias moved", system="triage", version=number,
            at=NOON - timedelta(days=30 - int(number)), labels={"alias": "champion", "action": "created"},
        )  # fmt: skip
    run = advance(started(FIND_AND_GO_BACK, incident=scenes.incident(severity=2, system=system)))
    approvals.decide(asked(run), scenes.person("ida", "IC"), True, "Version 2 was poisoned.")
    run = to_the_end(run)
    assert run.state == "succeeded", run.reason
    assert step(run, "F-1").outputs["version"] == "2030-03"
    assert registry.champion() == "1"
    assert decision(serving) == "admit"
    assert contained(run)


def test_an_alias_that_is_not_set_is_named(registry: Registry) -> None:
    with pytest.raises(ActionError, match="no MLflow alias triage@nobody"):
        MlflowAlias().precheck(by_hand(triage(registry.url), version="1", endpoint="triage@nobody"))


def test_an_alias_cannot_split_traffic(registry: Registry) -> None:
    ctx = by_hand(triage(registry.url), shares={"1": 50, "2": 50})
    with pytest.raises(ActionError, match="cannot split"):
        MlflowAlias().run(ctx)


def test_a_second_try_goes_back_to_the_same_effect(registry: Registry) -> None:
    ctx = by_hand(triage(registry.url), version="models:/triage/1")
    for _ in range(2):
        done = MlflowAlias().run(ctx)
        assert isinstance(done, Done)
        assert MlflowAlias().verify(ctx, done.outputs)["shares"] == {"1": 100}
    assert registry.champion() == "1"
