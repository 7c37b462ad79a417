"""The demo's data sets: made here with fixed seeds, so that diagnosis finds what the stories tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from config.demo.world import SEASONAL, STEADY

#: S2: (rows, approved) per risk band, best band first; the sums are 19,324 of 30,100 and 5,629 of 12,210.
BANDS = {
    "A": ((9000, 8100), (10000, 7200), (7100, 3124), (4000, 900)),
    "B": ((2900, 1995), (4000, 2200), (3110, 1055), (2200, 379)),
}
SOURCES = ("gw-vendor-1", "gw-vendor-2", "gw-vendor-3", "site-north", "site-south", "site-coast")


def write_all(folder: Path, now: datetime) -> None:
    """Write every data set that the systems point to into `folder`; row times lie before `now`."""
    folder.mkdir(parents=True, exist_ok=True)
    recommender(folder, "reference")
    recommender(folder, "current")
    recommender(folder, "season")
    credit(folder)
    readmission(folder, poisoned=True)
    transactions(folder, now, minor_units=True)


def recommender(folder: Path, window: str) -> None:
    """S1, one window of 9,000 sessions with 24 features, score and click.

    `reference` is late summer, `season` the same weeks a year before, `current` has drifted and lost clicks,
    `recovered` is the window after containment (written as the current one), `settled` the one after retraining.
    """
    rows = 9_000
    rng = np.random.default_rng(
        {"reference": 11, "season": 12, "current": 13, "recovered": 14, "settled": 15}[window]
    )
    moved = {"season": 0.95, "current": 1.0}.get(window, 0.0)
    frame = pd.DataFrame({"session_id": np.arange(rows) + 1})
    season = rng.normal(0.0, 1.0, rows)
    for name, shift in SEASONAL.items():
        # features of one season hang together: correlation 0.4
        own = rng.normal(0.0, 1.0, rows)
        frame[name] = (moved * shift + np.sqrt(0.4) * season + np.sqrt(0.6) * own).round(4)
    for name in STEADY:
        frame[name] = rng.normal(0.0, 1.0, rows).round(4)
    signal = frame[["price_band", "category_affinity", "brand_loyalty"]].mean(axis=1)
    noise = rng.normal(0, 0.6, rows)
    frame["score"] = (1 / (1 + np.exp(-(signal * (1.0 - 0.3 * moved) + noise)))).round(4)
    rate = {"reference": 0.0480, "season": 0.0462, "current": 0.0410}.get(window, 0.0472)
    frame["clicked"] = _exactly(round(rows * rate), rows, rng)
    name = "current" if window == "recovered" else window
    frame.to_parquet(folder / f"recs_{name}.parquet", index=False)


def credit(folder: Path, *, repaired: bool = False) -> None:
    """S2: 42,310 decisions of 30 days with the exact counts of the fairness job; 9,800 loans have matured.

    The reference are decisions under the scorecard before (ratio 0.87). `repaired` writes what the repaired
    version decides instead.
    """
    rng = np.random.default_rng(21)
    parts = []
    for group, bands in BANDS.items():
        for band, (rows, approved) in enumerate(bands, start=1):
            if repaired and group == "B":
                approved = round(rows * 0.846 * BANDS["A"][band - 1][1] / BANDS["A"][band - 1][0] / 0.932)
            parts.append(_decisions(rng, group, band, rows, approved))
    current = pd.concat(parts).sample(frac=1.0, random_state=22).reset_index(drop=True)
    current.insert(0, "application_id", np.arange(len(current)) + 700_000)
    current["repaid"] = pd.NA
    matured = rng.choice(len(current), 9_800, replace=False)
    chance = np.where(current["approved"].to_numpy()[matured] == 1, 0.93, 0.42)
    current.loc[matured, "repaid"] = (rng.random(9_800) < chance).astype(int)
    current["repaid"] = current["repaid"].astype("Int64")
    current.to_parquet(folder / "credit_current.parquet", index=False)
    if repaired:
        return
    before = [
        _decisions(rng, "A", 2, 24_000, round(24_000 * 0.640)),
        _decisions(rng, "B", 2, 9_800, round(9_800 * 0.640 * 0.87)),
    ]
    earlier = pd.concat(before).sample(frac=1.0, random_state=23).reset_index(drop=True)
    earlier.insert(0, "application_id", np.arange(len(earlier)) + 500_000)
    earlier.to_parquet(folder / "credit_reference.parquet", index=False)


def _decisions(rng: np.random.Generator, group: str, band: int, rows: int, approved: int) -> pd.DataFrame:
    tilt = 0.55 if group == "B" else 0.0
    return pd.DataFrame(
        {
            "group": group,
            "risk_band": f"R{band}",
            "approved": _exactly(approved, rows, rng),
            "device_price_tier": rng.normal(3.0 - tilt, 1.0, rows).round(2),
            "postcode_cluster": rng.normal(12.0 + 4 * tilt, 4.0, rows).round(0),
            "income_k": rng.lognormal(3.6 - 0.1 * band, 0.4, rows).round(1),
            "utilisation": np.clip(rng.normal(0.15 * band, 0.15, rows), 0, 1).round(3),
        }
    )


def readmission(folder: Path, *, poisoned: bool) -> None:
    """S3: a twentieth of the night's 61,400 training records; 3.0 % of the labels are flipped, 92 % of those come from
    gw-vendor-3. The reference is the window before, with 0.6 % of honest mistakes everywhere."""
    rng = np.random.default_rng(31)
    if poisoned:
        _patients(rng, 3_000, 0.006, {}).to_csv(folder / "readmit_reference.csv", index=False)
    flips = {"gw-vendor-3": 85} if poisoned else {}
    rate = 0.0024 if poisoned else 0.006
    _patients(rng, 3_070, rate, flips).to_csv(folder / "readmit_current.csv", index=False)


def _patients(rng: np.random.Generator, rows: int, rate: float, flips: dict[str, int]) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "encounter_id": np.arange(rows) + 90_000,
            "source": rng.choice(SOURCES, rows, p=[0.18, 0.17, 0.16, 0.19, 0.16, 0.14]),
            "age": np.clip(rng.normal(67, 14, rows), 18, 99).round(0),
            "prior_admissions": rng.poisson(1.4, rows),
            "length_of_stay": rng.gamma(2.0, 2.4, rows).round(1),
            "creatinine": rng.lognormal(0.05, 0.35, rows).round(2),
            "hba1c": rng.normal(6.2, 1.1, rows).round(1),
            "medications": rng.poisson(6, rows),
        }
    )
    risk = (
        0.9 * (frame["prior_admissions"] - 1.4)
        + 0.05 * (frame["age"] - 67)
        + 0.35 * (frame["length_of_stay"] - 4.8)
        + 1.2 * (frame["creatinine"] - 1.1)
    )
    readmitted = (risk > 1.1).astype(int).to_numpy()
    clear = np.flatnonzero(np.abs(risk.to_numpy() - 1.1) > 0.9)
    wrong = list(rng.choice(clear, round(rows * rate), replace=False))
    for source, count in flips.items():
        # the attacker makes patients at high risk look safe
        targets = np.flatnonzero((frame["source"] == source) & (risk > 2.0))
        wrong += list(rng.choice(targets, min(count, len(targets)), replace=False))
    readmitted[wrong] = 1 - readmitted[wrong]
    frame["readmitted_30d"] = readmitted
    frame["risk_score"] = (1 / (1 + np.exp(-(risk - 1.1)))).round(3)
    return frame


def transactions(folder: Path, now: datetime, *, minor_units: bool) -> None:
    """S4: the enriched transactions that three models read; in the current batch `amount` came in minor units."""
    rng = np.random.default_rng(41)
    if minor_units:
        _payments(rng, 20_000, now - timedelta(hours=30), 1).to_csv(folder / "tx_reference.csv", index=False)
    batch = _payments(rng, 8_000, now - timedelta(minutes=95), 100 if minor_units else 1)
    batch.to_csv(folder / "tx_current.csv", index=False)


def _payments(rng: np.random.Generator, rows: int, start: datetime, factor: int) -> pd.DataFrame:
    seconds = np.sort(rng.integers(0, 80 * 60, rows))
    amounts = rng.lognormal(3.4, 0.9, rows).round(2)
    return pd.DataFrame(
        {
            "tx_id": [f"t{int(start.timestamp())}-{number}" for number in range(rows)],
            "at": [
                (start.astimezone(UTC) + timedelta(seconds=int(s))).strftime("%Y-%m-%dT%H:%M:%SZ")
                for s in seconds
            ],
            "amount": (amounts * factor).round(2),
            "currency": rng.choice(["EUR", "PLN", "CZK"], rows, p=[0.8, 0.15, 0.05]),
            "merchant_category": rng.choice(["grocery", "travel", "fuel", "online", "cash"], rows),
            "country": rng.choice(["DE", "AT", "PL", "CZ", "NL"], rows, p=[0.5, 0.15, 0.15, 0.1, 0.1]),
            "card_age_days": rng.integers(1, 3_000, rows),
            "velocity_1h": rng.poisson(1.1, rows),
        }
    )


def _exactly(ones: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Zeros and ones in random order, with exactly that many ones."""
    column = np.zeros(rows, dtype=int)
    column[:ones] = 1
    rng.shuffle(column)
    return column
