"""Configuration as YAML: files in, documents with values and places out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

KINDS = ("system", "connection", "route", "rule", "silence", "playbook")
ENDINGS = (".yaml", ".yml")
DEEPEST = 30
MOST_VALUES = 20_000
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Unusable(Exception):
    """What is wrong in the files; each of `errors` begins with file:line:column."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = list(errors)
        super().__init__("\n".join(self.errors))


@dataclass(slots=True)
class Document:
    """One YAML document. `places` maps dotted names to (line, column), counted from 1."""

    file: str
    kind: str
    text: str
    first_line: int
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    #: values that came from the environment; they are not shown
    secrets: list[str] = field(default_factory=list)

    def wrong(self, name: str, message: str) -> Unusable:
        """An error at the value `name` (or at the nearest one that is written)."""
        while name and name not in self.places:
            name = name.rpartition(".")[0]
        line, column = self.places.get(name, (self.first_line, 1))
        return Unusable([f"{self.file}:{line}:{column}: {message}"])


def read(paths: Iterable[str], environment: Mapping[str, str] | None = None) -> list[Document]:
    """All documents of files and folders (recursively), what others refer to first. Raises Unusable."""
    found: list[Document] = []
    errors: list[str] = []
    for path in _files(paths, errors):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            errors.append(f"{path}:1:1: This file cannot be read: {error}.")
            continue
        try:
            nodes = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None]
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
            errors.append(f"{path}:{place}: This is not YAML: {error.problem or error.context}.")
            continue
        except yaml.YAMLError as error:
            errors.append(f"{path}:1:1: This is not YAML: {error}.")
            continue
        for node in nodes:
            try:
                found.append(_document(str(path), text, node, len(nodes) == 1, environment or os.environ))
            except Unusable as error:
                errors += error.errors
    if errors:
        raise Unusable(errors)
    return sorted(found, key=lambda document: KINDS.index(document.kind))


def _files(paths: Iterable[str], errors: list[str]) -> list[Path]:
    found: list[Path] = []
    for name in paths:
        path = Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix in ENDINGS and p.is_file())
            if not inside:
                errors.append(f"{path}:1:1: There is no .yaml file in this folder.")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            errors.append(f"{path}:1:1: There is no such file or folder.")
    return list(dict.fromkeys(found))


def _document(file: str, text: str, node: yaml.Node, alone: bool, environment: Mapping[str, str]) -> Document:
    start = node.start_mark
    made = Document(file, "", text if alone else text[start.index : node.end_mark.index], start.line + 1)
    made.places[""] = (start.line + 1, start.column + 1)
    if not isinstance(node, yaml.MappingNode):
        raise made.wrong(
            "", "A document is a mapping; start with “kind: …” or, for a playbook, “playbook: …”."
        )
    names = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    if "playbook" in names:
        made.kind = "playbook"
        if alone:
            made.first_line = 1
        return made
    _Values(made, environment).read(node)
    kind = made.values.pop("kind", None)
    if kind not in KINDS or kind == "playbook":
        others = ", ".join(k for k in KINDS if k != "playbook")
        raise made.wrong(
            "kind", f"“kind” is {kind!r}; it must be one of {others}. A playbook begins with “playbook:”."
        )
    made.kind = kind
    return made


class _Values:
    """Builds the values of one document and remembers where each stands."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self.document, self.environment, self.count = document, environment, 0

    def read(self, node: yaml.MappingNode) -> None:
        self.document.values = self._value(node, "", 0)

    def _value(self, node: yaml.Node, name: str, depth: int) -> Any:
        self.count += 1
        self.document.places[name] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if depth > DEEPEST or self.count > MOST_VALUES:
            raise self.document.wrong(name, "Too many or too deeply nested values.")
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, f"{name}.{at}", depth + 1) for at, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            found: dict[str, Any] = {}
            for key, value in node.value:
                inner = f"{name}.{key.value}" if name else str(key.value)
                if not isinstance(key, yaml.ScalarNode) or key.value in found:
                    raise self.document.wrong(name, "Keys must be plain words, each once.")
                found[key.value] = self._value(value, inner, depth + 1)
            return found
        if node.tag.rpartition(":")[2] in ("null", "bool", "int", "float"):
            try:
                return yaml.SafeLoader("").construct_object(node)
            except ValueError as error:
                raise self.document.wrong(name, f"{node.value!r} is not a number.") from error
        return self._filled(node.value, name)

    def _filled(self, text: str, name: str) -> str:
        def value(hit: re.Match[str]) -> str:
            if hit[1] not in self.environment:
                raise self.document.wrong(
                    name, f"The environment has no variable {hit[1]}; set it, then apply again."
                )
            self.document.secrets.append(self.environment[hit[1]])
            return self.environment[hit[1]]

        return _VARIABLE.sub(value, text)
