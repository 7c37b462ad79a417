"""The significance gates on paper, and what a gated alert leads to."""

from __future__ import annotations

import pytest

from incidents.intake.gates import chi2_95, judge, noise_floor
from incidents.models import Alert, Incident
from tests.incidents.intake_scenes import at, counters_are_exact, kinds, signal, system, tell

PSI = [{"metric": "(feature_|prediction_)?psi", "gate": "noise_floor", "bins": 10}]
KS = [{"metric": "ks(_.*)?", "gate": "min_effect", "least": 0.1}]


@pytest.mark.parametrize(("n", "floor"), [(200, 0.169), (500, 0.068), (1000, 0.034), (5000, 0.007)])
def test_the_noise_floor_for_ten_bins(n: int, floor: float) -> None:
    assert noise_floor(n, n) == pytest.approx(floor, abs=0.0005)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 3.841), (9, 16.919), (30, 43.773), (31, 44.985), (99, 123.225)]
)
def test_the_quantiles_of_chi_square(freedom: int, quantile: float) -> None:
    assert chi2_95(freedom) == pytest.approx(quantile, rel=0.001)


def test_one_bin_has_no_distribution() -> None:
    with pytest.raises(ValueError, match="two bins"):
        chi2_95(0)


def test_n1_a_psi_within_noise_does_not_pass() -> None:
    verdict = judge(PSI, signal(metric="feature_psi", value=0.14, sample_size=180))
    assert verdict is not None
    assert (verdict["passed"], verdict["code"], verdict["floor"]) == (False, "low_n", 0.188)


def test_the_same_psi_of_a_large_sample_passes() -> None:
    verdict = judge(PSI, signal(metric="psi", value=0.14, sample_size=5000))
    assert verdict is not None
    assert verdict["passed"]
    assert verdict["needed"] == 0.1


def test_a_psi_below_a_tenth_is_no_shift_however_large_the_sample() -> None:
    verdict = judge(PSI, signal(metric="psi", value=0.09, sample_size=10**6))
    assert verdict is not None
    assert verdict["code"] == "small_effect"


def test_a_large_baseline_halves_the_floor() -> None:
    verdict = judge(PSI, signal(metric="psi", value=0.14, sample_size=180, extra={"baseline_n": 10**6}))
    assert verdict is not None
    assert verdict["passed"]
    assert verdict["m"] == 10**6


def test_more_bins_raise_the_floor() -> None:
    verdict = judge(PSI, signal(metric="psi", value=0.15, sample_size=400, extra={"bins": 40}))
    assert verdict is not None
    assert not verdict["passed"]
    assert verdict["bins"] == 40


def test_n2_a_tiny_p_value_without_effect_does_not_pass() -> None:
    verdict = judge(KS, signal(metric="ks", value=0.02, sample_size=100_000, extra={"p_value": 1e-9}))
    assert verdict is not None
    assert verdict["code"] == "small_effect"
    verdict = judge(KS, signal(metric="ks_p_value", value=1e-9, extra={"effect": 0.21}))
    assert verdict is not None
    assert verdict["passed"]


def test_too_few_samples_do_not_pass_a_least_number() -> None:
    gates = [{"metric": "recall", "gate": "min_n", "least": 100}]
    few, many = (judge(gates, signal(metric="recall", value=0.7, sample_size=n)) for n in (40, 100))
    assert few is not None
    assert few["code"] == "low_n"
    assert many is not None
    assert many["passed"]


@pytest.mark.parametrize(
    "said",
    [{"metric": "psi"}, {"metric": "psi", "value": 0.2}, {"metric": "ks"}],
    ids=["bare", "no n", "no D"],
)
def test_what_cannot_be_judged_passes_and_says_so(said: dict[str, object]) -> None:
    verdict = judge(PSI + KS, signal(**said))
    assert verdict is not None
    assert verdict["passed"]
    assert "sends no" in verdict["reason"]


@pytest.mark.parametrize(
    "gate", [{"metric": "psi", "gate": "oracle"}, {"metric": "psi", "gate": "min_effect"}, {"metric": "psi", "gate": "min_n", "least": "x"}]
)  # fmt: skip
def test_a_gate_that_is_written_wrongly_stops_no_alert(gate: dict[str, object]) -> None:
    verdict = judge([gate], signal(metric="psi", value=0.2, sample_size=50))
    assert verdict is not None
    assert verdict["passed"]


def test_other_metrics_meet_no_gate() -> None:
    assert judge(PSI + KS, signal(metric="recall", value=0.1)) is None
    assert judge(PSI, signal(value=0.01)) is None


@pytest.mark.django_db
def test_n1_a_gated_alert_is_suppressed_with_its_reason_and_tells_nobody() -> None:
    system()
    result = tell(signal(metric="feature_psi", feature="age", value=0.14, sample_size=180))
    alert = Alert.objects.get()
    assert alert.disposition == "suppressed"
    assert result.suppressed == 1
    assert alert.why["gate"]["code"] == "low_n"
    assert "n = 180" in alert.why["gate"]["reason"]
    assert not Incident.objects.exists()
    assert kinds() == []


@pytest.mark.django_db
def test_n2_a_gated_ks_is_suppressed() -> None:
    system()
    tell(signal(metric="ks", value=0.02, sample_size=100_000))
    assert Alert.objects.get().why["gate"]["code"] == "small_effect"
    assert not Incident.objects.exists()


@pytest.mark.django_db
def test_a_suppressed_alert_that_grows_out_of_the_noise_opens() -> None:
    system()
    tell(signal(metric="psi", value=0.14, sample_size=180))
    tell(signal(metric="psi", value=0.41, sample_size=180, observed_at=at(5)), now=at(5))
    assert Alert.objects.get().disposition == "attached"
    assert Alert.objects.get().why["gate"]["passed"]
    assert Incident.objects.get().report_count == 2
    assert counters_are_exact()


@pytest.mark.django_db
def test_a_gated_alert_does_not_join_an_open_incident() -> None:
    system()
    tell(signal("real"), signal("noise", metric="psi", value=0.14, sample_size=180))
    assert Incident.objects.get().alert_count == 1
    assert Alert.objects.get(fingerprint="noise").disposition == "suppressed"
