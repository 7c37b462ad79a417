"""A report as one self-contained HTML file: no script, nothing loaded, fit for screen and paper."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from django.template import Context, Engine
from django.utils.safestring import mark_safe

from incidents.markdown import render
from incidents.report.document import Report
from incidents.report.layout import lay_out

_HERE = Path(__file__).parent


def write(report: Report) -> bytes:
    layout = lay_out(report)
    parts = [
        {
            "part": part,
            "body": render(part.markdown, headings_from=3),
            # As an image a figure cannot run script or load anything, whatever is in it.
            "figures": [(figure, b64encode(figure.svg.encode()).decode()) for figure in part.figures],
        }
        for part in layout.parts
    ]
    template = Engine(dirs=[str(_HERE)]).get_template("report.html")
    # The stylesheet is our own file, read from the package.
    style = mark_safe((_HERE / "report.css").read_text())  # noqa: S308
    return template.render(Context({"layout": layout, "parts": parts, "style": style})).encode()
