"""What people write in Markdown reaches a page as text and structure, and as nothing that acts."""

from __future__ import annotations

import re
import time

import pytest

from incidents import markdown
from incidents.markdown import render

ALLOWED_ATTRIBUTES = {"href", "title", "rel", "start", "align"}


def attributes(html: str) -> set[str]:
    tags = re.findall(r"<[a-z][^>]*>", html)
    return {name for tag in tags for name in re.findall(r'\s([a-z-]+)="', tag)}


def test_headings_tables_code_and_links_are_rendered() -> None:
    html = render(
        "# Why\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n```sql\nselect 1\n```\n\n[card](https://models.example/a)"
    )
    assert "<h1>Why</h1>" in html
    assert '<td align="right">2</td>' in html
    assert "<pre><code>select 1\n</code></pre>" in html
    assert '<a href="https://models.example/a" rel="noopener nofollow">card</a>' in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<p style='position:fixed' class='modal' id=x onclick=alert(1)>hello</p>",
        "<svg/onload=alert(1)>",
        "<iframe src=https://evil.example></iframe>",
        "<style>body{display:none}</style>",
        "[a](javascript:alert(1))",
        "[a](JaVaScRiPt:alert(1))",
        "[a](java\tscript:alert(1))",
        "[a](&#106;avascript:alert(1))",
        "[a](data:text/html;base64,PHNjcmlwdD4=)",
        "[a](vbscript:x)",
        "<javascript:alert(1)>",
        "![a](javascript:alert(1))",
        "![a](data:image/svg+xml;base64,PHN2Zz4=)",
        '![a](https://x.example/p.png "t\\" onerror=\\"alert(1)")',
        '[a](https://x.example "\\" onmouseover=\\"alert(1)")',
        "[a]: javascript:alert(1)\n\n[a]",
        "`<script>`\n\n    <script>\n\n```html onload=x\n<script>\n```",
        "```{ .python onclick=alert(1) #x }\n1\n```",
        "\x02wzxhzdk:0\x03 \x02klzzwxh:0001\x03",
    ],
)
def test_hostile_text_leaves_no_tag_attribute_or_address_that_acts(text: str) -> None:
    html = render(text)
    assert not re.search(
        r"<(script|img|svg|iframe|style|object|embed|form|input|base|meta|link)\b", html, re.I
    )
    assert attributes(html) <= ALLOWED_ATTRIBUTES
    for address in re.findall(r'href="([^"]*)"', html):
        assert not re.match(r"\s*(javascript|data|vbscript):", address, re.I)


def test_raw_html_is_shown_as_the_text_it_is() -> None:
    assert render("see <b>this</b> <script>x</script>") == (
        "<p>see &lt;b&gt;this&lt;/b&gt; &lt;script&gt;x&lt;/script&gt;</p>"
    )


def test_an_image_becomes_a_link_so_that_reading_calls_nobody() -> None:
    html = render("![plot](https://tracker.example/pixel.png)")
    assert html == '<p><a href="https://tracker.example/pixel.png" rel="noopener nofollow">plot</a></p>'


def test_the_highest_heading_fits_under_the_headings_of_the_page() -> None:
    html = render("## Cause\n\n### Detail\n\n###### Deep", headings_from=3)
    assert "<h3>Cause</h3>" in html
    assert "<h4>Detail</h4>" in html
    assert "<h6>Deep</h6>" in html


@pytest.mark.parametrize(
    "text",
    [
        "- a\n  - b\n    - c\n- d",
        "- a\n    - b\n        - c\n- d",
        "1. a\n   - b\n     - c\n2. d",
        "Seen:\n- a\n  - b\n    - c",
    ],
)
def test_lists_nest_however_they_are_indented(text: str) -> None:
    html = render(text)
    inner = re.search(r"<li>b\s*<ul>\s*<li>c</li>\s*</ul>\s*</li>", html)
    assert inner, html


def test_a_paragraph_indented_under_an_item_stays_in_it() -> None:
    html = render("- a\n\n  more\n\n- b\n\nafter")
    assert re.search(r"<li>\s*<p>a</p>\s*<p>more</p>\s*</li>", html)
    assert html.endswith("<p>after</p>")


def test_list_marks_inside_fenced_code_stay_as_they_are() -> None:
    assert "<pre><code>x:\n  - a\n    - b\n</code></pre>" in render("```yaml\nx:\n  - a\n    - b\n```")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        "![" * 30_000,
        "[a](" * 20_000,
        "a\n=\n" * 20_000,
        "# a\n" * 20_000,
        "> " * 20_000,
        "- " * 20_000,
        "a" * 200_000,
    ],
    ids=["brackets", "images", "links", "underlines", "headings", "quotes", "items", "size"],
)
def test_text_made_to_stall_or_break_the_parser_is_shown_as_written(text: str) -> None:
    start = time.perf_counter()
    html = render(text)
    assert html
    assert time.perf_counter() - start < 10


def test_the_same_text_is_rendered_once() -> None:
    markdown._sanitised.cache_clear()
    render("once and again")
    render("once and again")
    assert markdown._sanitised.cache_info().hits == 1
