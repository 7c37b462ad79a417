"""Steps that other products wrote: what they do here, and what of it a person does."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from playbooks.definition.rules import COMMON

from .conditions import Known, Untranslatable, to_cel
from .names import MILLISECONDS, bare

#: A loop of conditions needs a wait; CACAO says nothing about how often to look.
PAUSE = "1m"
KINDS = {"bool": "bool", "float": "number", "integer": "number", "long": "number"}
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
Step = dict[str, Any]
#: our name of a CACAO step; the second is where its branch goes on after its end
Target = Callable[..., str]


@dataclass(slots=True)
class Foreign:
    """What is known of the document while its steps are read."""

    document: Mapping[str, Any]
    known: Mapping[str, str]  #: CACAO identifier of a playbook → slug
    notes: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)  #: step ids
    variables: dict[str, Known] = field(default_factory=dict)

    def fresh(self, name: str) -> str:
        """A step id like the name that no other step has."""
        stem = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40].strip("-") or "step"
        if not stem[0].isalpha() or stem == "end":
            stem = f"S-{stem}"
        spelled = {one.replace("-", "_") for one in self.taken}
        found, n = stem, 1
        while found.replace("-", "_") in spelled:
            n += 1
            found = f"{stem}-{n}"
        self.taken.add(found)
        return found

    def condition(self, said: Mapping[str, Any]) -> str:
        """The condition in CEL; "" (and a note) when it cannot be said so."""
        try:
            return to_cel(str(said.get("condition") or ""), self.variables)
        except Untranslatable as error:
            self.notes.append(
                f"The condition “{said.get('condition')}” of {said.get('name') or 'a step'} is not carried over: {error}."
            )
            return ""

    def branch(self, made: Step, said: Mapping[str, Any], target: Target) -> None:
        """An if: a decision, or a question to a person."""
        yes, no = target(str(said["on_true"])), target(str(said.get("on_false") or ""))
        self._decide(made, said, yes, no)

    def loop(self, made: Step, said: Mapping[str, Any], target: Target) -> Step:
        """A while: a decision, and the wait through which its branch comes back, which is returned."""
        again, after = self.fresh(f"{made['id']} again"), made["then"]
        self._decide(made, said, target(str(said["on_true"]), again), after)
        self.notes.append(f"{made['id']}: the loop waits {PAUSE} before each repetition (step {again}).")
        return {
            "id": again,
            "kind": "wait",
            "title": "Before looking again",
            "for": PAUSE,
            "then": made["id"],
        }

    def _decide(self, made: Step, said: Mapping[str, Any], yes: str, no: str) -> None:
        if when := self.condition(said):
            made["kind"] = "decide"
        else:
            when = f'steps["{made["id"]}"].holds'
            title = f"Does this hold: {said.get('condition')}"
            made |= {"kind": "human", "form": [{"name": "holds", "kind": "bool", "title": title}]}
        made["branches"] = [{"when": when, "goto": yes}, {"goto": no}]

    def switch(self, made: Step, said: Mapping[str, Any], target: Target) -> None:
        """A switch: a decision by a variable that is known, or a person chooses."""
        name = str(said.get("switch") or "")
        known = self.variables.get(name.removesuffix(":value"))
        cases = {str(case): target(str(to)) for case, to in (said.get("cases") or {}).items()}
        otherwise = cases.pop("default", made["then"])
        if known is None:
            self.notes.append(f"{made['id']}: “{name}” is no variable of this playbook; a person chooses.")
            choice = {"name": "case", "kind": "choice", "title": name, "choices": [*cases, "another"]}
            made |= {"kind": "human", "form": [choice]}
            known = Known(f'steps["{made["id"]}"].case', "text")
        else:
            made["kind"] = "decide"
        made["branches"] = [
            *({"when": _is(known, case), "goto": to} for case, to in cases.items()),
            {"goto": otherwise},
        ]

    def call(self, made: Step, said: Mapping[str, Any]) -> None:
        """A playbook that is known here is run; another one is a person's task."""
        called = self.known.get(str(said.get("playbook_id"))) or made.get("playbook")
        if called:
            made |= {"kind": "playbook", "playbook": str(called)}
            if given := given_to(said):
                made["with"] = given
            return
        self.notes.append(
            f"{made['id']}: there is no playbook {said.get('playbook_id')} here; a person runs it."
        )
        self._by_person(made, [made.get("text", ""), f"Run the playbook {said.get('playbook_id')}."], said)

    def act(self, made: Step, said: Mapping[str, Any]) -> None:
        """Commands: a person does what they say, and answers with their results."""
        lines = [str(made.get("text", ""))]
        for command in said.get("commands") or []:
            lines.append(_command(command))
            if (kind := command.get("type")) != "manual":
                self.notes.append(
                    f"{made['id']}: commands of type {kind} are not run from here; a person does what it says."
                )
        who = self._named(said.get("agent"), "agent_definitions")
        targets = [self._named(one, "target_definitions") for one in said.get("targets") or []]
        given = ", ".join(f"{name} = {as_text(value)}" for name, value in given_to(said).items())
        facts = {"By": who, "On": ", ".join(targets), "With": given}
        self._by_person(made, [*lines, *(f"{word}: {value}" for word, value in facts.items() if value)], said)

    def _by_person(self, made: Step, lines: list[str], said: Mapping[str, Any]) -> None:
        form = self.answers(made["id"], said)
        nothing = {"name": "done", "kind": "long_text", "title": "What was done", "required": False}
        made |= {
            "kind": "human",
            "text": "\n\n".join(line for line in lines if line),
            "form": form or [nothing],
        }

    def answers(self, step: str, said: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The form that asks for the results of the step."""
        return [self._answer(step, str(name), said) for name in said.get("out_args") or []]

    def _answer(self, step: str, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
        """A result of the step: a field of its form, and from then on what the variable means."""
        name = name.removesuffix(":value")
        of_step, of_playbook = said.get("step_variables") or {}, self.document.get("playbook_variables") or {}
        about = of_step.get(name) or of_playbook.get(name) or {}
        kind = KINDS.get(str(about.get("type")), "text")
        field_name = f"its_{bare(name)}" if bare(name) in COMMON else bare(name)
        self.variables[name] = Known(f"steps.{step.replace('-', '_')}.{field_name}", kind, missing=True)
        said_so = {"help": str(about["description"])} if about.get("description") else {}
        return {"name": field_name, "kind": kind, **said_so}

    def _named(self, id: Any, where: str) -> str:
        found = (self.document.get(where) or {}).get(id)
        return str(found.get("name") or id) if isinstance(found, Mapping) else ""


def _command(command: Mapping[str, Any]) -> str:
    text = str(command.get("command") or "")
    if not text and command.get("command_b64"):
        try:
            text = base64.b64decode(str(command["command_b64"]), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            text = str(command["command_b64"])
    kind = command.get("type")
    more = [str(command[key]) for key in ("description", "content") if command.get(key)]
    return "\n".join([text if kind == "manual" else f"{kind}: {text}", *more])


def given_to(said: Mapping[str, Any]) -> dict[str, Any]:
    """What the step is given, by name; variables that it answers with are left out."""
    results = set(said.get("out_args") or [])
    return {
        name.removeprefix("__").removesuffix("__"): value_of(one)
        for name, one in (said.get("step_variables") or {}).items()
        if name not in results and (one.get("constant") or one.get("value") is not None)
    }


def value_of(said: Mapping[str, Any]) -> Any:
    """A variable's value in its type; what cannot be read in it stays the text that it is."""
    value = said.get("value")
    if value is None or said.get("type") not in ("bool", "integer", "long", "float", "dictionary"):
        return value
    try:
        return json.loads(str(value))
    except ValueError:
        return value


def as_text(value: Any) -> str:
    """A value as CACAO keeps it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def in_seconds(milliseconds: int) -> str:
    """A duration as playbooks write it."""
    found = milliseconds / MILLISECONDS
    return f"{int(found)}s" if found == int(found) else f"{found}s"


def _is(known: Known, case: str) -> str:
    plain = (known.kind == "number" and _NUMBER.fullmatch(case)) or (
        known.kind == "bool" and case in ("true", "false")
    )
    found = f"{known.cel} == {case if plain else json.dumps(case, ensure_ascii=False)}"
    return f"has({known.cel}) && {found}" if known.missing else found
