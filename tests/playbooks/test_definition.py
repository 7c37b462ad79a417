"""The playbook on paper: what is read, and that every mistake is named where it stands."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.definition import DefinitionError, check, freeze, parse, thaw
from tests.playbooks.scenes import World, actions

pytestmark = pytest.mark.once
SHELF = actions(World())

GOOD = """\
playbook: pb-good
title: Good
summary: Everything once.
applies_to:
  classes: [DRIFT, PERF]
  matchers: 'environment="prod"'
trigger:
  on: [incident.opened]
  mode: auto
  when: incident.severity <= 3
inputs:
  - {name: limit, kind: number, default: 0.2, min: 0, max: 1}
steps:
  - id: G-1
    kind: auto
    title: Measure
    action: measure
    with: {reference: "{{ system.data.reference? }}", limit: "{{ inputs.limit }}"}
    timeout: 2m
    retry: {count: 2, backoff: 30s, on: [retryable, timeout]}
    on_error: continue
  - id: G-2
    kind: decide
    title: Bad?
    branches:
      - {when: 'steps["G-1"].share > inputs.limit', goto: G-3}
      - {goto: G-6}
  - id: G-3
    kind: auto
    title: Fall back
    action: risky
    with: {model: champion, share: 0}
    verify: verified.share == 0
    approve: {roles: [IC, BO], quorum: 2, expires: 2h, on_timeout: "goto: G-5"}
    mark: contained
    on_error: compensate
  - {id: G-4, kind: notify, title: Tell, text: "{{ incident.key }}", next: G-6}
  - id: G-5
    kind: human
    title: What now?
    form: [{name: plan, kind: choice, choices: [stop, go]}]
    roles: [IC]
  - {id: G-6, kind: wait, title: Watch, for: 24h, until: incident.firing_count == 0, every: 10m, deadline: 3d}
  - id: G-7
    kind: gate
    title: Over?
    checks: [{when: "!has(steps.G_5.plan) || steps.G_5.plan == 'go'", title: The plan is to go on}]
    mark: verified
"""


def problems(text: str, filename: str = "") -> list[str]:
    return [str(problem) for problem in check(text, filename, SHELF)]


def test_a_good_playbook_is_read_as_it_says() -> None:
    read = parse(GOOD, "library/pb-good.yaml", SHELF)
    assert (read.slug, read.classes, read.trigger.on, read.trigger.mode) == (
        "pb-good", ("DRIFT", "PERF"), ("incident.opened",), "auto",
    )  # fmt: skip
    first, third, sixth = read.step("G-1"), read.step("G-3"), read.step("G-6")
    assert (first.timeout, first.retry.count, first.retry.backoff, first.on_error.how) == (
        120,
        2,
        30,
        "continue",
    )
    assert third.approve is not None
    assert (third.approve.roles, third.approve.quorum, third.approve.expires) == (("IC", "BO"), 2, 7200)
    assert (third.approve.on_timeout, third.approve.goto) == ("goto", "G-5")
    assert (sixth.duration, sixth.every, sixth.deadline) == (86_400, 600, 259_200)
    assert read.after(read.step("G-4")) == "G-6"
    assert read.after(read.step("G-7")) == "end"


def test_a_definition_survives_being_frozen_as_json() -> None:
    read = parse(GOOD, "", SHELF)
    assert thaw(json.loads(json.dumps(freeze(read)))) == read


def test_a_form_of_a_newer_release_is_refused() -> None:
    with pytest.raises(ValueError, match="newer release"):
        thaw({**freeze(parse(GOOD, "", SHELF)), "format": 99})


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("title: Good", "titel: Good", "line 2, column 1: Unknown key “titel” in the playbook"),
        ("title: Good", "", "line 1, column 1: The playbook needs “title”"),
        ("[DRIFT, PERF]", "[DRIFT, PREF]", "line 5, column 20: “classes” is 'PREF'"),
        ("""'environment="prod"'""", "'environment'", "line 6, column 13: Cannot read 'environment'"),
        ("[incident.opened]", "[incident.oped]", "line 8, column 8: “on” is 'incident.oped'"),
        ("incident.severity <= 3", "incident.sevrity <= 3", "line 10, column 9: incident has no 'sevrity'"),
        ("incident.severity <= 3", "incident.severity <=", "line 10, column 9: “when”: at character 21: Syntax error"),
        ("name: limit, kind: number", "name: limit, kind: nmber", "line 12, column 25: “kind” is 'nmber'"),
        ("action: measure", "action: mesure", "line 17, column 13: Step G-1: there is no action 'mesure'"),
        ("limit: \"{{ inputs.limit }}\"", "limit: high", "line 18, column 62: Step G-1: 'limit' must be a number"),
        ("{{ inputs.limit }}", "{{ inputs.limits }}", "line 18, column 62: There is no input 'limits'; declared inputs: limit. Did you mean “limit”?"),
        ("{{ inputs.limit }}", "{{ inputs limit }}", "is not a path"),
        ("limit: \"{{ inputs", "limits: \"{{ inputs", "Step G-1: measure takes no 'limits'"),
        ("timeout: 2m", "timeout: soon", "line 19, column 14: “timeout” must be a duration"),
        ("count: 2", "count: 2.5", "“count” must be a whole number"),
        ("on_error: continue", "on_error: ignore", "line 21, column 15: “on_error” is 'ignore'"),
        ('steps["G-1"].share', 'steps["G-1"].shar', "Step G-1 has no output 'shar'; it has big, share"),
        ('steps["G-1"].share', 'steps["G-9"].share', "There is no step 'G-9'"),
        ("goto: G-3}", "goto: G-33}", "line 26, column 59: Step G-2 leads to 'G-33'"),
        ("{roles: [IC, BO]", "{roles: [IC, MLE]", "line 34, column 14: Step G-3: MLE may not approve R2"),
        ("    approve: {roles: [IC, BO], quorum: 2, expires: 2h, on_timeout: \"goto: G-5\"}\n", "", "changes the world at risk R2; add “approve”"),
        ("verify: verified.share == 0", "verify: outputs.share =", "line 33, column 13: “verify”"),
        ("with: {model: champion, share: 0}", "with: {share: 0}", "Step G-3: risky needs 'model'"),
        ("id: G-4,", "id: G-3,", "Step G-3: there is already a step G-3"),
        ("id: G-4,", "id: end,", "is not “end”"),
        ("next: G-6", "next: G-1", "is on a way back that never waits"),
        ("kind: human", "kind: parallel", "needs at least two “branches”"),
        ("roles: [IC]\n", "roles: [IC]\n    until: 'true'\n", "“until” means nothing in a step of kind human"),
        ("form: [{name: plan, kind: choice, choices: [stop, go]}]", "form: [{name: plan, kind: choice}]", "belong together"),
        ("for: 24h, until: incident.firing_count == 0, ", "", "it needs “for”, “until”, “until_time” or"),
        ("checks: [{when", "chekcs: [{when", "Unknown key “chekcs” in step G-7"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_where_it_stands(old: str, new: str, says: str) -> None:
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1))
    assert any(says in problem for problem in found), found


def test_all_mistakes_are_told_at_once_in_the_order_of_the_text() -> None:
    broken = (
        GOOD.replace("title: Good", "titel: Good")
        .replace("2m", "soon")
        .replace("G-7\n    kind: gate", "G-7\n    kind: gat")
    )
    found = check(broken, "", SHELF)
    assert len(found) >= 4
    assert found == sorted(found)
    with pytest.raises(DefinitionError) as error:
        parse(broken, "pb-good.yaml", SHELF)
    assert error.value.problems == found
    assert str(error.value).startswith("pb-good.yaml: line 1, column 1: ")


def test_the_file_is_called_as_the_playbook() -> None:
    assert problems(GOOD, "library/pb-good.yaml") == []
    assert "make them the same" in problems(GOOD, "library/pb-better.yaml")[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "A playbook is a mapping"),
        ("- 1", "A playbook is a mapping"),
        ("a: [", "This is not YAML"),
        ("a: b: c", "This is not YAML"),
        ("a: &x [1]\nb: *x", "Anchors and aliases are not read"),
        ("[" * 5000, "Nested deeper"),
        ("playbook: " + "x" * 300_000, "larger than 256 KB"),
        ("- a\n" * 30_000, "More than 20000 values"),
        ("playbook: !!python/object/apply:os.system [x]\ntitle: t\nsteps: []", "must be a text"),
        (
            "playbook: x\ntitle: t\nsteps:\n" + "  - {id: A, kind: wait, title: t, for: 1s}\n" * 3,
            "already a step A",
        ),
        ("playbook: x\ntitle: t\ntitle: u\nsteps: [3]", "is written twice"),
    ],
)
def test_hostile_and_broken_texts_are_answered_not_obeyed(text: str, says: str) -> None:
    assert any(says in problem for problem in problems(text)), problems(text)


@given(st.text(max_size=300))
def test_any_text_gets_an_answer(text: str) -> None:
    for problem in check(text, "", SHELF):
        assert problem.line >= 1
        assert problem.column >= 1


@given(st.integers(0, len(GOOD) - 1), st.sampled_from(list("{}[]:,-\"' \n\t#&*!|>%@`x0")))
def test_one_wrong_character_never_breaks_the_checker(at: int, character: str) -> None:
    broken = GOOD[:at] + character + GOOD[at + 1 :]
    found = check(broken, "", SHELF)
    if not found:
        assert thaw(freeze(parse(broken, "", SHELF))) == parse(broken, "", SHELF)
