"""Blocks of a report as Notion's blocks, within its limits.

https://developers.notion.com/reference/request-limits : 100 blocks in a list, 2,000 signs in a text, 1,000 blocks
and 500 KB in a request; blocks may be nested two levels deep in one request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from incidents.report.blocks import Block, Span
from integrations.normalise import is_web_address

Node = dict[str, Any]

SIGNS, IN_LIST, URL = 2000, 100, 2000
IN_REQUEST, BYTES = 900, 200_000
LEVELS = 2
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def written(blocks: Iterable[Block]) -> list[Node]:
    """The blocks in Notion's form."""
    return [node for block in blocks for node in _nodes(block, 0)]


def requests_of(nodes: Iterable[Node]) -> Iterator[list[Node]]:
    """The nodes in portions that one request each can carry, in their order."""
    portion: list[Node] = []
    blocks = size = 0
    for node in nodes:
        more, length = _count(node), len(json.dumps(node, ensure_ascii=False).encode("utf-8", "replace"))
        if portion and (len(portion) >= IN_LIST or blocks + more > IN_REQUEST or size + length > BYTES):
            yield portion
            portion, blocks, size = [], 0, 0
        portion.append(node)
        blocks, size = blocks + more, size + length
    if portion:
        yield portion


def paragraph(text: str, url: str = "") -> Node:
    """One paragraph of plain text, which may be a link as a whole."""
    return _of("paragraph", {"rich_text": _rich((Span(text, link=url),))})


def title(text: str) -> list[Node]:
    """Rich text without looks, for titles."""
    return _rich((Span(text),))


def _of(kind: str, content: Node) -> Node:
    return {"object": "block", "type": kind, kind: content}


def _count(node: Node) -> int:
    return 1 + sum(map(_count, node[node["type"]].get("children", ())))


def _nodes(block: Block, depth: int) -> Iterator[Node]:
    match block.kind:
        case "heading":
            yield _of(f"heading_{min(3, block.level)}", {"rich_text": _rich(block.spans)})
        case "paragraph":
            yield _of("paragraph", {"rich_text": _rich(block.spans)})
        case "code":
            yield _of("code", {"rich_text": _rich((Span(block.text),)), "language": "plain text"})
        case "rule":
            yield _of("divider", {})
        case "quote":
            yield from _quote(block, depth)
        case "list":
            kind = "numbered_list_item" if block.ordered else "bulleted_list_item"
            for item in block.items:
                yield from _with_children(kind, item, depth)
        case "table" if block.head:
            yield from _tables(block, depth)


def _quote(block: Block, depth: int) -> Iterator[Node]:
    yield from _with_children("quote", block.children, depth)


def _with_children(kind: str, inside: tuple[Block, ...], depth: int) -> Iterator[Node]:
    """A block with the first paragraph as its words and the rest inside it; too deep, the rest comes after it."""
    first = inside[0] if inside and inside[0].kind == "paragraph" else None
    rest = inside[1:] if first else inside
    content: Node = {"rich_text": _rich(first.spans if first else ())}
    deep = depth + 1 >= LEVELS
    children = [node for block in rest for node in _nodes(block, depth if deep else depth + 1)]
    if children and not deep:
        content["children"] = children[:IN_LIST]
    yield _of(kind, content)
    yield from children if deep else children[IN_LIST:]


def _tables(block: Block, depth: int) -> Iterator[Node]:
    """A table; a long one as several with the same head. In the depths its rows are lines."""
    width = len(block.head)
    if depth + 1 >= LEVELS:
        for row in block.rows:
            yield _of("bulleted_list_item", {"rich_text": _rich(_joined(row))})
        return
    for start in range(0, max(1, len(block.rows)), IN_LIST - 1):
        lines = [_row(cells, width) for cells in (block.head, *block.rows[start : start + IN_LIST - 1])]
        yield _of(
            "table",
            {"table_width": width, "has_column_header": True, "has_row_header": False, "children": lines},
        )


def _row(cells: tuple[tuple[Span, ...], ...], width: int) -> Node:
    filled = [_rich(cell) for cell in cells[:width]] + [[] for _ in range(width - len(cells))]
    return _of("table_row", {"cells": filled})


def _joined(cells: Iterable[tuple[Span, ...]]) -> tuple[Span, ...]:
    found: list[Span] = []
    for cell in cells:
        found += [Span(" · "), *cell] if found else cell
    return tuple(found)


def _rich(spans: Iterable[Span]) -> list[Node]:
    """Spans in pieces of at most SIGNS; what does not fit into one list is cut with a sign that says so."""
    pieces = [(span, part) for span in spans for part in _pieces(_UNFIT.sub("", span.text)) if part]
    if len(pieces) > IN_LIST:
        pieces = [*pieces[: IN_LIST - 1], (Span(""), " […]")]
    return [_piece(span, part) for span, part in pieces]


def _pieces(text: str) -> list[str]:
    return [text[start : start + SIGNS] for start in range(0, len(text), SIGNS)]


def _piece(span: Span, part: str) -> Node:
    content: Node = {"content": part}
    if len(span.link) <= URL and is_web_address(span.link):
        content["link"] = {"url": span.link}
    looks = {"bold": span.strong, "italic": span.emphasis, "code": span.code}
    chosen = {name: True for name, wanted in looks.items() if wanted}
    return {"type": "text", "text": content, **({"annotations": chosen} if chosen else {})}
