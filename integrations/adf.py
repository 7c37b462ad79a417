"""Atlassian Document Format, as little of it as an incident needs.

https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Node = dict[str, Any]
#: What stands in one line: text nodes. Text nodes must not be empty.
Inline = list[Node]
#: Nodes that end a line when a document is read.
LINES = frozenset({"paragraph", "heading", "listItem", "codeBlock", "tableRow", "blockquote", "rule"})
#: Levels of a document that are read.
MOST_LEVELS = 40


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


def plain(node: Any, depth: int = 0) -> str:
    """What a document says, without its looks; text that is no document is returned as it is."""
    if isinstance(node, str):
        return node
    if not isinstance(node, dict) or depth > MOST_LEVELS:
        return ""
    kind, content = node.get("type"), node.get("content")
    if kind == "text":
        return str(node.get("text") or "")
    if kind == "hardBreak":
        return "\n"
    if kind in ("mention", "emoji", "status", "inlineCard"):
        attributes = node.get("attrs")
        known = attributes if isinstance(attributes, dict) else {}
        return str(known.get("text") or known.get("shortName") or known.get("url") or "")
    inner = "".join(plain(one, depth + 1) for one in content) if isinstance(content, list) else ""
    return inner.strip() if kind == "doc" else f"{inner.rstrip()}\n" if kind in LINES else inner
