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
#: a duration that is longer than nothing
SOME_TIME: Schema = {
    "$ref": "#/$defs/duration", "not": {"anyOf": [{"const": 0}, {"type": "string", "pattern": r"^\s*0*(\.0+)?\s*[smhd]?\s*$"}]},
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
            }) | {"anyOf": [{"required": ["on"]}, {"properties": {"mode": {"const": "manual"}}, "required": ["mode"]}]},
            "inputs": {"type": "array", "items": {"$ref": "#/$defs/field"}},
            "steps": {"type": "array", "minItems": 1, "maxItems": MOST_STEPS, "items": {"$ref": "#/$defs/step"}},
            "concurrency": _CONCURRENCY,
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
            name: VALUES[name] for name in sorted(EVERYWHERE.union(*KEYS.values()) - {"kind", "action"})
        } | {"kind": {"enum": list(KINDS)}, "action": {"enum": list(actions)}},
        "allOf": [
            *(_if("kind", kind, {
                "propertyNames": {"enum": sorted(EVERYWHERE | KEYS[kind])}, "required": NEEDED.get(kind, []),
                "properties": {"branches": LANES if kind == "parallel" else CHOICES},
              }) for kind in KINDS),
            {"if": {"properties": {"kind": {"const": "wait"}}}, "then": _one_at_least("for", "until", "until_time", "until_event")},
            {"if": {"properties": {"kind": {"const": "gate"}}}, "then": _one_at_least("checks", "needs_evidence")},
            *(_if("action", slug, _of_action(slug, action)) for slug, action in actions.items()),
        ],
    }  # fmt: skip


def _if(key: str, value: str, then: Schema) -> Schema:
    return {"if": {"properties": {key: {"const": value}}, "required": [key]}, "then": then}


def _one_at_least(*names: str) -> Schema:
    return {"anyOf": [{"required": [name]} for name in names]}


def _of_action(slug: str, action: Action) -> Schema:
    """What a step with the action has to say."""
    needs = ["with"] if any(_needed(param) for param in action.params) else []
    made: Schema = {"properties": {"with": {"$ref": f"#/$defs/action-{slug}"}}}
    if action.changes_world and action.risk >= "R2":
        made["anyOf"] = [{"required": ["approve"]}, {"properties": {"kind": {"const": "approve"}}}]
    # what a message sends may stand in “text” instead
    return {**made, "required": needs} if slug != "notify" else made


def _needed(param: Param) -> bool:
    return param.required and param.default is None


def _params(action: Action) -> Schema:
    said = f"{action.title}. {action.summary}".strip()
    needs = [param.name for param in action.params if _needed(param) and action.slug != "notify"]
    return _object({param.name: _value(param) for param in action.params}, needs) | {"description": said}


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
    }, needs=["name"]) | {
        "if": {"properties": {"kind": {"const": "choice"}}, "required": ["kind"]},
        "then": {"required": ["choices"]},
        "else": {"not": {"required": ["choices"]}},
    }  # fmt: skip


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

CHOICES: Schema = {
    "items": _object({"when": {"$ref": "#/$defs/condition"}, "goto": TARGET}, needs=["goto"]),
    "description": "Looked at in order after the step is done; one without when is the otherwise and comes last.",
}
_STEPS: Schema = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}}
LANES: Schema = {
    "items": _object({"name": STEP_ID, "steps": _STEPS}, needs=["name", "steps"]),
    "minItems": 2,
    "description": "What is done at the same time.",
}
_CONCURRENCY: Schema = _object(
    {"key": _said(TEXT, "One run at a time holds it."), "on_conflict": {"enum": ["queue", "cancel_new"]}},
    needs=["key"],
)
_UNTIL_EVENT: Schema = _object({
    "kind": {"anyOf": [TEXT, {"type": "array", "items": TEXT}], "description": "Of an event of the incident."},
    "when": {"$ref": "#/$defs/condition"},
    "ticket": {"enum": ["closed"]},
    "provider": TEXT,
    "clean": _object({
        "windows": {"type": "integer", "minimum": 1, "maximum": 1000},
        "window": SOME_TIME,
        "samples": {"type": "integer", "minimum": 0},
        "monitor": TEXT,
    }),
})  # fmt: skip

#: keys without which a step of the kind cannot be saved
NEEDED: dict[str, list[str]] = {
    "auto": ["action"],
    "decide": ["branches"],
    "human": ["form"],
    "parallel": ["branches"],
    "for_each": ["items", "steps"],
    "playbook": ["playbook"],
}
#: what each key of a step holds
VALUES: dict[str, Schema] = {
    "id": STEP_ID,
    "title": _said(TEXT, "What people read."),
    "text": _said(TEXT, "What to do, for people; in a message, what is sent."),
    "when": {"$ref": "#/$defs/condition"},
    "next": TARGET,
    "branches": {"type": "array"},
    "on_error": _jump("fail", "continue", "compensate"),
    "mark": {"enum": ["contained", "verified"]},
    "with": {"type": "object", "description": "Parameters of the action; {{ path }} is looked up."},
    "timeout": _said(SOME_TIME, "For one try."),
    "deadline": _said(SOME_TIME, "For all tries and waiting together."),
    "retry": _object({
        "count": {"type": "integer", "minimum": 0, "maximum": 20},
        "backoff": {"$ref": "#/$defs/duration"},
        "on": _one_or_many(["retryable", "unverified", "timeout", "any"]),
    }),
    "verify": {"$ref": "#/$defs/condition"},
    "undo": FLAG,
    "risk": {"enum": list(RISKS), "description": "Raises the action's own class."},
    "approve": _object({
        "all_of": _said(_ROLES, "One yes of each of these roles."),
        "roles": _said(_ROLES, f"Narrows who may approve. {_APPROVERS}."),
        "quorum": {"type": "integer", "minimum": 1, "maximum": 10},
        "expires": SOME_TIME,
        "on_timeout": _jump("escalate", "fail"),
    }),
    "needs_evidence": FLAG,
    "form": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/field"}},
    "roles": _ROLES,
    "checks": {
        "type": "array",
        "items": _object({"when": {"$ref": "#/$defs/condition"}, "title": TEXT}, needs=["when"]),
    },
    "for": {"anyOf": [{"$ref": "#/$defs/duration"}, TEMPLATE]},
    "until_time": _said(TEXT, "A time, or the next “02:00” or “Sun 02:00” (UTC)."),
    "until_event": _UNTIL_EVENT,
    "items": {"type": ["array", "string"], "description": "A list, {{ path }} of one, or CEL that gives one."},
    "as": _said(TEXT, "What an item is called."),
    "limit": _said({"type": "integer", "minimum": 1, "maximum": 100}, "Items at work at the same time."),
    "most": _said({"type": "integer", "minimum": 1, "maximum": 1000}, "More items fail the step."),
    "steps": _STEPS,
    "join": {"anyOf": [{"enum": ["all", "any"]}, {"type": "integer", "minimum": 1}], "description": "How many have to succeed."},
    "playbook": _said(TEXT, "The slug of the playbook to run."),
    "concurrency": _CONCURRENCY,
    "until": {"$ref": "#/$defs/condition"},
    "every": {"$ref": "#/$defs/duration"},
}  # fmt: skip
