"""Blocks of a report as Confluence's storage format, which is XHTML with macros.

https://confluence.atlassian.com/doc/confluence-storage-format-790796544.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from incidents.report.blocks import Block, Span
from integrations.normalise import is_web_address

#: What XML 1.0 has no place for.
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def written(blocks: Iterable[Block]) -> str:
    """The blocks as storage format."""
    return "".join(map(_block, blocks))


def words(text: str) -> str:
    """Text as it stands in storage format: no markup in it acts."""
    return escape(_UNFIT.sub("", text))


def _block(block: Block) -> str:
    match block.kind:
        case "heading":
            return f"<h{block.level}>{_spans(block.spans)}</h{block.level}>"
        case "paragraph":
            return f"<p>{_spans(block.spans)}</p>"
        case "code":
            body = _UNFIT.sub("", block.text).replace("]]>", "]]]]><![CDATA[>")
            return (
                '<ac:structured-macro ac:name="code"><ac:plain-text-body>'
                f"<![CDATA[{body}]]></ac:plain-text-body></ac:structured-macro>"
            )
        case "rule":
            return "<hr />"
        case "quote":
            return f"<blockquote>{written(block.children)}</blockquote>"
        case "list":
            items = "".join(f"<li>{written(item)}</li>" for item in block.items)
            if not block.ordered:
                return f"<ul>{items}</ul>"
            return f'<ol start="{block.start}">{items}</ol>' if block.start != 1 else f"<ol>{items}</ol>"
        case "table":
            rows = [_row("th", block.head), *(_row("td", row) for row in block.rows)]
            return f"<table><tbody>{''.join(rows)}</tbody></table>"
    return ""


def _row(tag: str, cells: Iterable[tuple[Span, ...]]) -> str:
    return f"<tr>{''.join(f'<{tag}><p>{_spans(cell)}</p></{tag}>' for cell in cells)}</tr>"


def _spans(spans: Iterable[Span]) -> str:
    return "".join(map(_span, spans))


def _span(span: Span) -> str:
    if span.text == "\n":
        return "<br />"
    shown = words(span.text)
    for tag, wanted in (("code", span.code), ("em", span.emphasis), ("strong", span.strong)):
        shown = f"<{tag}>{shown}</{tag}>" if wanted else shown
    return f'<a href="{words(span.link)}">{shown}</a>' if is_web_address(span.link) else shown
