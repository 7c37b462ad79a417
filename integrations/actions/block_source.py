"""Refuses data of a source from now on: at the ingest gateway, or in a file that the ingest reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from integrations.gateway import at, gateway_of
from integrations.platforms.before import exhibit_of, state_before, tried_before
from integrations.platforms.folder import confined, write
from integrations.platforms.settle import settled
from playbooks.contract import Action, ActionError, Done, Exhibit, Param, StepContext, Unverified


class BlockSource(Action):
    title = "Block a data source"
    summary = "Adds sources to the deny-list of an ingest gateway or file, reads it back, and can lift that."
    params = (
        Param("sources", "list", help="Names as the ingest knows them."),
        Param(
            "url", required=False, help="Resource at the gateway that holds the list: systems/shop/pipeline"
        ),
        Param("list", required=False, default="blocked_sources", help="Where in the resource the list is."),
        Param("file", required=False, help="Instead: a file below the data folders, one name per line."),
        Param("connection", required=False, help="Gateway connection. Default: the AI system's."),
    )
    outputs = ("sources", "added", "blocked")
    risk = "R1"
    changes_world = True

    def precheck(self, ctx: StepContext) -> None:
        if not _names(ctx):
            raise ActionError("There is no source to block: give names in `sources`.")
        if bool(ctx.params.get("url")) == bool(ctx.params.get("file")):
            raise ActionError("Give either `url` (a resource of the gateway) or `file` (a deny-list).")
        _blocked(ctx)

    def before(self, ctx: StepContext) -> Sequence[Exhibit]:
        if tried_before(ctx):
            return ()
        return [
            exhibit_of(ctx, {"blocked": _blocked(ctx)}, str(ctx.params.get("url") or ctx.params.get("file")))
        ]

    def run(self, ctx: StepContext) -> Done:
        names, present = _names(ctx), _blocked(ctx)
        before = (state_before(ctx) or {"blocked": present})["blocked"]
        blocked = [*present, *(name for name in names if name not in present)]
        _put(ctx, blocked)
        outputs = {
            "sources": names,
            "added": [name for name in names if name not in before],
            "blocked": blocked,
        }
        return Done(outputs, summary=f"Blocked: {', '.join(names)}.")

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Every source is on the list, and who was on it still is."""
        return _read_back(ctx, there=outputs["blocked"])

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        """Take the sources off the list that this step put there; others stay, whoever added them."""
        left = [name for name in _blocked(ctx) if name not in outputs["added"]]
        _put(ctx, left)
        found = _read_back(ctx, there=left, gone=outputs["added"])
        return Done(found, summary=f"No longer blocked: {', '.join(outputs['added']) or 'none'}.")


def _names(ctx: StepContext) -> list[str]:
    names = [str(name).strip() for name in ctx.params["sources"]]
    if any("\n" in name for name in names):
        raise ActionError("A source has a line break in its name: correct it.")
    return list(dict.fromkeys(name for name in names if name))


def _blocked(ctx: StepContext) -> list[str]:
    """The names on the list now. Raises ActionError."""
    if ctx.params.get("file"):
        path, _ = confined(str(ctx.params["file"]))
        if not path.is_file():
            raise ActionError(
                f"{path} is no file: make it (empty) where the ingest reads it, or correct the path."
            )
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    state = gateway_of(ctx).read(str(ctx.params["url"]))
    found = at(state, str(ctx.params["list"]))
    if not isinstance(found, list):
        raise ActionError(
            f"{ctx.params['url']} holds no list {ctx.params['list']!r}: correct `url` or `list`."
        )
    return [str(name) for name in found]


def _put(ctx: StepContext, names: Sequence[str]) -> None:
    if ctx.params.get("file"):
        path, _ = confined(str(ctx.params["file"]))
        write(path, "".join(f"{name}\n" for name in names).encode())
        return
    body: Any = list(names)
    for name in reversed(str(ctx.params["list"]).split(".")):
        body = {name: body}
    gateway_of(ctx).change("PUT", str(ctx.params["url"]), body, {}, ctx.idempotency_key)


def _read_back(ctx: StepContext, there: Sequence[str], gone: Sequence[str] = ()) -> dict[str, Any]:
    found, right = settled(
        ctx, lambda: _blocked(ctx), lambda seen: set(there) <= set(seen) and not set(gone) & set(seen)
    )
    if not right:
        raise Unverified(
            f"The deny-list should hold {json.dumps(list(there))}, and holds {json.dumps(found)}. Whatever the ingest "
            "answered, the change is not in force: look at it there."
        )
    return {"blocked": found}
