"""CACAO 2.0: what goes out comes back the same, what comes in from others runs or is listed."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from playbooks import cacao, library
from playbooks.cacao.conditions import Known, Untranslatable, to_cel
from playbooks.cacao.names import EXTENSION, identifier
from playbooks.definition import Definition, StepDef, check, parse
from tests.playbooks.scenes import World, actions
from tests.playbooks.test_wrong_playbooks import RIGHT

SHIPPED = dict(library.texts())
SHELF = actions(World())
MONDAY = datetime(2026, 11, 2, 8, 30, tzinfo=UTC)
#: the properties of each kind of step (sections 4.1 to 4.10) that we write
COMMON = {
    "type", "name", "description", "delay", "timeout", "step_variables", "on_completion", "on_success", "on_failure",
    "step_extensions",
}  # fmt: skip
OF_KIND = {
    "start": set(), "end": set(), "action": {"commands", "agent", "out_args"}, "parallel": {"next_steps"},
    "playbook-action": {"playbook_id"}, "if-condition": {"condition", "on_true", "on_false"},
    "while-condition": {"condition", "on_true"}, "switch-condition": {"switch", "cases"},
}  # fmt: skip
NEEDED = {
    "action": {"commands", "agent"}, "parallel": {"next_steps"}, "playbook-action": {"playbook_id"},
    "if-condition": {"condition", "on_true"}, "while-condition": {"condition", "on_true"},
    "switch-condition": {"switch", "cases"},
}  # fmt: skip
IDENTIFIER = re.compile(
    r"[a-z][a-z0-9-]+[a-z0-9]--[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
VARIABLE = re.compile(r"__[a-zA-Z_][a-zA-Z0-9_-]{0,199}__")


def exported(text: str) -> dict[str, Any]:
    """The document as it arrives elsewhere."""
    document: dict[str, Any] = json.loads(json.dumps(cacao.export(text, created=MONDAY).document))
    return document


def without_lines(definition: Definition) -> Definition:
    def plain(step: StepDef) -> StepDef:
        lanes = tuple(replace(lane, steps=tuple(map(plain, lane.steps))) for lane in step.lanes)
        return replace(step, line=0, lanes=lanes, steps=tuple(map(plain, step.steps)))

    return replace(definition, steps=tuple(map(plain, definition.steps)))


# --- out -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", [*SHIPPED.values(), RIGHT], ids=[*SHIPPED, "all kinds"])
def test_a_document_has_the_form_that_the_standard_asks_for(text: str) -> None:
    document = exported(text)
    assert (document["type"], document["spec_version"]) == ("playbook", "cacao-2.0")
    assert document["created"] == "2026-11-02T08:30:00.000Z"
    workflow = document["workflow"]
    assert workflow[document["workflow_start"]]["type"] == "start"
    for id, step in workflow.items():
        kind = step["type"]
        assert IDENTIFIER.fullmatch(id), id
        assert id.startswith(f"{kind}--")
        assert step.keys() <= COMMON | OF_KIND[kind], id
        assert step.keys() >= NEEDED.get(kind, set()), id
        assert not ("on_completion" in step and {"on_success", "on_failure"} & step.keys()), id
        assert kind not in ("start", "end") or not {"on_success", "on_failure"} & step.keys()
        assert all(VARIABLE.fullmatch(name) for name in step.get("step_variables", {})), id
        assert all(
            isinstance(v.get("value", ""), str | None) for v in step.get("step_variables", {}).values()
        ), id
        leads = [
            step[k] for k in ("on_completion", "on_success", "on_failure", "on_true", "on_false") if k in step
        ]
        for target in (*leads, *step.get("next_steps", []), *step.get("cases", {}).values()):
            assert target in workflow, (id, target)
        assert step.get("agent", next(iter(document["agent_definitions"]))) in document["agent_definitions"]
        assert step.get("step_extensions", {EXTENSION: {}}).keys() == {EXTENSION}
    assert document["extension_definitions"][EXTENSION]["name"] == "x_holdfast"


@pytest.mark.parametrize("slug", SHIPPED)
def test_a_shipped_playbook_comes_back_the_same(slug: str) -> None:
    back = cacao.bring_in(exported(SHIPPED[slug]))
    assert back.notes == ()
    assert check(back.text) == []
    assert without_lines(parse(back.text)) == without_lines(parse(SHIPPED[slug]))


def test_every_kind_of_step_comes_back_the_same() -> None:
    back = cacao.bring_in(exported(RIGHT), ["pb-other"])
    assert back.notes == ()
    assert check(back.text, "", SHELF) == []
    assert without_lines(parse(back.text, "", SHELF)) == without_lines(parse(RIGHT, "", SHELF))


def test_the_same_text_gives_the_same_document() -> None:
    assert exported(RIGHT) == exported(RIGHT)


def test_what_only_the_extension_carries_is_said() -> None:
    notes = cacao.export(SHIPPED["pb-drift"], created=MONDAY).notes
    assert any(
        note.startswith("“approve” of DR-10, DR-10P, DR-10C, DR-12 travels in the extension")
        for note in notes
    ), notes
    assert any("trigger" in note for note in notes)


def test_branches_of_one_answer_become_a_switch_and_waits_for_a_condition_a_loop() -> None:
    kinds = [step["type"] for step in exported(SHIPPED["pb-drift"])["workflow"].values()]
    assert "switch-condition" in kinds
    assert "if-condition" in kinds
    loops = [step for step in exported(RIGHT)["workflow"].values() if step["type"] == "while-condition"]
    assert [loop["condition"] for loop in loops] == ["__REST_until__:value = 'false'"]


# --- out, changed elsewhere, and in ------------------------------------------------------------------
def test_what_another_tool_changed_is_taken_from_the_document() -> None:
    document = exported(SHIPPED["pb-drift"])
    steps = {
        s["step_extensions"][EXTENSION].get("step_id"): s
        for s in document["workflow"].values()
        if "step_extensions" in s
    }
    steps["DR-02"] |= {"name": "What did they change?", "timeout": 90_000}
    steps["DR-10"]["step_variables"]["__url__"]["value"] = "systems/other/traffic"
    document["playbook_variables"]["__loss_limit__"]["value"] = "0.1"
    document["labels"] = ["DRIFT", "PERF"]
    back = parse(cacao.bring_in(document).text)
    assert (back.step("DR-02").title, back.step("DR-02").timeout) == ("What did they change?", 90)
    assert back.step("DR-10").params["url"] == "systems/other/traffic"
    assert back.inputs[0].default == 0.1
    assert back.classes == ("DRIFT", "PERF")


def test_a_condition_that_somebody_rewrote_counts_before_the_one_of_the_extension() -> None:
    document = exported(SHIPPED["pb-drift"])
    asked = next(s for s in document["workflow"].values() if "DR-01?" in s["name"])
    asked["condition"] = "__loss_limit__:value > 0.5"
    back = parse(cacao.bring_in(document).text)
    assert back.step("DR-01").branches[0].when == "inputs.loss_limit > 0.5"


def test_a_step_that_somebody_put_between_stays_between() -> None:
    document = exported(SHIPPED["pb-dataq"])
    steps = [
        s
        for s in document["workflow"].values()
        if s.get("step_extensions", {}).get(EXTENSION, {}).get("position") == 0
    ]
    first, new = steps[0], identifier("action", "new")
    follows = "on_success" if "on_success" in first else "on_completion"
    document["workflow"][new] = {
        "type": "action", "name": "Call the vendor", "commands": [{"type": "manual", "command": "Call."}],
        "agent": next(iter(document["agent_definitions"])), "on_completion": first[follows],
    }  # fmt: skip
    first[follows] = new
    back = parse(cacao.bring_in(document).text)
    assert back.steps[1].id == "Call-the-vendor"
    assert back.after(back.steps[0]) == "Call-the-vendor"
    assert len(back.steps) == len(parse(SHIPPED["pb-dataq"]).steps) + 1


# --- in ----------------------------------------------------------------------------------------------
def name(kind: str, n: int) -> str:
    return identifier(kind, "example", str(n))


def foreign() -> dict[str, Any]:
    """A playbook as another product would write it: every kind of step, variables, agents and targets."""
    start, end, inner = name("start", 1), name("end", 1), [name("end", n) for n in range(2, 9)]
    ask, block, hunt, call, stuck = (name("action", n) for n in range(1, 6))
    risky, loop, kind, both, sub = (
        name("if-condition", 1),
        name("while-condition", 1),
        name("switch-condition", 1),
        name("parallel", 1),
        name("playbook-action", 1),
    )
    analyst, gate, host = name("individual", 1), name("http-api", 1), name("net-address", 1)
    return {
        "type": "playbook", "spec_version": "cacao-2.0", "id": name("playbook", 1), "name": "Poisoned feed",
        "description": "Stop a feed that somebody tampers with.", "created_by": name("identity", 1),
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-02T00:00:00.000Z", "labels": ["POISON", "feeds"],
        "severity": 80,
        "playbook_variables": {
            "__share__": {"type": "float", "description": "Share of suspects.", "value": "0.2", "external": True},
            "__verdict__": {"type": "string"},
            "__over__": {"type": "bool"},
        },
        "agent_definitions": {analyst: {"type": "individual", "name": "Analyst"}, gate: {"type": "http-api", "name": "Feed gateway", "address": {"dname": ["feeds.example"]}}},
        "target_definitions": {host: {"type": "net-address", "name": "Feed host", "address": {"dname": ["feed.example"]}}},
        "workflow_start": start, "workflow_exception": stuck,
        "workflow": {
            start: {"type": "start", "on_completion": ask},
            ask: {"type": "action", "name": "Judge the feed", "description": "Look at samples.", "agent": analyst, "timeout": 3_600_000,
                  "commands": [{"type": "manual", "command": "Read 20 samples."}], "out_args": ["__verdict__"], "on_completion": risky, "owner": name("identity", 2)},
            risky: {"type": "if-condition", "name": "Bad?", "condition": "__verdict__:value = 'bad' OR __share__:value > 0.5", "on_true": both, "on_false": inner[0], "on_completion": loop},
            inner[0]: {"type": "end"},
            both: {"type": "parallel", "name": "Block and hunt", "next_steps": [block, hunt], "on_completion": inner[1]},
            inner[1]: {"type": "end"},
            block: {"type": "action", "name": "Block the feed", "agent": gate, "targets": [host],
                    "commands": [{"type": "http-api", "command": "POST /block HTTP/1.1", "content": "{\"feed\": 7}"}], "on_success": inner[2], "on_failure": inner[2]},
            inner[2]: {"type": "end"},
            hunt: {"type": "action", "name": "Hunt", "agent": analyst, "delay": 60_000,
                   "commands": [{"type": "bash", "command_b64": "Z3JlcCBmZWVkIC92YXIvbG9n"}], "on_completion": inner[3]},
            inner[3]: {"type": "end"},
            loop: {"type": "while-condition", "name": "Still there?", "condition": "NOT (__over__:value = true)", "on_true": call, "on_completion": kind},
            call: {"type": "action", "name": "Call the vendor", "agent": analyst, "commands": [{"type": "manual", "command": "Call."}], "out_args": ["__over__"], "on_completion": inner[4]},
            inner[4]: {"type": "end"},
            kind: {"type": "switch-condition", "name": "Which end?", "switch": "__verdict__:value", "cases": {"bad": sub, "default": inner[5]}, "on_completion": end},
            inner[5]: {"type": "end"},
            sub: {"type": "playbook-action", "name": "Clean up", "playbook_id": identifier("playbook", "pb-clean"), "on_completion": inner[6]},
            inner[6]: {"type": "end"},
            stuck: {"type": "action", "name": "Call for help", "agent": analyst, "commands": [{"type": "manual", "command": "Call."}], "on_completion": end},
            end: {"type": "end"},
        },
    }  # fmt: skip


def test_a_playbook_of_another_product_can_run_here() -> None:
    made = cacao.bring_in(foreign(), ["pb-clean"])
    assert check(made.text, "", SHELF) == []
    read = parse(made.text, "", SHELF)
    assert (read.slug, read.title, read.classes, read.trigger.mode) == (
        "poisoned-feed",
        "Poisoned feed",
        ("POISON",),
        "manual",
    )
    assert next((f.name, f.kind, f.default, f.required) for f in read.inputs) == (
        "share",
        "number",
        0.2,
        False,
    )
    judge, bad, both = read.step("Judge-the-feed"), read.step("Bad"), read.step("Block-and-hunt")
    assert (judge.kind, judge.deadline, judge.form[0].name) == ("human", 3600, "its_verdict")
    assert judge.text == "Look at samples.\n\nRead 20 samples.\n\nBy: Analyst"
    assert judge.on_error.goto == "Call-for-help", "the workflow's exception step"
    assert bad.branches[0].when == (
        '(has(steps.Judge_the_feed.its_verdict) && steps.Judge_the_feed.its_verdict == "bad") || inputs.share > 0.5'
    )
    assert (bad.branches[0].goto, bad.branches[1].goto) == ("Block-and-hunt", "Still-there")
    assert {lane.name: [step.kind for step in lane.steps] for lane in both.lanes} == {
        "branch-1": ["human"],
        "branch-2": ["wait", "human"],
    }
    assert "http-api: POST /block HTTP/1.1" in both.lanes[0].steps[0].text
    assert "On: Feed host" in both.lanes[0].steps[0].text
    assert "bash: grep feed /var/log" in both.lanes[1].steps[1].text
    assert both.lanes[1].steps[0].duration == 60
    still = read.step("Still-there")
    assert (
        still.branches[0].when
        == "!(((has(steps.Call_the_vendor.over) && steps.Call_the_vendor.over == true)))"
    )
    assert read.step("Call-the-vendor").next == "Still-there-again"
    assert (read.step("Still-there-again").kind, read.step("Still-there-again").next) == (
        "wait",
        "Still-there",
    )
    assert (read.step("Clean-up").kind, read.step("Clean-up").playbook) == ("playbook", "pb-clean")


def test_what_is_not_carried_over_is_listed() -> None:
    notes = "\n".join(cacao.bring_in(foreign()).notes)
    for part in (
        "“severity” of the playbook is not carried over", "The labels feeds are not carried over", "Judge-the-feed: “owner” is not carried over",
        "commands of type http-api are not run from here", "commands of type bash are not run from here", "the loop waits 1m",
        "there is no playbook playbook--",
    ):  # fmt: skip
        assert part in notes, part


def test_a_condition_that_cannot_be_said_becomes_a_question() -> None:
    document = foreign()
    document["workflow"][name("if-condition", 1)]["condition"] = "[ipv4-addr:value = '10.0.0.1']"
    made = cacao.bring_in(document, ["pb-clean"])
    assert check(made.text, "", SHELF) == []
    step = parse(made.text, "", SHELF).step("Bad")
    assert (step.kind, step.form[0].title) == ("human", "Does this hold: [ipv4-addr:value = '10.0.0.1']")
    assert any("10.0.0.1" in note for note in made.notes)


@pytest.mark.parametrize(
    ("condition", "cel"),
    [
        ("__n__:value = 3", "inputs.n == 3"),
        ("__n__:value != '3'", "inputs.n != 3"),
        ("__s__:value == 'it\\'s'", 'inputs.s == "it\'s"'),
        ("__s__:value IN ('a', 'b')", 'inputs.s in ["a", "b"]'),
        ("__s__:value NOT IN ('a')", '!(inputs.s in ["a"])'),
        ("__s__:value MATCHES '^a'", 'inputs.s.matches("^a")'),
        ("__b__:value", "inputs.b"),
        (
            "NOT __b__:value AND (__n__:value > 1 OR __n__:value < -1)",
            "!(inputs.b) && (inputs.n > 1 || inputs.n < -1)",
        ),
        ("__n__:value >= __m__:value", "inputs.n >= inputs.m"),
    ],
)
def test_conditions_are_translated(condition: str, cel: str) -> None:
    known = {
        f"__{n}__": Known(f"inputs.{n}", k)
        for n, k in {"n": "number", "m": "number", "s": "text", "b": "bool"}.items()
    }
    assert to_cel(condition, known) == cel


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "__x__:value = 1",
        "__s__:value",
        "__s__:value = ",
        "__s__:value = 'a' 'b'",
        "__s__:value LIKE 'a%'",
        "(__b__:value",
        "[a:b = 'c']",
        "'); DROP TABLE",
    ],
)
def test_conditions_that_say_something_else_are_refused(condition: str) -> None:
    with pytest.raises(Untranslatable):
        to_cel(condition, {"__s__": Known("inputs.s", "text"), "__b__": Known("inputs.b", "bool")})


def test_a_text_in_a_condition_stays_a_text() -> None:
    known = {"__s__": Known("inputs.s", "text")}
    assert to_cel("__s__:value = 'a\" || true || \"'", known) == 'inputs.s == "a\\" || true || \\""'


def broken(change: Any) -> dict[str, Any]:
    document = copy.deepcopy(foreign())
    change(document)
    return document


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "A CACAO playbook is a JSON object"),
        (broken(lambda d: d.update(spec_version="1.0")), "“spec_version” cacao-2.0"),
        (broken(lambda d: d.update(workflow=[])), "“workflow” must be an object"),
        (broken(lambda d: d.update(workflow_start="start--x")), "“workflow_start” must be the identifier"),
        (broken(lambda d: d["workflow"][name("action", 1)].update(on_completion="action--nowhere")), "which is not in “workflow”"),
        (broken(lambda d: d["workflow"][name("start", 1)].update(on_completion=name("end", 1))), "no step between its start and its end"),
        (broken(lambda d: d["workflow"][name("parallel", 1)].update(next_steps=[name("parallel", 1)] * 2)), "deep inside one another"),
    ],
)  # fmt: skip
def test_what_is_no_workflow_is_refused(document: Any, says: str) -> None:
    with pytest.raises(cacao.CacaoError, match=re.escape(says)):
        cacao.bring_in(document)
