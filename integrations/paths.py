"""Declared paths: how a connection says where in a sender's JSON the title, the status, … are.

    {"items": "$.alerts", "title": "rule.name", "status": "state", "labels.team": "tags[0]", "env": "=prod"}

A path is names separated by dots, with `[0]` or `['a name']` where needed. It starts at the item; with a leading
`$` at the whole body. A value that begins with `=` is taken as it is written. `items` names the list that holds
the items; without it the body is one item, or a list of items.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integrations.normalise import listed, terms, text

#: What a path may be declared for, beside `labels.<name>` and `items`.
TARGETS = terms(
    "title description status severity dedup_key id source system version family feature segment dataset metric "
    "value threshold comparator baseline window sample_size started_at ended_at observed_at env url"
)
_STEP = re.compile(
    r"""\.?(?:(?P<name>[^.\[\]'"\s]+)|\[(?P<index>-?\d{1,6})\]|\[(?P<q>['"])(?P<quoted>.+?)(?P=q)\])"""
)


class BadPath(ValueError):
    """A path cannot be read; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Path:
    """One path, taken apart."""

    written: str
    steps: tuple[str | int, ...] = ()
    from_top: bool = False
    literal: str | None = None

    @classmethod
    def read(cls, written: Any) -> Path:
        """Take a path apart. Raises BadPath."""
        if not isinstance(written, str) or not written.strip():
            raise BadPath(f"{written!r} is not a path: write text such as alert.name or $.alerts[0].state.")
        if written.startswith("="):
            return cls(written, literal=written[1:])
        rest = written.strip()
        from_top = rest.startswith("$")
        rest = rest.removeprefix("$")
        steps: list[str | int] = []
        at = 0
        while at < len(rest):
            step = _STEP.match(rest, at)
            if step is None:
                raise BadPath(f'The path "{written}" cannot be read from "{rest[at:]}" on.')
            index = step["index"]
            steps.append(int(index) if index is not None else step["name"] or step["quoted"])
            at = step.end()
        return cls(written, tuple(steps), from_top)

    def find(self, item: Any, top: Any) -> Any:
        """What is there, or None."""
        if self.literal is not None:
            return self.literal
        here = top if self.from_top else item
        for step in self.steps:
            match here, step:
                case Mapping(), _:
                    here = here.get(str(step))
                case list(), int() if -len(here) <= step < len(here):
                    here = here[step]
                case _:
                    return None
        return here


@dataclass(frozen=True, slots=True)
class Paths:
    """The declared paths of one connection."""

    items: Path | None
    fields: tuple[tuple[str, Path], ...]
    status_map: Mapping[str, str]
    level_map: Mapping[str, str]

    @classmethod
    def declared(cls, settings: Mapping[str, Any]) -> Paths:
        """Out of the settings `paths`, `status_map`, `level_map`. Raises BadPath."""
        declared = settings.get("paths") or {}
        if not isinstance(declared, Mapping):
            raise BadPath('Paths are a JSON object such as {"title": "alert.name"}.')
        unknown = [name for name in declared if name not in TARGETS | {"items"} and not _is_label(name)]
        if unknown:
            raise BadPath(
                f"There is no field {listed(unknown)}. There are {listed(TARGETS)}, labels.<name>, and items."
            )
        read = {name: Path.read(written) for name, written in declared.items()}
        items = read.pop("items", None)
        return cls(
            items,
            tuple(read.items()),
            _words(settings.get("status_map"), ("firing", "resolved"), "status_map"),
            _words(settings.get("level_map"), ("critical", "warning", "info"), "level_map"),
        )

    def __bool__(self) -> bool:
        return bool(self.items or self.fields or self.status_map or self.level_map)

    def split(self, body: Any) -> list[Any]:
        """The items of a body. Raises BadPath when `items` does not lead to a list."""
        if self.items is None:
            return body if isinstance(body, list) else [body]
        found = self.items.find(body, body)
        if not isinstance(found, list):
            raise BadPath(
                f'The path of items, "{self.items.written}", does not lead to a list in this message.'
            )
        return found

    def shape(self, item: Any, body: Any) -> dict[str, Any]:
        """The item in the documented shape: declared fields found by their paths, the others as they are."""
        top = body if self.items is not None else item
        shaped: dict[str, Any] = dict(item) if isinstance(item, Mapping) else {}
        labels: dict[str, Any] = (
            dict(shaped.get("labels") or {}) if isinstance(shaped.get("labels"), Mapping) else {}
        )
        for name, path in self.fields:
            value = path.find(item, top)
            if name.startswith("labels."):
                if value is not None:
                    labels[name.removeprefix("labels.")] = value
            else:
                shaped[name] = value
        if labels:
            shaped["labels"] = labels
        for name, words in (("status", self.status_map), ("severity", self.level_map)):
            word = text(shaped.get(name)).lower()
            if word in words:
                shaped[name] = words[word]
        return shaped


def _is_label(name: str) -> bool:
    return name.startswith("labels.") and len(name) > len("labels.")


def _words(declared: Any, known: Sequence[str], setting: str) -> dict[str, str]:
    if not declared:
        return {}
    if not isinstance(declared, Mapping) or any(value not in known for value in declared.values()):
        raise BadPath(f"{setting} is a JSON object from the sender's word to one of {listed(known)}.")
    return {text(word).lower(): meaning for word, meaning in declared.items()}
