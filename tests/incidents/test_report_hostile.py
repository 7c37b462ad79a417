"""Text that tries to be code stays text, in every format."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import pytest
from lxml import etree
from pypdf import PdfReader

from incidents.markdown import render
from incidents.report import export
from incidents.report.blocks import parse
from incidents.report.document import Figure, Section, TimelineLine
from incidents.report.glyphs import legible
from tests.incidents.report_scenes import DETECTED, HOSTILE, credit_bias, hostile
from tests.incidents.test_report_formats import docx_text, pdf_text


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def actors(html: str) -> list[str]:
    """Tags, attributes and addresses by which a page could act."""
    found = []
    for tag, attributes in Tags(html).seen:
        if tag in {"script", "iframe", "object", "embed", "form", "base", "link", "svg"}:
            found.append(tag)
        found += [name for name in attributes if name.startswith("on") or name == "style"]
        addresses = [attributes.get("href") or "", attributes.get("src") or ""]
        found += [
            a
            for a in addresses
            if re.match(r"\s*(javascript|vbscript|data:(?!image/svg\+xml;base64))", a, re.I)
        ]
    return found


def test_the_html_has_nothing_that_acts() -> None:
    html = export(hostile(), "html").content.decode()
    assert actors(html) == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "default-src &#x27;none&#x27;" in html or "default-src 'none'" in html
    assert "\x00" not in html
    assert "\u202e" not in html


def test_the_markdown_has_nothing_that_acts_once_rendered() -> None:
    text = export(hostile(), "md").content.decode()
    outside_code = re.sub(r"```.*?```", "", text, flags=re.S)
    assert "<script" not in outside_code
    assert "<img" not in outside_code
    assert "](javascript" not in outside_code.replace("\\](javascript", "")
    assert "\x00" not in text
    assert actors(render(text)) == []


def test_the_pdf_shows_source_as_text_and_reads_no_file() -> None:
    content = export(hostile(), "pdf").content
    text = re.sub(r"\s", "", pdf_text(content))
    for piece in (
        "<script>alert(1)</script>",
        '#import"x"',
        "$math$\\",
        "[link](javascript:alert(2))",
        '#read("/etc/passwd")',
    ):
        assert piece in text
    assert "root:x:" not in text
    reader = PdfReader(BytesIO(content))
    uris = [
        str(note.get_object()["/A"].get("/URI", ""))
        for page in reader.pages
        for note in page.get("/Annots", [])
        if "/A" in note.get_object()
    ]
    assert [uri for uri in uris if "script" in uri] == []
    assert "/JavaScript" not in str(reader.trailer["/Root"])


def test_the_docx_is_sound_and_has_no_hostile_target() -> None:
    content = export(hostile(), "docx").content
    assert "<script>alert(1)</script>" in docx_text(content)
    with zipfile.ZipFile(BytesIO(content)) as parts:
        for name in parts.namelist():
            if name.endswith((".xml", ".rels")):
                etree.fromstring(parts.read(name))
                if name.endswith(".rels"):
                    assert b"javascript" not in parts.read(name)


def test_the_json_keeps_hostile_text_exactly() -> None:
    content = json.loads(export(hostile(), "json").content)["report"]
    assert content["header"]["title"] == HOSTILE
    assert content["timeline"][0]["text"] == HOSTILE


@pytest.mark.parametrize("format", ["md", "html", "pdf", "docx", "json"])
@pytest.mark.parametrize(
    "text",
    [
        "\ud800 lone surrogate", "\ufffe\uffff", "\x00" * 50, "\u202e" * 20, "\U0010fffd\ue000 private", "\u200d\u200b\ufeff",
        "🏳️‍🌈 👩🏽‍🚀", "क्षि ไทย ಕನ್ನಡ 한국어", "e" + "\u0301" * 300, "x" * 5000, "\r\nline\rline", "--- ... \"q\" 'q' -- ~ @x <y>", "",
    ],
)  # fmt: skip
def test_odd_text_never_costs_the_document(format: str, text: str) -> None:
    report = credit_bias(
        header=replace(
            credit_bias().header, id=f"INC-7{text[:5]}", title=text, severity=text, authors=(text,)
        ),
        sections=(Section(text, text, f"{text}\n\n# {text}\n\n- {text}\n\n`{text}`"),),
        timeline=(TimelineLine(DETECTED, text + "end", text, text, text),),
    )
    assert export(report, format).content


@pytest.mark.parametrize("format", ["md", "html", "pdf", "docx"])
@pytest.mark.parametrize(
    "body",
    [
        "\n".join("  " * i + "- x" for i in range(150)),
        "> " * 3000 + "deep",
        "| a |\n|---|\n" + "| b |\n" * 2000,
        "| a | b |\n|---|---|\n| only one |\n",
        "- \n-\n\n1.\n2.",
        "0. zero\n1. one",
        "999999999. big",
        "```\n" + "`" * 40 + "\n```",
        "# \n\n##\n\n***\n\n---",
        "**a *b `c` [d](https://e.example/_x_?a=1&b=<2>)* f**",
        "a  \nb",
    ],
)
def test_odd_markdown_never_costs_the_document(format: str, body: str) -> None:
    assert export(credit_bias(sections=(Section("s", "S", body),)), format).content


def test_a_picture_cannot_read_files_or_run() -> None:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="10" height="10">'
        '<script>alert(1)</script><image href="/etc/hostname" width="5" height="5"/>'
        '<image xlink:href="https://evil.example/x.png" width="5" height="5"/><rect width="9" height="9"/></svg>'
    )
    report = credit_bias(sections=(Section("s", "S", figures=(Figure("F", svg, "alt"),)),))
    assert actors(export(report, "html").content.decode()) == []
    assert b"alert" not in export(report, "pdf").content


@pytest.mark.parametrize(
    ("width", "height"), [(1_000_000, 1_000_000), (1, 100_000), (100_000, 1), (600, 3000)]
)
def test_a_picture_of_any_size_takes_at_most_a_page(width: int, height: int) -> None:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"><rect width="9" height="9"/></svg>'
    report = credit_bias(sections=(Section("s", "S", figures=(Figure("F", svg, "alt"),)),))
    assert len(PdfReader(BytesIO(export(report, "pdf").content)).pages) <= 4
    assert len(export(report, "docx").content) < 2_000_000


def test_characters_no_font_can_draw_are_spelled_out() -> None:
    text, replaced = legible("a\U0010ff00b\U0010ff01\U0010ff02c é ≥ Ω")
    assert (text, replaced) == ("a‹U+10FF00›b‹U+10FF01 U+10FF02›c é ≥ Ω", True)
    assert legible("plain é") == ("plain é", False)


def test_chinese_in_a_pdf_is_drawn_or_spelled_out_but_never_lost() -> None:
    text = re.sub(r"\s", "", pdf_text(export(hostile(), "pdf").content))
    assert "中文" in text or "‹U+4E2DU+6587›" in text


def test_deep_nesting_becomes_flat_instead_of_endless() -> None:
    def depth(blocks: tuple) -> int:  # type: ignore[type-arg]
        inner = [*(item for block in blocks for item in block.items), *(block.children for block in blocks)]
        return 1 + max((depth(each) for each in inner), default=0)

    blocks = parse("\n".join("  " * i + f"- item{i}" for i in range(40)))
    assert depth(blocks) <= 9
    assert "item39" in str(blocks)
