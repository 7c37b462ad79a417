"""Reads YAML nodes into typed values, and notes every problem with its line and column."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

LARGEST = 256 * 1024
DEEPEST = 12
MOST_NODES = 20_000
LONGEST = 366 * 86_400  #: seconds of a duration

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong in the text, and where (both counted from 1)."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


class Reader:
    """Collects problems while values are read; `Map` and the functions below do the reading."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def note(self, node: yaml.Node | None, message: str) -> None:
        self._at(None if node is None else node.start_mark, message)

    def _at(self, mark: Any, message: str) -> None:
        line, column = (mark.line, mark.column) if mark else (0, 0)
        self.problems.append(Problem(line + 1, column + 1, message))

    def compose(self, text: str) -> yaml.MappingNode | None:
        """The document's mapping, or None with the problems noted. Nothing is constructed."""
        if len(text.encode()) > LARGEST:
            self.note(
                None, f"The text is larger than {LARGEST // 1024} KB; a playbook should be far smaller."
            )
            return None
        try:
            if not self._is_modest(text):
                return None
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            where = error.problem_mark or error.context_mark
            self._at(where, f"This is not YAML: {error.problem or error.context}.")
            return None
        except yaml.YAMLError as error:
            self.note(None, f"This is not YAML: {error}.")
            return None
        if not isinstance(node, yaml.MappingNode):
            self.note(node, "A playbook is a mapping; start with “playbook: <slug>”.")
            return None
        return node

    def _is_modest(self, text: str) -> bool:
        depth = 0
        for nodes, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            anchor = isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None)
            trouble = (
                "Anchors and aliases are not read; write the value out." if anchor
                else f"Nested deeper than {DEEPEST} levels." if depth > DEEPEST
                else f"More than {MOST_NODES} values." if nodes > MOST_NODES
                else ""
            )  # fmt: skip
            if trouble:
                self._at(event.start_mark, trouble)
                return False
        return True


class Map:
    """One mapping being read: take each key once, then `close` complains about what is left."""

    def __init__(self, reader: Reader, node: yaml.Node, what: str) -> None:
        self.reader = reader
        self.node = node
        self.what = what
        self.nodes: dict[str, yaml.Node] = {}
        self._known: set[str] = set()
        if not isinstance(node, yaml.MappingNode):
            reader.note(node, f"{what.capitalize()} must be a mapping (key: value).")
            self.nodes = {}
            return
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if not name:
                reader.note(key, "A key must be a plain word.")
            elif name in self.nodes:
                reader.note(key, f"“{name}” is written twice in {what}.")
            else:
                self.nodes[name] = value

    def take(self, name: str) -> yaml.Node | None:
        self._known.add(name)
        node = self.nodes.get(name)
        return None if node is None or is_null(node) else node

    def read(self, name: str, how: Callable[[Reader, yaml.Node, str], T | None], otherwise: U) -> T | U:
        """The value of `name` read by `how`, or `otherwise` when absent or wrong (then noted)."""
        node = self.take(name)
        if node is None:
            return otherwise
        value = how(self.reader, node, name)
        return otherwise if value is None else value

    def text(self, name: str, *, required: bool = False) -> str:
        found = self.read(name, text, "")
        if required and not found.strip() and not (name in self.nodes and not is_null(self.nodes[name])):
            self.reader.note(self.node, f"{self.what.capitalize()} needs “{name}”.")
        return found

    def close(self) -> None:
        if isinstance(self.node, yaml.MappingNode):
            for key, _ in self.node.value:
                if isinstance(key, yaml.ScalarNode) and key.value not in self._known:
                    self.reader.note(
                        key,
                        f"Unknown key “{key.value}” in {self.what}; known: {', '.join(sorted(self._known))}."
                        + meant(key.value, self._known),
                    )


def meant(word: str, known: Iterable[str]) -> str:
    """“ Did you mean …?” where one of the known words is near, or nothing."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f" Did you mean “{near[0]}”?" if near else ""


def is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def text(reader: Reader, node: yaml.Node, name: str) -> str | None:
    if not isinstance(node, yaml.ScalarNode):
        reader.note(node, f"“{name}” must be a text.")
        return None
    return str(node.value)


def one_of(choices: Collection[str]) -> Callable[[Reader, yaml.Node, str], str | None]:
    def read(reader: Reader, node: yaml.Node, name: str) -> str | None:
        value = text(reader, node, name)
        if value is not None and value not in choices:
            reader.note(
                node,
                f"“{name}” is {value!r}; it must be one of {', '.join(choices)}." + meant(value, choices),
            )
            return None
        return value

    return read


def number(reader: Reader, node: yaml.Node, name: str) -> float | None:
    try:
        value = float(node.value) if isinstance(node, yaml.ScalarNode) else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        reader.note(node, f"“{name}” must be a number.")
        return None
    return value


def count(low: int, high: int) -> Callable[[Reader, yaml.Node, str], int | None]:
    def read(reader: Reader, node: yaml.Node, name: str) -> int | None:
        value = number(reader, node, name)
        if value is not None and (value != int(value) or not low <= value <= high):
            reader.note(node, f"“{name}” must be a whole number from {low} to {high}.")
            return None
        return None if value is None else int(value)

    return read


def flag(reader: Reader, node: yaml.Node, name: str) -> bool | None:
    if isinstance(node, yaml.ScalarNode) and node.value.lower() in ("true", "yes", "on"):
        return True
    if isinstance(node, yaml.ScalarNode) and node.value.lower() in ("false", "no", "off"):
        return False
    reader.note(node, f"“{name}” must be true or false.")
    return None


def duration(written: str) -> float | None:
    """Seconds of `90s`, `15m`, `24h`, `7d` or a number of seconds; None for anything else or beyond a year."""
    hit = _DURATION.fullmatch(written.strip())
    value = float(hit[1]) * _UNITS[hit[2] or "s"] if hit else -1.0
    return value if 0 <= value <= LONGEST else None


def seconds(reader: Reader, node: yaml.Node, name: str) -> float | None:
    """A duration: `90s`, `15m`, `24h`, `7d`, or a number of seconds; up to a year."""
    value = duration(node.value) if isinstance(node, yaml.ScalarNode) else None
    if value is None:
        reader.note(node, f"“{name}” must be a duration such as 90s, 15m, 24h or 7d (at most a year).")
        return None
    return value


def some_seconds(reader: Reader, node: yaml.Node, name: str) -> float | None:
    """A duration longer than nothing."""
    value = seconds(reader, node, name)
    if value == 0:
        reader.note(node, f"“{name}” must be longer than 0; leave it out for the default.")
        return None
    return value


def words(choices: Collection[str] = ()) -> Callable[[Reader, yaml.Node, str], tuple[str, ...] | None]:
    """A list of texts; one text counts as a list of one."""

    def read(reader: Reader, node: yaml.Node, name: str) -> tuple[str, ...] | None:
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        single = one_of(choices) if choices else text
        found = [value for item in items if (value := single(reader, item, name)) is not None]
        return tuple(dict.fromkeys(found))

    return read


def nodes(reader: Reader, node: yaml.Node, name: str) -> list[yaml.Node] | None:
    if not isinstance(node, yaml.SequenceNode):
        reader.note(node, f"“{name}” must be a list (lines that start with “- ”).")
        return None
    return list(node.value)


def plain(reader: Reader, node: yaml.Node, name: str) -> Any:
    """Any JSON value. What YAML would turn into a date stays the text that it was."""
    if isinstance(node, yaml.SequenceNode):
        return [plain(reader, item, name) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in found:
                reader.note(key, f"Keys in “{name}” must be plain words, each once.")
            else:
                found[key.value] = plain(reader, value, name)
        return found
    match node.tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return flag(reader, node, name)
        case "int" | "float":
            try:
                value = yaml.SafeLoader("").construct_object(node)
            except ValueError:
                value = math.nan
            if not math.isfinite(value) or abs(value) >= 2**63:
                reader.note(node, f"“{node.value}” in “{name}” is not a number that JSON can carry.")
                return None
            return value
        case "str" | "timestamp":
            return node.value
        case other:
            reader.note(node, f"“!{other}” is not read in a playbook; write a plain value.")
            return None
