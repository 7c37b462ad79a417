"""Conditions (CEL) and `{{ path }}` parameters: the only place that evaluates what a playbook says.

Conditions see `incident`, `system`, `inputs`, `steps` and `run`; `steps` knows each step by its id and
by the id with underscores (`steps["DR-03"].share`, `steps.DR_03.share`). What cannot be evaluated is
never true: it raises ExpressionError. Parameters are looked up, never evaluated, so text that came in
with an alert cannot change what a playbook does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

#: Characters of one condition. CEL itself stops deep nesting (32 levels) and long loops.
LONGEST = 1000
#: `item` is what a for_each step is about, `items` that of each for_each around it, by its name
ROOTS = ("incident", "system", "inputs", "steps", "run", "item", "items")
#: seen only by a step's own `verify`: what was read back, and what the action answered; by `until_event`: the event
OWN = ("verified", "outputs", "event")

Scope = Mapping[str, Any]

_MAP = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
_ENV = cel.NewEnv(variables={**dict.fromkeys((*ROOTS, *OWN), _MAP), "item": cel.Type.DYN})
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)|(?P<string>[rRbB]{0,2}(?:\"\"\".*?\"\"\"|'''.*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))"""
    r"""|(?P<name>[A-Za-z_]\w*)|(?P<number>\d[\w.]*)|(?P<sign>.)""",
    re.DOTALL,
)
_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[\w-]+)*")
_PLACE = re.compile(r"<input>:(-?\d+):(-?\d+): ")


class ExpressionError(ValueError):
    """A condition or path that cannot be read or evaluated; the message says why."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What an expression refers to: `steps["DR-03"].share` is `("steps", ("DR-03", "share"))`."""

    root: str
    path: tuple[str, ...]
    optional: bool = False

    def __str__(self) -> str:
        return ".".join((self.root, *self.path))


def compiled(text: str) -> Any:
    """The compiled condition. Raises ExpressionError."""
    return _compiled(text, "BOOL", "A condition must be true or false")


def compiled_list(text: str) -> Any:
    """The compiled expression that gives a list. Raises ExpressionError."""
    return _compiled(text, "LIST", "This must give a list")


@lru_cache(maxsize=2048)
def _compiled(text: str, wanted: str, must: str) -> Any:
    if len(text) > LONGEST:
        raise ExpressionError(
            f"This condition has {len(text)} characters; at most {LONGEST} are read. Split it over several steps."
        )
    tokens = list(_tokens(text))
    for at, (kind, word) in enumerate(tokens):
        # chained map() doubles its data at each link, which CEL's budgets do not count
        if kind == "name" and word == "map" and at and tokens[at - 1][1] == ".":
            raise ExpressionError(
                "map() is not available in conditions; use exists(), all(), exists_one() or filter()."
            )
    try:
        expression = _ENV.compile(text)
    except RuntimeError as error:
        raise ExpressionError(_readable(error)) from None
    gives = expression.return_type().name()
    if not gives.startswith((wanted, "DYN")):
        raise ExpressionError(f"{must}; this one gives {gives.lower()}.")
    return expression


def test(text: str, scope: Scope) -> bool:
    """Whether the condition holds. Raises ExpressionError when that cannot be said."""
    return Conditions(scope).test(text)


class Conditions:
    """Several conditions over the same values, which are handed to CEL once."""

    def __init__(self, scope: Scope) -> None:
        self._values = {**{name: scope.get(name) or {} for name in (*ROOTS, *OWN)}, "item": scope.get("item")}
        self._activation: Any = None

    def test(self, text: str) -> bool:
        """Whether the condition holds. Raises ExpressionError when that cannot be said."""
        value = self._value(compiled(text), text)
        if not isinstance(value, bool):
            raise ExpressionError(f"“{text}” gives {value!r}, not true or false; compare it with something.")
        return value

    def listed(self, text: str) -> list[Any]:
        """The list that the expression gives. Raises ExpressionError."""
        value = self._value(compiled_list(text), text)
        if not isinstance(value, list):
            raise ExpressionError(f"“{text}” gives {value!r:.200}, not a list.")
        return value

    def _value(self, expression: Any, text: str) -> Any:
        try:
            if self._activation is None:
                self._activation = _ENV.Activation(self._values)
            result = expression.eval(self._activation)
            kind, value = result.type().name(), result.plain_value()
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            raise ExpressionError(f"“{text}” cannot be evaluated: {_readable(error)}") from None
        if kind == "ERROR":
            raise ExpressionError(f"“{text}” cannot be evaluated: {_readable(value)}")
        return value


def listed(value: Any, scope: Scope) -> list[Any]:
    """The items that `value` names: a list as it is, `{{ path }}` of one, or CEL. Raises ExpressionError."""
    if isinstance(value, str) and "{{" not in value:
        return Conditions(scope).listed(value)
    found = substitute(value, scope)
    if not isinstance(found, list):
        raise ExpressionError(f"The items are {found!r:.200}, not a list.")
    return found


def references(text: str) -> list[Reference]:
    """Every path below our roots that a condition mentions, as far as it is written out."""
    found = []
    tokens = list(_tokens(text))
    at = 0
    while at < len(tokens):
        kind, word = tokens[at]
        at += 1
        if kind != "name" or word not in (*ROOTS, *OWN) or (at > 1 and tokens[at - 2][1] == "."):
            continue
        optional = at > 2 and tokens[at - 3 : at - 1] == [("name", "has"), ("sign", "(")]
        path: list[str] = []
        while at + 1 < len(tokens):
            if tokens[at][1] == "." and tokens[at + 1][0] == "name":
                if at + 2 < len(tokens) and tokens[at + 2][1] == "(":  # a method, not a field
                    break
                path.append(tokens[at + 1][1])
                at += 2
            elif tokens[at][1] == "[" and tokens[at + 1][0] == "string" and at + 2 < len(tokens):
                path.append(tokens[at + 1][1].strip("rRbB").strip("\"'"))
                at += 3
            else:
                break
        found.append(Reference(word, tuple(path), optional))
    return found


def template_references(value: Any) -> list[Reference]:
    """Every `{{ path }}` in the texts of a parameter value. Raises ExpressionError for a malformed one."""
    if isinstance(value, str):
        return [_reference(hit.group(1)) for hit in _TEMPLATE.finditer(value)]
    if isinstance(value, Mapping):
        return [found for item in value.values() for found in template_references(item)]
    if isinstance(value, list | tuple):
        return [found for item in value for found in template_references(item)]
    return []


def substitute(value: Any, scope: Scope) -> Any:
    """`value` with each `{{ path }}` looked up in `scope`.

    A text that is one path keeps the type of what it finds; a path inside a longer text is written into
    it. Nothing found is evaluated or substituted again. A path ending in `?` may be missing (null, or
    empty inside a text); any other missing path raises ExpressionError.
    """
    if isinstance(value, str):
        whole = _TEMPLATE.fullmatch(value.strip())
        if whole and "{{" not in whole.group(1):
            return look_up(_reference(whole.group(1)), scope)
        return _TEMPLATE.sub(lambda hit: _as_text(look_up(_reference(hit.group(1)), scope)), value)
    if isinstance(value, Mapping):
        return {name: substitute(item, scope) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [substitute(item, scope) for item in value]
    return value


def look_up(reference: Reference, scope: Scope) -> Any:
    """The value at a path. Raises ExpressionError when it is missing and not optional."""
    value: Any = scope.get(reference.root, {})
    for name in reference.path:
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list | tuple) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        elif reference.optional:
            return None
        else:
            raise ExpressionError(
                f"“{{{{ {reference} }}}}” finds nothing: there is no “{name}”. Provide it, or write "
                f"“{{{{ {reference}? }}}}” if it may be missing."
            )
    return value


def both_spellings(by_id: Mapping[str, Any]) -> dict[str, Any]:
    """Steps by id and, where the id has dashes, also by the id with underscores."""
    return {spelling: value for key, value in by_id.items() for spelling in {key, key.replace("-", "_")}}


def _reference(text: str) -> Reference:
    path = text.strip()
    optional = path.endswith("?")
    path = path.removesuffix("?").rstrip()
    if not _PATH.fullmatch(path):
        raise ExpressionError(
            f"“{{{{ {path} }}}}” is not a path: write names separated by dots, for example {{{{ incident.key }}}}."
        )
    root, *rest = path.split(".")
    if root not in ROOTS:
        raise ExpressionError(
            f"“{{{{ {path} }}}}” starts with {root!r}; a path starts with {', '.join(ROOTS)}."
        )
    return Reference(root, tuple(rest), optional)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    for hit in _TOKEN.finditer(text):
        if hit.lastgroup != "space":
            yield str(hit.lastgroup), hit.group()


def _readable(error: object) -> str:
    """CEL's message without its internal marks and drawing."""
    text = str(error).split("\n |")[0]
    text = re.sub(r"^[A-Z_]+: (ERROR: )?|\s*\[[A-Z_]+\]$|\(in container ''\)", "", text).strip()
    return _PLACE.sub(lambda at: f"at character {at.group(2)}: " if at.group(2) != "-1" else "", text)
