"""dvc_lineage in a real Git repository with DVC: which data it is, who changed it when, and since what."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from incidents.models import AISystem, Dataset, Deployment, ModelVersion
from integrations.actions.dvc_lineage import DvcLineage
from integrations.connecting import connect
from playbooks.contract import ActionError, Done, StepContext
from tests import scenes
from tests.integrations.data_scenes import nearby
from tests.integrations.test_action_dvc_pin import BAD, FILE, GOOD, Work, original
from tests.peers import environment
from tests.playbooks.scenes import NOON

__all__ = ["nearby", "original"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nearby"), pytest.mark.timeout(180)]
GOOD_MD5, BAD_MD5 = (hashlib.md5(text.encode()).hexdigest() for text in (GOOD, BAD))


@pytest.fixture
def work(original: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Work:
    """Good data tagged audited-1, then bad data committed by Ann on top."""
    monkeypatch.setenv("PATH", f"{environment('dvc')}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(["cp", "-a", original, tmp_path / "repo"], check=True)
    settings.HOLDFAST_DATA_ROOTS = [tmp_path]
    connect("dvc_repository", "training-data", {"path": "repo"})
    return Work(tmp_path / "repo")


def credit(trained_on: str = "", **fields: Any) -> AISystem:
    system = scenes.system("credit", **fields)
    system.upstream.add(Dataset.objects.create(name="loan_applications", location=FILE))
    served = ModelVersion.objects.create(system=system, version="7", training_data=trained_on)
    Deployment.objects.create(
        system=system, version=served, endpoint="/credit", started_at=NOON - timedelta(days=9)
    )
    return system


def ran(system: AISystem | None, **params: Any) -> Done:
    incident = scenes.incident(system=system)
    incident.onset_at = NOON - timedelta(hours=1)
    return DvcLineage().run(StepContext(params, "k", NOON, incident, system, None, None))


def kept(done: Done) -> Any:
    return json.loads(done.exhibits[0].content)


def test_data_that_is_not_what_the_version_was_trained_on_is_named_with_who_changed_it(work: Work) -> None:
    done = ran(credit("audited-1"))
    assert done.verdict == "likely"
    assert done.outputs["changed"] == [FILE]
    [data] = kept(done)["data"]
    assert data["about"] == "loan_applications"
    assert (data["now"]["hashes"], data["now"]["author"], data["now"]["subject"]) == (
        [BAD_MD5],
        "Ann",
        "New data",
    )
    assert data["now"]["commit"] == work.call("git", "rev-parse", "HEAD").strip()
    assert data["reference"]["hashes"] == [GOOD_MD5]
    assert [one["subject"] for one in data["changes"]] == ["New data"]
    assert [one["tags"] for one in data["history"]] == [[], ["audited-1"]]
    assert data["now"]["outs"][0]["size"] == len(BAD)
    at = data["now"]["at"]
    assert abs((timezone.now() - datetime.fromisoformat(at)).total_seconds()) < 3600
    assert work.call("git", "status", "--porcelain") == ""


def test_the_hash_of_the_data_is_a_reference_as_well(work: Work) -> None:
    done = ran(credit(BAD_MD5))
    assert (done.verdict, done.outputs["changed"]) == ("refuted", [])
    assert kept(done)["data"][0]["changes"] == []


def test_data_that_the_system_reads_from_the_working_copy_is_found_by_its_settings(work: Work) -> None:
    system = scenes.system(
        "plain",
        data={"reference": "repo/data/train.csv", "current": "elsewhere.csv", "dvc_reference": "audited-1"},
    )
    done = ran(system)
    assert [one["about"] for one in kept(done)["data"]] == ["reference"]
    assert done.verdict == "likely"


def test_words_that_are_no_revision_leave_it_without_a_verdict(work: Work) -> None:
    done = ran(credit("the spring extract"))
    assert done.verdict is None
    assert "there is no reference" in done.summary


def test_one_that_is_not_in_the_repository_does_not_hide_the_other(work: Work) -> None:
    system = credit("audited-1")
    system.upstream.add(Dataset.objects.create(name="bureau", location="data/bureau.csv.dvc"))
    done = ran(system)
    assert len(kept(done)["data"]) == 1
    assert "data/bureau.csv.dvc is not in the repository repo" in done.outputs["problems"][0]
    with pytest.raises(ActionError, match="is not in the repository"):
        ran(None, files=["data/bureau.csv.dvc"])


@pytest.mark.parametrize("file", ["../other.csv.dvc", ".git/x.dvc", "data/train.csv", "--output=x.dvc"])
def test_names_lead_nowhere_else(work: Work, file: str) -> None:
    with pytest.raises(ActionError, match=r"is no \.dvc file of the repository|is not in the repository"):
        ran(None, files=[file])


def test_without_connection_or_data_the_step_is_skipped_with_the_reason(
    settings: Settings, tmp_path: Path
) -> None:
    assert "No dvc_repository connection is named" in ran(credit()).outputs["skipped"]
    settings.HOLDFAST_DATA_ROOTS = [tmp_path]
    (tmp_path / "repo").mkdir()
    connect("dvc_repository", "training-data", {"path": "repo"})
    assert "no data set upstream" in ran(None).outputs["skipped"]
