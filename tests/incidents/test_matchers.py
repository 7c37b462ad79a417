"""Label matchers, and which system and rule they lead an alert to."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from incidents.intake.catalogue import Catalogue, Inventory, Rule, System
from incidents.matchers import Matcher, MatcherError, any_line_matches, parse, parse_line, validate_matchers
from tests.incidents.intake_scenes import signal

LABELS = {"model": "credit", "env": "prod-eu", "team": "risk"}


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ('model="credit"', True),
        ("model=credit", True),
        ('{model="credit", env=~"prod.*"}', True),
        ('model!="credit"', False),
        ('env=~"prod"', False),
        ('env!~"staging.*"', True),
        ('owner=""', True),
        ('owner!=""', False),
        ('model="fraud"\nteam="risk"', True),
        ('# nobody\nmodel="fraud"', False),
        ("", False),
    ],
)
def test_a_line_needs_all_and_a_text_any(text: str, met: bool) -> None:
    assert any_line_matches(text, LABELS) is met


@pytest.mark.parametrize("text", ['model="credit" env="x"', 'model=~"("', "model", '="x"', 'a="b",,'])
def test_what_cannot_be_read_says_where(text: str) -> None:
    with pytest.raises(MatcherError):
        parse(text)
    with pytest.raises(ValidationError):
        validate_matchers(text)


@given(
    st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True),
    st.text(st.characters(exclude_categories=["C", "Z"])),
)
def test_an_equality_written_out_reads_back(name: str, value: str) -> None:
    matcher = Matcher(name, "=", value)
    assert parse_line(str(matcher)) == (matcher,)


def inventory(**matchers: str) -> Inventory:
    return Inventory(
        System(i, slug.replace("_", "-"), f"The {slug} model", text, False)
        for i, (slug, text) in enumerate(matchers.items(), 1)
    )


def found(systems: Inventory, **said: object) -> str | None:
    one = signal(**said)
    result = systems.find(one, {**one.labels, "system": one.system, "metric": one.metric})
    return result.system.slug if result.system else None


def test_matchers_find_the_system_and_the_line_with_more_conditions_wins() -> None:
    systems = inventory(
        any_credit='model="credit"', eu_credit='model="credit", region="eu"', rest='model=~".+"'
    )
    assert found(systems, labels={"model": "credit", "region": "eu"}) == "eu-credit"
    assert found(systems, labels={"model": "credit"}) == "any-credit"
    assert found(systems, labels={"model": "other"}, system="") == "rest"


def test_what_else_matched_is_kept_for_the_explanation() -> None:
    one = signal(labels={"model": "credit", "region": "eu"})
    systems = inventory(any_credit='model="credit"', eu_credit='model="credit", region="eu"')
    assert systems.find(one, one.labels).candidates == ("any-credit",)


@pytest.mark.parametrize(
    "said",
    [
        {"system": "recs-home"},
        {"system": "Recs-Home"},
        {"system": "recs-home:3.14"},
        {"system": "The recs_home model"},
        {"system": "", "labels": {"model_name": "recs-home"}},
        {"system": "unheard-of", "labels": {"job": "recs-home"}},
    ],
)
def test_a_name_finds_the_system(said: dict[str, object]) -> None:
    assert found(inventory(recs_home=""), **said) == "recs-home"


def test_a_vague_label_makes_no_new_name() -> None:
    systems = inventory(recs_home="")
    vague, telling = (signal(system="", labels=labels) for labels in ({"job": "node"}, {"model": "new-one"}))
    assert systems.find(vague, vague.labels).name == ""
    assert systems.find(telling, telling.labels).name == "new-one"


def test_a_retired_system_gives_way() -> None:
    old = System(1, "old", "Old", 'model="m"', True)
    new = System(2, "new", "New", 'model="m"', False)
    one = signal(labels={"model": "m"})
    result = Inventory([old, new]).find(one, one.labels)
    assert result.system == new


def rule(name: str, position: int, matchers: str) -> Rule:
    return Rule(1, name, 1, position, matchers, "", "", None, ("env",), 1, 1, 2, 3, (), "")


def test_the_first_matching_rule_decides_and_the_others_are_named() -> None:
    rules = (rule("a", 1, 'team="none"'), rule("b", 2, 'team="risk"'), rule("c", 3, ""))
    chosen, passed = Catalogue(inventory(), rules, ()).rule_for(LABELS)
    assert (chosen.name, passed) == ("b", ["a"])


def test_an_unreadable_rule_matches_nothing_and_stops_nobody() -> None:
    rules = (rule("broken", 1, "((("), rule("rest", 2, ""))
    assert Catalogue(inventory(), rules, ()).rule_for(LABELS)[0].name == "rest"
