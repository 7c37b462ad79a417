"""Log lines of a system around an incident: a search that Elasticsearch and OpenSearch understand alike.

What people set up are names of fields and values, never a query: every part of the body is put together here, so
that a value cannot become a clause. https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-search
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from integrations.masking import mask_line
from playbooks.contract import ActionError

#: Lines kept at most, characters of one, and points of the chart.
ROWS, LINE, POINTS = 200, 600, 360
#: Levels that tell of an error, as programs write them.
ERRORS = ("error", "err", "critical", "crit", "fatal", "severe", "alert", "emergency", "panic")
WRITTEN = tuple(form for level in ERRORS for form in (level, level.upper(), level.capitalize()))
#: Beside time, level and message, where a document has them.
BESIDE = ("service.name", "host.name", "logger", "log.logger", "trace.id", "error.type", "error.message")
_INDEX = re.compile(r"[a-z0-9.*][a-z0-9._*:,-]{0,250}")
_FIELD = re.compile(r"[\w@][\w.@-]{0,200}")


@dataclass(frozen=True, slots=True)
class Fields:
    """How the documents of an installation are made."""

    time: str = "@timestamp"
    message: str = "message"
    level: str = "log.level"
    system: tuple[str, ...] = ("service.name",)

    def __post_init__(self) -> None:
        for name in (self.time, self.message, self.level, *self.system):
            named(name)


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked: lines between two moments where each field has one of its values, with all of these words."""

    since: datetime
    until: datetime
    match: Mapping[str, Sequence[str]]
    system: str = ""  #: short name that one of the fields for it holds
    words: str = ""
    rows: int = 50
    fields: Fields = field(default_factory=Fields)

    @property
    def minutes(self) -> int:
        """Length of a bar of the chart."""
        return max(1, -(-int((self.until - self.since).total_seconds()) // 60 // POINTS))

    def body(self) -> dict[str, Any]:
        """The request's body. Lines that tell of errors come first, then the newest."""
        names = self.fields
        errors = {"terms": {names.level: list(WRITTEN)}}
        required: list[dict[str, Any]] = [
            {"range": {names.time: {"gte": _iso(self.since), "lte": _iso(self.until), "format": FORMAT}}},
            *(_any(_phrase(name, value) for value in values) for name, values in self.match.items()),
        ]
        if self.system:
            required.append(_any(_phrase(name, self.system) for name in names.system))
        if self.words:
            required.append({"match": {names.message: {"query": self.words, "operator": "and"}}})
        bars = {
            "field": names.time, "fixed_interval": f"{self.minutes}m", "min_doc_count": 0, "format": FORMAT,
            "extended_bounds": {"min": _iso(self.since), "max": _iso(self.until)},
        }  # fmt: skip
        wanted = {names.time, names.message, names.level, *names.system, *self.match, *BESIDE}
        return {
            "size": max(0, min(self.rows, ROWS)),
            "timeout": "10s",
            "track_total_hits": True,
            "_source": {"includes": sorted(wanted)},
            "query": {
                "bool": {
                    "filter": required, "should": [{"constant_score": {"filter": errors}}], "minimum_should_match": 0
                }
            },
            "sort": [{"_score": {"order": "desc"}}, {names.time: {"order": "desc", "unmapped_type": "date"}}],
            "aggregations": {
                "bars": {"date_histogram": bars, "aggregations": {"errors": {"filter": errors}}},
                "errors": {"filter": errors},
            },
        }  # fmt: skip


#: ISO 8601, whatever format the mapping of the field prefers.
FORMAT = "strict_date_optional_time"


@dataclass(frozen=True, slots=True)
class Found:
    """What was answered. `bars` are (begin, lines, errors); `complete` is false where shards failed or time ran out."""

    total: int
    errors: int
    bars: Sequence[tuple[datetime, int, int]]
    lines: Sequence[Mapping[str, str]]
    complete: bool


def address(index: str) -> str:
    """The path of the search. Raises ActionError: an index may not lead to another part of the API."""
    if not _INDEX.fullmatch(index):
        raise ActionError(
            f"{index!r} is no name of indices: write it like logs-*, in lower case, several with commas."
        )
    return f"{index}/_search"


def named(name: str) -> str:
    """The name of a field. Raises ActionError."""
    if not _FIELD.fullmatch(name):
        raise ActionError(f"{name!r} is no name of a field: write it like service.name.")
    return name


def matches(given: Any) -> dict[str, tuple[str, ...]]:
    """{field: value or values} as people write it, checked. Raises ActionError."""
    if not isinstance(given, Mapping):
        raise ActionError('Write `match` as fields with values, such as {"service.name": "credit-risk"}.')
    found: dict[str, tuple[str, ...]] = {}
    for name, value in given.items():
        values = value if isinstance(value, list | tuple) else [value]
        texts = tuple(str(one)[:300] for one in values if isinstance(one, str | int | float))
        if not texts or len(texts) != len(values) or len(texts) > 50:
            raise ActionError(f"The field {name} of `match` needs a value, or a list of up to 50.")
        found[named(str(name))] = texts
    return found


def read(answer: Any, fields: Fields, secrets: Sequence[str] = ()) -> Found:
    """The answer of a search. Raises ActionError when it is none."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("hits"), Mapping):
        raise ActionError(
            "The answer is not that of a search (or larger than 1 MiB): check the address of the connection, or ask for "
            "fewer `rows`."
        )
    summed = _mapping(answer.get("aggregations"))
    total = answer["hits"].get("total")
    shards = _mapping(answer.get("_shards"))
    bars = [
        (datetime.fromtimestamp(bar["key"] / 1000, UTC), int(bar["doc_count"]), _count(bar.get("errors")))
        for bar in _mapping(summed.get("bars")).get("buckets") or ()
        if isinstance(bar, Mapping) and isinstance(bar.get("key"), int | float)
    ]
    return Found(
        total=int(total.get("value", 0)) if isinstance(total, Mapping) else int(total or 0),
        errors=_count(summed.get("errors")),
        bars=bars,
        lines=[_line(hit, fields, secrets) for hit in answer["hits"].get("hits") or () if isinstance(hit, Mapping)][:ROWS],
        complete=not answer.get("timed_out") and not shards.get("failed"),
    )  # fmt: skip


def _phrase(name: str, value: str) -> dict[str, Any]:
    """Holds for a field of words and for one of whole values."""
    return {"match_phrase": {name: {"query": value}}}


def _any(clauses: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"bool": {"should": list(clauses), "minimum_should_match": 1}}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _count(bucket: Any) -> int:
    return int(_mapping(bucket).get("doc_count") or 0)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _line(hit: Mapping[str, Any], fields: Fields, secrets: Sequence[str]) -> dict[str, str]:
    source = _mapping(hit.get("_source"))
    found = {
        "at": _text(source, fields.time),
        "level": _text(source, fields.level),
        "message": _text(source, fields.message),
        "index": str(hit.get("_index") or ""),
    }
    found |= {name: value for name in BESIDE if (value := _text(source, name))}
    return {name: mask_line(value[: LINE * 2], secrets)[:LINE] for name, value in found.items()}


def _text(source: Mapping[str, Any], name: str) -> str:
    """The value of a dotted field, written as one name or as nested objects."""
    value: Any = source.get(name)
    if value is None and "." in name:
        head, _, rest = name.partition(".")
        return _text(_mapping(source.get(head)), rest)
    if isinstance(value, list):
        value = " ".join(str(one) for one in value)
    return "" if value is None or isinstance(value, Mapping) else str(value)
