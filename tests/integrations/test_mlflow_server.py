"""A real MLflow server tells its registry's changes: signed, once, and kept as what changed before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from incidents.models import Change
from integrations.inbox import receive, writer
from integrations.inbox.drain import drain
from integrations.models import InboxMessage
from tests import scenes
from tests.integrations.inbound import Monitor, knock, monitor
from tests.integrations.local import Seen, reply, server
from tests.peers.servers import mlflow_server
from tests.processes import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(400),
    pytest.mark.xdist_group("mlflow"),
]
SECRET = "a-secret-of-the-registry"


def test_a_real_server_reports_promotion_and_roll_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the address of the test is neither public nor https, which MLflow refuses otherwise
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
    triage = scenes.system("triage")
    own = writer.Writer()
    monkeypatch.setattr(receive, "writer", own)
    registry = monitor("mlflow", secret=f"an-older-secret,{SECRET}")
    with mlflow_server(tmp_path) as url, server(reply(202)) as (address, seen):

        def post(path: str, **body: Any) -> Any:
            answer = requests.post(f"{url}/api/2.0/mlflow/{path}", json=body, timeout=30)
            assert answer.ok, answer.text
            return answer.json()

        events = [
            {"entity": entity, "action": action}
            for entity, action in (
                ("REGISTERED_MODEL", "CREATED"),
                ("MODEL_VERSION", "CREATED"),
                ("MODEL_VERSION_ALIAS", "CREATED"),
            )
        ]
        made = post("webhooks", name="holdfast", url=f"{address}/inbound/", secret=SECRET, events=events)
        post(f"webhooks/{made['webhook']['webhook_id']}/test")
        post("registered-models/create", name="triage")
        for version in ("1", "2"):
            post("model-versions/create", name="triage", source=f"s3://models/triage/{version}")
        for version in ("1", "2", "1"):
            post("registered-models/alias", name="triage", alias="champion", version=version)
        wait_until(lambda: len(seen) == 7, 60, "MLflow has sent its seven messages", interval=0.1)
        arrive(seen, registry)
    assert own.stop()
    assert InboxMessage.objects.count() == 6, "the trial is answered and not kept; repetitions are kept once"
    assert drain() == 6
    told = [change.title for change in Change.objects.order_by("at", "id")]
    assert told == [
        "Model triage was created",
        "Version 1 of model triage was created",
        "Version 2 of model triage was created",
        "Alias champion of model triage points to version 1",
        "Alias champion of model triage points to version 2",
        "Alias champion of model triage points to version 1",
    ]
    assert {(change.kind, change.system) for change in Change.objects.all()} == {("registry", triage)}


def arrive(seen: Seen, registry: Monitor) -> None:
    """What the server sent, knocking at the front door: as it was, again, and forged."""
    for method, _, headers, body in seen:
        signed = {name: value for name, value in headers.items() if name.startswith("x-mlflow")}
        first = knock(registry.path, body, method, headers=signed)
        if b"example_model" in body:
            assert first.status == 200
            continue
        again = knock(registry.path, body, method, headers=signed)
        assert first.receipt == again.receipt
        forged = knock(registry.path, body.replace(b"triage", b"fraud1"), method, headers=signed)
        assert forged.status == 401
        assert SECRET.encode() not in forged.body
