"""Which characters the fonts of this host can draw, so that a PDF never shows an empty box for a text."""

from __future__ import annotations

import re
from functools import lru_cache

from incidents.report.typesetting import typeset

# Latin, Cyrillic and common punctuation are in the embedded font; only other characters are asked for.
_OTHER = re.compile(
    "[^\x00-\x7f\u00a0-\u017f\u0410-\u044f\u2010-\u2015\u2018-\u201e\u2026\u2039\u203a€−≤≥→×]"
)
# One page for each character, so that the answers come in the order of the questions.
_PROBE = b"""#set page(width: auto, height: auto, margin: 0pt)
#set text(font: "Libertinus Serif")
#for character in sys.inputs.characters.codepoints() { page(text(character)) }"""
# A private-use character: no font has it, so what is drawn for it is what is drawn for a missing one.
_UNKNOWN = "\U0010fffd"
_DRAWN = re.compile(rb'<use xlink:href="(#\w+)"')


def legible(text: str) -> tuple[str, bool]:
    """Return `text` with runs of undrawable characters as code points, like "‹U+4E2D U+6587›", and whether
    there were any."""
    missing = _missing("".join(sorted(set(_OTHER.findall(text)))))
    if not missing:
        return text, False
    run = re.compile(f"[{re.escape(missing)}]+")
    return run.sub(lambda found: f"‹{' '.join(f'U+{ord(c):04X}' for c in found.group())}›", text), True


@lru_cache(maxsize=128)
def _missing(characters: str) -> str:
    if not characters:
        return ""
    pages = typeset(_PROBE, {"characters": _UNKNOWN + characters}, format="svg")
    unknown, *drawn = [set(_DRAWN.findall(page)) for page in pages]
    return "".join(c for c, shapes in zip(characters, drawn, strict=True) if shapes & unknown)
