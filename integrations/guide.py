"""How a provider is set up, for people: the steps of its documentation page and an example of its messages."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from django.conf import settings

from integrations.contract import Provider

_SECTION = re.compile(r"^## Set up\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
#: links to other pages of the documentation, which are files
_TO_PAGES = re.compile(r"\[([^\]]*)\]\((?![a-z]+:)[^)]*\)")
#: where the address of a connection stands in examples
_ADDRESS = re.compile(r"https://[\w.-]+/inbound/[^\s\"'`<>)]*")
#: Characters of an example that are shown.
LONGEST = 20_000


@cache
def steps(slug: str) -> str:
    """The section "Set up" of the provider's page as Markdown, our own address in place of the example's; ""
    where the installation has no documentation."""
    page = settings.BASE_DIR / "docs" / "integrations" / f"{slug}.md"
    if not page.is_file():
        return ""
    found = _SECTION.search(page.read_text(encoding="utf-8"))
    if found is None:
        return ""
    ours = f"{settings.HOLDFAST_BASE_URL.rstrip('/')}/inbound/…/"
    return _ADDRESS.sub(ours, _TO_PAGES.sub(r"\1", found[1])).strip()


def example(kind: Provider) -> str:
    """The first example of the provider, JSON indented; "" when it declares none."""
    if not kind.examples:
        return ""
    body = kind.examples[0].body.decode(errors="replace")
    try:
        read: Any = json.loads(body)
    except ValueError:  # a form or an e-mail
        return body[:LONGEST]
    return json.dumps(read, indent=2, ensure_ascii=False)[:LONGEST]
