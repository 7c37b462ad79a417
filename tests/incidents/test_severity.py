"""The matrix on paper: DOMAIN scenarios S1–S8, floors, caps, the worst dimension, bad answers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.severity import DEFAULT_PROFILE, assess, check_profile

DIMENSIONS = ("SA", "RI", "OP", "FI", "SC", "RG", "RP")
QUESTIONS = ("harm", "velocity", "reversibility", "workaround")


def answers(dims: tuple[int, ...], urgency: tuple[int, ...]) -> tuple[dict[str, int], dict[str, int]]:
    return dict(zip(DIMENSIONS, dims, strict=True)), dict(zip(QUESTIONS, urgency, strict=True))


@pytest.mark.parametrize(
    ("scene", "dims", "urgency", "expected"),
    [
        ("S1 seasonal drift", (1, 1, 2, 3, 3, 1, 2), (2, 1, 0, 1), (3, 2, 3)),
        ("S2 credit bias", (1, 4, 2, 3, 4, 4, 4), (2, 1, 1, 1), (4, 3, 2)),
        ("S3 poisoning", (4, 3, 3, 3, 3, 4, 4), (2, 2, 2, 1), (4, 4, 1)),
        ("S4 schema change", (1, 3, 4, 4, 4, 3, 3), (2, 2, 1, 1), (4, 3, 2)),
        ("S5 evasion", (1, 1, 3, 4, 2, 3, 3), (2, 2, 1, 1), (4, 3, 2)),
        ("S6 line stopped", (3, 1, 4, 3, 2, 2, 2), (2, 3, 1, 1), (4, 4, 1)),
        ("S8 invented rule", (1, 2, 2, 2, 1, 2, 3), (2, 2, 1, 1), (3, 3, 3)),
    ],
)
def test_the_scenarios_get_the_severity_the_domain_gives_them(scene, dims, urgency, expected):
    result = assess(DEFAULT_PROFILE, *answers(dims, urgency))
    assert (result.impact, result.urgency, result.computed) == expected, scene


def test_the_overdue_audit_reaches_sev2_by_matrix_and_by_the_disparity_floor():
    result = assess(
        DEFAULT_PROFILE, *answers((1, 4, 2, 2, 3, 4, 4), (1, 1, 1, 0)), {"protected_disparity": True}
    )
    assert (result.matrix, result.computed, result.floors) == (2, 2, ("F6",))


def test_continuous_and_irreversible_harm_is_immediate_whatever_the_sum():
    result = assess(DEFAULT_PROFILE, *answers((3,) * 7, (2, 0, 2, 0)))
    assert result.urgency_sum == 4
    assert result.urgency == 4


def test_an_unanswered_urgency_question_takes_its_worst_option_and_is_said():
    result = assess(DEFAULT_PROFILE, {"SA": 2}, {"harm": 0})
    assert result.urgency_sum == 0 + 3 + 2 + 2
    assert {"velocity", "reversibility", "workaround", "RI"} <= set(result.estimated)


def test_a_cap_lowers_only_with_an_approver_and_never_below_a_floor():
    impact, urgency = answers((5,) * 7, (2, 3, 2, 2))
    facts = {"non_production": True}
    assert assess(DEFAULT_PROFILE, impact, urgency, facts).computed == 1
    assert assess(DEFAULT_PROFILE, impact, urgency, facts, cap_approved=True).computed == 4
    both = {**facts, "malicious_tampering": True}
    assert assess(DEFAULT_PROFILE, impact, urgency, both, cap_approved=True).computed == 2


@pytest.mark.parametrize(
    ("impact", "urgency"), [({"XX": 1}, {}), ({"SA": 0}, {}), ({"SA": 6}, {}), ({"SA": 1}, {"harm": 3})]
)
def test_answers_that_the_profile_does_not_have_are_refused(impact, urgency):
    with pytest.raises(ValueError, match="choose"):
        assess(DEFAULT_PROFILE, impact, urgency)


@given(
    st.lists(st.integers(1, 5), min_size=7, max_size=7),
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)),
    st.integers(0, 6),
)
def test_a_worse_answer_never_makes_the_severity_milder(dims, urgency, which):
    impact, asked = answers(tuple(dims), urgency)
    worse = {**impact, DIMENSIONS[which]: min(5, impact[DIMENSIONS[which]] + 1)}
    before, after = assess(DEFAULT_PROFILE, impact, asked), assess(DEFAULT_PROFILE, worse, asked)
    assert after.computed <= before.computed


def test_the_shipped_profile_is_sound_and_a_matrix_that_becomes_milder_is_not():
    assert check_profile(DEFAULT_PROFILE) == []
    twisted = {**DEFAULT_PROFILE, "matrix": [list(r) for r in reversed(DEFAULT_PROFILE["matrix"])]}
    assert any("milder" in p for p in check_profile(twisted))


@pytest.mark.parametrize(
    "broken", [None, [], {}, {**DEFAULT_PROFILE, "matrix": "no"}, {**DEFAULT_PROFILE, "first_guess": {}}]
)
def test_a_broken_profile_is_named_not_crashed_on(broken):
    assert check_profile(broken)


def test_every_cell_of_the_matrix_can_be_reached():
    reached = set()
    for impact, urgency in itertools.product(
        range(1, 6), itertools.product(range(3), range(4), range(3), range(3))
    ):
        result = assess(DEFAULT_PROFILE, *answers((impact,) * 7, urgency))
        reached.add((result.impact, result.urgency))
    assert len(reached) == 20
