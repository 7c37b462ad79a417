"""Sanitised Markdown as a small tree of blocks, for formats that are not HTML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

from incidents.markdown import render

#: Lists and quotes nested deeper are drawn at this depth: paper is not wide enough for more.
MAX_DEPTH = 6
# Deeper elements are read as if they stood at this depth, so that no reader of the tree recurses for long.
_MAX_ELEMENTS = 60
_VOID = {"br", "hr"}


@dataclass(frozen=True, slots=True)
class Span:
    """A run of text with one look; a newline in `text` is a forced line break."""

    text: str
    strong: bool = False
    emphasis: bool = False
    code: bool = False
    link: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """One block. `kind` says which fields mean something:

    heading (level, spans), paragraph (spans), code (text), rule, quote (children),
    list (ordered, start, items), table (head, rows, aligns; each cell is a tuple of spans).
    """

    kind: str
    spans: tuple[Span, ...] = ()
    level: int = 0
    text: str = ""
    ordered: bool = False
    start: int = 1
    children: tuple[Block, ...] = ()
    items: tuple[tuple[Block, ...], ...] = ()
    head: tuple[tuple[Span, ...], ...] = ()
    rows: tuple[tuple[tuple[Span, ...], ...], ...] = ()
    aligns: tuple[str, ...] = ()


def parse(text: str) -> tuple[Block, ...]:
    """Return Markdown `text` as blocks; what `incidents.markdown.render` refuses is not in them."""
    tree = _Tree()
    tree.feed(render(text))
    tree.close()
    return tuple(_blocks(tree.root.children, depth=0))


@dataclass(slots=True)
class _Node:
    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[_Node | str] = field(default_factory=list)

    def all(self, tag: str) -> list[_Node]:
        return [child for child in self.children if isinstance(child, _Node) and child.tag == tag]


class _Tree(HTMLParser):
    """Builds nodes from the sanitiser's output, which is always well-formed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = _Node("root")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if len(self._open) > _MAX_ELEMENTS:
            self._open.extend([] if tag in _VOID else [self._open[-1]])
            return
        node = _Node(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(node)
        if tag not in _VOID:
            self._open.append(node)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def _blocks(nodes: Iterable[_Node | str], depth: int) -> Iterable[Block]:
    loose: list[_Node | str] = []
    for node in nodes:
        block = _block(node, depth) if isinstance(node, _Node) else None
        if block is None:
            loose.append(node)
            continue
        yield from _paragraph(loose)
        loose = []
        yield from block
    yield from _paragraph(loose)


def _paragraph(nodes: list[_Node | str]) -> Iterable[Block]:
    spans = _trimmed(nodes)
    if spans:
        yield Block("paragraph", spans=spans)


def _block(node: _Node, depth: int) -> list[Block] | None:
    """The blocks of a block element (several when it is too deep to be drawn), None for an inline one."""
    deeper = depth + 1
    match node.tag:
        case "h1" | "h2" | "h3" | "h4" | "h5" | "h6":
            return [Block("heading", level=int(node.tag[1]), spans=_trimmed(node.children))]
        case "p":
            return list(_paragraph(node.children))
        case "pre":
            return [Block("code", text="".join(_texts(node)).rstrip("\n"))]
        case "hr":
            return [Block("rule")]
        case "blockquote" if depth < MAX_DEPTH:
            return [Block("quote", children=tuple(_blocks(node.children, deeper)))]
        case "ul" | "ol" if depth < MAX_DEPTH:
            items = tuple(tuple(_blocks(item.children, deeper)) for item in node.all("li"))
            start = node.attributes.get("start", "1")
            return [
                Block(
                    "list",
                    ordered=node.tag == "ol",
                    start=int(start) if start.isdecimal() else 1,
                    items=items,
                )
            ]
        case "blockquote" | "ul" | "ol" | "li":
            return list(_blocks(node.children, depth))
        case "table":
            return [_table(node)]
    return None


def _table(node: _Node) -> Block:
    head = [cell for part in node.all("thead") for row in part.all("tr") for cell in row.all("th")]
    rows = [row.all("td") for part in node.all("tbody") for row in part.all("tr")]
    return Block(
        "table",
        head=tuple(_trimmed(cell.children) for cell in head),
        rows=tuple(tuple(_trimmed(cell.children) for cell in row) for row in rows),
        aligns=tuple(cell.attributes.get("align", "left") for cell in head),
    )


def _texts(node: _Node) -> Iterable[str]:
    for child in node.children:
        if isinstance(child, str):
            yield child
        else:
            yield from _texts(child)


def _trimmed(nodes: Iterable[_Node | str]) -> tuple[Span, ...]:
    spans = [span for span in _spans(nodes, Span("")) if span.text]
    while spans and not spans[0].text.strip():
        spans.pop(0)
    while spans and not spans[-1].text.strip():
        spans.pop()
    if spans:
        spans[0] = replace(spans[0], text=spans[0].text.lstrip())
        spans[-1] = replace(spans[-1], text=spans[-1].text.rstrip())
    return tuple(spans)


def _spans(nodes: Iterable[_Node | str], look: Span) -> Iterable[Span]:
    for node in nodes:
        if isinstance(node, str):
            yield replace(look, text=node if look.code else node.replace("\n", " "))
            continue
        match node.tag:
            case "br":
                yield replace(look, text="\n")
            case "strong":
                yield from _spans(node.children, replace(look, strong=True))
            case "em":
                yield from _spans(node.children, replace(look, emphasis=True))
            case "code":
                yield from _spans(node.children, replace(look, code=True))
            case "a":
                yield from _spans(node.children, replace(look, link=node.attributes.get("href", "")))
            case _:
                yield from _spans(node.children, look)
