"""A real Airflow: a DAG is run and waited for, retraining is paused, and both are read back by the engine."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from integrations.connecting import connect
from playbooks import approvals
from playbooks.models import Run
from tests import scenes
from tests.integrations.data_scenes import ACT, nearby, outputs
from tests.peers import environment
from tests.playbooks.scenes import advance, asked, started, step
from tests.processes import Process, free_port, wait_until

__all__ = ["nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nearby"), pytest.mark.timeout(300)]

DAGS = """
from datetime import datetime

from airflow.sdk import dag, get_current_context, task

ALWAYS = dict(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, is_paused_upon_creation=False)


@dag(**ALWAYS)
def backfill():
    @task
    def recompute():
        return get_current_context()["dag_run"].conf["day"]

    recompute()


@dag(**ALWAYS)
def broken():
    @task
    def recompute():
        raise ValueError("there is no such day")

    recompute()


backfill()
broken()
"""


#: a busy machine may let a request wait too long; the next try finds what it did
PATIENT = ACT.replace("count: 0", "count: 5, backoff: 1s")


class Airflow:
    """Its web server, scheduler and worker; everyone is administrator."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.headers = {
            "Authorization": f"Bearer {requests.get(f'{url}/auth/token', timeout=10).json()['access_token']}"
        }

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.url}/api/v2/{path}", headers=self.headers, timeout=10)


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    home, port = tmp_path_factory.mktemp("airflow"), free_port()
    (home / "dags").mkdir()
    (home / "dags" / "both.py").write_text(textwrap.dedent(DAGS))
    programs, url = environment("airflow"), f"http://127.0.0.1:{port}"
    env = _surroundings(home, programs, url, port)
    with Process([programs / "airflow", "db", "migrate"], cwd=home, env=env) as made:
        assert made.wait(120) == 0, made.output[-2000:]
    with Process([programs / "airflow", "standalone"], cwd=home, env=env) as process:

        def ready() -> bool:
            assert process.running, process.output[-4000:]
            try:
                return Airflow(url).get("dags/broken").ok
            except requests.RequestException:
                return False  # it is still starting

        wait_until(ready, 180, "Airflow knows the DAG", interval=1)
        yield Airflow(url)


def _surroundings(home: Path, programs: Path, url: str, port: int) -> dict[str, str]:
    return {
        "HOME": str(home),
        "PATH": f"{programs}:/usr/bin:/bin",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
    }


def acted(airflow: Airflow, action: str, params: dict[str, Any], *, helps: bool = True) -> Run:
    """As people and workers do it, in real time: a look at the run each second."""
    connect("airflow", "pipelines", {"base_url": airflow.url, "username": "holdfast", "password": "any"})
    incident = scenes.incident(severity=2)
    if not helps:
        type(incident).objects.filter(pk=incident.pk).update(firing_count=1)
    run = advance(started(PATIENT.format(action=action, params=json.dumps(params)), incident=incident))
    approvals.decide(asked(run), scenes.person("ida", "IC"), True, "The batch is bad.")
    for look in range(60):
        run = advance(run, after=timedelta(minutes=10 * look))
        if run.state in ("succeeded", "failed"):
            break
        time.sleep(1)
    return run


def test_a_dag_is_run_with_its_configuration_and_waited_for(airflow: Airflow) -> None:
    run = acted(airflow, "airflow_run", {"dag": "backfill", "conf": {"day": "2030-05-02"}})
    assert run.state == "succeeded", run.reason
    found = airflow.get(f"dags/backfill/dagRuns/{outputs(run)['run']}").json()
    assert (found["state"], found["conf"]) == ("success", {"day": "2030-05-02"})
    assert found["note"] == f"Holdfast {run.incident.key}, {run.ref}"
    assert step(run, "A-1").verified["end"] == found["end_date"]


def test_a_dag_run_that_fails_fails_the_step(airflow: Airflow) -> None:
    run = acted(airflow, "airflow_run", {"dag": "broken"})
    assert run.state == "failed"
    assert "of broken failed. See its log in Airflow" in run.reason


def test_a_pause_is_read_back_and_taken_back_when_it_did_not_help(airflow: Airflow) -> None:
    run = acted(airflow, "airflow_pause", {"dag": "broken"}, helps=False)
    assert step(run, "A-1").verified == {"paused": True}
    assert "Undone: A-1." in run.reason
    assert airflow.get("dags/broken").json()["is_paused"] is False
