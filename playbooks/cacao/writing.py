"""From a playbook's text to a CACAO 2.0 document."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml

from playbooks.definition import END
from playbooks.definition.reading import Reader, duration, plain

from .foreign import as_text
from .names import AUTHOR, EXTENSION, MILLISECONDS, SPEC, identifier, variable

#: what CACAO says itself, so that the extension need not
NATIVE = {"id", "kind", "title", "text", "when", "next", "branches", "with"}
VARIABLE_KINDS = {"number": "float", "bool": "bool"}
_CASE = re.compile(
    r"""(?P<path>steps(?:\.\w+|\["[^"]+"\]|\['[^']+'\])\.\w+) == (?P<quote>["'])(?P<case>[A-Za-z0-9_-]{1,250})(?P=quote)"""
)
_DEFINITION = {
    "type": "extension-definition",
    "name": "x_holdfast",
    "description": "What a playbook of Holdfast says beyond CACAO: kinds of steps, conditions in CEL, approvals, "
    "verification, risk classes, forms, triggers. Whoever does not know it can still read and follow the workflow.",
    "created_by": AUTHOR,
    "schema": "step_id, step_kind, step_keys (the keys of the playbook's YAML, see /api/v1/playbooks/schema.json)",
    "version": "1.0.0",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exported:
    """The document, and what of the playbook only the extension carries, in words."""

    document: dict[str, Any]
    notes: tuple[str, ...]


def export(text: str, *, created: datetime, modified: datetime | None = None) -> Exported:
    """A sound playbook's text as a CACAO document; the same text gives the same document.

    `created` is the time of the playbook's first version, `modified` of this one. Raises ValueError for a
    text that is no mapping; check it before.
    """
    source = values(text)
    return _Writer(source).whole(created, modified or created)


def values(text: str) -> dict[str, Any]:
    """The text's values with every word as it was written. Raises ValueError."""
    reader = Reader()
    node = reader.compose(text)
    if node is None:
        raise ValueError("; ".join(str(problem) for problem in reader.problems))
    found: dict[str, Any] = _as_written(reader, node)
    return found


def _as_written(reader: Reader, node: yaml.Node) -> Any:
    """JSON values, but `yes` and `007` stay texts: outside parameters the reader takes them so."""
    if isinstance(node, yaml.SequenceNode):
        return [_as_written(reader, item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {
            key.value: plain(reader, value, key.value) if key.value in ("with", "default") else _as_written(reader, value)
            for key, value in node.value
        }  # fmt: skip
    value = plain(reader, node, "value")
    return node.value if value is not None and json.dumps(value) != node.value else value


@dataclass(slots=True)
class _Writer:
    source: Mapping[str, Any]
    workflow: dict[str, dict[str, Any]] = field(default_factory=dict)
    agents: dict[str, dict[str, Any]] = field(default_factory=dict)
    only_ours: dict[str, list[str]] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        return str(self.source["playbook"])

    def whole(self, created: datetime, modified: datetime) -> Exported:
        start = identifier("start", self.slug)
        self.workflow[start] = {"type": "start", "name": "Start"}
        self.workflow[start]["on_completion"] = self._sequence(self.source["steps"], self.slug)
        applies = self.source.get("applies_to") or {}
        document: dict[str, Any] = {
            "type": "playbook",
            "spec_version": SPEC,
            "id": identifier("playbook", self.slug),
            "name": str(self.source["title"]),
            "description": str(self.source.get("summary") or ""),
            "created_by": AUTHOR,
            "created": _moment(created),
            "modified": _moment(modified),
            "playbook_processing_summary": self._summary(),
            "labels": _list(applies.get("classes")),
            "playbook_variables": {variable(one["name"]): _input(one) for one in self.source.get("inputs") or []},
            "workflow_start": start,
            "workflow": self.workflow,
            "agent_definitions": self.agents,
            "playbook_extensions": {EXTENSION: self._of_playbook()},
            "extension_definitions": {EXTENSION: _DEFINITION},
        }  # fmt: skip
        notes = [
            f"“{key}” of {', '.join(dict.fromkeys(steps))} travels in the extension x_holdfast; other tools do not act on it."
            for key, steps in sorted(self.only_ours.items())
        ]
        if self.source.get("trigger"):
            notes.append(
                "The trigger travels in the extension x_holdfast; CACAO does not say what starts a playbook."
            )
        return Exported(
            {name: value for name, value in document.items() if value not in ([], {}, "")}, tuple(notes)
        )

    def _of_playbook(self) -> dict[str, Any]:
        more = {
            k: v
            for k, v in self.source.items()
            if k not in ("playbook", "title", "summary", "steps", "inputs")
        }
        own: dict[str, Any] = {"slug": self.slug, "playbook_keys": more}
        if inputs := self.source.get("inputs"):
            own["inputs"] = inputs
        return own

    def _summary(self) -> dict[str, bool]:
        kinds = {step["type"] for step in self.workflow.values()}
        found = {
            "manual_playbook": not any(c["type"] != "manual" for s in self.workflow.values() for c in s.get("commands", [])),
            "external_playbooks": "playbook-action" in kinds,
            "parallel_processing": "parallel" in kinds,
            "if_logic": "if-condition" in kinds,
            "while_logic": "while-condition" in kinds,
            "switch_logic": "switch-condition" in kinds,
            "temporal_logic": any({"delay", "timeout"} & step.keys() for step in self.workflow.values()),
            "extensions": True,
        }  # fmt: skip
        return {name: value for name, value in found.items() if value}

    def _sequence(self, steps: Sequence[Mapping[str, Any]], path: str) -> str:
        """Write the steps of one level, which share an end of their own; the first one's identifier."""
        end = identifier("end", path)
        self.workflow[end] = {"type": "end", "name": "End"}
        places = {END: end} | {str(step["id"]): self._entry(step) for step in steps}
        for at, step in enumerate(steps):
            following = steps[at + 1] if at + 1 < len(steps) else {"id": END}
            branches = step.get("branches") if step["kind"] != "parallel" else None
            rest = branches[-1]["goto"] if branches and not branches[-1].get("when") else ""
            after = places[str(rest or step.get("next") or following["id"])]
            self._step(step, at, after, places)
        return places[str(steps[0]["id"])]

    def _entry(self, step: Mapping[str, Any]) -> str:
        return self._id("if-condition", step, "when") if step.get("when") else self._own(step)

    def _own(self, step: Mapping[str, Any]) -> str:
        """The identifier of the CACAO step that stands for ours."""
        match step["kind"]:
            case "parallel":
                return self._id("parallel", step)
            case "playbook":
                return self._id("playbook-action", step)
            case "wait" if step.get("until"):
                return self._id("while-condition", step)
            case "decide" if any(branch.get("when") for branch in step["branches"]):
                return self._choice_id(step, 0)
        return self._id("action", step)

    def _id(self, kind: str, step: Mapping[str, Any], *more: str) -> str:
        return identifier(kind, self.slug, str(step["id"]), *more)

    def _step(self, step: Mapping[str, Any], at: int, after: str, places: Mapping[str, str]) -> None:
        id, kind = str(step["id"]), str(step["kind"])
        if step.get("when"):
            self._guard(step, after)
        made: dict[str, Any] = {"name": str(step.get("title") or id)}
        if step.get("text"):
            made["description"] = str(step["text"])
        keys = {key: value for key, value in step.items() if key not in NATIVE and value is not None}
        then = after
        if kind != "parallel" and (branches := step.get("branches")):
            if any(branch.get("when") for branch in branches):
                then = self._choices(step, after, places)
            else:
                keys["branches"], then = branches, places[branches[0]["goto"]]
        own = {"step_id": id, "step_kind": kind, "position": at}
        if step.get("next"):
            own["next_step"] = str(step["next"])
        if "title" not in step:
            own["untitled"] = True
        if kind == "decide" and then != after:
            # the first choice is the step itself
            self.workflow[then].update(made)
            self.workflow[then]["step_extensions"][EXTENSION] |= {**own, **_filled("step_keys", keys)}
            self._remember(id, keys)
            return
        self._act(step, kind, made, keys)
        error = _goto(keys.get("on_error"))
        if error in places:
            del keys["on_error"]
            made |= {"on_success": then, "on_failure": places[error]}
        elif keys.get("on_error") == "continue":
            made["on_completion"] = then
        else:
            made["on_success"] = then
        self._remember(id, keys)
        if made["type"] == "while-condition":
            own["written"] = made["condition"]
        made["step_extensions"] = {EXTENSION: {**own, **_filled("step_keys", keys)}}
        self.workflow[self._own(step)] = made

    def _remember(self, id: str, keys: Mapping[str, Any]) -> None:
        for key in keys:
            self.only_ours.setdefault(key, []).append(id)

    def _act(self, step: Mapping[str, Any], kind: str, made: dict[str, Any], keys: dict[str, Any]) -> None:
        """What the step does, in CACAO's words; keys that CACAO carries are taken out of `keys`."""
        id, given = str(step["id"]), step.get("with") or {}
        if given:
            made["step_variables"] = {variable(name): _constant(value) for name, value in given.items()}
        limit = "deadline" if kind in ("human", "wait") else "timeout"
        if (length := _milliseconds(keys.get(limit))) is not None:
            made["timeout"] = length
            del keys[limit]
        if kind == "parallel":
            made["type"] = "parallel"
            branches = step["branches"]
            made["next_steps"] = [
                self._sequence(b["steps"], f"{self.slug}/{id}/{b['name']}") for b in branches
            ]
            keys["names"] = [branch["name"] for branch in branches]
        elif kind == "playbook":
            made |= {"type": "playbook-action", "playbook_id": identifier("playbook", str(step["playbook"]))}
        elif kind == "wait" and step.get("until"):
            made |= {"type": "while-condition", **self._again(step)}
        else:
            made["type"] = "action"
            if kind == "wait" and (length := _milliseconds(keys.get("for"))):
                made["delay"] = length
                del keys["for"]
            made |= {"commands": [_command(step, kind, given)], "agent": self._agent(step, kind)}
            if step.get("form"):
                made["out_args"] = [variable(str(one["name"])) for one in step["form"]]

    def _again(self, step: Mapping[str, Any]) -> dict[str, Any]:
        """The loop of a wait: while its condition does not hold, look again later."""
        look, end = self._id("action", step, "again"), self._id("end", step, "again")
        self.workflow[look] = {
            "type": "action", "name": "Look again", "delay": _milliseconds(step.get("every", 300)) or MILLISECONDS,
            "commands": [{"type": "manual", "command": f"Look whether this holds: {step['until']}"}],
            "agent": self._agent(step, "wait"), "on_completion": end, "step_extensions": {EXTENSION: {"part_of": step["id"]}},
        }  # fmt: skip
        self.workflow[end] = {"type": "end", "name": "End"}
        return {
            **_condition(f"{step['id']}_until", str(step["until"]), holds=False),
            "on_true": look,
        }

    def _guard(self, step: Mapping[str, Any], after: str) -> None:
        """`when`: a question before the step."""
        condition = _condition(f"{step['id']}_when", str(step["when"]))
        self.workflow[self._entry(step)] = {
            "type": "if-condition", "name": f"Is {step['id']} needed?", **condition, "on_true": self._own(step),
            "on_false": after,
            "step_extensions": {EXTENSION: {"guard_of": str(step["id"]), "cel": str(step["when"]), "written": condition["condition"]}},
        }  # fmt: skip

    def _choice_id(self, step: Mapping[str, Any], at: int) -> str:
        kind = "switch-condition" if _cases(step["branches"]) else "if-condition"
        return self._id(kind, step, "branches", str(at))

    def _choices(self, step: Mapping[str, Any], after: str, places: Mapping[str, str]) -> str:
        """The branches after a step; the identifier of the first question."""
        branches = step["branches"]
        asked = [branch for branch in branches if branch.get("when")]
        last = branches[-1]
        otherwise = after if last.get("when") else places[str(last["goto"])]
        own = {"branches_of": str(step["id"]), "otherwise": not last.get("when")}
        title = f"Where to after {step['id']}?"
        if found := _cases(branches):
            path, cases = found
            name = _of_path(path)
            self.workflow[self._choice_id(step, 0)] = {
                "type": "switch-condition", "name": title, "switch": f"{name}:value",
                "step_variables": {name: {"type": "string", "description": path}},
                "cases": {**{case: places[str(b["goto"])] for case, b in zip(cases, asked, strict=True)}, "default": otherwise},
                "step_extensions": {EXTENSION: {**own, "path": path, "conditions": {c: b["when"] for c, b in zip(cases, asked, strict=True)}}},
            }  # fmt: skip
            return self._choice_id(step, 0)
        for at, branch in enumerate(asked):
            final = at == len(asked) - 1
            condition = _condition(f"{step['id']}_{at + 1}", str(branch["when"]))
            self.workflow[self._choice_id(step, at)] = {
                "type": "if-condition", "name": title, **condition, "on_true": places[str(branch["goto"])],
                "on_false": otherwise if final else self._choice_id(step, at + 1),
                "step_extensions": {EXTENSION: {**own, "otherwise": final and own["otherwise"], "cel": str(branch["when"]), "written": condition["condition"]}},
            }  # fmt: skip
        return self._choice_id(step, 0)

    def _agent(self, step: Mapping[str, Any], kind: str) -> str:
        """Who does it: the gateway, the people of some roles, or Holdfast itself."""
        roles = _list(step.get("roles"))
        if kind == "approve":
            rule = step.get("approve") or {}
            roles = _list(rule.get("all_of")) or _list(rule.get("roles")) or ["Approvers"]
        if str(step.get("action", "")).startswith("http_") and kind == "auto":
            agent = identifier("http-api", "gateway")
            self.agents[agent] = {
                "type": "http-api", "name": "Gateway", "description": "The system's gateway; relative addresses are its own.",
                "address": {"dname": ["__gateway__:value"]},
            }  # fmt: skip
            return agent
        name = (
            " or ".join(roles)
            if kind in ("human", "approve") and roles
            else "Responders"
            if kind == "human"
            else "Holdfast"
        )
        agent = identifier("group", name)
        self.agents[agent] = {"type": "group", "name": name}
        return agent


def _command(step: Mapping[str, Any], kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    action = str(step.get("action") or "")
    if action.startswith("http_") and kind == "auto" and "url" in given:
        method = "GET" if action == "http_read" else str(given.get("method") or "PUT")
        made: dict[str, Any] = {"type": "http-api", "command": f"{method} {given['url']} HTTP/1.1"}
        if given.get("body") is not None:
            made["content"] = json.dumps(given["body"], ensure_ascii=False)
        return made
    words = {
        "human": "Fill in the form.", "gate": "Check the conditions of the gate.", "wait": "Wait.",
        "notify": "Send the message.", "decide": "Decide where to go.", "for_each": "Do the steps for each item.",
    }  # fmt: skip
    doing = f"Run the action {action}." if action else words.get(kind, "Do what the step says.")
    if kind == "approve":
        doing = f"Say yes or no{f'; after a yes, {doing[0].lower()}{doing[1:]}' if action else '.'}"
    return {"type": "manual", "command": f"{step['text'].strip()}\n{doing}" if step.get("text") else doing}


def _condition(name: str, cel: str, *, holds: bool = True) -> dict[str, Any]:
    """CEL cannot be said in CACAO's patterns, so a variable says whether it holds and describes it."""
    asked = variable(name)
    return {
        "condition": f"{asked}:value = '{str(holds).lower()}'",
        "step_variables": {asked: {"type": "bool", "description": f"Whether this holds: {cel}"}},
    }


def _cases(branches: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]] | None:
    """The path and the values when all branches compare one output with different words."""
    hits = [_CASE.fullmatch(str(branch["when"])) for branch in branches if branch.get("when")]
    cases = [hit["case"] for hit in hits if hit]
    if len(cases) < max(2, len(hits)) or len({hit["path"] for hit in hits if hit}) > 1 or "default" in cases:
        return None
    return (str(hits[0]["path"]), cases) if hits[0] and len(set(cases)) == len(cases) else None


def _of_path(path: str) -> str:
    return variable("_".join(re.findall(r"[\w-]+", path)[1:]))


def _input(one: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": VARIABLE_KINDS.get(str(one.get("kind", "text")), "string"), "external": True,
    }  # fmt: skip
    if one.get("help"):
        found["description"] = str(one["help"])
    if one.get("default") is not None:
        found["value"] = as_text(one["default"])
    return found


def _constant(value: Any) -> dict[str, Any]:
    """A parameter as a variable; its type brings it back as it was."""
    match value:
        case bool():
            kind = "bool"
        case int():
            kind = "integer"
        case float():
            kind = "float"
        case dict() | list():
            kind = "dictionary"
        case _:
            kind = "string"
    return {"type": kind, "value": None if value is None else as_text(value), "constant": True}


def _goto(rule: Any) -> str:
    if isinstance(rule, Mapping):
        return str(rule.get("goto", ""))
    return rule.removeprefix("goto:").strip() if isinstance(rule, str) and rule.startswith("goto:") else ""


def _milliseconds(written: Any) -> int | None:
    """A duration in whole milliseconds, or None when it is none that is known beforehand."""
    length = duration(str(written)) if written is not None else None
    found = None if length is None else length * MILLISECONDS
    return int(found) if found and found == int(found) else None


def _filled(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dict(value)} if value else {}


def _list(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [] if value is None else [str(value)]


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
