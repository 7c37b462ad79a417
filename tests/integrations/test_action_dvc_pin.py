"""dvc_pin in a real Git repository with DVC: poisoned data is replaced by the revision before, hash for hash."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from integrations.actions.dvc_pin import DvcPin
from integrations.connecting import BadSettings, connect
from integrations.platforms import dvc
from playbooks.contract import ActionError
from tests.integrations.data_scenes import acted, by_hand, kept, nearby, outputs
from tests.peers import environment
from tests.playbooks.scenes import step

__all__ = ["nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nearby"), pytest.mark.timeout(180)]
GOOD, BAD = "income,label\n1,0\n2,1\n", "income,label\n1,1\n2,0\n"
FILE = "data/train.csv.dvc"
PIN = {"file": FILE, "revision": "audited-1"}


class Work:
    """Ann's working copy: good data tagged audited-1, bad data committed after it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def call(self, *command: str) -> str:
        identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"] if command[0] == "git" else []
        whole = [command[0], *identity, *command[1:]]
        return subprocess.run(whole, cwd=self.path, check=True, capture_output=True, text=True).stdout

    def data(self, text: str, message: str) -> None:
        (self.path / "data" / "train.csv").unlink(missing_ok=True)
        (self.path / "data" / "train.csv").write_text(text)
        self.call("dvc", "add", "-q", "data/train.csv")
        self.call("git", "add", "data/.gitignore", FILE)
        self.call("git", "commit", "-q", "-m", message)

    @property
    def served(self) -> str:
        return (self.path / "data" / "train.csv").read_text()

    def log(self) -> list[str]:
        return self.call("git", "log", "--format=%s").splitlines()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as it is at the start of each test; made once, as DVC takes its time."""
    programs = f"{environment('dvc')}{os.pathsep}{os.environ['PATH']}"
    path = tmp_path_factory.mktemp("original") / "repo"
    (path / "data").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", programs)
        made = Work(path)
        made.call("git", "init", "-q", "-b", "main")
        made.call("dvc", "init", "-q")
        made.call("git", "commit", "-q", "-m", "Begin")
        made.data(GOOD, "Audited data")
        made.call("git", "tag", "audited-1")
        made.data(BAD, "New data")
    return path


@pytest.fixture
def work(original: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Work:
    monkeypatch.setenv("PATH", f"{environment('dvc')}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(["cp", "-a", original, tmp_path / "repo"], check=True)
    settings.HOLDFAST_DATA_ROOTS = [tmp_path]
    connect("dvc_repository", "training-data", {"path": "repo"})
    return Work(tmp_path / "repo")


def test_data_is_pinned_to_the_revision_before_and_compared(work: Work) -> None:
    run = acted("dvc_pin", PIN)
    assert run.state == "succeeded", run.reason
    assert work.served == GOOD
    md5 = hashlib.md5(GOOD.encode()).hexdigest()
    assert step(run, "A-1").verified == {"md5": md5}
    assert work.log()[:2] == [f"Pin {FILE} to audited-1 for {run.incident.key}", "New data"]
    assert work.call("git", "status", "--porcelain") == ""
    assert "md5" in kept(run, "before.json")["pointer"]
    assert outputs(run)["before"] == work.call("git", "rev-parse", "HEAD~1").strip()


def test_what_did_not_help_is_taken_back_by_a_commit_on_top(work: Work) -> None:
    run = acted("dvc_pin", PIN, helps=False)
    assert "Undone: A-1." in run.reason
    assert work.served == BAD
    assert len(work.log()) == 5
    assert work.log()[0] == f"Unpin {FILE}"


def test_a_repeated_try_makes_no_second_commit(work: Work) -> None:
    first = DvcPin().run(by_hand(**PIN))
    assert DvcPin().run(by_hand(**PIN)).outputs["commit"] == first.outputs["commit"]
    assert len(work.log()) == 4


def test_data_that_changes_after_the_pin_is_noticed(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    run_it = DvcPin.run

    def and_spoilt(self: DvcPin, ctx: object) -> object:
        done = run_it(self, ctx)  # type: ignore[arg-type]
        (work.path / "data" / "train.csv").unlink()
        (work.path / "data" / "train.csv").write_text(BAD)
        return done

    monkeypatch.setattr(DvcPin, "run", and_spoilt)
    run = acted("dvc_pin", PIN)
    assert run.state == "failed"
    assert "differs from its .dvc file" in run.reason


def test_data_that_dvc_no_longer_has_leaves_everything_as_it_was(work: Work) -> None:
    digest = hashlib.md5(GOOD.encode()).hexdigest()
    (work.path / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]).unlink()
    with pytest.raises(ActionError, match="run `dvc fetch` there"):
        DvcPin().run(by_hand(**PIN))
    assert work.served == BAD
    assert work.call("git", "status", "--porcelain") == ""
    assert len(work.log()) == 3


def test_work_of_others_is_not_lost(work: Work) -> None:
    (work.path / "data" / "train.csv").unlink()
    (work.path / "data" / "train.csv").write_text("Ann tries something")
    with pytest.raises(ActionError, match="changes that are not committed"):
        DvcPin().precheck(by_hand(**PIN))
    work.call("git", "checkout", "-q", "-b", "try")
    with pytest.raises(ActionError, match="is on the branch try, not on main"):
        DvcPin().precheck(by_hand(**PIN))


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"revision": "--upload-pack=x"}, "is no revision"),
        ({"revision": "audited-9"}, "git refused"),
        ({"file": "../other.csv.dvc"}, "is no .dvc file of the repository"),
        ({"file": "data/train.csv"}, "is no .dvc file of the repository"),
        ({"file": ".git/x.dvc"}, "is no .dvc file of the repository"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_changed(
    work: Work, params: dict[str, str], says: str
) -> None:
    with pytest.raises(ActionError, match=says):
        DvcPin().precheck(by_hand(**{**PIN, **params}))
    assert len(work.log()) == 3


def test_a_repository_outside_of_the_data_folders_is_refused(work: Work) -> None:
    connect("dvc_repository", "training-data", {"path": "../../elsewhere"})
    with pytest.raises(ActionError, match="does not lie in one of the data folders"):
        DvcPin().precheck(by_hand(**PIN))


def test_hooks_of_the_repository_do_not_run_and_secrets_are_not_passed_on(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = work.path / ".git" / "hooks" / "post-commit"
    hook.write_text("#!/bin/sh\ntouch hooked\n")
    hook.chmod(0o755)
    assert "HOLDFAST_SECRET_KEY" in os.environ
    assert "HOLDFAST_SECRET_KEY" not in dvc.KEPT
    DvcPin().run(by_hand(**PIN))
    assert not (work.path / "hooked").exists()


def test_a_worker_without_dvc_says_so(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(ActionError, match="There is no program dvc where the workers run"):
        DvcPin().precheck(by_hand(**PIN))


def test_an_author_is_a_name_with_an_address() -> None:
    with pytest.raises(BadSettings, match="Name <address>"):
        connect("dvc_repository", "x", {"path": "repo", "author": "Ann"})
