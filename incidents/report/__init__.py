"""A post-mortem as a document: Markdown, HTML, PDF, DOCX or JSON, made from one value."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from incidents.report import docx, html, json_form, markdown_form, pdf
from incidents.report.document import Report

_FORMATS: dict[str, tuple[Callable[[Report], bytes], str]] = {
    "md": (markdown_form.write, "text/markdown; charset=utf-8"),
    "html": (html.write, "text/html; charset=utf-8"),
    "pdf": (pdf.write, "application/pdf"),
    "docx": (docx.write, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    "json": (json_form.write, "application/json"),
}
FORMATS = tuple(_FORMATS)


@dataclass(frozen=True, slots=True)
class Exported:
    content: bytes
    media_type: str
    filename: str  #: ASCII letters, digits, dots, dashes and underscores only


def export(report: Report, format: str) -> Exported:
    """Return `report` as a file. Raises ValueError for an unknown format or a time without a zone."""
    if format not in _FORMATS:
        raise ValueError(f"There is no report format {format!r}; choose one of {', '.join(FORMATS)}")
    write, media_type = _FORMATS[format]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", report.header.id).strip(".-") or "incident"
    return Exported(write(report), media_type, f"{name}-post-mortem.{format}")
