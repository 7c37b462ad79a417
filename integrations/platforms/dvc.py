"""Works in a Git repository with DVC: fixed commands with a time limit, no shell, no hooks, no network."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from integrations.platforms.account import account_of
from integrations.platforms.folder import confined
from playbooks.contract import ActionError, StepContext, Unverified

SECONDS = 240
#: what the programs see of the surroundings: nothing secret
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,200}")


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit that changed a data set: who, when (ISO 8601), why, and what the data was then."""

    commit: str
    author: str
    email: str
    at: str
    tags: tuple[str, ...]
    subject: str
    outs: list[dict[str, Any]]

    @property
    def hashes(self) -> list[str]:
        return [str(one["hash"]) for one in self.outs]


@dataclass(frozen=True, slots=True)
class Repository:
    """A working copy on the branch that pipelines read."""

    path: Path
    branch: str
    author: str

    def check(self) -> None:
        """Raise ActionError when the working copy is not on its branch."""
        top = Path(self.git("rev-parse", "--show-toplevel").strip()).resolve()
        if top != self.path:
            raise ActionError(
                f"{self.path} is not the top of a Git repository ({top} is): correct the connection."
            )
        branch = self.git("rev-parse", "--abbrev-ref", "HEAD").strip()
        if branch != self.branch:
            raise ActionError(
                f"{self.path} is on the branch {branch}, not on {self.branch}: switch it, then retry."
            )

    def commit_of(self, revision: str) -> str:
        """The commit that a tag, branch or abbreviation names. Raises ActionError."""
        if not _REVISION.fullmatch(revision):
            raise ActionError(f"{revision!r} is no revision: give a tag, a branch or a commit.")
        return self.git(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
        ).strip()

    def pointer(self, commit: str, file: str) -> str:
        """The text of a .dvc file at a commit. Raises ActionError."""
        return self.git("show", f"{commit}:{self.named(file)}")

    def exists(self, commit: str, file: str) -> bool:
        """Whether the file is there at a commit."""
        return bool(self.git("ls-tree", "--name-only", commit, "--", self.named(file)).strip())

    def history(self, file: str, count: int) -> list[Revision]:
        """The newest commits on the branch that changed a .dvc file, the newest first. Raises ActionError."""
        written = self.git(
            "log",
            f"-{count}",
            "--format=%H%x1f%an%x1f%ae%x1f%aI%x1f%D%x1f%s",
            self.branch,
            "--",
            self.named(file),
        )
        rows = [line.split("\x1f", 5) for line in written.splitlines() if line.count("\x1f") >= 5]
        return [
            Revision(commit, name, mail, at, tuple(_tags(refs)), subject, self.outs(commit, file))
            for commit, name, mail, at, refs, subject in rows
        ]

    def outs(self, commit: str, file: str) -> list[dict[str, Any]]:
        """[{"path", "hash", "size"}] that a .dvc file names at a commit; empty where it is not there."""
        if not self.exists(commit, file):
            return []
        try:
            pointer = yaml.safe_load(self.pointer(commit, file))
            rows = [one for one in pointer["outs"] if isinstance(one, dict)]
        except (yaml.YAMLError, KeyError, TypeError) as error:
            raise ActionError(f"{file} at {commit[:12]} is no .dvc file: {error}") from error
        return [
            {
                "path": str(one.get("path") or ""),
                "hash": str(one.get(str(one.get("hash") or "md5")) or one.get("etag") or ""),
                "size": one.get("size"),
            }
            for one in rows
        ]

    def named(self, file: str) -> str:
        """The name of a .dvc file inside of the repository. Raises ActionError."""
        found = (self.path / file).resolve()
        if not file.endswith(".dvc") or not found.is_relative_to(self.path) or ".git" in found.parts:
            raise ActionError(f"{file!r} is no .dvc file of the repository: give its path from the top.")
        return found.relative_to(self.path).as_posix()

    def clean(self, file: str) -> None:
        """Raise ActionError when somebody has changed the .dvc file or its data and not committed that."""
        if self.git("status", "--porcelain", "--", self.named(file)).strip() or self.status(file):
            raise ActionError(
                f"{file} or its data has changes that are not committed: commit or drop them first."
            )

    def status(self, file: str) -> dict[str, Any]:
        """What DVC finds different between the .dvc file and the data; empty when nothing is."""
        found: dict[str, Any] = json.loads(self._run("dvc", "status", "--json", self.named(file)) or "{}")
        return found

    def with_key(self, key: str) -> str:
        """The newest commit on the branch that carries this key, or an empty text."""
        return self.git("log", "-1", "--format=%H", f"--grep=^Holdfast-Key: {key}$").strip()

    def pin(self, file: str, commit: str, message: str, key: str) -> str:
        """Bring a .dvc file and its data to what they were at `commit`, and commit that; the new commit's id.

        Where DVC has not the data of that revision, everything is put back as it was. Raises ActionError.
        """
        done = self.with_key(key)
        if done:
            self._run("dvc", "checkout", self.named(file))
            return done
        name = self.named(file)
        self.git("checkout", commit, "--", name)
        try:
            self._run("dvc", "checkout", name)
        except ActionError as error:
            self.git("checkout", "HEAD", "--", name)
            self._run("dvc", "checkout", name)
            raise ActionError(
                f"DVC has not the data of {name} at {commit[:12]}: run `dvc fetch` there, then retry. {error}"
            ) from error
        who, _, address = self.author.rstrip(">").partition(" <")
        identity = ("-c", f"user.name={who}", "-c", f"user.email={address}")
        # an empty commit says that the pin was asked for where the data was at that revision already
        self.git(
            *identity,
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            message,
            "-m",
            f"Holdfast-Key: {key}",
            "--",
            name,
        )
        return self.git("rev-parse", "HEAD").strip()

    def pinned(self, file: str, commit: str) -> str:
        """The hash of the data, when branch, .dvc file and data are what they were at `commit`. Raises Unverified."""
        name = self.named(file)
        pointer = self.pointer(self.branch, name)
        if pointer != self.pointer(commit, name) or (self.path / name).read_text(encoding="utf-8") != pointer:
            raise Unverified(
                f"{name} on {self.branch} is not what it was at {commit[:12]}: look at the repository."
            )
        changed = self.status(name)
        if changed:
            raise Unverified(f"The data of {name} differs from its .dvc file: {json.dumps(changed)[:300]}")
        out = yaml.safe_load(pointer)["outs"][0]
        data = (self.path / name).parent / str(out["path"])
        digest = str(out["md5"])
        if data.is_file():
            with data.open("rb") as opened:
                found = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            if found != digest:
                raise Unverified(f"{data} has the MD5 {found}, not {digest} as {name} says.")
        return digest

    def git(self, *arguments: str) -> str:
        """The output of a git command. Raises ActionError with what it complained about."""
        return self._run("git", "-c", "core.hooksPath=/dev/null", *arguments)

    def _run(self, program: str, *arguments: str) -> str:
        found = shutil.which(program)
        if found is None:
            raise ActionError(f"There is no program {program} where the workers run: install it there.")
        surroundings = {name: os.environ[name] for name in KEPT if name in os.environ}
        quiet = {"GIT_TERMINAL_PROMPT": "0", "DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "ignore"}
        try:
            done = subprocess.run(  # noqa: S603 - fixed commands; arguments are names checked above
                [found, *arguments],
                cwd=self.path,
                env=surroundings | quiet,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ActionError(
                f"{program} {arguments[0]} took longer than {SECONDS} s.", retryable=True
            ) from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-500:] or f"exit code {done.returncode}"
            raise ActionError(f"{program} refused in {self.path}: {said}")
        return done.stdout


def _tags(refs: str) -> list[str]:
    """The tags among the names that git shows beside a commit."""
    return [one.strip().removeprefix("tag: ") for one in refs.split(",") if one.strip().startswith("tag: ")]


def repository_of(ctx: StepContext) -> Repository:
    """The repository of a step (see `account_of`). Raises ActionError."""
    account = account_of(ctx, "dvc_repository")
    path, _ = confined(account.text("path"))
    if not path.is_dir():
        raise ActionError(
            f"{path} is no folder: clone the repository there, or correct the connection {account.name}."
        )
    return Repository(
        path, account.text("branch", "main"), account.text("author", "Holdfast <holdfast@localhost>")
    )
