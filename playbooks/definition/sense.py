"""The third part of the rules: what can be read, and still would not work when it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import yaml

from playbooks.contract import Action
from playbooks.expressions import ExpressionError, Reference, references, template_references

from . import rules
from .model import END, Definition, Field, StepDef
from .reading import Reader
from .rules import Places

#: what a trigger can ask about: there is no run yet
BEFORE_RUN = ("incident", "system")


def judge(definition: Definition, actions: Mapping[str, Action], places: Places, reader: Reader) -> None:
    """Note what is sound word by word but cannot come out well."""
    _trigger(definition, places, reader)
    _undoing(definition, actions, places, reader)
    for step in definition.every_step():
        _times(step, places, reader)
    ids = {step.id for step in definition.every_step()}
    for step, before in _predecessors(definition, definition.steps, frozenset()):
        for node, reference, done in _used(step, places):
            other = _step_of(reference, ids)
            known = before | {step.id} if done else before
            if other and other not in known and reference.path[1:2] != ("state",) and not reference.optional:
                reader.note(
                    node,
                    f"Step {step.id} uses {other}, which never runs before it. Move it behind {other}, or say with has() "
                    "or a ? after the path that it may be missing.",
                )


def wrong_field(field: Field) -> str:
    """What is wrong with a field's default and limits, or ""."""
    low, high, value = field.minimum, field.maximum, field.default
    if field.kind != "number" and (low is not None or high is not None):
        return f"“min” and “max” are for numbers; {field.name!r} is of kind {field.kind}."
    if low is not None and high is not None and low > high:
        return f"“min” of {field.name!r} is above its “max”."
    if value is None or _fits(field, value):
        return ""
    wanted = f"one of {', '.join(field.choices)}" if field.kind == "choice" else f"a {field.kind}"
    limits = (("from", low), ("to", high))
    between = "".join(f" {word} {limit:g}" for word, limit in limits if limit is not None)
    return f"The default of {field.name!r} is {value!r:.80}; it must be {wanted}{between}."


def _fits(field: Field, value: Any) -> bool:
    match field.kind:
        case "number":
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return number and (field.minimum or value) <= value <= (field.maximum or value)
        case "bool":
            return isinstance(value, bool)
        case "choice":
            return str(value) in field.choices
        case "date":
            try:
                return bool(date.fromisoformat(str(value)))
            except ValueError:
                return False
    return isinstance(value, str)


def _trigger(definition: Definition, places: Places, reader: Reader) -> None:
    trigger, node = definition.trigger, places.get(("trigger", "when"))
    for reference in references(trigger.when) if node is not None else ():
        if reference.root not in BEFORE_RUN:
            reader.note(
                node, f"A trigger knows incident and system, not “{reference.root}”: there is no run yet."
            )


def _undoing(definition: Definition, actions: Mapping[str, Action], places: Places, reader: Reader) -> None:
    """`compensate` needs something that can be taken back."""
    undone = [
        step
        for step in definition.every_step()
        if step.kind == "playbook" or (step.undo and (a := actions.get(step.action)) and a.changes_world)
    ]
    for step in definition.every_step():
        if step.on_error.how == "compensate" and not undone:
            reader.note(
                places.get(("steps", step.id, "on_error"), places["steps", step.id]),
                f"Step {step.id}: nothing in this playbook can be taken back, so “compensate” does nothing; write “fail”.",
            )


def _times(step: StepDef, places: Places, reader: Reader) -> None:
    if step.deadline and step.timeout and step.timeout > step.deadline:
        reader.note(
            places["steps", step.id, "timeout"],
            f"Step {step.id}: one try may take longer (timeout) than all of them (deadline).",
        )
    if step.deadline and step.duration and step.duration >= step.deadline:
        reader.note(
            places["steps", step.id, "deadline"],
            f"Step {step.id}: the deadline ends before the wait does; make it longer than “for”.",
        )


def _predecessors(
    definition: Definition, steps: Sequence[StepDef], outer: frozenset[str]
) -> Iterator[tuple[StepDef, frozenset[str]]]:
    """Every step with those that may have run before it."""
    level = Definition(definition.slug, definition.title, steps=tuple(steps))
    forward = {
        step.id: {target for target in rules.leads_to(level, step) if target != END and level.knows(target)}
        for step in steps
    }
    before: dict[str, set[str]] = {step.id: set() for step in steps}
    for id, targets in forward.items():
        ahead, reached = list(targets), set[str]()
        while ahead:
            if (target := ahead.pop()) not in reached:
                reached.add(target)
                ahead.extend(forward[target])
        for target in reached:
            before[target].add(id)
    for step in steps:
        known = outer | before[step.id]
        yield step, known
        for inside in step.parts().values():
            yield from _predecessors(definition, inside, known)


def _used(step: StepDef, places: Places) -> Iterator[tuple[yaml.Node, Reference, bool]]:
    """What the step refers to, where, and whether it is done by then."""
    counted = (("checks", len(step.checks), False), ("branches", len(step.branches), True))
    conditions: list[tuple[tuple[str, ...], bool]] = [
        (("when",), False),
        (("items",), False),
        (("until",), False),
    ]
    conditions += [((name, str(at), "when"), done) for name, count, done in counted for at in range(count)]
    for path, done in conditions:
        node = places.get(("steps", step.id, *path))
        if isinstance(node, yaml.ScalarNode) and "{{" not in node.value:
            found = references(node.value)
            asked = {one.path for one in found if one.optional}  # under has()
            yield from ((node, one, done) for one in found if one.path not in asked)
    for key in rules.TEMPLATES:
        for where in rules.scalars(places.get(("steps", step.id, *key))):
            try:
                yield from ((where, one, False) for one in template_references(where.value))
            except ExpressionError:
                continue  # told by the rules before


def _step_of(reference: Reference, ids: set[str]) -> str:
    if reference.root != "steps" or not reference.path:
        return ""
    return next((id for id in ids if reference.path[0] in (id, id.replace("-", "_"))), "")
