"""A report as Markdown that reads the same in every renderer and runs in none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from incidents.report.blocks import Block, Span
from incidents.report.document import Report
from incidents.report.layout import Grid, Layout, Part, lay_out

_SPECIAL = re.compile(r"([\\`*\[\]|$~])|(?<!\w)(_)|(_)(?!\w)")
_ENTITY = re.compile(r"&(?=#|\w+;)")
_LINE_START = re.compile(r"^(\s*)(#{1,6}|[-+](?=\s|$)|[-=](?=[-=]*\s*$)|\d+(?=[.)](?:\s|$)))", re.MULTILINE)


def write(report: Report) -> bytes:
    layout = lay_out(report)
    return ("\n\n".join(_document(layout)) + "\n").encode()


def _document(layout: Layout) -> Iterable[str]:
    yield f"# {_in_one_line(_plain(layout.name))}"
    yield _table(
        ("Post-mortem", _plain(layout.status)), [(label, _plain(value)) for label, value in layout.facts]
    )
    for part in layout.parts:
        yield from _part(part)


def _part(part: Part) -> Iterable[str]:
    yield f"## {part.number}. {_in_one_line(_plain(part.title))}"
    yield f"*{_plain(part.note)}*"
    if part.empty:
        yield part.empty
    yield from _blocks(part.blocks)
    for grid in part.grids:
        yield from _grid(grid)
    for figure in part.figures:
        yield f"**{_plain(figure.title)}** (figure): {_plain(figure.alt)}"


def _grid(grid: Grid) -> Iterable[str]:
    if grid.title:
        yield f"### {_in_one_line(_plain(grid.title))}"
    rows = [tuple(_plain(cell) for cell in row) for row in grid.rows]
    aligns = ["right" if column.kind == "number" else "left" for column in grid.columns]
    yield _table([_plain(column.label) for column in grid.columns], rows, aligns)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], aligns: Sequence[str] = ()) -> str:
    marks = {"left": "---", "right": "---:", "center": ":---:"}
    rule = [marks[align] for align in aligns] or ["---"] * len(head)
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in (head, rule, *rows))


def _cell(text: str) -> str:
    # A bare pipe ends the cell, even inside code.
    return re.sub(r"(?<!\\)\|", r"\\|", _in_one_line(text))


def _in_one_line(cell: str) -> str:
    return re.sub(r"\s*\\?\n\s*", "<br>", cell.strip())


def _blocks(blocks: Iterable[Block]) -> Iterable[str]:
    for block in blocks:
        match block.kind:
            case "heading":
                # The parts of the report are at the second level.
                yield f"{'#' * min(6, block.level + 2)} {_in_one_line(_spans(block.spans))}"
            case "paragraph":
                yield _spans(block.spans)
            case "code":
                fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", block.text)), default=0))
                yield f"{fence}\n{block.text}\n{fence}"
            case "quote":
                yield _indented("\n\n".join(_blocks(block.children)), "> ", "> ")
            case "list":
                yield "\n".join(
                    _indented(
                        "\n\n".join(_blocks(item)),
                        f"{block.start + place}. " if block.ordered else "- ",
                        "    ",
                    )
                    for place, item in enumerate(block.items)
                )
            case "table":
                rows = [[_spans(cell) for cell in row] for row in block.rows]
                yield _table([_spans(cell) for cell in block.head], rows, block.aligns)
            case "rule":
                yield "---"


def _indented(text: str, first: str, rest: str) -> str:
    lines = text.split("\n")
    return "\n".join([first + lines[0], *((rest + line).rstrip() for line in lines[1:])])


def _spans(spans: Iterable[Span]) -> str:
    return "".join(_span(span) for span in spans)


def _span(span: Span) -> str:
    if span.text == "\n":
        return "\\\n"
    if span.code:
        fence = "`" * (1 + max((len(run) for run in re.findall("`+", span.text)), default=0))
        pad = " " if "`" in span.text else ""
        text = f"{fence}{pad}{span.text}{pad}{fence}"
    else:
        lead = span.text[: len(span.text) - len(span.text.lstrip())]
        core = span.text.strip()
        mark = (
            "***" if span.strong and span.emphasis else "**" if span.strong else "*" if span.emphasis else ""
        )
        if not core:
            return span.text
        text = lead + mark + _plain(core) + mark + span.text[len(lead) + len(core) :]
    return f"[{text}](<{span.link.replace('>', '%3E')}>)" if span.link else text


def _plain(text: str) -> str:
    """`text` with everything a Markdown renderer would act on made literal."""
    escaped = _SPECIAL.sub(lambda found: "\\" + found.group(0), text)
    escaped = _ENTITY.sub("&amp;", escaped).replace("<", "&lt;").replace(">", "&gt;")
    return _LINE_START.sub(_literal_start, escaped)


def _literal_start(found: re.Match[str]) -> str:
    space, mark = found.groups()
    return f"{space}{mark}\\" if mark.isdigit() else f"{space}\\{mark}"
