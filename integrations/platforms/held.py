"""Batches of data in quarantine, wherever they lie: what was moved, with hashes, and how it is compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from playbooks.contract import StepContext, Unverified


@dataclass(frozen=True, slots=True)
class Item:
    """One file or object. `digest` is the SHA-256 of a file; of an object its ETag, which a copy need not share."""

    path: str
    bytes: int
    digest: str


class Batch(Protocol):
    """A batch where it belongs or in quarantine."""

    @property
    def origin(self) -> str: ...
    @property
    def held_at(self) -> str: ...
    @property
    def manifest(self) -> dict[str, Any] | None: ...
    def check(self) -> None: ...
    def present(self) -> list[Item]: ...
    def held(self) -> list[Item]: ...
    def check_present(self, manifest: Mapping[str, Any]) -> None: ...
    def check_held(self, manifest: Mapping[str, Any]) -> None: ...
    def take(self, manifest: Mapping[str, Any]) -> None: ...
    def give_back(self) -> None: ...


def effect_name(ctx: StepContext) -> str:
    """The step's effect as part of a name: the same over retries, and for its undoing."""
    key = str(getattr(ctx.step, "idempotency_key", "") or ctx.idempotency_key)
    return re.sub(r"[^A-Za-z0-9._-]", "-", key)


def written(ctx: StepContext, batch: Batch, items: Sequence[Item], reason: str) -> dict[str, Any]:
    """The manifest of a batch."""
    return {
        "origin": batch.origin,
        "reason": reason,
        "incident": getattr(ctx.incident, "key", ""),
        "run": getattr(ctx.run, "ref", ""),
        "at": ctx.now.isoformat(),
        "items": [asdict(item) for item in items],
    }


def items_of(manifest: Mapping[str, Any], name: str = "items") -> list[Item]:
    return [Item(**item) for item in manifest.get(name, ())]


def unchanged(expected: Sequence[Item], found: Sequence[Item], where: str) -> None:
    """Raise Unverified naming what is missing, added or changed against the manifest."""
    known = {item.path: item for item in expected}
    there = {item.path: item for item in found}
    wrong = [
        *(f"{path} is missing" for path in known.keys() - there.keys()),
        *(f"{path} was added" for path in there.keys() - known.keys()),
        *(f"{path} has changed" for path in known.keys() & there.keys() if known[path] != there[path]),
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise Unverified(
            f"{where} is not what the manifest says: {', '.join(sorted(wrong)[:5])}{more}. Look at it first."
        )
