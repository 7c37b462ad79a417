"""A report as a Word document with real headings, lists, tables and properties."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC
from io import BytesIO
from typing import Any

import docx
from docx.document import Document
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Length, Mm, Pt, RGBColor
from docx.text.paragraph import Paragraph

from incidents.report.blocks import Block, Span
from incidents.report.document import Figure, Report
from incidents.report.layout import Grid, Layout, Part, lay_out
from incidents.report.pdf import picture

_SEVERITIES = {"SEV1": "9B1C1C", "SEV2": "B4470F", "SEV3": "8A6100", "SEV4": "2B6450", "SEV5": "4A5563"}
_SOFT = RGBColor.from_string("59636F")
_ALIGN = {"right": WD_ALIGN_PARAGRAPH.RIGHT, "center": WD_ALIGN_PARAGRAPH.CENTER}
_TEXT_WIDTH = Mm(174)  # A4 less the margins
_WIDTHS = {"time": Mm(33), "strong": Mm(24), "number": Mm(30)}
_LONGEST_PROPERTY = 255  # what the format allows for title, author and the like


def write(report: Report) -> bytes:
    layout = lay_out(report)
    document = docx.Document()
    _set_up(document, layout, report)
    document.add_heading(f"{layout.id} {layout.title}", level=0)
    facts = [((Span(label),), _severity(value)) for label, value in layout.facts]
    _rows(document, ("Post-mortem", layout.status), facts, widths=(Mm(40), Mm(134)))
    for part in layout.parts:
        _part(document, part)
    buffer = BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def _set_up(document: Document, layout: Layout, report: Report) -> None:
    properties = document.core_properties
    properties.title = layout.name[:_LONGEST_PROPERTY]
    properties.author = ", ".join(layout.authors)[:_LONGEST_PROPERTY]
    properties.subject = f"Post-mortem of {layout.id}"[:_LONGEST_PROPERTY]
    properties.category = layout.classification[:_LONGEST_PROPERTY]
    properties.keywords = f"{layout.id}, {layout.severity}"[:_LONGEST_PROPERTY]
    properties.content_status = layout.status[:_LONGEST_PROPERTY]
    properties.comments = ""
    properties.created = properties.modified = report.header.generated_at.astimezone(UTC).replace(tzinfo=None)
    normal = document.styles["Normal"]
    normal.font.name, normal.font.size = "Calibri", Pt(10)
    section = document.sections[0]
    section.page_width, section.page_height = Mm(210), Mm(297)
    section.left_margin = section.right_margin = Mm(18)
    section.top_margin, section.bottom_margin = Mm(22), Mm(20)
    section.header.paragraphs[0].text = f"{layout.name}\t\t{layout.classification}"
    footer = section.footer.paragraphs[0]
    footer.add_run(f"Generated {layout.generated}. All times are UTC.\t\tPage ")
    _field(footer, "PAGE")
    footer.add_run(" of ")
    _field(footer, "NUMPAGES")


def _field(paragraph: Paragraph, code: str) -> None:
    field = OxmlElement("w:fldSimple")
    field.set(qn("w:instr"), code)
    paragraph._p.append(field)


def _part(document: Document, part: Part) -> None:
    document.add_heading(f"{part.number}. {part.title}", level=1)
    _soft(document.add_paragraph(), part.note)
    if part.empty:
        document.add_paragraph().add_run(part.empty).italic = True
    for block in part.blocks:
        _block(document, block)
    for grid in part.grids:
        _grid(document, grid)
    for figure in part.figures:
        _figure(document, figure)


def _soft(paragraph: Paragraph, text: str) -> None:
    run = paragraph.add_run(text)
    run.font.size, run.font.color.rgb = Pt(9), _SOFT


def _severity(text: str) -> tuple[Span, ...]:
    return (Span(text, strong=text in _SEVERITIES),)


def _grid(document: Document, grid: Grid) -> None:
    if grid.title:
        document.add_heading(grid.title, level=2)
    rows = [
        [(Span(cell, strong=column.kind == "strong", code=column.kind == "hash"),) for column, cell in row]
        for row in grid.cells
    ]
    aligns = ["right" if column.kind == "number" else "left" for column in grid.columns]
    _rows(document, [column.label for column in grid.columns], rows, aligns, _widths(grid))


def _widths(grid: Grid) -> list[Length]:
    """Columns as wide as their content where that is known, the rest of the page shared by weight."""
    fixed = [_WIDTHS.get(column.kind, Mm(26)) if column.weight == 0 else Mm(0) for column in grid.columns]
    share = (_TEXT_WIDTH - sum(fixed)) // max(1, sum(column.weight for column in grid.columns))
    return [width or Length(share * column.weight) for width, column in zip(fixed, grid.columns, strict=True)]


def _rows(
    document: Document,
    head: Sequence[str | Sequence[Span]],
    rows: Sequence[Sequence[Sequence[Span]]],
    aligns: Sequence[str] = (),
    widths: Sequence[Length] = (),
) -> None:
    table = document.add_table(rows=len(rows) + 1, cols=len(head), style="Table Grid")
    marks = [(Span(cell, strong=True),) if isinstance(cell, str) else cell for cell in head]
    for place, (row, cells) in enumerate(zip(table.rows, (marks, *rows), strict=True)):
        properties = row._tr.get_or_add_trPr()
        # A row stays on one page, and the head is repeated on each.
        properties.append(OxmlElement("w:cantSplit"))
        if place == 0:
            properties.append(OxmlElement("w:tblHeader"))
        for index, (cell, spans) in enumerate(zip(row.cells, cells, strict=False)):
            if index < len(widths):
                cell.width = widths[index]
            paragraph = cell.paragraphs[0]
            paragraph.alignment = _ALIGN.get(aligns[index]) if index < len(aligns) else None
            _spans(paragraph, spans, size=Pt(8.5))
    document.add_paragraph()


def _figure(document: Document, figure: Figure) -> None:
    image = picture(figure.svg)
    if image is None:
        document.add_paragraph().add_run("This figure could not be drawn.").italic = True
    else:
        shape = document.add_picture(BytesIO(image), width=_TEXT_WIDTH)
        shape._inline.docPr.set("descr", figure.alt)
        shape._inline.docPr.set("title", figure.title)
    _spans(document.add_paragraph(style="Caption"), (Span(f"{figure.title}. {figure.alt}"),))


def _block(document: Document, block: Block, depth: int = 0, quoted: bool = False) -> None:
    match block.kind:
        case "heading":
            _spans(document.add_heading(level=min(9, block.level + 1)), block.spans)
        case "paragraph":
            paragraph = document.add_paragraph(style="Quote" if quoted else None)
            paragraph.paragraph_format.left_indent = Mm(6 * depth) if depth else None
            _spans(paragraph, block.spans)
        case "code":
            _spans(document.add_paragraph(), (Span(block.text, code=True),))
        case "quote":
            for child in block.children:
                _block(document, child, depth + 1, quoted=True)
        case "list":
            _list(document, block, depth)
        case "table":
            _rows(document, block.head, block.rows, block.aligns)
        case "rule":
            document.add_paragraph("—")


def _list(document: Document, block: Block, depth: int) -> None:
    kind = "List Number" if block.ordered else "List Bullet"
    style = kind if depth == 0 else f"{kind} {min(depth + 1, 3)}"
    number = _numbering(document, style, block.start) if block.ordered else None
    for item in block.items:
        first, rest = (
            (item[0], item[1:]) if item and item[0].kind == "paragraph" else (Block("paragraph"), item)
        )
        paragraph = document.add_paragraph(style=style)
        if number is not None:
            paragraph._p.get_or_add_pPr().get_or_add_numPr().get_or_add_numId().val = number
        _spans(paragraph, first.spans)
        for child in rest:
            _block(document, child, depth + 1)


def _numbering(document: Document, style: str, start: int) -> int:
    """The id of a new numbering that looks like `style`: without one, every list continues the last."""
    definitions: Any = document.part.numbering_part.element
    own = document.styles[style].element.pPr.numPr.numId.val
    abstract = definitions.num_having_numId(own).abstractNumId.val
    number = definitions.add_num(abstract)
    number.add_lvlOverride(ilvl=0).add_startOverride(start)
    return number.numId


def _spans(paragraph: Paragraph, spans: Iterable[Span], size: Pt | None = None) -> None:
    for span in spans:
        run = paragraph.add_run(span.text)
        run.bold, run.italic = span.strong or None, span.emphasis or None
        if size:
            run.font.size = size
        if span.code:
            run.font.name, run.font.size = "Consolas", Pt(8)
        if span.text in _SEVERITIES and span.strong:
            run.font.color.rgb = RGBColor.from_string(_SEVERITIES[span.text])
        if span.link.startswith(("http://", "https://", "mailto:")):
            run.font.color.rgb, run.font.underline = RGBColor.from_string("1F5F99"), True
            link = OxmlElement("w:hyperlink")
            link.set(
                qn("r:id"), paragraph.part.relate_to(span.link, RELATIONSHIP_TYPE.HYPERLINK, is_external=True)
            )
            paragraph._p.append(link)
            link.append(run._r)
