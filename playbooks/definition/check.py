"""From text to Definition: what every key means, and the first half of the rules (one value at a time)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import yaml

from incidents.matchers import MatcherError, parse_line
from incidents.models.incident import CLASS_TITLES
from incidents.models.people import ROLES
from playbooks import expressions, shelf
from playbooks.contract import Action

from . import reading as r
from . import rules
from .model import (
    KINDS,
    LATER_KINDS,
    RISKS,
    ApproveRule,
    Branch,
    Check,
    Definition,
    ErrorRule,
    Field,
    Retry,
    StepDef,
    Trigger,
)
from .reading import Map, Problem, Reader

EVENTS = ("incident.opened", "incident.reopened", "incident.triaged")
FIELD_KINDS = ("text", "long_text", "number", "bool", "choice", "date")
MOST_STEPS = 200
_STEP_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")

__all__ = ["DefinitionError", "check", "parse"]


class DefinitionError(ValueError):
    """The text is not a playbook that can run; `problems` says where and why."""

    def __init__(self, problems: list[Problem], filename: str = "") -> None:
        where = f"{filename}: " if filename else ""
        super().__init__("\n".join(f"{where}{problem}" for problem in problems))
        self.problems = problems


def check(text: str, filename: str = "", actions: Mapping[str, Action] | None = None) -> list[Problem]:
    """Everything that is wrong with a playbook's text, in the order of the text; empty when it can run.

    `actions` is the shelf to check against (default: the installed one). `filename`, where given, must
    carry the slug: `pb-drift.yaml` holds `playbook: pb-drift`.
    """
    return _read(text, filename, actions)[1]


def parse(text: str, filename: str = "", actions: Mapping[str, Action] | None = None) -> Definition:
    """The definition. Raises DefinitionError with every problem."""
    definition, problems = _read(text, filename, actions)
    if definition is None or problems:
        raise DefinitionError(problems, filename)
    return definition


def _read(
    text: str, filename: str, actions: Mapping[str, Action] | None
) -> tuple[Definition | None, list[Problem]]:
    reader = Reader()
    top = reader.compose(text)
    if top is None:
        return None, reader.problems
    places: rules.Places = {}
    definition = _definition(reader, top, places)
    rules.judge(definition, shelf.actions() if actions is None else actions, places, reader)
    stem = filename.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
    if stem and definition.slug and stem != definition.slug:
        reader.note(
            places.get(("playbook",)),
            f"The file is called {stem}, the playbook {definition.slug}; make them the same.",
        )
    return definition, sorted(set(reader.problems))


def _definition(reader: Reader, node: yaml.Node, places: rules.Places) -> Definition:
    top = Map(reader, node, "the playbook")
    slug = top.text("playbook", required=True)
    places["playbook",] = top.nodes.get("playbook", node)
    if slug and not _SLUG.fullmatch(slug):
        reader.note(top.nodes["playbook"], "The slug takes lower-case letters, digits and dashes.")
    classes: tuple[str, ...] = ()
    matchers = ""
    if (inner := top.take("applies_to")) is not None:
        applies = Map(reader, inner, "applies_to")
        classes = applies.read("classes", r.words(list(CLASS_TITLES)), ())
        matchers = applies.text("matchers")
        for line in matchers.splitlines():
            try:
                parse_line(line)
            except MatcherError as error:
                reader.note(applies.nodes["matchers"], str(error))
        applies.close()
    found = Definition(
        slug=slug,
        title=top.text("title", required=True)[:200],
        summary=top.text("summary"),
        classes=classes,
        matchers=matchers,
        trigger=_trigger(reader, top.take("trigger"), places),
        inputs=_fields(reader, top.read("inputs", r.nodes, []), "an input"),
        steps=_steps(reader, top, places),
    )
    top.close()
    return found


def _trigger(reader: Reader, node: yaml.Node | None, places: rules.Places) -> Trigger:
    if node is None:
        return Trigger(mode="manual")
    inner = Map(reader, node, "the trigger")
    found = Trigger(
        on=inner.read("on", r.words(EVENTS), ()),
        mode=inner.read("mode", r.one_of(("auto", "suggest", "manual")), "suggest"),
        when=_condition(inner, "when", places, ("trigger", "when")),
    )
    if found.mode != "manual" and not found.on:
        reader.note(node, f"A trigger with mode {found.mode} needs “on”, a list of {', '.join(EVENTS)}.")
    inner.close()
    return found


def _fields(reader: Reader, items: list[yaml.Node], what: str) -> tuple[Field, ...]:
    found: dict[str, Field] = {}
    for item in items:
        inner = Map(reader, item, what)
        name = inner.text("name", required=True)
        made = Field(
            name=name,
            kind=inner.read("kind", r.one_of(FIELD_KINDS), "text"),
            title=inner.text("title") or name.replace("_", " ").capitalize(),
            help=inner.text("help"),
            required=inner.read("required", r.flag, True),
            default=inner.read("default", r.plain, None),
            choices=inner.read("choices", r.words(), ()),
            minimum=inner.read("min", r.number, None),
            maximum=inner.read("max", r.number, None),
        )
        inner.close()
        if name and not _NAME.fullmatch(name):
            reader.note(inner.nodes["name"], f"The name {name!r} takes letters, digits and _ only.")
        if name in found:
            reader.note(item, f"The name {name!r} is used twice.")
        if (made.kind == "choice") != bool(made.choices):
            reader.note(item, "“choices” and “kind: choice” belong together.")
        found[name] = made
    return tuple(found.values())


def _steps(reader: Reader, top: Map, places: rules.Places) -> tuple[StepDef, ...]:
    items = top.read("steps", r.nodes, [])
    if not items:
        reader.note(
            top.nodes.get("steps", top.node), "A playbook needs “steps”, a list with at least one step."
        )
    if len(items) > MOST_STEPS:
        reader.note(items[MOST_STEPS], f"More than {MOST_STEPS} steps; split the playbook.")
        items = items[:MOST_STEPS]
    found: dict[str, StepDef] = {}
    for item in items:
        step = _step(reader, item, places)
        if step is None:
            continue
        if spelled := {other.replace("-", "_"): other for other in found}.get(step.id.replace("-", "_")):
            reader.note(item, f"Step {step.id}: there is already a step {spelled}.")
        else:
            found[step.id] = step
    return tuple(found.values())


def _step(reader: Reader, node: yaml.Node, places: rules.Places) -> StepDef | None:
    inner = Map(reader, node, "a step")
    id = inner.text("id", required=True)
    if not isinstance(node, yaml.MappingNode) or not id:
        return None
    if not _STEP_ID.fullmatch(id) or id == "end":
        reader.note(
            inner.nodes["id"],
            f"The step id {id!r} takes letters, digits, _ and -, begins with a letter and is not “end”.",
        )
    inner.what = f"step {id}"
    kind = inner.text("kind", required=True)
    if kind in LATER_KINDS:
        reader.note(inner.nodes["kind"], f"Steps of kind {kind} cannot run yet; use {', '.join(KINDS)}.")
    elif kind and kind not in KINDS:
        reader.note(
            inner.nodes["kind"],
            f"“kind” is {kind!r}; it must be one of {', '.join(KINDS)}." + r.meant(kind, KINDS),
        )

    for name, value in inner.nodes.items():
        places["steps", id, name] = value
    if isinstance(given := inner.nodes.get("with"), yaml.MappingNode):
        for key, value in given.value:
            places["steps", id, "with", str(key.value)] = value
    places["steps", id] = node
    step = StepDef(
        id=id,
        kind=kind,
        title=(inner.text("title") or id)[:200],
        action=inner.text("action") or ("notify" if kind == "notify" else ""),
        params=inner.read("with", _params, {}),
        when=_condition(inner, "when", places, ("steps", id, "when")),
        next=inner.text("next"),
        branches=_branches(inner, places, id),
        checks=_checks(inner, places, id),
        timeout=inner.read("timeout", r.some_seconds, None),
        deadline=inner.read("deadline", r.some_seconds, None),
        retry=_retry(inner),
        on_error=_on_error(inner),
        verify=_condition(inner, "verify", places, ("steps", id, "verify")),
        undo=inner.read("undo", r.flag, True),
        risk=inner.read("risk", r.one_of(RISKS), ""),
        approve=_approve(inner, kind),
        form=_fields(reader, inner.read("form", r.nodes, []), "a form field"),
        roles=inner.read("roles", r.words(list(ROLES)), ()),
        until=_condition(inner, "until", places, ("steps", id, "until")),
        duration=inner.read("for", r.seconds, None),
        every=inner.read("every", r.seconds, 300.0),
        needs_evidence=inner.read("needs_evidence", r.flag, False),
        mark=inner.read("mark", r.one_of(("contained", "verified")), ""),
        text=inner.text("text"),
        line=node.start_mark.line + 1,
    )
    inner.close()
    return (
        replace(step, params={"text": step.text, **step.params}) if kind == "notify" and step.text else step
    )


def _params(reader: Reader, node: yaml.Node, name: str) -> dict[str, object] | None:
    if not isinstance(node, yaml.MappingNode):
        reader.note(node, "“with” must be a mapping of parameters.")
        return None
    found: dict[str, object] = r.plain(reader, node, name)
    return found


def _condition(inner: Map, name: str, places: rules.Places, path: tuple[str, ...]) -> str:
    condition = inner.text(name).strip()
    if condition:
        places[path] = inner.nodes[name]
        try:
            expressions.compiled(condition)
        except expressions.ExpressionError as error:
            inner.reader.note(inner.nodes[name], f"“{name}”: {error}")
            return ""
    return condition


def _branches(inner: Map, places: rules.Places, id: str) -> tuple[Branch, ...]:
    found = []
    for at, node in enumerate(inner.read("branches", r.nodes, [])):
        one = Map(inner.reader, node, f"a branch of step {id}")
        found.append(
            Branch(
                when=_condition(one, "when", places, ("steps", id, "branches", str(at), "when")),
                goto=one.text("goto", required=True),
            )
        )
        places["steps", id, "branches", str(at)] = one.nodes.get("goto", node)
        one.close()
    return tuple(found)


def _checks(inner: Map, places: rules.Places, id: str) -> tuple[Check, ...]:
    found = []
    for at, node in enumerate(inner.read("checks", r.nodes, [])):
        one = Map(inner.reader, node, f"a check of step {id}")
        when = _condition(one, "when", places, ("steps", id, "checks", str(at), "when"))
        one.text("when", required=True)
        found.append(Check(when=when, title=one.text("title") or when))
        one.close()
    return tuple(found)


def _retry(inner: Map) -> Retry:
    if (node := inner.take("retry")) is None:
        return Retry()
    one = Map(inner.reader, node, f"retry of {inner.what}")
    found = Retry(
        count=one.read("count", r.count(0, 20), Retry().count),
        backoff=one.read("backoff", r.seconds, Retry().backoff),
        on=one.read("on", r.words(("retryable", "unverified", "timeout", "any")), Retry().on),
    )
    one.close()
    return found


def _jump(inner: Map, node: yaml.Node, name: str, simple: tuple[str, ...]) -> tuple[str, str]:
    """`name: word` with one of the simple words, or `name: {goto: ID}` (or the text “goto: ID”)."""
    if isinstance(node, yaml.MappingNode):
        one = Map(inner.reader, node, f"{name} of {inner.what}")
        target = one.text("goto", required=True)
        one.close()
        return "goto", target
    word = r.text(inner.reader, node, name) or ""
    if word.startswith("goto:"):
        return "goto", word.removeprefix("goto:").strip()
    if word not in simple:
        inner.reader.note(node, f"“{name}” is {word!r}; it must be {', '.join(simple)} or “goto: <step>”.")
        return simple[0], ""
    return word, ""


def _on_error(inner: Map) -> ErrorRule:
    if (node := inner.take("on_error")) is None:
        return ErrorRule()
    how, goto = _jump(inner, node, "on_error", ("fail", "continue", "compensate"))
    return ErrorRule(how, goto)


def _approve(inner: Map, kind: str) -> ApproveRule | None:
    node = inner.take("approve")
    if node is None:
        return ApproveRule() if kind == "approve" else None
    one = Map(inner.reader, node, f"approve of {inner.what}")
    on_timeout, goto = "escalate", ""
    if (jump := one.take("on_timeout")) is not None:
        on_timeout, goto = _jump(one, jump, "on_timeout", ("escalate", "fail"))
    found = ApproveRule(
        roles=one.read("roles", r.words(list(ROLES)), ()),
        quorum=one.read("quorum", r.count(1, 10), 1),
        expires=one.read("expires", r.some_seconds, None),
        on_timeout=on_timeout,
        goto=goto,
    )
    one.close()
    return found
