"""Wrong playbooks: each mistake is named in its place, with what to do about it."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from playbooks.cacao.writing import values
from playbooks.definition import Problem, check
from playbooks.schema import schema
from tests.playbooks.scenes import World, actions

pytestmark = pytest.mark.once
SHELF = actions(World())

RIGHT = """\
playbook: pb-right
title: Right
summary: Everything once.
applies_to: {classes: [DRIFT], matchers: 'environment="prod"'}
trigger: {on: [incident.opened], mode: auto, when: incident.severity <= 3}
inputs:
  - {name: limit, kind: number, default: 0.2, min: 0, max: 1}
  - {name: route, kind: choice, choices: [fast, slow], required: false}
concurrency: {key: "containment:{{ system.slug }}"}
steps:
  - id: LOOK
    kind: auto
    title: Measure
    action: measure
    with: {reference: "{{ system.data.reference? }}", limit: "{{ inputs.limit }}"}
    timeout: 2m
    deadline: 1h
    retry: {count: 2, backoff: 30s}
    on_error: continue
  - id: WHERE
    kind: decide
    title: Bad?
    branches:
      - {when: 'steps.LOOK.share > inputs.limit', goto: BOTH}
      - {goto: ASK}
  - id: BOTH
    kind: parallel
    title: Two at once
    join: any
    branches:
      - name: left
        steps:
          - {id: L-1, kind: auto, title: Poll, action: poll}
      - name: right
        steps:
          - {id: R-1, kind: notify, title: Tell, text: "{{ incident.key }}"}
  - id: EACH
    kind: for_each
    title: One by one
    items: '{{ system.data.models }}'
    as: model
    limit: 2
    most: 20
    steps:
      - {id: E-1, kind: auto, title: Off, action: switch, with: {model: "{{ items.model }}", share: 0}}
  - id: CALL
    kind: playbook
    title: Another one
    playbook: pb-other
  - id: TURN
    kind: auto
    title: Fall back
    action: risky
    with: {model: champion, share: 0}
    verify: verified.share == 0
    approve: {roles: [IC, BO], quorum: 2, expires: 2h, on_timeout: "goto: ASK"}
    mark: contained
    on_error: compensate
  - id: ASK
    kind: human
    title: What now?
    form: [{name: plan, kind: choice, choices: [stop, go]}]
    roles: [IC]
  - {id: REST, kind: wait, title: Watch, for: 24h, until: incident.firing_count == 0, every: 10m, deadline: 3d}
  - id: OVER
    kind: gate
    title: Over?
    checks: [{when: "steps.ASK.plan == 'go'", title: The plan is to go on}]
    mark: verified
"""

#: what is written instead of what; line and column of the message, and a part of it
WRONG = [
    # --- YAML -----------------------------------------------------------------------------------------
    ("title: Right", "title: [Right", 3, 8, "This is not YAML"),
    ("title: Right", "title: Right: wrong", 2, 13, "This is not YAML: mapping values are not allowed here"),
    ("title: Right", "title: &t Right\nsummary: *t", 2, 8, "Anchors and aliases are not read"),
    ("title: Right", "title: !!python/object/apply:os.system [ls]", 2, 8, "“title” must be a text"),
    ("title: Right", "title: Right\ntitle: Right", 3, 1, "“title” is written twice in the playbook"),
    ("summary: Everything once.", "summary: " + "[" * 20 + "]" * 20, 3, 21, "Nested deeper than 12 levels"),
    # --- the head -------------------------------------------------------------------------------------
    ("playbook: pb-right", "playbook: PB Right", 1, 11, "lower-case letters, digits and dashes"),
    ("playbook: pb-right\n", "", 1, 1, "The playbook needs “playbook”"),
    ("title: Right", "titel: Right", 2, 1, "Unknown key “titel” in the playbook; known: applies_to"),
    ("title: Right", "titel: Right", 2, 1, "Did you mean “title”?"),
    ("[DRIFT]", "[DRITF]", 4, 24, "“classes” is 'DRITF'; it must be one of"),
    ("[DRIFT]", "[DRITF]", 4, 24, "Did you mean “DRIFT”?"),
    ("'environment=\"prod\"'", "environment", 4, 42, "Cannot read 'environment'"),
    ("[incident.opened]", "[incident.closed]", 5, 16, "“on” is 'incident.closed'"),
    ("incident.severity <= 3", "steps.LOOK.share > 1", 5, 52, "A trigger knows incident and system"),
    ("on: [incident.opened], mode: auto", "mode: auto", 5, 10, "A trigger with mode auto needs “on”"),
    ("default: 0.2,", "default: 2,", 7, 5, "The default of 'limit' is 2; it must be a number from 0 to 1"),
    ("default: 0.2,", "default: much,", 7, 5, "The default of 'limit' is 'much'; it must be a number"),
    ("min: 0, max: 1}", "min: 2, max: 1}", 7, 5, "“min” of 'limit' is above its “max”"),
    ("choices: [fast, slow], required", "required", 8, 5, "“choices” and “kind: choice” belong together"),
    ("name: route", "name: limit", 8, 5, "The name 'limit' is used twice"),
    ("system.slug }}\"}", "system.slgu }}\"}", 9, 20, "system has no 'slgu'; it has"),
    # --- steps ----------------------------------------------------------------------------------------
    ("id: LOOK", "id: L OOK", 11, 9, "takes letters, digits, _ and -"),
    ("id: REST", "id: ASK", 64, 5, "there is already a step ASK"),
    ("kind: decide", "kind: decied", 21, 11, "it must be one of auto, decide, human"),
    ("kind: decide", "kind: decied", 21, 11, "Did you mean “decide”?"),
    ("action: measure", "action: mesure", 14, 13, "there is no action 'mesure'"),
    ("action: measure", "action: mesure", 14, 13, "Did you mean “measure”?"),
    ("    action: measure\n", "", 11, 5, "Step LOOK of kind auto needs “action”"),
    ('limit: "{{ inputs.limit }}"', "limit: high", 15, 62, "'limit' must be a number, not 'high'"),
    ('limit: "{{ inputs.limit }}"', "limti: 1", 15, 62, "measure takes no 'limti'; it takes reference, limit. Did you mean “limit”?"),
    ('"{{ inputs.limit }}"', '"{{ inputs.limits }}"', 15, 62, "There is no input 'limits'; declared inputs: limit, route. Did you mean “limit”?"),
    ('"{{ inputs.limit }}"', '"{{ limit }}"', 15, 62, "a path starts with incident, system, inputs"),
    ("timeout: 2m", "timeout: 0", 16, 14, "“timeout” must be longer than 0"),
    ("timeout: 2m", "timeout: -5", 16, 14, "“timeout” must be a duration"),
    ("timeout: 2m", "timeout: 2h", 16, 14, "one try may take longer (timeout) than all of them (deadline)"),
    ("count: 2", "count: 200", 18, 20, "a whole number from 0 to 20"),
    ("on_error: continue", "on_error: ignore", 19, 15, "it must be fail, continue, compensate or “goto: <step>”"),
    ("steps.LOOK.share", "steps.LOKO.share", 24, 16, "There is no step 'LOKO'"),
    ("steps.LOOK.share", "steps.LOOK.shaer", 24, 16, "Step LOOK has no output 'shaer'; it has big, share"),
    ("steps.LOOK.share", "steps.TURN.before", 24, 16, "Step WHERE uses TURN, which never runs before it"),
    ("steps.LOOK.share >", "incidnt.severity >", 24, 16, "“when”: at character 8: undeclared reference to 'incidnt.severity' Did you mean “incident”?"),
    ("inputs.limit', goto", "inputs.limit &&', goto", 24, 16, "“when”: at character"),
    ("goto: BOTH}", "goto: BOHT}", 24, 57, "Step WHERE leads to 'BOHT', which does not exist here (or write “end”). Did you mean “BOTH”?"),
    ("      - {goto: ASK}\n", "      - {goto: ASK}\n      - {goto: end}\n", 25, 16, "A branch without “when” must be the last one"),
    ("    branches:\n      - {when: 'steps.LOOK.share > inputs.limit', goto: BOTH}\n      - {goto: ASK}\n", "", 20, 5, "Step WHERE decides, so it needs “branches”"),
    ("kind: decide\n    title: Bad?", "kind: decide\n    title: Bad?\n    until: 'true'", 23, 12, "“until” means nothing in a step of kind decide"),
    # --- branches, loops, calls ------------------------------------------------------------------------
    ("join: any", "join: 3", 29, 11, "waits for 3 of 2 branches; there are not so many"),
    ("join: any", "join: most", 29, 11, "it must be all, any, or how many have to succeed"),
    ("      - name: right\n        steps:\n          - {id: R-1, kind: notify, title: Tell, text: \"{{ incident.key }}\"}\n", "", 26, 5, "needs at least two “branches”"),
    ("name: right", "name: left", 34, 9, "Step BOTH has two branches 'left'"),
    ("items: '{{ system.data.models }}'\n    ", "", 37, 5, "needs “items”"),
    ("most: 20", "most: 100000", 43, 11, "“most” must be a whole number from 1 to 1000"),
    ("limit: 2\n", "limit: 0\n", 42, 12, "“limit” must be a whole number from 1 to 100"),
    ("items.model }}", "items.modle }}", 45, 73, "There is no item 'modle' here; there are model"),
    ("playbook: pb-other", "playbook: pb-right", 49, 15, "a playbook cannot run itself"),
    ("    playbook: pb-other\n", "", 46, 5, "Step CALL needs “playbook”"),
    ("text: \"{{ incident.key }}\"", "text: \"{{ steps.L-1.rounds }}\"", 36, 56, "There is no step 'L-1'"),
    # --- what changes the world ------------------------------------------------------------------------
    ("with: {model: champion, share: 0}\n    verify", "with: {share: 0}\n    verify", 54, 11, "risky needs 'model' in “with”"),
    ("    approve: {roles: [IC, BO], quorum: 2, expires: 2h, on_timeout: \"goto: ASK\"}\n", "", 50, 5, "changes the world at risk R2; add “approve” (it may be {})"),
    ("{roles: [IC, BO], quorum", "{roles: [IC, MLE], quorum", 56, 14, "MLE may not approve R2; these may: BO, EXE, IC"),
    ("{roles: [IC, BO], quorum", "{all_of: [IC, SEC], quorum", 56, 14, "SEC may not approve R2; these may: BO, EXE, IC"),
    ("expires: 2h", "expires: 0s", 56, 52, "“expires” must be longer than 0"),
    ('"goto: ASK"}', '"goto: AKS"}', 56, 14, "leads to 'AKS', which does not exist here"),
    ("verified.share == 0", "verified.share =", 55, 13, "“verify”: at character"),
    ("mark: contained", "mark: contianed", 57, 11, "it must be one of contained, verified. Did you mean “contained”?"),
    # --- people, waits, gates --------------------------------------------------------------------------
    ("    form: [{name: plan, kind: choice, choices: [stop, go]}]\n", "", 59, 5, "needs “form”, a list of fields"),
    ("choices: [stop, go]}", "choices: stop, default: go}", 62, 12, "The default of 'plan' is 'go'; it must be one of stop"),
    ("{name: plan, kind", "{name: verdict, kind", 62, 19, "Every step has its own 'verdict', which would hide the answer"),
    ("roles: [IC]\n", "roles: [Boss]\n", 63, 13, "“roles” is 'Boss'"),
    ("for: 24h, until: incident.firing_count == 0, ", "", 64, 5, "it needs “for”, “until”, “until_time” or “until_event”"),
    ("for: 24h", "for: soon", 64, 47, "“for” must be a duration such as 90s, 15m, 24h or 7d"),
    ("deadline: 3d", "deadline: 3h", 64, 109, "the deadline ends before the wait does"),
    ("every: 10m", "every: 0s", 64, 5, "“every” must be at least 1s"),
    ("checks: [{when: \"steps.ASK", "chekcs: [{when: \"steps.ASK", 68, 5, "Did you mean “checks”?"),
    # --- ways -----------------------------------------------------------------------------------------
    ("kind: decide\n    title: Bad?", "kind: decide\n    title: Bad?\n    next: ASK", 23, 11, "“next” is never followed; keep one of them"),
    ("{id: REST, kind: wait,", "{id: REST, next: end, kind: wait,", 65, 5, "Step OVER can never be reached"),
    ("    roles: [IC]\n", "    roles: [IC]\n    next: LOOK\n", 11, 5, "is on a way back that never waits; put a wait step on it"),
]  # fmt: skip


def found_in(text: str) -> list[Problem]:
    return check(text, "", SHELF)


def test_the_right_one_has_no_problems() -> None:
    assert found_in(RIGHT) == []


@pytest.mark.parametrize(("old", "new", "line", "column", "says"), WRONG)
def test_a_wrong_playbook_is_told_where_and_what(
    old: str, new: str, line: int, column: int, says: str
) -> None:
    assert RIGHT.count(old) >= 1, "the table names something that is not there"
    problems = found_in(RIGHT.replace(old, new, 1))
    assert [p for p in problems if (p.line, p.column) == (line, column) and says in p.message], problems


def test_the_table_has_many_mistakes() -> None:
    assert len({(old, new) for old, new, *_ in WRONG}) >= 65


def test_the_schema_takes_the_right_one_and_refuses_most_of_the_wrong_ones() -> None:
    """A schema knows shapes only: names, ways and meanings are left to `check`."""
    validator = Draft202012Validator(schema(SHELF))
    assert list(validator.iter_errors(values(RIGHT))) == []
    texts = {RIGHT.replace(old, new, 1) for old, new, *_ in WRONG}
    shaped = [text for text in texts if _values(text) is not None]
    refused = [text for text in shaped if not validator.is_valid(_values(text))]
    print(
        f"{len(texts)} wrong playbooks; the schema refuses {len(refused)} of the {len(shaped)} that are YAML"
    )
    assert len(shaped) > 55
    assert len(refused) / len(shaped) > 0.5, [len(refused), len(shaped)]


def _values(text: str) -> object:
    try:
        return values(text)
    except ValueError:
        return None
