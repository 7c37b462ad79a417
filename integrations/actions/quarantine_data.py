"""Moves a batch of data to where nothing reads it, with a manifest of hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from integrations.platforms.folder import FolderBatch
from integrations.platforms.held import Batch, items_of, written
from integrations.platforms.s3 import S3Batch
from playbooks.contract import Action, ActionError, Done, Exhibit, Param, StepContext, Unverified


class QuarantineData(Action):
    title = "Quarantine data"
    summary = "Moves a file, a folder or a prefix in S3 to a quarantine, bytes kept, hashes in a manifest."
    params = (
        Param("location", help="A path below the data folders, or s3://bucket/prefix/."),
        Param("reason", help="Why; kept in the manifest."),
        Param(
            "quarantine",
            required=False,
            help="Folder or prefix that holds batches. Default: quarantine/ beside.",
        ),
        Param("connection", required=False, help="AWS account, for s3://. Default: the only one."),
    )
    outputs = ("origin", "held_at", "items", "bytes", "manifest_sha256")
    risk = "R1"
    changes_world = True
    timeout = 900.0

    def precheck(self, ctx: StepContext) -> None:
        batch = _batch(ctx)
        batch.check()
        if not batch.present() and batch.manifest is None:
            raise ActionError(f"There is nothing at {batch.origin}: check the location.")

    def before(self, ctx: StepContext) -> Sequence[Exhibit]:
        """What is about to be moved, with hashes."""
        batch = _batch(ctx)
        if batch.manifest is not None:
            return ()
        return [_exhibit(written(ctx, batch, batch.present(), str(ctx.params["reason"])), batch.origin)]

    def run(self, ctx: StepContext) -> Done:
        batch = _batch(ctx)
        manifest = batch.manifest
        if manifest is None:
            manifest = written(ctx, batch, batch.present(), str(ctx.params["reason"]))
        batch.take(manifest)
        size = sum(item["bytes"] for item in manifest["items"])
        content = json.dumps(manifest, sort_keys=True).encode()
        outputs = {
            "origin": batch.origin,
            "held_at": batch.held_at,
            "items": len(manifest["items"]),
            "bytes": size,
            "manifest_sha256": hashlib.sha256(content).hexdigest(),
        }
        return Done(
            outputs,
            summary=f"{len(manifest['items'])} items ({size:,} bytes) of {batch.origin} are held in {batch.held_at}.",
        )

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Nothing is left where the batch was, and what is held has the hashes of the manifest."""
        return gone(_batch(ctx))

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        batch = batch_at(ctx, str(outputs["held_at"]))
        returned(batch)
        return Done({"origin": batch.origin}, summary=f"The batch is back at {batch.origin}, unchanged.")


def batch_at(ctx: StepContext, held_at: str) -> Batch:
    """The batch that is held there. Raises ActionError."""
    kind = S3Batch if held_at.startswith("s3://") else FolderBatch
    return kind.in_quarantine(ctx, held_at)


def gone(batch: Batch) -> dict[str, Any]:
    """What is held, when the batch is wholly in quarantine and unchanged. Raises Unverified."""
    manifest = batch.manifest
    if manifest is None:
        raise Unverified(f"{batch.held_at} holds no manifest: nothing was moved.")
    left = batch.present()
    if left:
        raise Unverified(
            f"{batch.origin} holds {left[0].path}{f' and {len(left) - 1} more' if left[1:] else ''}. Whoever writes there "
            "goes on, or the move did not happen: look at it."
        )
    batch.check_held(manifest)
    return {"held": len(manifest["items"]), "left": 0}


def returned(batch: Batch) -> dict[str, Any]:
    """Give a batch back and look at it; an earlier try may have done so. Raises ActionError, Unverified."""
    manifest = batch.manifest or {}
    if batch.held():
        batch.give_back()
    batch.check_present(manifest)
    if batch.held():
        raise Unverified(f"{batch.held_at} still holds a part of the batch: look at both places.")
    return {"items": len(items_of(manifest))}


def _batch(ctx: StepContext) -> Batch:
    location, quarantine = str(ctx.params["location"]).strip(), str(ctx.params.get("quarantine") or "")
    kind = S3Batch if location.startswith("s3://") else FolderBatch
    return kind.at_origin(ctx, location, quarantine)


def _exhibit(manifest: Mapping[str, Any], source: str) -> Exhibit:
    content = json.dumps(manifest, indent=1).encode()
    return Exhibit("manifest.json", content, source=source, note="What is put into quarantine, with hashes")
