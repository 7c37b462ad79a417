"""Markdown written by people, as HTML that is safe to put on a page."""

from __future__ import annotations

import html
import re
from functools import lru_cache
from xml.etree.ElementTree import Element

import markdown as python_markdown
import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown.extensions.tables import TableExtension
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor

# Beyond these a text is shown as it is: the parser takes quadratic time over brackets and headings.
MAX_CHARACTERS = 100_000
MAX_BRACKETS = 2_000
MAX_HEADINGS = 1_000

_TAGS = {
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code", "em", "strong",
    "a", "br", "hr", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_HEADING = re.compile(r"^(?:#|[=-]+ *$)", re.MULTILINE)
_ITEM = re.compile(r"( *)([-*+]|\d{1,9}\.)( +)(?=\S)")
_ALIGN = {"align": {"left", "right", "center"}}
_SANITISER = nh3.Cleaner(
    tags=_TAGS,
    attributes={"a": {"href", "title"}, "ol": {"start"}},
    tag_attribute_values={"th": _ALIGN, "td": _ALIGN},
    url_schemes={"http", "https", "mailto"},
    link_rel="noopener nofollow",
)


def render(text: str, *, headings_from: int = 1) -> SafeString:
    """Return `text` (Markdown with tables and fenced code) as sanitised HTML.

    Raw HTML is shown as the text it is, never interpreted; images become links to what they would
    have loaded; only http, https, mailto and relative links survive. The text's highest heading becomes
    `<h{headings_from}>`, so that it fits under the headings around it. Results are cached.
    """
    # The output of _sanitised went through nh3, or through html.escape.
    return mark_safe(_sanitised(text, headings_from))  # noqa: S308


@lru_cache(maxsize=512)
def _sanitised(text: str, headings_from: int) -> str:
    if len(text) > MAX_CHARACTERS or text.count("[") > MAX_BRACKETS:
        return _as_written(text)
    if len(_HEADING.findall(text)) > MAX_HEADINGS:
        return _as_written(text)
    try:
        unsafe = _parser(headings_from).convert(text)
    except RecursionError:
        return _as_written(text)
    return _SANITISER.clean(unsafe)


def _as_written(text: str) -> str:
    return f"<pre><code>{html.escape(text)}</code></pre>"


def _parser(headings_from: int) -> python_markdown.Markdown:
    # One parser per text: a Markdown object keeps state and is not shared between threads.
    parser = python_markdown.Markdown(
        extensions=[TableExtension(use_align_attribute=True), "fenced_code", "sane_lists"],
        output_format="html",
    )
    parser.preprocessors.deregister("html_block")
    parser.preprocessors.register(_Lists(parser), "lists", 20)  # after fenced code was taken out
    parser.inlinePatterns.deregister("html")
    parser.inlinePatterns.deregister("entity")
    parser.treeprocessors.register(_Fit(parser, headings_from), "fit", 5)
    return parser


class _Lists(Preprocessor):
    """Reads lists the way people write them: items nested by two spaces, or right under their sentence."""

    def run(self, lines: list[str]) -> list[str]:
        result: list[str] = []
        open_items: list[int] = []  # from which indent on a line belongs to each item, outermost first
        before = ""
        for line in lines:
            indent = len(line) - len(line.lstrip(" "))
            depth = sum(indent >= inside for inside in open_items)
            item = _ITEM.match(line) if open_items or indent < 4 else None
            if item:
                if not open_items and before.strip() and item[2] in ("-", "*", "+", "1."):
                    result.append("")
                open_items = [*open_items[:depth], indent + 2]
                line = " " * 4 * depth + line.lstrip(" ")
            elif line.strip() and not before.strip():
                open_items = open_items[:depth]
                if open_items:
                    extra = indent - open_items[-1]
                    line = " " * (4 * depth + (extra if extra >= 4 else 0)) + line.lstrip(" ")
            result.append(line)
            before = line
        return result


class _Fit(Treeprocessor):
    """Moves headings under the ones of the page and turns images, which would call out, into links."""

    def __init__(self, parser: python_markdown.Markdown, headings_from: int) -> None:
        super().__init__(parser)
        self.headings_from = headings_from

    def run(self, root: Element) -> None:
        headings = [element for element in root.iter() if element.tag in _HEADINGS]
        highest = min((int(heading.tag[1]) for heading in headings), default=1)
        for heading in headings:
            heading.tag = f"h{min(6, int(heading.tag[1]) - highest + self.headings_from)}"
        for image in root.iter("img"):
            source = image.get("src", "")
            image.tag, image.text = "a", image.get("alt") or source
            image.attrib.clear()
            image.set("href", source)
