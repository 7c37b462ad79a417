"""Two texts beside each other: which lines changed, and which words in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

_WORD = re.compile(r"\s+|\w+|[^\w\s]")
AROUND = 3  #: lines shown before and after a change


@dataclass(frozen=True, slots=True)
class Side:
    """A line of one text: its number and its pieces, each with whether it changed."""

    number: int
    pieces: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison. `how`: same, changed, added, removed, or gap (lines left out)."""

    how: str
    before: Side | None = None
    after: Side | None = None


def compare(before: str, after: str) -> list[Row]:
    """The changed lines with a few around them; empty when the texts are equal."""
    old, new = before.splitlines(), after.splitlines()
    groups = SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(AROUND)
    rows: list[Row] = []
    for group in groups:
        if rows or group[0][1] > 0:
            rows.append(Row("gap"))
        for how, a, b, c, d in group:
            rows += _rows(how, old, new, (a, b), (c, d))
    return rows


def _rows(
    how: str, old: Sequence[str], new: Sequence[str], left: tuple[int, int], right: tuple[int, int]
) -> Iterator[Row]:
    for a, b in zip_longest(range(*left), range(*right)):
        if how == "equal":
            yield Row("same", _plain(a, old[a]), _plain(b, new[b]))
        elif a is None:
            yield Row("added", None, _plain(b, new[b]))
        elif b is None:
            yield Row("removed", _plain(a, old[a]), None)
        else:
            yield Row("changed", *_words(a, old[a], b, new[b]))


def _plain(at: int, line: str) -> Side:
    return Side(at + 1, ((line, False),))


def _words(a: int, old: str, b: int, new: str) -> tuple[Side, Side]:
    """Both lines with the words that differ marked."""
    left, right = _WORD.findall(old), _WORD.findall(new)
    before, after = [], []
    for how, i, j, k, m in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        before.append(("".join(left[i:j]), how != "equal"))
        after.append(("".join(right[k:m]), how != "equal"))
    return Side(a + 1, tuple(p for p in before if p[0])), Side(b + 1, tuple(p for p in after if p[0]))
