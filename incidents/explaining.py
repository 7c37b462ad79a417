"""Why an alert is where it is, told in sentences: rule, key, window, gate, promotion, people."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from django.utils.dateparse import parse_datetime

from incidents.models import Alert
from incidents.models.incident import CLASS_TITLES
from incidents.report.document import duration

#: parts of a grouping key as people call them
PARTS = {
    "env": "environment", "system": "system", "family": "class", "dataset": "data set", "source": "source",
    "metric": "metric", "feature": "feature", "segment": "segment", "version": "version", "rule": "rule",
}  # fmt: skip
#: how an alert's system was found
FOUND_BY = {
    "matchers": "its labels match the matchers of the system",
    "rule": "the grouping rule names it",
    "name": "its source names it so",
}
FAMILY_BY = {
    "source": "its source says so",
    "rule": "the rule gives it",
    "words": "its words suggest it",
    "default": "nothing says otherwise",
}
_MISSING = "∅"


def sentences(alert: Alert) -> list[str]:
    """What decided about the alert, the decisive first. Never empty."""
    why: dict[str, Any] = alert.why if isinstance(alert.why, dict) else {}
    found = [said for name, tell in TELLERS.items() if name in why and (said := _told(tell, why[name]))]
    if alert.incident_id is None:
        found.insert(0, f"It is in no incident: {alert.get_disposition_display().lower()}.")
    if not found:
        found.append("No rule decided: it was put here by hand, or before rules were recorded.")
    return found


def others(alert: Alert) -> list[tuple[str, str]]:
    """What was recorded beyond what `sentences` tells, as (title, text)."""
    why = alert.why if isinstance(alert.why, dict) else {}
    return [
        (name.replace("_", " ").capitalize(), plain(value))
        for name, value in why.items()
        if name not in TELLERS and value not in (None, "", [], {})
    ]


def plain(value: Any) -> str:
    """A recorded value in words: mappings as "key: value" pairs, lists with commas."""
    if isinstance(value, dict):
        return "; ".join(
            f"{k.replace('_', ' ')}: {plain(v)}" for k, v in value.items() if v not in (None, "", [], {})
        )
    if isinstance(value, list):
        return ", ".join(plain(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value)


def _told(tell: Callable[[Any], str], value: Any) -> str:
    try:
        return tell(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        # written by an older version in another shape: better told roughly than not at all
        return plain(value)


def _moved(said: Mapping[str, Any]) -> str:
    at = parse_datetime(str(said.get("at", "")))
    when = f" on {at:%Y-%m-%d %H:%M} UTC" if at else ""
    note = f": {said['note']}" if said.get("note") else ""
    return (
        f"{said.get('by', 'Somebody')} moved it here from {said.get('from', 'another incident')}{when}{note}."
    )


def _promoted(said: Mapping[str, Any]) -> str:
    match said.get("by"):
        case "open incident":
            return "An incident with the same key was open, so it joined."
        case "critical":
            return "It opened an incident at once, as critical alerts do."
        case "signals":
            return (
                f"{said['have']['signals']} independent warnings with the same key fired; "
                f"{said['need']['signals']} open an incident."
            )
        case _:
            return (
                f"The same warning fired in {said['have']['windows']} windows; "
                f"{said['need']['windows']} open an incident."
            )


def _waiting(said: Mapping[str, Any]) -> str:
    have, need = said["have"], said["need"]
    text = (
        f"It is a warning that waits for company: {have['signals']} of {need['signals']} independent signals"
    )
    if need["windows"]:
        text += f", or {have['windows']} of {need['windows']} windows"
    return f"{text}."


def _topology(said: Mapping[str, Any]) -> str:
    span = duration(timedelta(seconds=said["span_seconds"]))
    return (
        f"Its system consumes the data set {said['dataset']}, which has an open data-quality incident of the last "
        f"{span}: it is taken for a consequence and opens none of its own."
    )


def _rule(said: Mapping[str, Any]) -> str:
    passed = [str(name) for name in said.get("passed_over") or []]
    over = f", the first that matches after {', '.join(passed)}" if passed else ""
    return f"The grouping rule “{said.get('name')}” v{said.get('version')} decides{over}."


def _key(said: Mapping[str, str]) -> str:
    if not said:
        return "The rule puts all its alerts into one group."
    order = [*PARTS, *said]  # PostgreSQL keeps the names in an order of its own
    parts = [f"{PARTS.get(name, name)} {_value(name, said[name])}" for name in sorted(said, key=order.index)]
    return (
        f"It groups alerts of the same {', '.join(parts[:-1])}{' and ' if len(parts) > 1 else ''}{parts[-1]}."
    )


def _value(name: str, value: str) -> str:
    value = str(value)
    if name == "family":
        return CLASS_TITLES.get(value, value).lower()
    if value == _MISSING:
        return "(not given)"
    if value.startswith(_MISSING):
        value = f"{value[1:]} (not in the inventory)"
    return re.sub(r"\\(.)", r"\1", value)


def _gate(said: Mapping[str, Any]) -> str:
    if said.get("passed"):
        return f"It is more than noise: {said.get('reason')}"
    return f"It is held for noise: {said.get('reason')}"


def _system(said: Mapping[str, Any]) -> str:
    by, name = said.get("by"), said.get("name")
    if by == "nobody knows it":
        return f"The system it names, {name}, is not in the inventory." if name else "It names no system."
    also = ", ".join(map(str, said.get("also") or []))
    how = FOUND_BY.get(str(by), f"its {by} names it")
    return f"It belongs to {name}: {how}{f' (also matching: {also})' if also else ''}."


def _family(said: Mapping[str, Any]) -> str:
    code = str(said.get("is"))
    return f"Its class is {CLASS_TITLES.get(code, code).lower()}: {FAMILY_BY.get(str(said.get('by')), said.get('by'))}."


def _silence(said: Mapping[str, Any]) -> str:
    until = parse_datetime(str(said.get("until", "")))
    end = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
    return f"A silence mutes messages about it{end}: {said.get('reason')}"


def _window(seconds: int) -> str:
    return f"Alerts of the same key within {duration(timedelta(seconds=seconds))} belong together."


#: what is recorded → how it is told, in the order in which it is told
TELLERS: Mapping[str, Callable[[Any], str]] = {
    "moved": _moved,
    "topology": _topology,
    "gate": _gate,
    "promoted": _promoted,
    "waiting": _waiting,
    "rule": _rule,
    "key": _key,
    "window_seconds": _window,
    "system": _system,
    "family": _family,
    "silence": _silence,
    "storm": lambda storm: f"It came in storm {storm}, when its source reported many alerts at once.",
    "follows_alert": lambda pk: (
        f"An earlier alert of the same kind ({pk}) belongs to an incident that is over."
    ),
}
