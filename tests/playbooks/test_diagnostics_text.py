"""Text drift: new topics, refusals and broken JSON are found; the same kind of texts stays quiet."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from playbooks.diagnostics import text_drift
from playbooks.diagnostics.dataset import DataProblem

WORDS = [f"word{index}" for index in range(400)]
SHARES = (1 / np.arange(1, 401)) / (1 / np.arange(1, 401)).sum()  # as words are used: few often, many rarely


def answers(n: int, seed: int, *, refused: float = 0.02, topic: float = 0.0, words: int = 25) -> pd.Series:
    """Answers of a support assistant; `topic` of them speak of a new refund rule."""
    chance = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        said = list(chance.choice(WORDS, max(3, chance.poisson(words)), p=SHARES))
        if chance.random() < topic:
            said[:3] = ["bereavement", "refund", "voucher"]
        opening = "I'm sorry, I cannot help with that. " if chance.random() < refused else ""
        found.append(opening + " ".join(said))
    return pd.Series(found)


def test_a_new_topic_is_found_with_its_words():
    report = text_drift.compare(answers(800, 1), answers(800, 2, topic=0.5))
    assert report.verdict == "confirmed"
    assert report.shift("classifier").level == "crit"
    assert {"refund", "voucher", "bereavement"} <= set(report.new)
    assert report.shift("unknown words").now.value > 0.03
    assert report.shift("vocabulary").p_value <= 0.005


def test_a_rise_of_refusals_is_found():
    report = text_drift.compare(answers(600, 1), answers(600, 2, refused=0.12))
    assert report.verdict == "confirmed"
    assert report.shift("refusals").level == "crit"
    assert report.shift("refusals").before.value == pytest.approx(0.02, abs=0.015)
    assert "refusals: " in report.reason


def test_shorter_answers_are_found_and_the_distance_is_that_of_scipy():
    before, now = answers(500, 1), answers(500, 2, words=12)
    found = text_drift.compare(before, now).shift("length")
    assert found.level == "crit"
    assert found.change == pytest.approx(ks_2samp(before.str.len(), now.str.len()).statistic)
    assert found.before.value == before.str.len().median()


def test_the_same_kind_of_texts_rarely_alarms():
    """At most 5 % of 60 pairs would be 3; 6 are allowed (binomial 97 %)."""
    reports = [text_drift.compare(answers(200, seed), answers(200, 900 + seed)) for seed in range(60)]
    assert sum(report.verdict != "refuted" for report in reports) <= 6


def test_json_that_is_expected_and_broken_is_followed():
    before = pd.Series([json.dumps({"intent": f"i{index}"}) for index in range(400)])
    now = before.where(before.index % 10 > 0, before.str.slice(0, 8))
    report = text_drift.compare(before, now, json_expected=True)
    assert report.shift("invalid JSON").level == "crit"
    assert report.shift("invalid JSON").now.value == pytest.approx(0.1)
    assert text_drift.compare(before, now).shift("invalid JSON") is None


def test_refusals_of_ones_own_count_at_the_beginning_only():
    plain = answers(300, 1, refused=0)
    declined = ("Das darf ich nicht. " + answers(300, 2, refused=0)).where(
        pd.Series(range(300)) % 5 == 0, answers(300, 2, refused=0)
    )
    report = text_drift.compare(plain, declined, refusals=[r"das darf ich nicht"])
    assert report.shift("refusals").now.value == pytest.approx(0.2)
    quoted = pd.Series([("word " * 120) + "I cannot help with that"] * 150 + list(plain[:150]))
    assert text_drift.compare(plain, quoted).shift("refusals").now.value == 0
    with pytest.raises(DataProblem, match="no regular expression"):
        text_drift.compare(plain, declined, refusals=["("])


def test_texts_without_words_or_too_few_are_not_judged():
    assert text_drift.compare(answers(50, 1), answers(50, 2)).verdict == "inconclusive"
    with pytest.raises(DataProblem, match="holds no text"):
        text_drift.compare(pd.Series([None, None], dtype=object), answers(200, 1))
    signs = pd.Series(["!?" * (index % 7 + 1) for index in range(200)])
    assert text_drift.compare(signs, signs.sample(frac=1, random_state=1)).verdict == "refuted"


def test_the_report_is_strict_json():
    report = text_drift.compare(answers(150, 1), answers(150, 2))
    assert json.loads(json.dumps(report.as_json(), allow_nan=False))["shifts"]
