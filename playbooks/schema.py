"""The JSON Schema of a playbook's text, for editors: made from the rules of each kind and the actions installed.

An editor with it completes keys and marks what is misspelt while it is typed. It knows shapes, not meanings:
whether a step can be reached or a name refers to anything is what `definition.check` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from incidents.access import RIGHTS
from incidents.models.incident import CLASS_TITLES
from incidents.models.people import ROLES
from playbooks import shelf
from playbooks.contract import Action, Param
from playbooks.definition.check import EVENTS, FIELD_KINDS, MOST_STEPS
from playbooks.definition.model import KINDS, RISKS
from playbooks.definition.rules import EVERYWHERE, KEYS

#: https://json-schema.org/draft/2020-12/schema
DIALECT = "https://json-schema.org/draft/2020-12/schema"
ADDRESS = "/api/v1/playbooks/schema.json"
Schema = dict[str, Any]

#: what YAML reads as a number or a truth value is taken as the text that it was
TEXT: Schema = {"type": ["string", "number", "boolean"]}
FLAG: Schema = {"type": "boolean"}
TEMPLATE: Schema = {"type": "string", "pattern": r"\{\{"}
DURATION: Schema = {
    "anyOf": [{"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*[smhd]?\s*$"}, {"type": "number", "minimum": 0}],
    "description": "90s, 15m, 24h, 7d, or a number of seconds.",
}  # fmt: skip
CONDITION: Schema = {"type": ["string", "boolean"], "maxLength": 1000, "description": "A condition in CEL."}
STEP_ID: Schema = {
    "type": "string",
    "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,59}$",
    "not": {"const": "end"},
    "description": "Letters, digits, - and _.",
}
TARGET: Schema = {"type": "string", "description": "The id of a step, or end."}


def schema(actions: Mapping[str, Action] | None = None, address: str = ADDRESS) -> Schema:
    """The whole schema as JSON values. `actions` is the shelf (default: the installed one)."""
    shelved = shelf.actions() if actions is None else actions
    return {
        "$schema": DIALECT,
        "$id": address,
        "title": "Playbook",
        "description": "What to do about a kind of incident.",
        "type": "object",
        "required": ["playbook", "title", "steps"],
        "properties": {
            "playbook": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,79}$", "description": "The slug."},
            "title": _said(TEXT, "What people read in lists."),
            "summary": _said(TEXT, "What this playbook is for, in a sentence."),
            "applies_to": _object({"classes": _one_or_many(list(CLASS_TITLES)), "matchers": _said(TEXT, "Label matchers, one set per line.")}),
            "trigger": _object({
                "on": _one_or_many(list(EVENTS)),
                "mode": {"enum": ["auto", "suggest", "manual"]},
                "when": {"$ref": "#/$defs/condition"},
            }),
            "inputs": {"type": "array", "items": {"$ref": "#/$defs/field"}},
            "steps": {"type": "array", "minItems": 1, "maxItems": MOST_STEPS, "items": {"$ref": "#/$defs/step"}},
        },
        "additionalProperties": False,
        "$defs": {
            "condition": CONDITION,
            "duration": DURATION,
            "field": _field(),
            "step": _step(shelved),
            **{f"action-{slug}": _params(action) for slug, action in shelved.items()},
        },
    }  # fmt: skip


def _step(actions: Mapping[str, Action]) -> Schema:
    return {
        "type": "object",
        "required": ["id", "kind"],
        "properties": {
            name: VALUES.get(name, {}) for name in sorted(EVERYWHERE.union(*KEYS.values()))
        } | {"kind": {"enum": list(KINDS)}, "action": {"enum": list(actions)}},
        "allOf": [
            *(_if("kind", kind, {"propertyNames": {"enum": sorted(EVERYWHERE | KEYS[kind])}, "required": NEEDED.get(kind, [])})
              for kind in KINDS if kind in KEYS),
            *(_if("action", slug, {"properties": {"with": {"$ref": f"#/$defs/action-{slug}"}}}) for slug in actions),
        ],
    }  # fmt: skip


def _if(key: str, value: str, then: Schema) -> Schema:
    return {"if": {"properties": {key: {"const": value}}, "required": [key]}, "then": then}


def _params(action: Action) -> Schema:
    said = f"{action.title}. {action.summary}".strip()
    return _object({param.name: _value(param) for param in action.params}) | {"description": said}


def _value(param: Param) -> Schema:
    """A parameter's values; a text with `{{ path }}` stands for any of them."""
    kinds = {"text": "string", "number": "number", "bool": "boolean", "list": "array", "map": "object"}
    own: Schema = {"type": kinds[param.kind]} if param.kind in kinds else {}
    if param.choices:
        own = {"enum": list(param.choices)}
    found: Schema = {"anyOf": [own, TEMPLATE, {"type": "null"}]} if own else {}
    if param.help:
        found["description"] = param.help
    if param.default is not None:
        found["default"] = param.default
    return found


def _field() -> Schema:
    return _object({
        "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,59}$"},
        "kind": {"enum": list(FIELD_KINDS), "default": "text"},
        "title": TEXT, "help": TEXT, "required": FLAG, "default": {},
        "choices": {"type": "array", "items": TEXT, "minItems": 1},
        "min": {"type": "number"}, "max": {"type": "number"},
    }, needs=["name"])  # fmt: skip


def _object(properties: Schema, needs: list[str] | None = None) -> Schema:
    return {
        "type": "object", "properties": properties, "additionalProperties": False, **({"required": needs} if needs else {}),
    }  # fmt: skip


def _one_or_many(words: list[str]) -> Schema:
    return {"anyOf": [{"enum": words}, {"type": "array", "items": {"enum": words}}]}


def _said(shape: Schema, words: str) -> Schema:
    return {**shape, "description": words}


def _jump(*words: str) -> Schema:
    """`word`, the text `goto: ID`, or the mapping {goto: ID}."""
    return {
        "anyOf": [
            {"enum": list(words)},
            {"type": "string", "pattern": "^goto:"},
            _object({"goto": TARGET}, needs=["goto"]),
        ]
    }


_ROLES = _one_or_many(list(ROLES))
_APPROVERS = ", ".join(f"{risk}: {'/'.join(sorted(RIGHTS[f'approve.{risk}']))}" for risk in RISKS[1:])

#: keys without which a step of the kind cannot be saved
NEEDED: dict[str, list[str]] = {
    "auto": ["action"],
    "decide": ["branches"],
    "human": ["form"],
}
#: what each key of a step holds
VALUES: dict[str, Schema] = {
    "id": STEP_ID,
    "title": _said(TEXT, "What people read."),
    "text": _said(TEXT, "What to do, for people; in a message, what is sent."),
    "when": {"$ref": "#/$defs/condition"},
    "next": TARGET,
    "branches": {
        "type": "array",
        "items": _object({"when": {"$ref": "#/$defs/condition"}, "goto": TARGET}, needs=["goto"]),
        "description": "Looked at in order after the step is done.",
    },
    "on_error": _jump("fail", "continue", "compensate"),
    "mark": {"enum": ["contained", "verified"]},
    "with": {"type": "object", "description": "Parameters of the action; {{ path }} is looked up."},
    "timeout": _said({"$ref": "#/$defs/duration"}, "For one try."),
    "deadline": _said({"$ref": "#/$defs/duration"}, "For all tries and waiting together."),
    "retry": _object({
        "count": {"type": "integer", "minimum": 0, "maximum": 20},
        "backoff": {"$ref": "#/$defs/duration"},
        "on": _one_or_many(["retryable", "unverified", "timeout", "any"]),
    }),
    "verify": {"$ref": "#/$defs/condition"},
    "undo": FLAG,
    "risk": {"enum": list(RISKS), "description": "Raises the action's own class."},
    "approve": _object({
        "roles": _said(_ROLES, f"Narrows who may approve. {_APPROVERS}."),
        "quorum": {"type": "integer", "minimum": 1, "maximum": 10},
        "expires": {"$ref": "#/$defs/duration"},
        "on_timeout": _jump("escalate", "fail"),
    }),
    "needs_evidence": FLAG,
    "form": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/field"}},
    "roles": _ROLES,
    "checks": {
        "type": "array",
        "items": _object({"when": {"$ref": "#/$defs/condition"}, "title": TEXT}, needs=["when"]),
    },
    "for": {"$ref": "#/$defs/duration"},
    "until": {"$ref": "#/$defs/condition"},
    "every": {"$ref": "#/$defs/duration"},
}  # fmt: skip
