"""Data sets of the named cases, the same in every run: a shop, a bank, hospitals, card payments."""

from __future__ import annotations

import numpy as np
import pandas as pd

START = pd.Timestamp("2026-11-02T00:00:00Z")


def shop(n: int = 3000, seed: int = 1, *, autumn: bool = False, clicks: float = 0.20) -> pd.DataFrame:
    """Sessions of a recommender. In autumn people look for gifts: three of six features move, scores with them."""
    chance = np.random.default_rng(seed)
    moved = 0.9 if autumn else 0.0
    affinity = chance.normal(0.5 + 0.12 * moved, 0.12, n).clip(0, 1)
    price = chance.normal(55 + 16 * moved, 18, n).clip(5, 150)
    days = chance.gamma(2.0, 6 - 2.4 * moved, n)
    score = 0.5 + 0.5 * (affinity - 0.5) + 0.002 * (price - 55) + chance.normal(0, 0.05, n)
    return pd.DataFrame(
        {
            "session": np.arange(n) + seed * 1_000_000,
            "category_affinity": affinity,
            "price_band": price,
            "days_since_last_visit": days,
            "basket": chance.lognormal(3, 0.4, n),
            "pages": chance.poisson(9, n).astype(float),
            "device": chance.choice(["phone", "desktop", "tablet"], n, p=[0.6, 0.3, 0.1]),
            "score": score,
            "clicked": chance.permutation(np.arange(n) < round(clicks * n)).astype(int),
        }
    )


def credit(approved_a: int, n_a: int, approved_b: int, n_b: int, seed: int = 1) -> pd.DataFrame:
    """Decisions with exactly these counts in groups A and B, shuffled; the label matures later."""
    chance = np.random.default_rng(seed)
    group = np.repeat(["A", "B"], [n_a, n_b])
    approved = np.concatenate([np.arange(n_a) < approved_a, np.arange(n_b) < approved_b]).astype(int)
    frame = pd.DataFrame(
        {"group": group, "approved": approved, "band": chance.choice(["low", "high"], n_a + n_b)}
    )
    frame = frame.sample(frac=1, random_state=seed).reset_index(drop=True)
    frame.insert(0, "application", np.arange(len(frame)) + seed * 1_000_000)
    return frame


def credit_biased() -> pd.DataFrame:
    """30 days of the credit case: ratio 0.718 (19 324 of 30 100 against 5 629 of 12 210)."""
    return credit(19_324, 30_100, 5_629, 12_210)


def credit_repaired() -> pd.DataFrame:
    """The same after repair: ratio 0.846."""
    return credit(19_100, 30_200, 6_610, 12_350, seed=2)


def admissions(
    n: int = 4000, seed: int = 1, *, flipped: float = 0.0, gateway: str = "gw-vendor-3"
) -> pd.DataFrame:
    """Feedback labels of hospitals; `flipped` of all labels, from one gateway, say "not readmitted" wrongly."""
    chance = np.random.default_rng(seed)
    features = chance.normal(size=(n, 4))
    score = 3 * features[:, 0] - 2.5 * features[:, 1] + 2 * features[:, 2] * (features[:, 3] > 0)
    label = (chance.random(n) < 1 / (1 + np.exp(-3 * score))).astype(int)
    source = chance.choice([f"gw-{site}" for site in range(1, 6)] + [gateway], n)
    frame = pd.DataFrame(features, columns=["age", "stay", "heart_rate", "lab"])
    frame = frame.assign(stay_id=np.arange(n) + seed * 1_000_000, gateway=source, readmitted=label)
    able = np.flatnonzero((label == 1) & (source == gateway))
    bad = chance.choice(able, min(int(flipped * n), len(able)), replace=False)
    frame.loc[bad, "readmitted"] = 0
    return frame


def payments(n: int = 3000, seed: int = 1, *, minor_units: bool = False) -> pd.DataFrame:
    """Card payments; in minor units every amount is a hundred times as large."""
    chance = np.random.default_rng(seed)
    amount = chance.lognormal(3, 1, n).round(2)
    return pd.DataFrame(
        {
            "tx": np.arange(n) + seed * 1_000_000,
            "amount": amount * 100 if minor_units else amount,
            "age": chance.normal(45, 12, n).clip(18, 95),
            "channel": chance.choice(["web", "app", "branch"], n),
        }
    )
