"""Data quality: each fault is found and named, a sound batch passes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from playbooks.diagnostics import quality
from playbooks.diagnostics.dataset import DataProblem
from playbooks.diagnostics.units import unit_change

START = datetime(2026, 11, 2, tzinfo=UTC)


def payments(n: int, seed: int) -> pd.DataFrame:
    """Card payments: key, amount, age, channel, note, time (100 per hour)."""
    chance = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": np.arange(n) + seed * 1_000_000,
            "amount": chance.lognormal(3, 1, n).round(2),
            "age": chance.normal(45, 12, n).clip(18, 95),
            "channel": chance.choice(["web", "app", "branch"], n),
            "note": np.where(chance.random(n) < 0.02, None, "ok"),
            "at": [START + timedelta(seconds=36 * index) for index in range(n)],
        }
    )


def checked(current: pd.DataFrame, **rules: object) -> quality.QualityReport:
    return quality.check(payments(4000, 1), current, key_columns=["id"], **rules)  # type: ignore[arg-type]


def found(report: quality.QualityReport) -> set[tuple[str, str | None, str]]:
    return {(item.check, item.column, item.level) for item in report.failures}


def test_a_sound_batch_passes():
    report = checked(
        payments(4000, 2), required=["id", "amount"], ranges={"age": [18, 100]}, time_column="at"
    )
    assert report.ok
    assert report.verdict == "refuted"
    assert (report.cause, report.failures) == ("none", ())


@pytest.mark.parametrize("n", [200, 1000])
def test_sound_batches_raise_almost_no_alarm(n):
    alarms = sum(
        quality.check(payments(n, seed), payments(n, 300 + seed)).verdict != "refuted"
        for seed in range(1, 41)
    )
    assert alarms <= 1


def test_cents_instead_of_euros_are_a_unit_change_by_100():
    batch = payments(3000, 2)
    batch["amount"] *= 100
    report = checked(batch)
    assert report.cause == "unit_or_encoding_change"
    failure = next(item for item in report.failures if item.check == "unit_change")
    assert failure.measured == pytest.approx(100, rel=0.05)
    assert (failure.level, report.ok) == ("crit", False)
    assert "amount" in report.summary


@pytest.mark.parametrize("factor", [0.0254, 1 / 0.0254, 1.609344, 0.001, 1000, 60, 2.2046])
def test_known_conversions_are_recognised(factor):
    chance = np.random.default_rng(4)
    found = unit_change(chance.gamma(20, 3, 2000), chance.gamma(20, 3, 2000) * factor)
    assert found is not None
    assert found[0] == pytest.approx(factor, rel=0.05)


def test_a_real_rise_is_no_unit_change():
    chance = np.random.default_rng(4)
    assert unit_change(chance.lognormal(3, 0.2, 2000), chance.lognormal(3.3, 0.2, 2000)) is None
    assert unit_change(chance.normal(40, 10, 2000), chance.normal(40, 10, 2000)) is None


def test_fahrenheit_is_recognised():
    chance = np.random.default_rng(4)
    found = unit_change(chance.normal(20, 5, 2000), chance.normal(20, 5, 2000) * 1.8 + 32)
    assert found is not None
    assert found[1] == "Celsius to Fahrenheit"


def test_a_missing_required_column_is_critical_and_an_optional_one_a_warning():
    report = checked(payments(500, 2).drop(columns=["amount", "channel"]), required=["amount"])
    assert {("missing_column", "amount", "crit"), ("missing_column", "channel", "warn")} <= found(report)
    assert report.cause == "schema_change"


def test_a_renamed_column_is_told_from_a_missing_one():
    report = checked(payments(2000, 2).rename(columns={"amount": "amount_eur"}))
    assert report.cause == "renamed_column"
    assert any("amount_eur" in item.text for item in report.failures)
    assert not any(item.check in ("missing_column", "extra_column") for item in report.failures)


def test_numbers_that_became_text_are_a_type_change():
    batch = payments(500, 2)
    batch["amount"] = batch["amount"].map("{:.2f} EUR".format)
    assert ("type", "amount", "crit") in found(checked(batch))


def test_times_from_csv_and_from_parquet_are_one_type():
    batch = payments(500, 2)
    batch["at"] = batch["at"].astype(str)
    assert checked(batch, time_column="at").failures == ()


def test_nulls_in_a_required_column_are_critical_and_elsewhere_by_degree():
    batch = payments(2000, 2)
    batch.loc[::500, "amount"] = np.nan
    batch.loc[::20, "age"] = np.nan
    batch.loc[::5, "channel"] = None
    report = checked(batch, required=["amount"])
    assert {
        ("required_null", "amount", "crit"),
        ("null_rate", "age", "warn"),
        ("null_rate", "channel", "crit"),
    } <= found(report)


def test_values_outside_of_a_declared_range_are_counted():
    batch = payments(2000, 2)
    batch.loc[::10, "age"] = 999
    report = checked(batch, ranges={"age": [0, 120]})
    failure = next(item for item in report.failures if item.check == "range")
    assert (failure.level, failure.measured) == ("crit", pytest.approx(0.1))


def test_an_unreadable_range_says_how_to_write_it():
    with pytest.raises(DataProblem, match=r"must be \[low, high\]"):
        checked(payments(100, 2), ranges={"age": [3]})


def test_unseen_categories_stuck_values_and_broken_encoding():
    batch = payments(2000, 2)
    batch.loc[::10, "channel"] = "kiosk"
    batch["age"] = 45.0
    batch["note"] = "reÃ§u"
    assert {
        ("unseen_category", "channel", "crit"),
        ("constant", "age", "crit"),
        ("encoding", "note", "crit"),
    } <= found(checked(batch))


def test_repeated_keys():
    batch = pd.concat([payments(1000, 2), payments(1000, 2).head(50)])
    assert ("duplicates", "id", "crit") in found(checked(batch))


@pytest.mark.parametrize(("minutes", "level"), [(60, None), (100, "warn"), (200, "crit")])
def test_freshness_by_expected_interval(minutes, level):
    batch = payments(1000, 2)
    now = batch["at"].max() + timedelta(minutes=minutes)
    report = checked(batch, time_column="at", expected_interval_minutes=60, now=now)
    assert [item.level for item in report.failures if item.check == "freshness"] == ([level] if level else [])


def test_half_the_usual_volume_is_critical():
    batch = payments(4000, 2).iloc[::2].reset_index(drop=True)
    report = checked(batch, time_column="at")
    assert ("volume", None, "crit") in found(report)
    assert report.cause == "stale_or_missing_data"


def test_a_window_without_rows_is_an_outage():
    report = checked(payments(10, 2).head(0))
    assert report.cause == "stale_or_missing_data"
    assert not report.ok


def test_a_reference_that_is_too_small_is_refused():
    with pytest.raises(DataProblem, match="longer reference window"):
        quality.check(payments(10, 1), payments(100, 2))


def test_the_report_is_strict_json():
    batch = payments(2000, 2)
    batch["amount"] = np.nan
    figures = json.loads(json.dumps(checked(batch).as_json(), allow_nan=False))
    assert figures["critical"] >= 1
    assert figures["ok"] is False
