"""A report as PDF: our template, with everything people wrote passed in as data and never as source."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typst

from incidents.report.document import Figure, Report
from incidents.report.glyphs import legible
from incidents.report.layout import Layout, lay_out
from incidents.report.typesetting import typeset

_TEMPLATE = Path(__file__).with_name("template.typ").read_bytes()
_FIGURE = Path(__file__).with_name("figure.typ").read_bytes()


def write(report: Report) -> bytes:
    """Return the PDF, archival and accessible (PDF/A-2a, PDF/UA-1) wherever the texts allow it.

    The same report gives the same bytes on the same host. Characters that no font of it can draw are
    written as code points, like "U+4E2D": the page says so, and nothing is lost from the text.
    """
    layout = lay_out(report)
    content = _content(layout)
    text, replaced = legible(json.dumps(content, ensure_ascii=False))
    inputs = {"report": text, "replaced": "yes" if replaced else ""}
    made = int(report.header.generated_at.timestamp())
    try:
        document: bytes = typeset(_TEMPLATE, inputs, timestamp=made, pdf_standards=["a-2a", "ua-1"])
    except typst.TypstError:
        # Some texts cannot be archival (a character kept for private use, say): they still get a PDF.
        document = typeset(_TEMPLATE, inputs, timestamp=made)
    return document


def picture(svg: str) -> bytes | None:
    """Return `svg` as a PNG of 200 dots per inch, or None where it is not an SVG that can be drawn."""
    try:
        image: bytes = typeset(_FIGURE, {"svg": svg}, format="png", ppi=200.0)
    except typst.TypstError:
        return None
    return image


def _content(layout: Layout) -> dict[str, Any]:
    content = asdict(layout)
    for part, plain in zip(layout.parts, content["parts"], strict=True):
        del plain["markdown"]
        plain["figures"] = [_figure(figure) for figure in part.figures]
    return content


def _figure(figure: Figure) -> dict[str, str]:
    """The figure, without its picture where that cannot be drawn: one bad figure must not cost the report."""
    drawable = picture(figure.svg) is not None
    return {"title": figure.title, "alt": figure.alt, "svg": figure.svg if drawable else ""}
