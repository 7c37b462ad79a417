"""Where a system's data sets come from, as a Git repository with DVC tells it: hash and revision, when, by whom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from integrations.platforms.dvc import Repository, Revision
from integrations.platforms.folder import confined
from playbooks.contract import ActionError

#: Data settings that name a location.
LOCATIONS = ("reference", "current", "training", "evaluation", "season_reference")
#: Data sets looked at, and revisions of one that are kept.
FILES, REVISIONS = 20, 12


def files_of(system: Any, repository: Repository) -> dict[str, str]:
    """{.dvc file: what it is to the system}: its upstream data sets and the locations of its data settings that are
    kept in this repository."""
    found: dict[str, str] = {}
    if system is None:
        return found
    for row in system.upstream.all():
        name = row.location.removeprefix("dvc:").strip()
        if name.endswith(".dvc"):
            found.setdefault(name, row.name)
    data = system.data if isinstance(system.data, dict) else {}
    for role in LOCATIONS:
        if name := _pointer(str(data.get(role) or ""), repository.path):
            found[name] = f"{found[name]} ({role})" if name in found else role
    return dict(list(found.items())[:FILES])


def _pointer(location: str, top: Path) -> str:
    """The .dvc file beside a data file of the working copy, from its top; empty where there is none."""
    if not location or "://" in location:
        return ""
    try:
        path, _ = confined(location)
    except ActionError:
        return ""
    pointer = path if path.suffix == ".dvc" else path.with_name(f"{path.name}.dvc")
    return pointer.relative_to(top).as_posix() if pointer.is_relative_to(top) and pointer.is_file() else ""


def lineage(repository: Repository, file: str, about: str, reference: str = "") -> dict[str, Any]:
    """One data set: what it is now, and what it was at the reference (a revision, or a hash of the data).

    Keys: file, about, now, reference, same, changes, history. `same` is None where there is no reference; `changes` are
    the commits after it. Raises ActionError.
    """
    history = repository.history(file, REVISIONS)
    if not history:
        raise ActionError(
            f"{file} is not in the repository {repository.path.name}: correct the data set's location."
        )
    before = _reference(repository, file, history, reference)
    now = history[0]
    return {
        "file": file,
        "about": about,
        "now": _shown(now),
        "reference": before,
        "same": None if before is None else before["hashes"] == now.hashes,
        "changes": [] if before is None else _since(history, before["hashes"]),
        "history": [_shown(one) for one in history],
    }


def _reference(
    repository: Repository, file: str, history: Sequence[Revision], reference: str
) -> dict[str, Any] | None:
    if not reference:
        return None
    kept = next((one for one in history if reference in one.hashes), None)
    if kept is not None:
        return {"named": reference, **_shown(kept)}
    try:
        commit = repository.commit_of(reference)
    except ActionError:
        return None  # the inventory's words for the training data need not be a revision of this repository
    outs = repository.outs(commit, file)
    return (
        {"named": reference, "commit": commit, "hashes": [str(one["hash"]) for one in outs], "outs": outs}
        if outs
        else None
    )


def _since(history: Sequence[Revision], hashes: list[str]) -> list[dict[str, Any]]:
    """The commits after the data was last what it is at the reference, the newest first."""
    later = []
    for one in history:
        if one.hashes == hashes:
            break
        later.append(_shown(one))
    return later


def _shown(one: Revision) -> dict[str, Any]:
    return {
        "commit": one.commit, "author": one.author, "email": one.email, "at": one.at, "tags": list(one.tags),
        "subject": one.subject[:300], "hashes": one.hashes, "outs": one.outs,
    }  # fmt: skip
