"""Wrong labels beside cleanlab, on handwritten digits with 3, 10 and 20 % of the labels flipped."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from playbooks.diagnostics import label_errors
from tests.peers import environment

pytestmark = pytest.mark.once

#: The peer judges the same rows with its own defaults over logistic regression.
PROGRAM = """
import sys
import numpy as np
from cleanlab.classification import CleanLearning
from sklearn.linear_model import LogisticRegression
held = np.load(sys.argv[1])
found = CleanLearning(LogisticRegression(max_iter=500), seed=0).find_label_issues(held["matrix"], held["given"])
np.save(sys.argv[2], found["is_label_issue"].to_numpy())
"""


def figures(suspect: np.ndarray, flipped: np.ndarray) -> tuple[float, float]:
    """(precision, recall)."""
    hits = int((suspect & flipped).sum())
    return hits / int(suspect.sum()), hits / int(flipped.sum())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rate", [0.03, 0.10, 0.20])
def test_flipped_digits_are_found_at_least_as_well_as_by_cleanlab(tmp_path: Path, rate: float) -> None:
    pixels, digits = load_digits(return_X_y=True)
    chance = np.random.default_rng(7)
    rows = chance.choice(len(digits), int(rate * len(digits)), replace=False)
    flipped = np.zeros(len(digits), dtype=bool)
    flipped[rows] = True
    given = digits.copy()
    given[rows] = (digits[rows] + chance.integers(1, 10, len(rows))) % 10

    names = [f"pixel{index}" for index in range(pixels.shape[1])]
    frame = pd.DataFrame(pixels, columns=names).assign(digit=given)
    ours = label_errors.find(frame, names, "digit")

    np.savez(tmp_path / "held.npz", matrix=ours.matrix, given=given)
    command = [
        environment("cleanlab") / "python",
        "-c",
        PROGRAM,
        tmp_path / "held.npz",
        tmp_path / "found.npy",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    precision, recall = figures(ours.suspect, flipped)
    peer_precision, peer_recall = figures(np.load(tmp_path / "found.npy"), flipped)
    assert precision >= max(0.9, peer_precision), (precision, peer_precision)
    assert recall >= peer_recall - 0.01, (recall, peer_recall)  # two rows of 180 either way are chance
    print(f"{rate:.0%}: ours {precision:.3f} {recall:.3f}, cleanlab {peer_precision:.3f} {peer_recall:.3f}")
