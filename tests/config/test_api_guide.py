"""Every call in docs/api.md is made, by curl, against a running server, in the order in which it stands there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer

from incidents.models import ApiToken, Incident
from playbooks import publishing
from playbooks.models import Approval, Run, Step
from playbooks.perform import input_hash
from tests.processes import ROOT
from tests.scenes import ALL_ONES, CALM, person, system

PLAYBOOK = "playbook: pb-drift\ntitle: Look\nsteps:\n  - id: A\n    kind: human\n    title: Look\n    form:\n      - {name: found, kind: text}\n"


def calls() -> list[str]:
    guide = (ROOT / "docs" / "api.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", guide, re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("curl ")]


def world_of_the_guide() -> str:
    """INC-7 on a system, a run and an approval with the number 7, and a token of Ann's."""
    ann: Any = person("ann", "IC")
    seventh = Incident.objects.create(
        pk=7, title="Income drifts", incident_class="DRIFT", system=system("credit-risk")
    )
    seventh.assess(by=ann, impact=ALL_ONES, urgency=CALM)
    playbook = publishing.apply_text(PLAYBOOK, publish=True, note="First")[0].playbook
    run = Run.objects.create(
        pk=7,
        version=playbook.published,
        playbook=playbook,
        incident=seventh,
        state="asking",
        cursor={"next": "A"},
    )
    step = Step.objects.create(
        run=run, key="A", position=1, kind="approve", title="Look", state="asking", idempotency_key="k"
    )
    Approval.objects.create(
        pk=7,
        step=step,
        run=run,
        incident=seventh,
        kind="approve",
        prompt="?",
        risk="R2",
        input_hash=input_hash({}),
    )
    return ApiToken.issue(ann, "guide", ("read", "write", "act"))[1]


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_each_call_of_the_guide_does_what_it_says(live_server: LiveServer, tmp_path: Path) -> None:
    token = world_of_the_guide()
    refused = {}
    for call in calls():
        made = call.replace("http://127.0.0.1:8000", live_server.url).replace(
            "curl ", "curl -sS -w '\\n%{http_code}' ", 1
        )
        told = subprocess.run(
            ["bash", "-c", made], env={**os.environ, "TOKEN": token}, cwd=tmp_path, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        if not re.search(r"\n2\d\d$", told.stdout):
            refused[call] = told.stdout[-600:] + told.stderr
    assert refused == {}
    assert len(calls()) > 12
    assert (tmp_path / "INC-7.pdf").read_bytes().startswith(b"%PDF")
    assert Incident.objects.get(pk=7).state == "triaged"
