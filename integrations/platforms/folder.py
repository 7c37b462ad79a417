"""Data in folders that playbooks may change: below HOLDFAST_DATA_ROOTS, nowhere else."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from integrations.platforms.held import Item, effect_name, items_of, unchanged
from playbooks.contract import ActionError, StepContext

MAX_FILES = 10_000
MANIFEST = "manifest.json"
HELD = "quarantine"  #: default folder, in the root that holds the batch


def confined(location: str) -> tuple[Path, Path]:
    """The path of `location` and the data root that it lies in, links resolved. Raises ActionError."""
    roots = [Path(root).resolve() for root in settings.HOLDFAST_DATA_ROOTS]
    ways = [((root / location).resolve(), root) for root in roots]
    inside = [(path, root) for path, root in ways if path != root and path.is_relative_to(root)]
    if not inside:
        raise ActionError(
            f"{location} does not lie in one of the data folders ({', '.join(map(str, roots)) or 'none'}): correct it, "
            "or add its folder to HOLDFAST_DATA_ROOTS."
        )
    return next((found for found in inside if found[0].exists()), inside[0])


def write(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old or the new content, never a part. Raises ActionError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            beside.chmod(path.stat().st_mode & 0o777)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ActionError(f"{path} cannot be written ({error.strerror}): check its permissions.") from error


@dataclass(frozen=True, slots=True)
class FolderBatch:
    """A file or folder of data, where it belongs or in quarantine: moved by one rename, so never half."""

    ctx: StepContext
    at: Path
    hold: Path  #: a folder of its own, with the manifest and the data

    @classmethod
    def at_origin(cls, ctx: StepContext, location: str, quarantine: str) -> FolderBatch:
        """The batch at `location`, to be held in `quarantine` (default: a folder of the root)."""
        at, root = confined(location)
        place = confined(quarantine)[0] if quarantine else root / HELD
        if place.is_relative_to(at) or at.is_relative_to(place):
            raise ActionError(
                f"{location} and its quarantine {place} lie within each other: choose another folder."
            )
        return cls(ctx, at, place / f"{at.name}-{effect_name(ctx)}")

    @classmethod
    def in_quarantine(cls, ctx: StepContext, held_at: str) -> FolderBatch:
        """The batch that was moved to `held_at`. Raises ActionError."""
        hold, _ = confined(held_at)
        manifest = _read(hold / MANIFEST)
        if manifest is None:
            raise ActionError(
                f"{held_at} holds no manifest, so nothing was quarantined there: correct the place."
            )
        return cls(ctx, confined(str(manifest["origin"]))[0], hold)

    @property
    def origin(self) -> str:
        return str(self.at)

    @property
    def held_at(self) -> str:
        return str(self.hold)

    @property
    def manifest(self) -> dict[str, Any] | None:
        return _read(self.hold / MANIFEST)

    def check(self) -> None:
        """Raise ActionError when a rename between the two places cannot be atomic or is not allowed."""
        near = next(parent for parent in self.hold.parents if parent.exists())
        if near.stat().st_dev != self.at.parent.stat().st_dev:
            raise ActionError(
                f"{self.hold.parent} is on another file system than {self.at}: choose one beside it."
            )
        for folder in (near, self.at.parent):
            if not os.access(folder, os.W_OK | os.X_OK):
                raise ActionError(f"{folder} may not be written by this worker: change its permissions.")

    def present(self) -> list[Item]:
        return self._items(self.at)

    def held(self) -> list[Item]:
        return self._items(self.hold / "data" / self.at.name)

    def check_present(self, manifest: Mapping[str, Any]) -> None:
        unchanged(items_of(manifest), self.present(), self.origin)

    def check_held(self, manifest: Mapping[str, Any]) -> None:
        unchanged(items_of(manifest), self.held(), self.held_at)

    def take(self, manifest: Mapping[str, Any]) -> None:
        """Keep the manifest, then move the batch into quarantine, unless that has been done."""
        if not self.at.exists():
            return
        (self.hold / "data").mkdir(parents=True, exist_ok=True)
        write(self.hold / MANIFEST, json.dumps(manifest, indent=1).encode())
        self._move(self.at, self.hold / "data" / self.at.name)

    def give_back(self) -> None:
        """Move the batch to where it belongs; nothing that is there now is overwritten."""
        if self.at.exists():
            raise ActionError(f"{self.at} exists again: move it away first, or keep the batch in quarantine.")
        self._move(self.hold / "data" / self.at.name, self.at)

    def _move(self, here: Path, there: Path) -> None:
        try:
            here.rename(there)
        except OSError as error:
            raise ActionError(f"{here} cannot be moved to {there} ({error.strerror}).") from error

    def _items(self, top: Path) -> list[Item]:
        if not top.exists():
            return []
        files = sorted(path for path in top.rglob("*") if path.is_file()) if top.is_dir() else [top]
        if len(files) > MAX_FILES:
            raise ActionError(f"{top} has {len(files):,} files, more than {MAX_FILES:,}: move parts of it.")
        links = [path for path in (top, *top.rglob("*")) if path.is_symlink()]
        if links:
            raise ActionError(
                f"{links[0]} is a link, whose target would stay where it is: put the file there instead."
            )
        found = []
        for path in files:
            self.ctx.renew()
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            name = path.relative_to(top).as_posix() if path != top else top.name
            found.append(Item(name, path.stat().st_size, digest))
        return found


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ActionError(f"{path} cannot be read ({error}): look at the quarantine folder.") from error
    return found
