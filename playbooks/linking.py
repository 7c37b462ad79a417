"""What a playbook's text says about things around it: playbooks it calls, roles that people hold.

`definition.check` judges the text alone; this asks the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from incidents.access import RIGHTS
from incidents.models import RoleGrant
from playbooks import shelf
from playbooks.definition import Definition, DefinitionError, Problem, StepDef, check, parse, thaw
from playbooks.definition.consent import alternatives, whose_yes
from playbooks.definition.reading import meant
from playbooks.definition.rules import effective_risk
from playbooks.models import PlaybookVersion


def problems_of(text: str, slug: str = "") -> list[Problem]:
    """Everything that keeps the text from being published (as the playbook `slug`, where given): in itself,
    and in the playbooks that it calls."""
    if found := check(text):
        return found
    definition = parse(text)
    if slug and definition.slug != slug:
        line = next(
            (at for at, one in enumerate(text.splitlines(), 1) if one.lstrip().startswith("playbook:")), 1
        )
        message = f"This is the playbook {slug!r}, and the text says {definition.slug!r}. Begin a new playbook for it."
        return [Problem(line, 1, message)]
    return call_problems(definition)


def call_problems(definition: Definition) -> list[Problem]:
    """Playbooks it calls that are not published, take other inputs, or lead back to it."""
    calls = [step for step in definition.every_step() if step.kind == "playbook"]
    if not calls:
        return []
    published = _published()
    found = []
    for step in calls:
        called = published.get(step.playbook)
        if called is None:
            others = ", ".join(sorted(published)) or "none"
            message = f"there is no published playbook {step.playbook!r}; there are {others}." + meant(
                step.playbook, published
            )
            found.append(_at(step, message))
            continue
        found += [_at(step, trouble) for trouble in _inputs(step, called)]
        if way := _way_back(step.playbook, definition.slug, published):
            found.append(_at(step, f"a playbook cannot run itself: {' → '.join((definition.slug, *way))}."))
    return found


def warnings_of(definition: Definition) -> list[Problem]:
    """What does not keep it from being published, and will hurt when it runs."""
    found = []
    held = frozenset(
        RoleGrant.objects.filter(user__is_active=True, user__is_service=False).values_list("role", flat=True)
    )
    for step in definition.every_step():
        for roles, why in _asked(step, definition.classes):
            if not held & roles:
                found.append(
                    _at(step, f"nobody holds {_or(roles)}, who {why}. Grant the role, or name another.")
                )
    if definition.trigger.mode == "auto":
        missing = [field.name for field in definition.inputs if field.required and field.default is None]
        if missing:
            found.append(
                Problem(1, 1, f"It cannot start by itself, as {', '.join(missing)} has no default; it is suggested instead.")
            )  # fmt: skip
    return list(dict.fromkeys(found))


def risk_of(definition: Definition) -> str:
    """The highest risk class of its steps."""
    actions = shelf.actions()
    return max(
        (effective_risk(step, actions.get(step.action)) for step in definition.every_step()), default="R0"
    )


def callers_last(texts: Mapping[str, str]) -> list[str]:
    """The keys of the texts in an order in which each playbook comes after those that it calls; texts that
    cannot be read, or that call each other in a circle, keep their places."""
    definitions: dict[str, Definition] = {}
    for key, text in texts.items():
        try:
            definitions[key] = parse(text)
        except DefinitionError:
            continue
    keys = {definition.slug: key for key, definition in definitions.items()}
    before = {
        key: [keys[step.playbook] for step in definitions[key].every_step() if step.playbook in keys]
        if key in definitions
        else []
        for key in texts
    }
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError:
        return list(texts)


def _published() -> dict[str, Definition]:
    rows = PlaybookVersion.objects.filter(published_key=True).select_related("playbook")
    return {row.playbook.slug: thaw(row.frozen) for row in rows}


def _inputs(step: StepDef, called: Definition) -> Iterator[str]:
    fields = {field.name: field for field in called.inputs}
    for name in step.params:
        if name not in fields:
            yield f"{called.slug} has no input {name!r}; it has {', '.join(fields) or 'none'}." + meant(
                name, fields
            )
    for name, field in fields.items():
        if field.required and field.default is None and name not in step.params:
            yield f"{called.slug} needs {name!r} in “with”."


def _way_back(slug: str, home: str, published: Mapping[str, Definition]) -> list[str]:
    """Slugs from `slug` to `home` along the calls of what is published, or none."""
    ways: list[list[str]] = [[slug]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        if way[-1] == home:
            return way
        if way[-1] in seen or way[-1] not in published:
            continue
        seen.add(way[-1])
        ways += [[*way, step.playbook] for step in published[way[-1]].every_step() if step.kind == "playbook"]
    return []


def _asked(step: StepDef, classes: Sequence[str]) -> Iterator[tuple[frozenset[str], str]]:
    """Whom the step asks: any one of each set."""
    action = shelf.actions().get(step.action)
    risk = max(effective_risk(step, action), "R1")
    if step.approve is not None and (step.kind == "approve" or risk >= "R2"):
        for each in {whose_yes(step.approve, risk, name) for name in classes or ("",)}:
            for needed in each.all_of:
                yield alternatives(needed), "has to approve"
            if not each.all_of:
                yield frozenset(each.roles) or RIGHTS[f"approve.{risk}"], "may approve"
    if step.kind == "human" and step.roles:
        yield frozenset(step.roles), "is to fill in the form"


def _or(roles: Iterable[Any]) -> str:
    return " or ".join(sorted(roles))


def _at(step: StepDef, message: str) -> Problem:
    return Problem(step.line, 1, f"Step {step.id}: {message}")
