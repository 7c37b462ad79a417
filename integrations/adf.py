"""Atlassian Document Format, as little of it as an incident needs.

https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Node = dict[str, Any]
#: What stands in one line: text nodes. Text nodes must not be empty.
Inline = list[Node]


def document(*blocks: Node) -> Node:
    """The whole text. Empty lists are left out; a document without content gets an empty paragraph."""
    content = [block for block in blocks if block["type"] != "bulletList" or block["content"]]
    return {"type": "doc", "version": 1, "content": content or [paragraph([])]}


def paragraphs(words: str) -> list[Node]:
    """Plain text as paragraphs; a line break within one stays a line break."""
    found = []
    for block in words.replace("\r\n", "\n").split("\n\n"):
        lines = [part for part in block.split("\n") if part.strip()]
        inline: Inline = []
        for number, part in enumerate(lines):
            inline += [{"type": "hardBreak"}] if number else []
            inline += text(part)
        if inline:
            found.append(paragraph(inline))
    return found


def paragraph(inline: Inline) -> Node:
    return {"type": "paragraph", "content": inline}


def bullets(items: Sequence[Inline]) -> Node:
    return {
        "type": "bulletList",
        "content": [{"type": "listItem", "content": [paragraph(item)]} for item in items],
    }


def text(words: str) -> Inline:
    return [{"type": "text", "text": words}] if words else []


def strong(words: str) -> Inline:
    return [{**node, "marks": [{"type": "strong"}]} for node in text(words)]


def link(words: str, url: str) -> Inline:
    return [{**node, "marks": [{"type": "link", "attrs": {"href": url}}]} for node in text(words)]
