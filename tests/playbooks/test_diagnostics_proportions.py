"""Shares: agreement with scipy, and the corners where a formula has no answer."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest, chi2_contingency
from scipy.stats.contingency import relative_risk

from playbooks.diagnostics.proportions import katz, two_proportions, wilson

CASES = [(188, 1005, 412, 1630), (3, 60, 9, 70), (5629, 12_210, 19_324, 30_100)]


@pytest.mark.parametrize(("hits", "n"), [(0, 30), (30, 30), (3, 60), (5629, 12_210)])
def test_wilson_agrees_with_scipy(hits, n):
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert tuple(wilson(hits, n)) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("case", CASES)
def test_katz_agrees_with_scipy(case):
    expected = relative_risk(*case).confidence_interval()
    assert tuple(katz(*case)) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("case", CASES)
def test_the_two_proportion_test_is_the_chi_square_test_without_correction(case):
    hits, n, base_hits, base_n = case
    expected = chi2_contingency([[hits, n - hits], [base_hits, base_n - base_hits]], correction=False)
    test = two_proportions(*case)
    assert test.z**2 == pytest.approx(expected.statistic)
    assert test.p_value == pytest.approx(expected.pvalue)
    assert test.z < 0


def test_shares_without_variance_are_no_evidence():
    assert two_proportions(0, 10, 0, 20) == (0.0, 1.0)
    assert katz(0, 10, 5, 20) is None
    with pytest.raises(ValueError, match="at least one row"):
        wilson(0, 0)
