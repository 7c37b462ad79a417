"""A Git repository with DVC, as a working copy beside the workers: where playbooks pin a data version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from integrations.contract import Field, Provider


class DvcRepository(Provider):
    title = "DVC repository"
    docs = "https://dvc.org/doc/command-reference/checkout"
    summary = (
        "Playbooks pin a data set to a known good revision, as a commit on the branch that pipelines read."
    )
    acting = True
    fields = (
        Field("path", "Working copy", "A folder below HOLDFAST_DATA_ROOTS, cloned with git."),
        Field("branch", "Branch", "That pipelines read; the working copy must be on it.", default="main"),
        Field("author", "Author", "Of the commits.", default="Holdfast <holdfast@localhost>"),
    )
    idempotency = (
        "The commit carries the step's idempotency key; a repeated step finds it and makes no second one."
    )

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        author = str(settings.get("author") or "A <a@b>")
        return (
            {} if re.fullmatch(r"[^<>\n]+ <[^<>\s]+>", author) else {"author": "is written as Name <address>"}
        )
