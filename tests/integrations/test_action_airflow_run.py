"""airflow_run and airflow_pause at an Airflow of our own making, and held against Airflow's specification."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote

import pytest

from integrations.actions import airflow_run
from integrations.actions.airflow_pause import AirflowPause
from integrations.actions.airflow_run import AirflowRun
from integrations.connecting import BadSettings, connect
from playbooks.contract import ActionError, Done
from tests.integrations.data_scenes import acted, by_hand, kept, nearby, outputs
from tests.integrations.local import reply, server
from tests.integrations.prism import prism
from tests.playbooks.scenes import step

__all__ = ["nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nearby")]
BACKFILL = {"dag": "backfill", "conf": {"day": "2030-05-02"}}


@dataclass
class Airflow:
    """DAGs and their runs; each look at a run takes it one state further."""

    paused: dict[str, bool] = field(default_factory=lambda: {"backfill": False, "retrain": False})
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    states: tuple[str, ...] = ("queued", "running", "success")
    lies: bool = False
    loses_answers: int = 0
    started: list[Any] = field(default_factory=list)
    signed: set[str] = field(default_factory=set)

    def handle(self, request: BaseHTTPRequestHandler, body: Any) -> tuple[int, Any]:
        path = [unquote(part) for part in request.path.partition("?")[0].strip("/").split("/")]
        if path == ["auth", "token"]:
            return (201, {"access_token": "s3cr3t-jwt"}) if body["password"] == "right" else (401, {})
        self.signed.add(request.headers["Authorization"])
        match request.command, path[2:]:
            case "GET", ["dags", dag] if dag in self.paused:
                return 200, {"dag_id": dag, "is_paused": self.paused[dag]}
            case "PATCH", ["dags", dag]:
                if not self.lies:
                    self.paused[dag] = body["is_paused"]
                return 200, {"dag_id": dag, "is_paused": body["is_paused"]}
            case "POST", ["dags", dag, "dagRuns"]:
                self.started.append(body)
                if body["dag_run_id"] in self.runs:
                    return 409, {"detail": "Unique constraint violation"}
                if not self.lies:
                    self.runs[body["dag_run_id"]] = {**body, "dag_id": dag, "looks": 0}
                if self.loses_answers:
                    self.loses_answers -= 1
                    return 502, {}
                return 200, body
            case "GET", ["dags", _, "dagRuns", run] if run in self.runs:
                found = self.runs[run]
                state = found.get("state") or self.states[min(found["looks"], len(self.states) - 1)]
                found["looks"] += 1
                return 200, {"dag_run_id": run, "conf": found["conf"], "state": state}
            case "PATCH", ["dags", _, "dagRuns", run]:
                self.runs[run]["state"] = body["state"]
                return 200, {}
        return 404, {"detail": "not found"}


@contextmanager
def airflow(**settings: Any) -> Iterator[Airflow]:
    made = Airflow()

    def handle(request: BaseHTTPRequestHandler) -> None:
        status, answer = made.handle(request, json.loads(seen[-1][3] or b"null"))
        reply(status, json.dumps(answer).encode())(request)

    with server(handle) as (url, seen):
        account = settings or {"username": "holdfast", "password": "right"}
        connect("airflow", "pipelines", {"base_url": url, **account})
        yield made


def test_a_dag_is_run_once_and_waited_for() -> None:
    with airflow() as made:
        run = acted("airflow_run", BACKFILL)
        assert run.state == "succeeded", run.reason
        key = step(run, "A-1").idempotency_key
        assert list(made.runs) == [key]
        assert made.runs[key]["conf"] == {"day": "2030-05-02"}
        assert made.runs[key]["note"] == f"Holdfast {run.incident.key}, {run.ref}"
        assert made.signed == {"Bearer s3cr3t-jwt"}
        assert len(made.started) == 1
    assert outputs(run)["state"] == "success"
    assert step(run, "A-1").verified["state"] == "success"


def test_a_dag_run_that_fails_fails_the_step() -> None:
    with airflow() as made:
        made.states = ("running", "failed")
        run = acted("airflow_run", BACKFILL)
    assert run.state == "failed"
    assert "of backfill failed. See its log in Airflow" in run.reason


def test_a_try_whose_answer_was_lost_starts_no_second_run() -> None:
    with airflow() as made:
        made.loses_answers = 1
        with pytest.raises(ActionError, match="502") as caught:
            AirflowRun().run(by_hand(**BACKFILL, wait=False))
        assert caught.value.retryable
        assert isinstance(AirflowRun().run(by_hand(**BACKFILL, wait=False)), Done)
        assert len(made.started) == 1


def test_an_airflow_that_says_yes_and_starts_nothing_is_caught() -> None:
    with airflow() as made:
        made.lies = True
        run = acted("airflow_run", BACKFILL)
    assert run.state == "failed"
    assert "could not be read back: Airflow took the run" in run.reason


def test_a_run_that_is_still_going_is_cancelled_when_it_does_not_help() -> None:
    with airflow() as made:
        made.states = ("running",)
        run = acted("airflow_run", {**BACKFILL, "wait": False}, helps=False)
        assert "Undone: A-1." in run.reason
        assert [one["state"] for one in made.runs.values()] == ["failed"]


def test_a_run_that_has_ended_is_taken_back_by_the_dag_that_is_named() -> None:
    with airflow() as made:
        made.states = ("running", "success")
        run = acted("airflow_run", {**BACKFILL, "undo_dag": "retrain"}, helps=False)
        assert "Undone: A-1." in run.reason
        key = step(run, "A-1").idempotency_key
        assert made.runs[f"{key}-undo"]["conf"] == {"day": "2030-05-02", "undoes": key}
        assert made.runs[f"{key}-undo"]["dag_id"] == "retrain"


def test_a_run_that_has_ended_and_cannot_be_taken_back_is_named() -> None:
    with airflow():
        run = acted("airflow_run", BACKFILL, helps=False)
    assert "Could NOT be undone, do it by hand: A-1" in run.reason


def test_undoing_gives_up_waiting_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_run, "UNDO_SECONDS", 0)
    with airflow() as made:
        made.runs["x"] = {"conf": {}, "state": "success", "looks": 0}
        made.states = ("running",)
        with pytest.raises(ActionError, match="retrain is still running") as caught:
            AirflowRun().undo(
                by_hand(**BACKFILL, undo_dag="retrain"), {"dag": "backfill", "run": "x", "conf": {}}
            )
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("params", "says"),
    [({"dag": "nothing"}, "404"), ({"connection": "other"}, "no airflow connection 'other'")],
)
def test_what_cannot_work_is_said_before_anything_is_started(params: dict[str, str], says: str) -> None:
    with airflow() as made:
        with pytest.raises(ActionError, match=says):
            AirflowRun().precheck(by_hand(**{**BACKFILL, **params}))
        made.paused["backfill"] = True
        with pytest.raises(ActionError, match="backfill is paused, so a run would never start"):
            AirflowRun().precheck(by_hand(**BACKFILL))
        assert made.started == []


def test_a_wrong_password_is_said_and_not_shown() -> None:
    with (
        airflow(username="holdfast", password="wr0ng-s3cr3t"),
        pytest.raises(ActionError, match="401") as caught,
    ):
        AirflowPause().precheck(by_hand(dag="retrain"))
    assert "wr0ng" not in str(caught.value)


def test_an_account_is_needed() -> None:
    with pytest.raises(BadSettings, match="give a token, or user and password"):
        connect("airflow", "x", {"base_url": "https://airflow.example.org"})


def test_retraining_is_paused_and_goes_on_when_that_did_not_help() -> None:
    with airflow() as made:
        run = acted("airflow_pause", {"dag": "retrain"})
        assert run.state == "succeeded", run.reason
        assert made.paused["retrain"] is True
    assert kept(run, "before.json") == {"paused": False}
    assert step(run, "A-1").verified == {"paused": True}


def test_a_pause_is_taken_back() -> None:
    with airflow() as made:
        run = acted("airflow_pause", {"dag": "retrain"}, helps=False)
        assert "Undone: A-1." in run.reason
        assert made.paused["retrain"] is False


def test_a_pause_that_was_only_acknowledged_is_caught() -> None:
    with airflow() as made:
        made.lies = True
        run = acted("airflow_pause", {"dag": "retrain"})
    assert run.state == "failed"
    assert "The DAG retrain should be paused, and Airflow shows otherwise" in run.reason


def test_airflow_2_is_spoken_to_in_its_own_way() -> None:
    with airflow(version="2", username="holdfast", password="right") as made:
        run = acted("airflow_run", BACKFILL)
        assert run.state == "succeeded", run.reason
        assert "logical_date" not in made.started[0]
        assert made.signed == {f"Basic {base64.b64encode(b'holdfast:right').decode()}"}


def test_requests_are_what_airflow_specifies() -> None:
    """A mock of the published specification refuses what does not fit it, with 422."""
    with prism("airflow/outbound/airflow_v2_3.3.openapi.trimmed.json") as url:
        connect("airflow", "mock", {"base_url": url, "token": "a-token-of-the-mock"})
        run = AirflowRun().run(by_hand(**BACKFILL, wait=False))
        assert isinstance(run, Done)
        AirflowPause().precheck(by_hand(dag="retrain"))
        assert AirflowPause().run(by_hand(dag="retrain", paused=True)).outputs["paused"] is True
