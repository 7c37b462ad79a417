"""The benchmark's report, from given numbers; nothing is timed here."""

from __future__ import annotations

import json

import pytest

from benchmarks.load import body
from benchmarks.report import Expectation, Table, ratio_of_pairs, shape, verdict

pytestmark = pytest.mark.once


def test_a_table_aligns_its_numbers_and_says_what_was_not_measured() -> None:
    table = Table("Accepted", ("database", "POST/s", "ratio"), notes=["medians"])
    table.rows += [["PostgreSQL", 4123.4, 0.8312], ["SQLite", 97.25, None]]
    lines = table.text().splitlines()
    assert lines[1] == "Accepted"
    assert lines[3] == "database    POST/s  ratio"
    assert lines[5:] == ["PostgreSQL   4,123   0.83", "SQLite        97.2      –", "* medians"]


@pytest.mark.parametrize(
    ("value", "told"),
    [(1_000_000, "1,000,000"), (5123.6, "5,124"), (12.345, "12.3"), (0.5, "0.50"), ("x", "x")],
)
def test_numbers_have_about_three_digits(value: str | float, told: str) -> None:
    assert shape(value) == told


def test_a_ratio_is_taken_within_each_pair() -> None:
    """A slow second half of the run slows both sides alike and leaves the ratio."""
    assert ratio_of_pairs([80, 40, 20], [100, 50, 25]) == 0.8


def test_expectations_say_plainly_whether_they_are_met() -> None:
    fast = Expectation("drained alerts/s", 6000, "≥", 5000)
    slow = Expectation("step over chain", 1.4, "≤", 1.0)
    assert verdict([fast, slow]).splitlines()[1:] == [
        "met    drained alerts/s: 6,000 (expected ≥ 5,000)",
        "UNMET  step over chain: 1.40 (expected ≤ 1.00)",
        "1 of 2 expectations met",
    ]


def test_the_load_is_what_alertmanager_sends_and_names_every_alert() -> None:
    sent = json.loads(body(5, 40))
    assert [alert["fingerprint"] for alert in sent["alerts"]] == [f"{n:016x}" for n in range(40, 45)]
    assert sent["version"] == "4"
