"""Label matchers: `name op "value"` with = != =~ !~, as in Prometheus, compiled once."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

import re2
from django.core.exceptions import ValidationError

_ONE = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_.\-]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"{}]+))\s*')


class MatcherError(ValueError):
    """The text is not a list of matchers; the message says where."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label. A missing label counts as the empty string (as in Prometheus).

    Regular expressions are RE2 (linear time) and anchored at both ends.
    """

    name: str
    op: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        actual = labels.get(self.name, "")
        match self.op:
            case "=":
                return actual == self.value
            case "!=":
                return actual != self.value
            case "=~":
                return _regex(self.value).fullmatch(actual) is not None
            case _:
                return _regex(self.value).fullmatch(actual) is None

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.name}{self.op}"{escaped}"'


@functools.lru_cache(maxsize=4096)
def _regex(pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


@functools.lru_cache(maxsize=4096)
def parse_line(line: str) -> tuple[Matcher, ...]:
    """Matchers of one line, all of which must hold. Raises MatcherError."""
    text = line.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    found: list[Matcher] = []
    at = 0
    while at < len(text):
        hit = _ONE.match(text, at)
        if hit is None:
            raise MatcherError(
                f'Cannot read {text[at : at + 40]!r}: write matchers as name="value", name=~"regex", separated by commas.'
            )
        name, op, quoted, bare = hit.groups()
        value = (
            re.sub(r"\\(.)", r"\1", quoted)
            if quoted is not None and op in ("=", "!=")
            else (quoted or bare or "")
        )
        if op in ("=~", "!~"):
            try:
                _regex(value)
            except re2.error as error:
                raise MatcherError(
                    f"The expression {value!r} of {name} is not valid RE2: {error}."
                ) from error
        found.append(Matcher(name, op, value))
        at = hit.end()
        if at < len(text):
            if text[at] != ",":
                raise MatcherError(f"Expected a comma before {text[at : at + 40]!r}.")
            at += 1
    return tuple(found)


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> tuple[tuple[Matcher, ...], ...]:
    """Alternatives of a text: each non-empty line is one, lines starting with # are comments."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(parse_line(line) for line in lines if line and not line.startswith("#"))


def any_line_matches(text: str, labels: Mapping[str, str]) -> bool:
    """True when all matchers of at least one line hold; an empty text matches nothing."""
    return any(all(m.matches(labels) for m in line) for line in parse(text))


def validate_matchers(text: str) -> None:
    """Django validator."""
    try:
        parse(text)
    except MatcherError as error:
        raise ValidationError(str(error)) from error
