"""pull_context: Ann presses a button, everything that is connected is asked, and what it said is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from django.test import Client
from django.utils import timezone

from incidents.models import Evidence, Incident, SystemLink
from integrations.connecting import connect
from integrations.context import pull
from playbooks import engine, library
from playbooks.models import Playbook, Run
from tests import scenes
from tests.incidents.api import Caller
from tests.integrations.data_scenes import nearby
from tests.integrations.local import Seen, reply, server
from tests.integrations.test_action_elasticsearch_logs import Cluster
from tests.playbooks.scenes import step

__all__ = ["nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nearby")]
VERSION = {
    "name": "credit",
    "version": "7",
    "run_id": "r1",
    "status": "READY",
    "creation_timestamp": 1_900_000_000_000,
    "user_id": "dana",
}
RUN = {
    "info": {"run_name": "nightly <b>7</b>", "experiment_id": "1", "status": "FINISHED", "start_time": 1_900_000_000_000},
    "data": {
        "params": [{"key": "learning_rate", "value": "0.1"}], "metrics": [{"key": "recall", "value": 0.81}],
        "tags": [{"key": "mlflow.source.git.commit", "value": "c0ffee" * 6}, {"key": "mlflow.user", "value": "dana"}],
    },
    "inputs": {"dataset_inputs": [{"dataset": {"name": "labels", "digest": "d1"}}]},
}  # fmt: skip


@pytest.fixture
def outside() -> Iterator[tuple[str, Cluster]]:
    """One machine that is log cluster and model registry, and has no Prometheus."""
    cluster = Cluster(index="logs-*")
    seen: Seen = []
    answers = {
        "registered-models/alias": {"model_version": VERSION}, "runs/get": {"run": RUN},
        "registered-models/get": {"registered_model": {"aliases": [{"alias": "champion", "version": "7"}]}},
        "experiments/get": {"experiment": {"name": "credit-nightly"}},
    }  # fmt: skip

    def answer(request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        if path.endswith("/_search"):
            request.path = path.replace("%2A", "*")
            cluster(request, json.loads(seen[-1][3]))
        elif path.startswith("/api/2.0/mlflow/"):
            reply(200, json.dumps(answers[path.removeprefix("/api/2.0/mlflow/")]).encode())(request)
        else:
            reply(500, b"{}")(request)

    with server(answer) as (url, asked):
        seen = asked
        yield url, cluster


def credit(url: str) -> Incident:
    """Ann's incident on a system whose settings say what is connected."""
    connect("elasticsearch", "logs", {"base_url": url})
    connect("mlflow_server", "registry", {"base_url": url})
    connect("prometheus", "metrics", {"base_url": url})
    system = scenes.system(serving={"mlflow_endpoint": "models:/credit@champion", "metric": {"query": "psi"}})
    SystemLink.objects.create(
        system=system, kind="dashboard", title="Drift", url="https://g.example.org/d/psi"
    )
    return scenes.incident(system=system)


def lines(cluster: Cluster) -> None:
    at = timezone.now() - timedelta(minutes=5)
    cluster.documents = [
        {"@timestamp": (at + timedelta(seconds=n)).isoformat(timespec="milliseconds").replace("+00:00", "Z"), "message": "<i>late</i>", "log.level": "ERROR", "service.name": "credit-risk"}
        for n in range(3)
    ]  # fmt: skip


def done(run: Run) -> Run:
    engine.advance(run.pk)
    run.refresh_from_db()
    return run


def test_everything_connected_is_asked_and_what_fails_or_is_absent_is_told(
    outside: tuple[str, Cluster],
) -> None:
    lines(outside[1])
    incident = credit(outside[0])
    run = done(pull.pull(incident, by=incident.reported_by))
    assert run.state == "succeeded", run.reason
    outputs = step(run, "CX-01").outputs
    assert set(outputs["found"]) == {
        "Read the logs around the incident",
        "Where the model version comes from",
        "Link the dashboards",
    }
    assert (
        "Prometheus (GET /api/v1/query_range) answered 500"
        in outputs["failed"]["Read a metric around the incident"]
    )
    assert "No dvc_repository connection" in outputs["skipped"]["Where the data comes from"]
    kept = {row.name: row for row in Evidence.objects.filter(incident=incident)}
    assert sorted(kept) == ["dashboards.json", "logs.json", "logs.svg", "model-lineage.json"]
    for row in kept.values():
        assert row.sha256 == hashlib.sha256(bytes(row.content)).hexdigest()
        assert row.run_ref == f"{run.ref}/CX-01"


def test_a_person_presses_the_button_and_reads_what_was_found(
    client: Client, outside: tuple[str, Cluster]
) -> None:
    lines(outside[1])
    incident = credit(outside[0])
    client.force_login(incident.reported_by)
    page = incident.get_absolute_url()
    shown = client.get(page).content.decode()
    assert "Pull in context" in shown
    assert "https://g.example.org/d/psi?from=" in shown
    answer = client.post(f"{page}context/")
    assert (answer.status_code, answer["Location"]) == (302, f"{page}#context")
    assert "Pulling in" in client.get(page).content.decode()
    again = client.post(f"{page}context/")
    assert again.status_code == 409
    assert "already at work" in again.content.decode()
    done(Run.objects.get())
    shown = client.get(page).content.decode()
    assert "Where this version comes from" in shown
    assert "nightly &lt;b&gt;7&lt;/b&gt;" in shown
    assert "c0ffeec0ff" in shown
    assert "What the logs say" in shown
    assert "&lt;i&gt;late&lt;/i&gt;" in shown
    for row in Evidence.objects.filter(name__in=("logs.json", "model-lineage.json")):
        assert row.sha256 in shown


def test_who_may_not_see_evidence_is_shown_none_of_it(client: Client, outside: tuple[str, Cluster]) -> None:
    incident = credit(outside[0])
    done(pull.pull(incident, by=incident.reported_by))
    client.force_login(scenes.person("bo", "BO"))
    shown = client.get(incident.get_absolute_url()).content.decode()
    assert "Where this version comes from" not in shown
    assert f"{incident.get_absolute_url()}context/" not in shown


def test_the_api_pulls_and_tells_the_same(outside: tuple[str, Cluster]) -> None:
    incident = credit(outside[0])
    api = Caller(incident.reported_by, ("read", "write"))
    made = api.post(f"incidents/{incident.key}/context/", {})
    assert made.status_code == 201
    path = f"incidents/{incident.key}/context/"
    assert api.get(path).json()["run"] == made.json()["id"]
    done(Run.objects.get())
    found = api.get(path).json()
    assert [block["kind"] for block in found["blocks"]] == ["model", "logs"]
    assert found["run"] is None
    assert found["dashboards"][0]["title"] == "Drift"
    assert found["blocks"][0]["content"]["versions"][0]["run"]["name"] == "nightly <b>7</b>"


def test_a_file_that_somebody_keeps_under_that_name_is_not_read_as_context() -> None:
    incident = scenes.incident(system=scenes.system())
    Evidence.keep(incident, "model-lineage.json", b'{"versions": 5}', by=incident.reported_by)
    api = Caller(incident.reported_by, ("read",))
    assert api.get(f"incidents/{incident.key}/context/").json()["blocks"] == []


def test_the_playbook_for_it_is_published_when_it_is_first_needed_and_left_alone_then() -> None:
    first = library.ensure("pb-context")
    assert first.published is not None
    Playbook.objects.filter(pk=first.pk).update(active=False)
    assert library.ensure("pb-context").active is False
