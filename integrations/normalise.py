"""Readings of loosely typed monitor data: text, numbers, times, words for level, status and incident class.

Monitors agree on little: what is a number here is a string there. These functions take what comes and give
the types of `Signal`, or None; they never raise on odd values, and they never guess beyond the word lists here.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import orjson

from incidents.intake.signal import FAMILIES, Level, Signal, Status
from integrations.contract import Inbound

#: Levels of nesting that are read.
MOST_LEVELS = 100

#: NUL and lone surrogates can be written in JSON but not stored in a database.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

#: What the alert table holds; longer text is cut here, the whole of it stays in the inbox message.
LIMITS = {
    "title": 300, "system": 200, "version": 120, "segment": 200, "feature": 200, "dataset": 200,
    "metric": 120, "comparator": 8, "baseline": 200, "window": 120,
}  # fmt: skip


def terms(line: str) -> frozenset[str]:
    """A word list written as one line of text."""
    return frozenset(line.split())


_LEVELS: dict[str, Level] = {
    **dict.fromkeys(
        terms(
            "critical crit page error err fatal emergency emerg disaster high urgent alert blocker sev1 sev2 p1 p2"
        ),
        "critical",
    ),
    **dict.fromkeys(terms("warning warn medium average moderate minor degraded sev3 p3"), "warning"),
    **dict.fromkeys(terms("info information informational notice low debug none ok sev4 sev5 p4 p5"), "info"),
}

_STATUSES: dict[str, Status] = {
    **dict.fromkeys(
        terms(
            "firing alerting alarm triggered trigger fired open opened active activated new problem failing failed "
            "down unhealthy reopened"
        ),
        "firing",
    ),
    **dict.fromkeys(
        terms(
            "resolved resolve ok okay recovered recovery closed close normal cleared clear inactive deactivated up "
            "healthy passed success green done"
        ),
        "resolved",
    ),
}

#: Names that stand for a class beside its code.
_FAMILY_NAMES = {
    "security": "ADVERS", "fairness": "BIAS", "dataquality": "DATAQ", "quality": "DATAQ", "performance": "PERF",
    "integration": "INTEG", "serving": "INTEG", "poisoning": "POISON", "adversarial": "ADVERS",
    "compliance": "COMPL", "ethics": "COMPL", "hallucination": "HALLUC", "injection": "INJECT",
    "promptinjection": "INJECT", "leakage": "LEAK", "privacy": "LEAK", "harmful": "HARM", "safety": "HARM",
    "supplychain": "SUPPLY", "vendor": "SUPPLY", "drift": "DRIFT", "modeldrift": "DRIFT", "datadrift": "DRIFT",
    "conceptdrift": "DRIFT", "predictiondrift": "DRIFT", "latency": "PERF", "accuracy": "PERF",
}  # fmt: skip


class NotJSON(ValueError):
    """The bytes are not JSON; the message says where."""


def read_json(body: bytes | str) -> Any:
    """Parsed JSON. NaN and infinities, which several monitors send although JSON has none, become None.

    Raises NotJSON, also for nesting deeper than MOST_LEVELS, which no monitor needs and no later reader expects.
    """
    data = body.encode(errors="replace") if isinstance(body, str) else body
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        read = orjson.loads(data)
    except orjson.JSONDecodeError as strict:
        try:
            read = json.loads(data, parse_constant=lambda _: None)
        except (ValueError, RecursionError):
            raise NotJSON(f"The body is not JSON: {strict}.") from strict
    if data.count(b"[") + data.count(b"{") > MOST_LEVELS and _is_deep(read):
        raise NotJSON(
            f"The body is not JSON that is read here: it is nested deeper than {MOST_LEVELS} levels."
        )
    return read


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MOST_LEVELS + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def text(value: Any, limit: int | None = None) -> str:
    """Any JSON value as storable text: None is "", booleans as in JSON, structures as compact JSON."""
    # nearly always so, and asked many times per alert
    if type(value) is str and value.isascii() and "\0" not in value:
        out = value.strip()
        return out if limit is None or len(out) <= limit else out[: limit - 1].rstrip() + "…"
    match value:
        case str():
            out = _clean(value)
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case _:
            out = _clean(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str))
    out = out.strip()
    if limit is not None and len(out) > limit:
        out = out[: limit - 1].rstrip() + "…"
    return out


def _clean(value: str) -> str:
    # most text is plain ASCII, and seeing that is far cheaper than searching it
    return value if value.isascii() and "\0" not in value else _UNSTORABLE.sub("", value)


def storable(value: Any) -> Any:
    """The same JSON value without what a database refuses: NUL, lone surrogates, NaN, infinities."""
    match value:
        case str():
            return _clean(value)
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {_clean(str(name)): storable(inner) for name, inner in value.items()}
        case list() | tuple():
            return [storable(inner) for inner in value]
        case _:
            return value


def number(value: Any) -> float | None:
    """A finite number out of a number or its text; None for everything else (booleans too)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def whole(value: Any) -> int | None:
    """A non-negative count that fits the database, or None."""
    found = number(value)
    return int(found) if found is not None and 0 <= found < 2**63 else None


def moment(value: Any) -> datetime | None:
    """An aware UTC time out of ISO 8601 text or seconds/milliseconds since 1970.

    Text without offset is taken as UTC. The zero time of Go (year 1) and unreadable values are None.
    """
    try:
        if isinstance(value, str) and not re.fullmatch(r"\s*\d{9,}(\.\d+)?\s*", value):
            found = datetime.fromisoformat(value.strip())
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        else:
            seconds = number(value)
            if seconds is None:
                return None
            found = datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.year > 1 else None


def level(value: Any) -> Level | None:
    """`critical`, `warning`, `info` out of the words monitors use; None when the word is unknown."""
    return _LEVELS.get(re.sub(r"[\s_-]", "", text(value)).lower())


def status(value: Any) -> Status | None:
    """`firing` or `resolved`; None when the word is unknown."""
    return _STATUSES.get(text(value).lower())


def family(*declared: Any) -> str | None:
    """The incident class that the source names, by code or by a usual name; None when it names none.

    Nothing is guessed here from metrics and titles: intake does that, after the rules had their say.
    """
    for value in declared:
        word = text(value)
        if word.upper() in FAMILIES:
            return word.upper()
        if found := _FAMILY_NAMES.get(re.sub(r"[^a-z]", "", word.lower())):
            return found
    return None


def first(of: Mapping[str, Any], *names: str) -> Any:
    """The first value among `names` that is there and not empty."""
    for name in names:
        value = of.get(name)
        if value or (value is not None and not isinstance(value, str | list | dict)):
            return value
    return None


def labels(value: Any) -> dict[str, str]:
    """A mapping as text labels; anything else is no labels."""
    if not isinstance(value, Mapping):
        return {}
    return {text(name): text(inner) for name, inner in value.items() if inner is not None}


def facts(named: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a Signal that labels or flat attributes tell by their usual names."""
    return {
        "system": text(
            first(named, "system", "ai_system", "model", "model_name", "model_id", "inferenceservice", "inference_service")
        ),
        "version": text(first(named, "version", "model_version", "revision")),
        "segment": text(first(named, "segment", "slice", "cohort", "subgroup")),
        "feature": text(first(named, "feature", "feature_name", "column", "column_name")),
        "dataset": text(first(named, "dataset", "dataset_name", "table", "data_source")),
        "metric": text(first(named, "metric", "metric_name")),
        "value": number(first(named, "value", "current_value", "metric_value")),
        "threshold": number(first(named, "threshold", "limit")),
        "comparator": text(first(named, "comparator", "operator")),
        "baseline": text(first(named, "baseline", "reference")),
        "window": text(first(named, "window", "period", "window_id")),
        "sample_size": whole(first(named, "sample_size", "n", "samples")),
    }  # fmt: skip


def links(*pairs: tuple[str, Any]) -> tuple[tuple[str, str], ...]:
    """Those (text, address) that a browser may open: http and https only, doubles removed."""
    kept: dict[str, str] = {}
    for name, value in pairs:
        url = text(value)
        if 0 < len(url) <= 2000 and is_web_address(url):
            kept.setdefault(url, text(name, 80) or url[:80])
    return tuple((name, url) for url, name in kept.items())


@lru_cache(2048)
def is_web_address(url: str) -> bool:
    """Whether a browser would open it: http or https, with a host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def fingerprint(*parts: Any) -> str:
    """A short stable name for a condition that its source does not name: a hash of what tells it apart."""
    told = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def short_key(key: str, limit: int = 255) -> str:
    """A vendor's id as it fits a column: unchanged, or its hash when it is too long or not printable."""
    if len(key) <= limit and key.isprintable():
        return key
    return "sha256:" + hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def signal(inbound: Inbound, source: str, **fields: Any) -> Signal:
    """A Signal that came with `inbound`, every text cut to what the alert table holds.

    `fields` are those of Signal but `origin`, `source` and `inbox_id`; `observed_at` defaults to the arrival.
    """
    for name, limit in LIMITS.items():
        if name in fields:
            fields[name] = text(fields[name], limit)
    for name in ("value", "threshold"):
        if name in fields:
            fields[name] = number(fields[name])
    fields["fingerprint"] = short_key(text(fields["fingerprint"]))
    fields["description"] = text(fields.get("description"))
    fields["delivery_key"] = short_key(text(fields.get("delivery_key")))
    fields["extra"] = storable(fields.get("extra") or {})
    fields["observed_at"] = fields.get("observed_at") or inbound.received_at
    return Signal(origin=inbound.origin, source=source, inbox_id=inbound.inbox_id, **fields)


def listed(words: Iterable[str]) -> str:
    """Words for an error message, sorted and quoted."""
    return ", ".join(f'"{word}"' for word in sorted(words))
