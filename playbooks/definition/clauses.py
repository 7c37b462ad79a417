"""Reads the clauses of a step: retry, on_error, approve, until_event, join, concurrency."""

from __future__ import annotations

from typing import Any

import yaml

from incidents.matchers import MatcherError, parse_line
from incidents.models.people import ROLES
from playbooks import expressions

from . import reading as r
from .model import ApproveRule, Concurrency, ErrorRule, Retry, UntilEvent
from .reading import Map, Reader

Places = dict[tuple[str, ...], yaml.Node]


def retry(inner: Map) -> Retry:
    if (node := inner.take("retry")) is None:
        return Retry()
    one = Map(inner.reader, node, f"retry of {inner.what}")
    found = Retry(
        count=one.read("count", r.count(0, 20), Retry().count),
        backoff=one.read("backoff", r.seconds, Retry().backoff),
        on=one.read("on", r.words(("retryable", "unverified", "timeout", "any")), Retry().on),
    )
    one.close()
    return found


def _jump(inner: Map, node: yaml.Node, name: str, simple: tuple[str, ...]) -> tuple[str, str]:
    """`name: word` with one of the simple words, or `name: {goto: ID}` (or the text “goto: ID”)."""
    if isinstance(node, yaml.MappingNode):
        one = Map(inner.reader, node, f"{name} of {inner.what}")
        target = one.text("goto", required=True)
        one.close()
        return "goto", target
    word = r.text(inner.reader, node, name) or ""
    if word.startswith("goto:"):
        return "goto", word.removeprefix("goto:").strip()
    if word not in simple:
        inner.reader.note(node, f"“{name}” is {word!r}; it must be {', '.join(simple)} or “goto: <step>”.")
        return simple[0], ""
    return word, ""


def on_error(inner: Map) -> ErrorRule:
    if (node := inner.take("on_error")) is None:
        return ErrorRule()
    how, goto = _jump(inner, node, "on_error", ("fail", "continue", "compensate"))
    return ErrorRule(how, goto)


def approve(inner: Map, kind: str) -> ApproveRule | None:
    node = inner.take("approve")
    if node is None:
        return ApproveRule() if kind == "approve" else None
    one = Map(inner.reader, node, f"approve of {inner.what}")
    on_timeout, goto = "escalate", ""
    if (jump := one.take("on_timeout")) is not None:
        on_timeout, goto = _jump(one, jump, "on_timeout", ("escalate", "fail"))
    found = ApproveRule(
        roles=one.read("roles", r.words(list(ROLES)), ()),
        all_of=one.read("all_of", r.words(list(ROLES)), ()),
        quorum=one.read("quorum", r.count(1, 10), 1),
        expires=one.read("expires", r.some_seconds, None),
        on_timeout=on_timeout,
        goto=goto,
    )
    one.close()
    return found


def join(reader: Reader, node: yaml.Node, name: str) -> str | None:
    """`all`, `any`, or how many have to succeed."""
    word = r.text(reader, node, name) or ""
    if word in ("all", "any") or (word.isdecimal() and 1 <= int(word) <= 1000):
        return word
    reader.note(node, f"“{name}” is {word!r}; it must be all, any, or how many have to succeed.")
    return None


def concurrency(inner: Map, places: Places, path: tuple[str, ...]) -> Concurrency | None:
    if (node := inner.take("concurrency")) is None:
        return None
    one = Map(inner.reader, node, f"concurrency of {inner.what}")
    found = Concurrency(
        key=one.text("key", required=True),
        on_conflict=one.read("on_conflict", r.one_of(("queue", "cancel_new")), "queue"),
    )
    places[*path, "key"] = one.nodes.get("key", node)
    one.close()
    return found


def until_event(inner: Map, places: Places, id: str) -> UntilEvent | None:
    if (node := inner.take("until_event")) is None:
        return None
    one = Map(inner.reader, node, f"until_event of {inner.what}")
    when = one.text("when").strip()
    if when:
        places["steps", id, "until_event", "when"] = one.nodes["when"]
        try:
            expressions.compiled(when)
        except expressions.ExpressionError as error:
            inner.reader.note(one.nodes["when"], f"“when”: {error}")
    clean = _clean(one)
    found = UntilEvent(
        kinds=one.read("kind", r.words(), ()),
        when=when,
        ticket=one.read("ticket", r.one_of(("closed",)), ""),
        provider=one.text("provider"),
        **clean,
    )
    one.close()
    if sum((bool(found.kinds), bool(found.windows), bool(found.ticket))) != 1:
        inner.reader.note(
            node, "“until_event” needs one of kind (of an event), clean (of monitors) or ticket."
        )
    if when and not found.kinds:
        inner.reader.note(one.nodes["when"], "“when” goes with “kind”: it says which event is meant.")
    return found


def _clean(one: Map) -> dict[str, Any]:
    """The keys of `clean`: {windows, window, samples, monitor}."""
    if (node := one.take("clean")) is None:
        return {}
    inner = Map(one.reader, node, "clean")
    monitor = inner.text("monitor")
    found: dict[str, Any] = {
        "windows": inner.read("windows", r.count(1, 1000), 1),
        "window": inner.read("window", r.some_seconds, UntilEvent().window),
        "samples": inner.read("samples", r.count(0, 1_000_000_000), 0),
        "monitor": monitor,
    }
    for line in monitor.splitlines():
        try:
            parse_line(line)
        except MatcherError as error:
            one.reader.note(inner.nodes["monitor"], str(error))
    inner.close()
    return found
