"""From a CACAO 2.0 document to a playbook's text; what cannot be carried over is listed, never dropped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from incidents.models.incident import CLASS_TITLES
from playbooks.definition import END

from .conditions import Known
from .foreign import KINDS, Foreign, Step, as_text, given_to, in_seconds, value_of
from .names import EXTENSION, SPEC, bare, extension_of, identifier

LARGEST = 2_000  #: workflow steps
DEEPEST = 8  #: parallel steps inside one another
_USED = {
    "type", "spec_version", "id", "name", "description", "created", "modified", "created_by", "workflow_start", "workflow",
    "workflow_exception", "playbook_variables", "agent_definitions", "target_definitions", "extension_definitions",
    "playbook_extensions", "playbook_processing_summary", "labels", "playbook_types",
}  # fmt: skip
_OF_STEP = {
    "type", "name", "description", "delay", "timeout", "step_variables", "on_completion", "on_success", "on_failure",
    "step_extensions", "commands", "agent", "targets", "in_args", "out_args", "condition", "on_true", "on_false", "switch",
    "cases", "next_steps", "playbook_id",
}  # fmt: skip
_REFERS = ("on_completion", "on_success", "on_failure", "on_true", "on_false")


class CacaoError(ValueError):
    """This is no CACAO 2.0 playbook that can be read; `problems` says what is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Imported:
    """The playbook's text, and in words what of the document it does not say."""

    text: str
    notes: tuple[str, ...]


def bring_in(document: Any, slugs: Iterable[str] = ()) -> Imported:
    """The document as a playbook's text, to be checked like any other. `slugs` are the playbooks that are known
    here, to recognise those it calls. Raises CacaoError."""
    problems = list(_problems(document))
    if problems:
        raise CacaoError(problems)
    return _Reader(document, {identifier("playbook", slug): slug for slug in slugs}).whole()


def _problems(document: Any) -> Iterator[str]:
    if not isinstance(document, Mapping):
        yield "A CACAO playbook is a JSON object."
        return
    if document.get("type") != "playbook" or document.get("spec_version") != SPEC:
        yield f"“type” must be playbook and “spec_version” {SPEC}; this says {document.get('type')!r} and {document.get('spec_version')!r}."
    workflow = document.get("workflow")
    if not isinstance(workflow, Mapping) or not all(isinstance(step, Mapping) for step in workflow.values()):
        yield "“workflow” must be an object of steps by their identifiers."
        return
    if len(workflow) > LARGEST:
        yield f"“workflow” has {len(workflow)} steps; at most {LARGEST} are read. Split the playbook."
    if document.get("workflow_start") not in workflow:
        yield "“workflow_start” must be the identifier of a step of “workflow”."
    for id, step in workflow.items():
        for key, target in _references(step):
            if not isinstance(target, str) or target not in workflow:
                yield f"{id}: “{key}” leads to {target!r}, which is not in “workflow”."


def _references(step: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((key, step[key]) for key in _REFERS if key in step)
    yield from (("next_steps", target) for target in step.get("next_steps") or [])
    cases = step.get("cases")
    yield from (("cases", target) for target in (cases.values() if isinstance(cases, Mapping) else []))


@dataclass(slots=True)
class _Level:
    """The steps of the playbook, or of one branch of a parallel step."""

    steps: list[tuple[float, Step]] = field(default_factory=list)  #: with their places
    targets: dict[str, str] = field(default_factory=dict)  #: CACAO identifier → our step id
    ends: dict[str, str] = field(default_factory=dict)  #: CACAO identifier → where its branch goes on
    ahead: list[tuple[str, str, float]] = field(
        default_factory=list
    )  #: to be read, where it ends, after which place


@dataclass(slots=True)
class _Reader(Foreign):
    guards: dict[str, Mapping[str, Any]] = field(default_factory=dict)  #: identifier → the question before it
    answering: dict[str, str] = field(
        default_factory=dict
    )  #: identifier → step id, where others ask for results
    seen: int = 0
    depth: int = 0

    @property
    def workflow(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.document["workflow"]
        return found

    def whole(self) -> Imported:
        for step in self.workflow.values():
            own = extension_of(step)
            if own.get("step_id"):
                self.taken.add(str(own["step_id"]))
            if "guard_of" in own:
                self.guards[str(step.get("on_true"))] = step
        own = extension_of(self.document, "playbook_extensions")
        found = self._head(own)
        if inputs := self._inputs(own.get("inputs")):
            found["inputs"] = inputs
        self._not_carried()
        for id, step in self.workflow.items():
            if step.get("out_args") and not extension_of(step):
                self.answering[id] = self.fresh(str(step.get("name") or "step"))
                self.answers(self.answering[id], step)
        start = self.workflow[self.document["workflow_start"]]
        found["steps"] = self._level(self._next_of(start))
        if not found["steps"]:
            raise CacaoError(["The workflow has no step between its start and its end."])
        return Imported(written(found), tuple(dict.fromkeys(self.notes)))

    def _head(self, own: Mapping[str, Any]) -> dict[str, Any]:
        document = self.document
        found: dict[str, Any] = {"playbook": str(own.get("slug") or _slug(str(document.get("name") or "")))}
        found["title"] = str(document.get("name") or found["playbook"])
        if document.get("description"):
            found["summary"] = str(document["description"])
        keys = own.get("playbook_keys")
        found |= keys if isinstance(keys, Mapping) else {}
        classes = [label for label in document.get("labels") or [] if label in CLASS_TITLES]
        applies = found.get("applies_to") or {}
        before = applies.get("classes") or []
        if classes != ([before] if isinstance(before, str) else before):
            found["applies_to"] = {**applies, "classes": classes}
        return found if own else {**found, "trigger": {"mode": "manual"}}

    def _not_carried(self) -> None:
        for key in sorted(self.document.keys() - _USED):
            self.notes.append(f"“{key}” of the playbook is not carried over.")
        labels = [str(label) for label in self.document.get("labels") or [] if label not in CLASS_TITLES]
        if labels:
            self.notes.append(f"The labels {', '.join(labels)} are not carried over.")
        for name in self._others(self.document.get("playbook_extensions")):
            self.notes.append(f"The extension {name} of the playbook is not carried over.")

    def _others(self, extensions: Any) -> list[str]:
        """Names of the extensions there that are not ours."""
        named = self.document.get("extension_definitions") or {}
        found = extensions.keys() - {EXTENSION} if isinstance(extensions, Mapping) else ()
        return [str((named.get(id) or {}).get("name") or id) for id in sorted(found)]

    def _inputs(self, ours: Any) -> list[dict[str, Any]]:
        """Variables of the playbook: those of our own with all they had, the others as inputs."""
        by_name = {str(one["name"]): one for one in ours or [] if isinstance(one, Mapping) and "name" in one}
        found = []
        for name, said in (self.document.get("playbook_variables") or {}).items():
            kind = KINDS.get(str(said.get("type")), "text")
            one = dict(by_name.get(bare(name), {"name": bare(name), "kind": kind, "required": False}))
            if said.get("value") is not None and said["value"] != as_text(one.get("default")):
                one["default"] = value_of(said)
            if said.get("description") and str(one.get("help") or "") != said["description"]:
                one["help"] = str(said["description"])
            if said.get("constant"):
                self.notes.append(
                    f"The variable {name} is constant; here it is an input that may be changed."
                )
            self.variables[name] = Known(f"inputs.{one['name']}", str(one.get("kind", "text")))
            found.append(one)
        return found

    # --- one level of steps ------------------------------------------------------------------------
    def _level(self, entry: str) -> list[Step]:
        self.depth += 1
        if self.depth > DEEPEST:
            raise CacaoError([f"Parallel steps stand more than {DEEPEST} deep inside one another."])
        level = _Level()
        self._target(level, entry, END, 0.0)
        while level.ahead:
            self.seen += 1
            if self.seen > LARGEST:
                raise CacaoError(
                    ["Branches of parallel steps lead into one another; each needs steps of its own."]
                )
            self._step(level, *level.ahead.pop(0))
        self.depth -= 1
        steps = [step for _, step in sorted(level.steps, key=lambda one: one[0])]
        for step, following in zip(steps, [*(one["id"] for one in steps[1:]), END], strict=False):
            then, explicit = step.pop("then"), step.pop("explicit", "")
            if "when" not in (step.get("branches") or [{"when": ""}])[-1] and step["kind"] != "parallel":
                then = explicit or following  # the last branch is the otherwise: nothing goes on from here
            if then != following or then == explicit:
                step["next"] = then
        return steps

    def _target(self, level: _Level, id: str, after: str, at: float) -> str:
        """Our name of where `id` leads; an end leads to `after`. What was not met yet is put ahead."""
        step = self.workflow.get(id, {})
        if not id or step.get("type") == "end":
            return after
        if "guard_of" in extension_of(step):
            id = str(step.get("on_true"))
            step = self.workflow[id]
        if id not in level.targets:
            at_once = self.answering.get(id) if not step.get("delay") else None
            ours = extension_of(step).get("step_id") or at_once
            level.targets[id] = str(ours or self.fresh(str(step.get("name") or step.get("type"))))
            level.ends[id] = after
            level.ahead.append((id, after, at))
        elif level.ends[id] != after and not extension_of(step):
            self.notes.append(
                f"{level.targets[id]} belongs to several branches; after it the playbook goes on with {level.ends[id]}."
            )
        return level.targets[id]

    def _step(self, level: _Level, id: str, after: str, near: float) -> None:
        said, own = self.workflow[id], extension_of(self.workflow[id])
        at = float(own["position"]) if isinstance(own.get("position"), int) else near + 0.001
        made: Step = {"id": level.targets[id], "kind": str(own.get("step_kind") or "")}
        if not own.get("untitled"):
            made["title"] = str(said.get("name") or made["id"])
        if said.get("description"):
            made["text"] = str(said["description"])
        if (guard := self.guards.get(id)) and (when := self._condition(guard)):
            made["when"] = when
        self._ignored(made["id"], said)
        made |= {key: value for key, value in (own.get("step_keys") or {}).items() if key != "names"}
        self._delay(level, made, id, at)
        self._work(level, made, id, after, at)
        # a branch that fails makes its parallel step fail, which leads to the exception
        exception = self.document.get("workflow_exception", "") if self.depth == 1 and not own else ""
        error = str(said.get("on_failure") or exception)
        if error and error != id:
            made["on_error"] = {"goto": self._target(level, error, after, at)}
        if own.get("next_step"):
            made["explicit"] = str(own["next_step"])
        level.steps.append((at, made))

    def _delay(self, level: _Level, made: Step, id: str, at: float) -> None:
        """`delay`: the length of a wait of ours, else a wait before the step."""
        delay = self.workflow[id].get("delay")
        if not isinstance(delay, int) or delay < 1:
            return
        if made["kind"] == "wait":
            made.setdefault("for", in_seconds(delay))
            return
        # who leads to the step leads to the wait: it takes the name
        name, made["id"] = made["id"], self.answering.get(id) or self.fresh(f"{made['id']} after the wait")
        pause = {"id": name, "kind": "wait", "title": f"Wait before {made['id']}", "for": in_seconds(delay)}
        level.steps.append((at - 0.0005, {**pause, "then": made["id"]}))

    def _ignored(self, name: str, said: Mapping[str, Any]) -> None:
        for key in sorted(said.keys() - _OF_STEP):
            self.notes.append(f"{name}: “{key}” is not carried over.")
        for other in self._others(said.get("step_extensions")):
            self.notes.append(f"{name}: the extension {other} is not carried over.")

    def _work(self, level: _Level, made: Step, id: str, after: str, at: float) -> None:
        """What the step does and where it leads."""
        said, own = self.workflow[id], extension_of(self.workflow[id])
        ours = bool(own.get("step_kind"))
        if own.get("branches_of"):  # a decision of ours: the first question is the step itself
            self._fold(level, made, id, after, at)
            return
        following = self._next_of(said)
        if extension_of(self.workflow.get(following, {})).get("branches_of") == own.get("step_id", ""):
            self._fold(level, made, following, after, at)
        else:
            made["then"] = self._target(level, following, after, at)

        def target(name: str, end: str = made["then"]) -> str:
            return self._target(level, name, end, at)

        match said.get("type"):
            case "if-condition":
                self.branch(made, said, target)
            case "switch-condition":
                self.switch(made, said, target)
            case "while-condition" if ours:
                self._until(made, said, own)
            case "while-condition":
                level.steps.append((at + 0.0009, self.loop(made, said, target)))
            case "parallel":
                self._parallel(made, said, own)
            case "playbook-action":
                self.call(made, said)
            case _ if ours:
                if given := given_to(said):
                    made["with"] = given
            case _:
                self.act(made, said)
        limit = "timeout" if made["kind"] in ("auto", "approve", "notify") else "deadline"
        if isinstance(said.get("timeout"), int) and said["timeout"] > 0 and made["kind"] != "decide":
            made.setdefault(limit, in_seconds(said["timeout"]))

    def _next_of(self, said: Mapping[str, Any]) -> str:
        return str(said.get("on_success") or said.get("on_completion") or "")

    def _fold(self, level: _Level, made: Step, id: str, after: str, at: float) -> None:
        """Our branches again, from the questions that belong to the step."""
        branches: list[dict[str, Any]] = []
        whose, otherwise, last = made["id"], False, after
        while (own := extension_of(self.workflow.get(id, {}))).get("branches_of") == whose and not otherwise:
            said = self.workflow[id]
            otherwise = bool(own.get("otherwise"))
            if said.get("type") == "switch-condition":
                cases = {case: self._target(level, str(to), after, at) for case, to in said["cases"].items()}
                last, id = cases.pop("default", after), ""
                written = own.get("conditions") or {}
                branches += [
                    {"when": written.get(c) or f"{own.get('path')} == {as_text(c)!r}", "goto": to}
                    for c, to in cases.items()
                ]
            else:
                branches.append(
                    {
                        "when": self._condition(said),
                        "goto": self._target(level, str(said["on_true"]), after, at),
                    }
                )
                id = str(said.get("on_false") or "")
                if otherwise or extension_of(self.workflow.get(id, {})).get("branches_of") != whose:
                    last = self._target(level, id, after, at)
        if otherwise:
            branches.append({"goto": last})
        made |= {"branches": branches, "then": last}

    def _condition(self, said: Mapping[str, Any]) -> str:
        """Ours while nobody touched it; what somebody wrote instead is translated."""
        own = extension_of(said)
        if said.get("condition") == own.get("written"):
            return str(own.get("cel"))
        return self.condition(said) or str(own.get("cel"))

    def _until(self, made: Step, said: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        """A wait of ours; its loop goes on while the condition does not hold."""
        if said.get("condition") != own.get("written") and (cel := self.condition(said)):
            made["until"] = f"!({cel})"

    def _parallel(self, made: Step, said: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        names = (own.get("step_keys") or {}).get("names") or []
        made["kind"] = "parallel"
        made["branches"] = [
            {"name": str(names[n]) if n < len(names) else f"branch-{n + 1}", "steps": self._level(str(entry))}
            for n, entry in enumerate(said.get("next_steps") or [])
        ]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or "imported"


class _Dumper(yaml.SafeDumper):
    """Texts of several lines stay readable."""


def _shown(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _shown)


def written(values: Mapping[str, Any]) -> str:
    """The values as YAML, in their order."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
