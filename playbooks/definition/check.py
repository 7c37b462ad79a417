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

from . import clauses, rules, sense
from . import reading as r
from .model import (
    AT_ONCE,
    KINDS,
    MOST_ITEMS,
    RISKS,
    Branch,
    Check,
    Definition,
    Field,
    Lane,
    StepDef,
    Trigger,
)
from .reading import Map, Problem, Reader

EVENTS = ("incident.opened", "incident.reopened", "incident.triaged")
FIELD_KINDS = ("text", "long_text", "number", "bool", "choice", "date")
FORM_FIELD = "a form field"
MOST_STEPS = 200
_UNKNOWN = re.compile(r"undeclared reference to '(\w+)")
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
    shelved = shelf.actions() if actions is None else actions
    rules.judge(definition, shelved, places, reader)
    sense.judge(definition, shelved, places, reader)
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
        steps=_steps(top, places),
        concurrency=clauses.concurrency(top, places, ("concurrency",)),
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
        if what == FORM_FIELD and name in rules.COMMON:
            reader.note(
                inner.nodes["name"],
                f"Every step has its own {name!r}, which would hide the answer; call the field something else.",
            )
        if (made.kind == "choice") != bool(made.choices):
            reader.note(item, "“choices” and “kind: choice” belong together.")
        if trouble := sense.wrong_field(made):
            reader.note(item, trouble)
        found[name] = made
    return tuple(found.values())


def _steps(top: Map, places: rules.Places) -> tuple[StepDef, ...]:
    items = top.read("steps", r.nodes, [])
    if not items:
        top.reader.note(
            top.nodes.get("steps", top.node),
            f"{top.what.capitalize()} needs “steps”, a list with at least one step.",
        )
    return _listed_steps(top.reader, items, places)


def _listed_steps(reader: Reader, items: list[yaml.Node], places: rules.Places) -> tuple[StepDef, ...]:
    if len(items) > MOST_STEPS:
        reader.note(items[MOST_STEPS], f"More than {MOST_STEPS} steps; split the playbook.")
        items = items[:MOST_STEPS]
    found: list[StepDef] = []
    for item in items:
        # ids are unique in the whole playbook, branches and loops included
        before = {
            path[1].replace("-", "_"): path[1] for path in places if path[0] == "steps" and len(path) == 2
        }
        step = _step(reader, item, places)
        if step is None:
            continue
        if spelled := before.get(step.id.replace("-", "_")):
            reader.note(item, f"Step {step.id}: there is already a step {spelled}.")
        else:
            found.append(step)
    return tuple(found)


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
    if kind and kind not in KINDS:
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
        branches=() if kind == "parallel" else _branches(inner, places, id),
        checks=_checks(inner, places, id),
        timeout=inner.read("timeout", r.some_seconds, None),
        deadline=inner.read("deadline", r.some_seconds, None),
        retry=clauses.retry(inner),
        on_error=clauses.on_error(inner),
        verify=_condition(inner, "verify", places, ("steps", id, "verify")),
        undo=inner.read("undo", r.flag, True),
        risk=inner.read("risk", r.one_of(RISKS), ""),
        approve=clauses.approve(inner, kind),
        form=_fields(reader, inner.read("form", r.nodes, []), FORM_FIELD),
        roles=inner.read("roles", r.words(list(ROLES)), ()),
        until=_condition(inner, "until", places, ("steps", id, "until")),
        until_time=inner.text("until_time"),
        until_event=clauses.until_event(inner, places, id),
        duration=None if _is_template(inner.nodes.get("for")) else inner.read("for", r.seconds, None),
        duration_from=inner.text("for") if _is_template(inner.nodes.get("for")) else "",
        every=inner.read("every", r.seconds, 300.0),
        needs_evidence=inner.read("needs_evidence", r.flag, False),
        mark=inner.read("mark", r.one_of(("contained", "verified")), ""),
        text=inner.text("text"),
        lanes=_lanes(inner, places, id) if kind == "parallel" else (),
        items=inner.read("items", _items, ""),
        name=inner.text("as") or "item",
        limit=inner.read("limit", r.count(1, 100), AT_ONCE),
        most=inner.read("most", r.count(1, 1000), MOST_ITEMS),
        steps=_steps(inner, places) if kind == "for_each" else (),
        join=inner.read("join", clauses.join, "all"),
        playbook=inner.text("playbook"),
        concurrency=clauses.concurrency(inner, places, ("steps", id, "concurrency")),
        line=node.start_mark.line + 1,
    )
    inner.close()
    return (
        replace(step, params={"text": step.text, **step.params}) if kind == "notify" and step.text else step
    )


def _lanes(inner: Map, places: rules.Places, id: str) -> tuple[Lane, ...]:
    found: dict[str, Lane] = {}
    for node in inner.read("branches", r.nodes, []):
        one = Map(inner.reader, node, f"a branch of step {id}")
        name = one.text("name", required=True)
        places["steps", id, "branches", name] = node
        if name and not _STEP_ID.fullmatch(name):
            inner.reader.note(one.nodes["name"], f"The name {name!r} takes letters, digits, _ and -.")
        if name in found:
            inner.reader.note(node, f"Step {id} has two branches {name!r}.")
        found[name] = Lane(name, _steps(one, places))
        one.close()
    return tuple(found.values())


def _items(reader: Reader, node: yaml.Node, name: str) -> object:
    """A list, or a text that names one: `{{ path }}` or CEL."""
    if isinstance(node, yaml.SequenceNode):
        return r.plain(reader, node, name)
    found = (r.text(reader, node, name) or "").strip()
    if found and "{{" not in found:
        try:
            expressions.compiled_list(found)
        except expressions.ExpressionError as error:
            reader.note(node, f"“{name}”: {error}")
    return found


def _is_template(node: yaml.Node | None) -> bool:
    return isinstance(node, yaml.ScalarNode) and "{{" in node.value


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
            unknown = _UNKNOWN.search(str(error))
            hint = r.meant(unknown[1], expressions.ROOTS) if unknown else ""
            inner.reader.note(inner.nodes[name], f"“{name}”: {error}{hint}")
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
