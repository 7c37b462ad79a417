"""What providers of tickets share: the words of news, tables in settings, text that Markdown leaves alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from incidents.report.blocks import Block, parse
from integrations.contract import Announcement, SendError
from integrations.normalise import text
from integrations.vendor import HAPPENED, clip, facts, heading, line, web_links

#: What a ticket is told.
CARRIES = frozenset(
    {
        *("opened", "updated", "acknowledged", "escalated", "mitigated", "resolved", "closed", "reopened"),
        *("comment", "items", "test"),
    }
)
#: Announcements that end the work on a ticket: closed, or a false alarm, a duplicate, merged into another.
ENDS = frozenset({"resolved", "closed"})
#: Action items that a ticket takes in; more are work of their own kind.
ITEMS = 50

#: Backslashes keep Markdown's marks literal; after a zero-width space an @ calls nobody.
_LITERAL = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|~$"} | {"@": "@\u200b"})


def escaped(words: str) -> str:
    """The text as Markdown shows it literally, sign by sign."""
    return words.translate(_LITERAL)


def reference(what: Announcement) -> str:
    """Short and stable: the same announcement is always known by it."""
    return "ref " + hashlib.sha256(what.idempotency_key.encode("utf-8", "replace")).hexdigest()[:12]


def headline(what: Announcement) -> str:
    """What happened and how it stands: `Escalated · SEV2 · triaged`."""
    return f"{HAPPENED[what.kind]} · SEV{what.severity} · {what.state.replace('_', ' ')}"


def table(settings: Mapping[str, Any], name: str, example: str) -> dict[str, str]:
    """A setting that says what something is called at the vendor: a JSON object of names.

    Raises SendError (permanent), which shows `example`, when it is none.
    """
    value = settings.get(name) or {}
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        parsed = None
    if not isinstance(parsed, Mapping):
        raise SendError(
            f"The {name} of this connection are not a JSON object; write {example}.", retryable=False
        )
    return {text(key): text(called) for key, called in parsed.items() if text(called)}


def wrong_tables(settings: Mapping[str, Any], examples: Mapping[str, str]) -> dict[str, str]:
    """Which of those settings is no table, and why: for `Provider.check`."""
    wrong = {}
    for name, example in examples.items():
        try:
            table(settings, name, example)
        except SendError as error:
            wrong[name] = str(error)
    return wrong


def reversed_table(called: Mapping[str, str]) -> dict[str, str]:
    """Our names by the vendor's, in lower case; the first of ours where the vendor has one name for several."""
    found: dict[str, str] = {}
    for ours, theirs in called.items():
        found.setdefault(theirs.lower(), ours)
    return found


def item_name(item: Mapping[str, str], limit: int) -> str:
    """`INC-7-A3 · Watch the income feature`: by its beginning an item is found again."""
    return line(f"{item.get('key', '')} · {item.get('title', '')}", limit)


def item_lines(item: Mapping[str, str]) -> list[tuple[str, str]]:
    """What else is known of an action item, with its name as people read it."""
    named = (("Owner", "owner"), ("Due", "due"), ("Priority", "priority"), ("Done when", "done_when"))
    return [(title, item[name]) for title, name in named if item.get(name)]


def is_over(item: Mapping[str, str]) -> bool:
    """Whether nothing is left to do about an action item."""
    return item.get("state") in ("done", "dropped")


def document(what: Announcement) -> tuple[Block, ...]:
    """The post-mortem as blocks; where there is none, what is said about the incident."""
    return parse(text(what.document) or text(f"# {heading(what)}\n\n{what.text}"))


def markdown(what: Announcement, limit: int, *, with_facts: bool) -> str:
    """The announcement as Markdown: its text of at most `limit` signs, facts, links."""
    parts = [clip(what.text, limit, escaped)] if what.text.strip() else []
    if with_facts:
        known = facts(what)[:20]
        parts.append("\n".join(f"- **{line(n, 100, escaped)}**: {line(v, 300, escaped)}" for n, v in known))
    return "\n\n".join(part for part in (*parts, markdown_links(what)) if part)


def markdown_links(what: Announcement) -> str:
    """The way back and further links, as one list."""
    pairs: Sequence[tuple[str, str]] = (("Open in Holdfast", what.url), *what.actions, *what.links)
    found = web_links(tuple(pairs), 2000)[:10]
    return "\n".join(f"- [{line(name or url, 200, escaped)}](<{_bare(url)}>)" for name, url in found)


def _bare(url: str) -> str:
    return "".join(sign for sign in url if sign.isprintable()).replace(">", "%3E").replace("<", "%3C")
