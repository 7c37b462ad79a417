"""Asks a DVC repository which revision of its data a system depends on, who changed it when, and compares."""

from __future__ import annotations

import json
from typing import Any

from integrations.context.data_lineage import files_of, lineage
from integrations.context.settings import skipped
from integrations.context.window import onset_of
from integrations.platforms.account import NotConnected
from integrations.platforms.dvc import repository_of
from playbooks.contract import Action, ActionError, Done, Exhibit, Param, StepContext

#: What is named in the evidence, so that it is found again.
KEPT = "data-lineage.json"


class DvcLineage(Action):
    title = "Where the data comes from"
    summary = "Revision and hash of each data set the system depends on, who committed it when, and what changed since."
    params = (
        Param("files", "list", required=False, help=".dvc files. Default: the system's upstream data sets and data."),
        Param("reference", required=False, help="Revision or hash. Default: training data of the version that served."),
        Param("connection", required=False, help="DVC repository. Default: the system's, else the only one."),
    )  # fmt: skip
    outputs = ("found", "data", "changed", "problems")
    timeout = 120.0

    def run(self, ctx: StepContext) -> Done:
        """Reads Git only: nothing is fetched, checked out or written.

        The verdict is `likely` when data is not what it was at the reference, `refuted` when all is, and none without
        a reference. Without a connection or data sets, the step is skipped with the reason.
        """
        try:
            repository = repository_of(ctx)
        except NotConnected as absent:
            return skipped(str(absent))
        given = [str(one) for one in ctx.params.get("files") or ()]
        files = dict.fromkeys(given, "as asked") if given else files_of(ctx.system, repository)
        if not files:
            return skipped(
                "no data set upstream of the system has a .dvc file as its location, and its data is not in the repository."
            )
        reference = str(ctx.params.get("reference") or _reference(ctx))
        found: list[dict[str, Any]] = []
        problems: list[str] = []
        for file, about in files.items():
            ctx.renew()
            try:
                found.append(lineage(repository, file, about, reference))
            except ActionError as error:
                problems.append(str(error))
        if not found:
            raise ActionError(" ".join(problems))
        return _told(found, problems, reference, repository.path.name, repository.branch)


def _reference(ctx: StepContext) -> str:
    """What the version that served at the onset was trained on, as the inventory says."""
    if ctx.system is None:
        return ""
    data = ctx.system.data if isinstance(ctx.system.data, dict) else {}
    if data.get("dvc_reference"):
        return str(data["dvc_reference"])
    served = ctx.system.serving_at(onset_of(ctx.incident))
    return next((d.version.training_data for d in served if d.version.training_data), "")


def _told(found: list[dict[str, Any]], problems: list[str], reference: str, name: str, branch: str) -> Done:
    compared = [one for one in found if one["same"] is not None]
    changed = [one for one in compared if not one["same"]]
    newest = max(found, key=lambda one: str(one["now"]["at"]))["now"]
    said = (
        f"{len(changed)} of {len(compared)} differ from {reference}"
        if compared
        else "none could be compared: there is no reference"
    )
    summary = (
        f"{len(found)} data sets on {branch} of {name}; {said}. Newest change: {newest['commit'][:10]} by "
        f"{newest['author']} at {newest['at'][:16]}, “{newest['subject'][:80]}”."
        + (f" Not read: {' '.join(problems)}" if problems else "")
    )
    kept = {
        "kind": "data-lineage", "repository": name, "branch": branch, "asked_reference": reference, "data": found,
        "problems": problems,
    }  # fmt: skip
    exhibit = Exhibit(KEPT, json.dumps(kept, indent=1).encode(), source=f"git:{name}@{branch}", note=summary)
    outputs = {
        "found": True, "changed": [one["file"] for one in changed], "problems": problems,
        "data": [{"file": one["file"], "commit": one["now"]["commit"], "hashes": one["now"]["hashes"]} for one in found],
    }  # fmt: skip
    verdict: Any = None if not compared else "likely" if changed else "refuted"
    return Done(outputs, [exhibit], verdict, summary)
