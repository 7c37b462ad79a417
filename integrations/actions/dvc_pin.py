"""Pins a data set to a revision that is known to be good, in a Git repository with DVC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from integrations.platforms.before import exhibit_of, state_before, tried_before
from integrations.platforms.dvc import Repository, repository_of
from playbooks.contract import Action, ActionError, Done, Exhibit, Param, StepContext


class DvcPin(Action):
    title = "Pin a data version"
    summary = "Brings a .dvc file and its data back to a good revision, commits that, and compares hashes."
    params = (
        Param("file", help="The .dvc file, from the top of the repository: data/train.csv.dvc"),
        Param("revision", help="Tag, branch or commit at which the data was good."),
        Param("connection", required=False, help="DVC repository. Default: the only one."),
    )
    outputs = ("file", "revision", "commit", "before")
    risk = "R1"
    changes_world = True
    timeout = 600.0

    def precheck(self, ctx: StepContext) -> None:
        repository, file = repository_of(ctx), str(ctx.params["file"])
        repository.check()
        repository.pointer(repository.commit_of(str(ctx.params["revision"])), file)
        if not tried_before(ctx):
            repository.clean(file)

    def before(self, ctx: StepContext) -> Sequence[Exhibit]:
        if tried_before(ctx):
            return ()
        return [
            exhibit_of(
                ctx, _present(repository_of(ctx), str(ctx.params["file"])), f"git:{ctx.params['file']}"
            )
        ]

    def run(self, ctx: StepContext) -> Done:
        repository, file, revision = repository_of(ctx), str(ctx.params["file"]), str(ctx.params["revision"])
        before = state_before(ctx) or _present(repository, file)
        good = repository.commit_of(revision)
        key = ctx.incident.key if ctx.incident is not None else "an incident"
        made = repository.pin(file, good, f"Pin {file} to {revision} for {key}", ctx.idempotency_key)
        outputs = {"file": file, "revision": good, "commit": made, "before": before["commit"]}
        return Done(outputs, summary=f"{file} is pinned to {revision} by commit {made[:12]}.")

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"md5": repository_of(ctx).pinned(outputs["file"], outputs["revision"])}

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        """Commit what was there before on top, unless somebody has changed the file since."""
        repository, file, before = repository_of(ctx), str(outputs["file"]), str(outputs["before"])
        repository.check()
        if not repository.with_key(ctx.idempotency_key):
            repository.clean(file)
            if repository.pointer(repository.branch, file) != repository.pointer(outputs["commit"], file):
                raise ActionError(f"{file} was changed after the pin: decide by hand which version is right.")
        made = repository.pin(file, before, f"Unpin {file}", ctx.idempotency_key)
        md5 = repository.pinned(file, before)
        return Done(
            {"commit": made, "md5": md5}, summary=f"{file} is what it was at {before[:12]}, by {made[:12]}."
        )


def _present(repository: Repository, file: str) -> dict[str, str]:
    commit = repository.git("rev-parse", "HEAD").strip()
    return {"commit": commit, "pointer": repository.pointer(commit, file)}
