"""Conditions are true, false or an error; parameters are looked up, never evaluated."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.expressions import (
    ExpressionError,
    Reference,
    both_spellings,
    compiled,
    references,
    substitute,
    template_references,
)
from playbooks.expressions import test as holds

pytestmark = pytest.mark.once
SCOPE: dict[str, Any] = {
    "incident": {"severity": 2, "class": "DRIFT", "key": "INC-7", "title": "x", "owner": None},
    "inputs": {"limit": 0.2, "names": ["a", "b"]},
    "system": {"data": {"reference": "ref.csv"}},
    "steps": both_spellings({"DR-03": {"share": 0.4, "ok": True}, "DR-04": {"state": ""}}),
}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("incident.severity <= 2", True),
        ('incident.class == "DRIFT"', True),
        ('incident.class in ["BIAS", "POISON"]', False),
        ('steps["DR-03"].share > inputs.limit', True),
        ("steps.DR_03.share > 1", False),
        ("steps.DR_03.ok", True),
        ("has(steps.DR_04.share) && steps.DR_04.share > 1", False),
        ('inputs.names.exists(n, n == "b")', True),
        ("incident.owner == null", True),
        ("incident.severity < 2.5", True),
        ('incident.title.matches("^x$")', True),
    ],
)
def test_conditions_hold_or_do_not(text: str, answer: bool) -> None:
    assert holds(text, SCOPE) is answer


@pytest.mark.parametrize(
    "text",
    ["incident.nope == 1", "incident.owner > 1", "1 / 0 == 1", "steps.DR_04.share > 1", "incident.key", 'incident.key > 1', "incident"],
)  # fmt: skip
def test_what_cannot_be_said_is_an_error_never_true_and_never_false(text: str) -> None:
    for condition in (text, f"!({text})") if "==" in text or ">" in text else (text,):
        with pytest.raises(ExpressionError):
            holds(condition, SCOPE)


@pytest.mark.parametrize(
    ("text", "says"),
    [("incident.severity +", "Syntax error"), ("nobody.knows > 1", "undeclared reference"), ('"a"', "must be true or false"), ("1 + 1", "gives int")],
)  # fmt: skip
def test_what_is_not_a_condition_says_why(text: str, says: str) -> None:
    with pytest.raises(ExpressionError, match=says):
        compiled(text)


HUNDRED = "[" + ",".join("1" * 50) + "]"


@pytest.mark.parametrize(
    "text",
    [
        f"{HUNDRED}.all(a, {HUNDRED}.all(b, {HUNDRED}.all(c, {HUNDRED}.all(d, a + b + c + d > 0))))",
        "(" * 200 + "1" + ")" * 200 + " == 1",
        'size(["' + "a" * 100 + '"]' + ".map(x, x + x)" * 29 + "[0]) > 0",
        "true || " * 2000 + "true",
        "true ? " * 100 + "true" + " : true" * 100,
    ],
)
def test_hostile_conditions_are_refused_quickly(text: str) -> None:
    before = perf_counter()
    with pytest.raises(ExpressionError):
        holds(text, SCOPE)
    assert perf_counter() - before < 2


@given(st.text(max_size=200))
def test_no_text_does_more_than_hold_or_raise(text: str) -> None:
    try:
        answer = holds(text, SCOPE)
    except ExpressionError:
        return
    assert answer in (True, False)


def test_references_name_steps_and_fields_and_not_words_inside_texts() -> None:
    found = references(
        'steps["DR-03"].share > inputs.limit && incident.title != "steps.X.y" && has(system.data.x)'
    )
    assert found == [
        Reference("steps", ("DR-03", "share")),
        Reference("inputs", ("limit",)),
        Reference("incident", ("title",)),
        Reference("system", ("data", "x"), optional=True),
    ]


def test_a_parameter_that_is_one_path_keeps_its_type_and_inside_a_text_it_is_written_out() -> None:
    given = {
        "n": "{{ inputs.limit }}", "l": "{{inputs.names}}", "t": "{{ incident.key }}: {{ steps.DR-03.share }}",
        "deep": [{"x": "{{ inputs.names.1 }}"}], "plain": 3, "none": "{{ incident.owner }}",
    }  # fmt: skip
    assert substitute(given, SCOPE) == {
        "n": 0.2, "l": ["a", "b"], "t": "INC-7: 0.4", "deep": [{"x": "b"}], "plain": 3, "none": None,
    }  # fmt: skip


def test_a_missing_path_is_an_error_unless_it_may_be_missing() -> None:
    with pytest.raises(ExpressionError, match="there is no “label”"):
        substitute("{{ system.data.label }}", SCOPE)
    assert substitute("{{ system.data.label? }}", SCOPE) is None
    assert substitute("<{{ system.data.label? }}>", SCOPE) == "<>"


@pytest.mark.parametrize(
    "text",
    ["{{ 1 + 1 }}", "{{ }}", "{{ os.environ }}", "{{ incident.key | upper }}", "{{ incident['key'] }}"],
)
def test_what_is_not_a_path_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        template_references(text)
    with pytest.raises(ExpressionError):
        substitute(text, SCOPE)


@given(st.text(max_size=80))
def test_what_came_with_an_alert_is_never_evaluated(title: str) -> None:
    hostile = "{{ inputs.limit }}" + title + '" || true || "'
    scope = {**SCOPE, "incident": {**SCOPE["incident"], "title": hostile}}
    assert substitute("{{ incident.title }}", scope) == hostile
    assert substitute("a {{ incident.title }}", scope) == "a " + hostile
    assert holds('incident.title == "x"', scope) is False
