"""The second half of the rules: what steps, actions and references say about each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from playbooks import facts
from playbooks.contract import Action
from playbooks.expressions import OWN, ExpressionError, Reference, references, template_references

from .consent import holders
from .model import END, Definition, StepDef
from .reading import Reader, meant

Places = dict[tuple[str, ...], yaml.Node]

#: what every step offers besides the outputs of its action
COMMON = frozenset({"state", "verdict", "summary"})
OF_KIND: dict[str, frozenset[str]] = {
    "approve": frozenset({"approved", "by", "reason"}),
    "gate": frozenset({"passed", "failed"}),
    "decide": frozenset({"goto"}),
    "wait": frozenset({"waited_seconds", "event", "clean_windows"}),
    "parallel": frozenset({"branches", "results", "succeeded", "failed"}),
    "for_each": frozenset({"results", "succeeded", "failed", "count"}),
    "playbook": frozenset({"run", "version", "results", "succeeded", "failed"}),
}
#: kind → keys that mean something there, beyond those that every kind has
EVERYWHERE = {"id", "kind", "title", "when", "next", "branches", "on_error", "mark", "text"}
KEYS: dict[str, set[str]] = {
    "auto": {"action", "with", "timeout", "deadline", "retry", "verify", "undo", "risk", "approve", "needs_evidence", "concurrency"},
    "approve": {"action", "with", "timeout", "deadline", "retry", "verify", "undo", "risk", "approve", "needs_evidence", "concurrency"},
    "notify": {"action", "with", "timeout", "retry"},
    "decide": set(),
    "human": {"form", "roles", "deadline", "with"},
    "gate": {"checks", "needs_evidence"},
    "wait": {"for", "until", "until_time", "until_event", "every", "deadline"},
    "parallel": {"join", "deadline", "concurrency"},
    "for_each": {"items", "as", "limit", "most", "steps", "join", "deadline", "concurrency"},
    "playbook": {"playbook", "with", "deadline", "concurrency"},
}  # fmt: skip


def judge(definition: Definition, actions: Mapping[str, Action], places: Places, reader: Reader) -> None:
    """Note every problem that shows only when the whole playbook is seen."""
    for step in definition.every_step():
        if step.kind in KEYS:
            _keys(step, places, reader)
            _of_kind(step, places, reader)
            _family(step, definition, places, reader)
            _action(step, actions, definition.classes, places, reader)
    _references(definition, actions, places, reader)
    _paths(definition, places, reader)


def leads_to(definition: Definition, step: StepDef) -> dict[str, str]:
    """Every target that the step can lead to, with the key that names it."""
    targets = {branch.goto: f"branches/{at}" for at, branch in enumerate(step.branches)}
    targets.setdefault(definition.after(step), "next")
    if step.on_error.how == "goto":
        targets.setdefault(step.on_error.goto, "on_error")
    if step.approve and step.approve.goto:
        targets.setdefault(step.approve.goto, "approve")
    return targets


def effective_risk(step: StepDef, action: Action | None) -> str:
    """The higher of the action's class and the step's own."""
    return max(step.risk or "R0", action.risk if action else "R0")


def _keys(step: StepDef, places: Places, reader: Reader) -> None:
    allowed = EVERYWHERE | KEYS[step.kind]
    for path, node in places.items():
        if path[:2] == ("steps", step.id) and len(path) == 3 and path[2] in _ALL - allowed:
            reader.note(
                node,
                f"Step {step.id}: “{path[2]}” means nothing in a step of kind {step.kind}; "
                f"there: {', '.join(sorted(KEYS[step.kind])) or 'branches'}.",
            )


_ALL = EVERYWHERE.union(*KEYS.values())


def _of_kind(step: StepDef, places: Places, reader: Reader) -> None:
    here = places["steps", step.id]
    if step.kind in ("auto",) and not step.action:
        reader.note(here, f"Step {step.id} of kind {step.kind} needs “action”.")
    if step.kind == "decide" and not step.branches:
        reader.note(here, f"Step {step.id} decides, so it needs “branches”.")
    if step.kind == "human" and not step.form:
        reader.note(here, f"Step {step.id} asks a person, so it needs “form”, a list of fields.")
    if step.kind == "gate" and not step.checks and not step.needs_evidence:
        reader.note(here, f"Step {step.id} is a gate, so it needs “checks” (a list of when and title).")
    waits = (step.duration is not None, step.duration_from, step.until, step.until_time, step.until_event)
    if step.kind == "wait" and not any(waits):
        reader.note(here, f"Step {step.id} waits, so it needs “for”, “until”, “until_time” or “until_event”.")
    if step.kind == "wait" and step.every < 1:
        reader.note(here, f"Step {step.id}: “every” must be at least 1s.")
    for at, branch in enumerate(step.branches[:-1]):
        if not branch.when:
            reader.note(
                places["steps", step.id, "branches", str(at)], "A branch without “when” must be the last one."
            )
    if step.next and step.branches and not step.branches[-1].when:
        reader.note(
            places["steps", step.id, "next"],
            f"Step {step.id}: its last branch takes all that is left, so “next” is never followed; keep one of them.",
        )


def _family(step: StepDef, definition: Definition, places: Places, reader: Reader) -> None:
    """What branches, loops and called playbooks need."""
    here = places["steps", step.id]
    if step.kind == "parallel" and len(step.lanes) < 2:
        reader.note(here, f"Step {step.id} needs at least two “branches”, a list of name and steps.")
    if step.kind == "parallel" and step.join not in ("all", "any") and int(step.join) > len(step.lanes):
        reader.note(
            places["steps", step.id, "join"],
            f"Step {step.id} waits for {step.join} of {len(step.lanes)} branches; there are not so many.",
        )
    if step.kind == "for_each" and step.items == "":
        reader.note(
            here, f"Step {step.id} needs “items”: a list, “{{{{ path }}}}” of one, or CEL that gives one."
        )
    if step.kind == "for_each" and not step.name.isidentifier():
        reader.note(places["steps", step.id, "as"], f"“as” is {step.name!r}; it takes letters, digits and _.")
    if step.kind == "playbook" and not step.playbook:
        reader.note(here, f"Step {step.id} needs “playbook”, the slug of the one to run.")
    if step.kind == "playbook" and step.playbook == definition.slug:
        reader.note(places["steps", step.id, "playbook"], f"Step {step.id}: a playbook cannot run itself.")


def _action(
    step: StepDef, actions: Mapping[str, Action], classes: Sequence[str], places: Places, reader: Reader
) -> None:
    action = actions.get(step.action)
    if step.action and action is None:
        names = ", ".join(actions) or "none"
        where = places.get(("steps", step.id, "action"), places["steps", step.id])
        reader.note(
            where,
            f"Step {step.id}: there is no action {step.action!r}.{meant(step.action, actions)} There are: {names}.",
        )
        return
    risk = effective_risk(step, action)
    if step.approve is not None:
        where = places.get(("steps", step.id, "approve"), places["steps", step.id])
        may = frozenset[str]().union(*(holders(risk, name) for name in classes or ("",)))
        for role in dict.fromkeys((*step.approve.roles, *step.approve.all_of)):
            if role not in may:
                reader.note(
                    where,
                    f"Step {step.id}: {role} may not approve {risk}; these may: {', '.join(sorted(may))}.",
                )
    if action is None:
        return
    if action.changes_world:
        if risk >= "R2" and step.approve is None:
            reader.note(
                places["steps", step.id],
                f"Step {step.id} changes the world at risk {risk}; add “approve” (it may be {{}}).",
            )
        for verb in ("verify", "undo"):
            if getattr(type(action), verb) is getattr(Action, verb):
                reader.note(
                    places["steps", step.id],
                    f"The action {step.action} changes the world but has no {verb}().",
                )
    given = places.get(("steps", step.id, "with"), places["steps", step.id])
    known = {param.name: param for param in action.params}
    for name in step.params.keys() - known.keys():
        reader.note(
            places.get(("steps", step.id, "with", name), given),
            f"Step {step.id}: {step.action} takes no {name!r}; it takes {', '.join(known) or 'nothing'}."
            + meant(name, known),
        )
    for param in action.params:
        if param.name not in step.params:
            if param.required and param.default is None:
                reader.note(given, f"Step {step.id}: {step.action} needs {param.name!r} in “with”.")
        elif trouble := wrong_value(param, step.params[param.name]):
            where = places.get(("steps", step.id, "with", param.name), given)
            reader.note(where, f"Step {step.id}: {trouble}")


_KINDS: dict[str, type | tuple[type, ...]] = {
    "text": str, "number": (int, float), "bool": bool, "list": list, "map": dict, "any": object,
}  # fmt: skip


def wrong_value(param: Any, value: Any, *, final: bool = False) -> str:
    """What is wrong with a parameter's value, or "". Before substitution a `{{ path }}` passes."""
    if not final and isinstance(value, str) and "{{" in value:
        return ""
    if value is None:
        return f"{param.name!r} is empty." if param.required and param.default is None else ""
    boolean = isinstance(value, bool) and param.kind == "number"
    if boolean or not isinstance(value, _KINDS[param.kind]):
        return f"{param.name!r} must be a {param.kind}, not {value!r:.80}."
    if param.choices and value not in param.choices:
        return f"{param.name!r} is {value!r:.80}; it must be one of {', '.join(param.choices)}."
    return ""


def _references(
    definition: Definition, actions: Mapping[str, Action], places: Places, reader: Reader
) -> None:
    offers = {step.id: _outputs(step, actions.get(step.action)) for step in definition.every_step()}
    sights = _sights(definition.steps, Sight(definition, {}, frozenset()), offers)
    top = Sight(definition, {step.id: offers[step.id] for step in definition.steps}, frozenset())

    def complain(node: yaml.Node, found: list[Reference], sight: Sight) -> None:
        for reference in found:
            if trouble := _unknown(reference, sight):
                reader.note(node, trouble)

    for path, node in places.items():
        sight = sights.get(path[1], top) if path[0] == "steps" else top
        if path[-1] in CONDITIONS and isinstance(node, yaml.ScalarNode):
            if path[-1] == "items" and "{{" in node.value:
                continue
            found = references(node.value)
            own: tuple[str, ...] = ("verified", "outputs") if path[-1] == "verify" else ()
            own = ("event",) if "until_event" in path else own
            for reference in found:
                if reference.root in OWN and reference.root not in own:
                    where = "until_event" if reference.root == "event" else "verify"
                    reader.note(
                        node, f'“{reference.root}” is known only in “{where}”; write steps["ID"].name.'
                    )
            complain(node, [f for f in found if f.root not in OWN], sight)
    for step in definition.every_step():
        for key in TEMPLATES:
            for text in scalars(places.get(("steps", step.id, *key))):
                if key[-1] in ("for", "items") and "{{" not in text.value:
                    continue
                _templates(text, f"Step {step.id}: ", sights[step.id], complain, reader)
    for text in scalars(places.get(("concurrency", "key"))):
        _templates(text, "", top, complain, reader)


#: keys whose value is a condition, and those with `{{ path }}` in their texts
CONDITIONS = ("when", "until", "verify", "items")
TEMPLATES = (("with",), ("text",), ("items",), ("for",), ("until_time",), ("concurrency", "key"))


@dataclass(frozen=True, slots=True)
class Sight:
    """What a step can refer to: steps of its own level and of those around it, and items of loops around it."""

    definition: Definition
    offers: Mapping[str, frozenset[str]]
    items: frozenset[str]


def _sights(steps: Sequence[StepDef], outer: Sight, offers: Mapping[str, frozenset[str]]) -> dict[str, Sight]:
    here = replace(outer, offers={**outer.offers, **{step.id: offers[step.id] for step in steps}})
    found = {step.id: here for step in steps}
    for step in steps:
        items = here.items | ({step.name} if step.kind == "for_each" else frozenset())
        for inside in step.parts().values():
            found |= _sights(inside, replace(here, items=items), offers)
    return found


def _templates(
    where: yaml.ScalarNode,
    what: str,
    sight: Sight,
    complain: Callable[[yaml.Node, list[Reference], Sight], None],
    reader: Reader,
) -> None:
    try:
        complain(where, template_references(where.value), sight)
    except ExpressionError as error:
        reader.note(where, f"{what}{error}")


def scalars(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """Every value inside the node, where it stands."""
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.CollectionNode):
        for item in node.value:
            yield from scalars(item[1] if isinstance(item, tuple) else item)


def _outputs(step: StepDef, action: Action | None) -> frozenset[str]:
    own = frozenset(action.outputs) if action else frozenset()
    fields = frozenset(field.name for field in step.form)
    return COMMON | OF_KIND.get(step.kind, frozenset()) | own | fields


def _unknown(reference: Reference, sight: Sight) -> str:
    definition, offers = sight.definition, sight.offers
    spelled = {spelling: id for id in offers for spelling in (id, id.replace("-", "_"))}
    first = reference.path[0] if reference.path else ""
    match reference.root:
        case "steps" if first:
            if first not in spelled:
                return f"There is no step {first!r}; there are {', '.join(offers)}." + meant(first, spelled)
            name = reference.path[1] if len(reference.path) > 1 else ""
            outputs = sorted(offers[spelled[first]])
            if name and name not in outputs:
                return f"Step {spelled[first]} has no output {name!r}; it has {', '.join(outputs)}." + meant(
                    name, outputs
                )
        case "inputs" if first and first not in {field.name for field in definition.inputs}:
            declared = [field.name for field in definition.inputs]
            return f"There is no input {first!r}; declared inputs: {', '.join(declared) or 'none'}." + meant(
                first, declared
            )
        case "item" | "items" if not sight.items:
            return f"“{reference.root}” is known only inside a for_each step."
        case "items" if first and first not in sight.items:
            return f"There is no item {first!r} here; there are {', '.join(sorted(sight.items))}."
        case "incident" | "system" | "run" if first:
            known = facts.NAMES[reference.root]
            if first not in known:
                return f"{reference.root} has no {first!r}; it has {', '.join(sorted(known))}." + meant(
                    first, known
                )
    return ""


def _paths(definition: Definition, places: Places, reader: Reader) -> None:
    """Targets exist, every step can be reached, and a way back passes a wait or a person."""
    edges: dict[str, set[str]] = {}
    for step in definition.steps:
        edges[step.id] = set()
        for target, key in leads_to(definition, step).items():
            if target != END and not definition.knows(target):
                where = places.get(("steps", step.id, *key.split("/")), places["steps", step.id])
                reader.note(
                    where,
                    f"Step {step.id} leads to {target!r}, which does not exist here (or write “end”)."
                    + meant(target, [one.id for one in definition.steps]),
                )
            elif target != END:
                edges[step.id].add(target)
        for inside in step.parts().values():
            _paths(replace(definition, steps=inside), places, reader)
    if not definition.steps:
        return
    reached: set[str] = set()
    ahead = [definition.steps[0].id]
    while ahead:
        if (id := ahead.pop()) not in reached:
            reached.add(id)
            ahead.extend(edges[id])
    for step in definition.steps:
        if step.id not in reached:
            reader.note(places["steps", step.id], f"Step {step.id} can never be reached.")
    for id in _restless_cycle(definition, edges):
        reader.note(
            places["steps", id], f"Step {id} is on a way back that never waits; put a wait step on it."
        )


def _restless_cycle(definition: Definition, edges: Mapping[str, set[str]]) -> list[str]:
    """Steps on a cycle without a step of kind wait. A wait that `when` can skip does not count."""
    calm = {step.id for step in definition.steps if step.kind == "wait" and not step.when}
    left = {id: targets - calm for id, targets in edges.items() if id not in calm}
    while leaves := [id for id, targets in left.items() if not targets & left.keys()]:
        for id in leaves:
            del left[id]
    return [step.id for step in definition.steps if step.id in left][:1]
