"""The one way into the typesetter: no file to read, no package to load, no source but ours."""

from __future__ import annotations

from functools import lru_cache
from tempfile import TemporaryDirectory
from typing import Any

import typst


@lru_cache(maxsize=1)
def _fonts() -> typst.Fonts:
    """The embedded fonts, and those of the host for scripts that the embedded ones lack."""
    return typst.Fonts(include_system_fonts=True, include_embedded_fonts=True)


def typeset(source: bytes, inputs: dict[str, str], **options: Any) -> Any:
    """Return what `typst.compile` makes of `source`: bytes, or for pictures of several pages a list of them.

    `inputs` reach the source as `sys.inputs`, as data. Raises typst.TypstError.
    """
    # The root is an empty folder, so that neither a template nor a picture can read a file.
    with TemporaryDirectory(prefix="report-") as root:
        folders: dict[str, Any] = {"root": root, "package_path": root, "package_cache_path": root}
        return typst.compile(source, font_paths=_fonts(), sys_inputs=inputs, **folders, **options)
