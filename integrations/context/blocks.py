"""What was pulled in for an incident, read back from its evidence: the newest piece of each kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from incidents.models import Evidence
from integrations.actions import dvc_lineage, elasticsearch_logs, mlflow_lineage

#: Kind of a block → the name of its evidence.
KINDS = {
    "model": mlflow_lineage.KEPT,
    "data": dvc_lineage.KEPT,
    "logs": elasticsearch_logs.KEPT,
}
#: A piece larger than this is linked and not read: it is no product of these actions.
LARGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of context with the evidence that it is read from."""

    kind: str
    summary: str
    at: datetime
    evidence: int
    sha256: str
    content: Mapping[str, Any]


def blocks_of(incident: Any) -> dict[str, Block]:
    """Kind → block. A piece counts when a step of a playbook kept it; files that people add under its name do not."""
    found: dict[str, Block] = {}
    kept = Evidence.objects.filter(incident=incident, name__in=KINDS.values(), size__lte=LARGEST).exclude(
        run_ref=""
    )
    newest: dict[str, int] = dict(kept.order_by("at", "pk").values_list("name", "pk"))
    for kind, name in KINDS.items():
        if name not in newest:
            continue
        row = Evidence.objects.get(pk=newest[name])
        try:
            content = json.loads(bytes(row.content))
        except ValueError:
            continue
        if isinstance(content, dict):
            found[kind] = Block(kind, row.note, row.at, row.pk, row.sha256, content)
    return found
