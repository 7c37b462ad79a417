"""The diagnosing actions: from files to verdict, outputs and evidence."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from playbooks.actions.diagnose_calibration import DiagnoseCalibration
from playbooks.actions.diagnose_concept_drift import DiagnoseConceptDrift
from playbooks.actions.diagnose_drift import DiagnoseDrift
from playbooks.actions.diagnose_fairness import DiagnoseFairness
from playbooks.actions.diagnose_outliers import DiagnoseOutliers
from playbooks.actions.diagnose_poisoning import DiagnosePoisoning
from playbooks.actions.diagnose_prediction import DiagnosePrediction
from playbooks.actions.diagnose_quality import DiagnoseQuality
from playbooks.actions.diagnose_sources import DiagnoseSources
from playbooks.actions.diagnose_text import DiagnoseText
from playbooks.actions.diagnose_timeliness import DiagnoseTimeliness
from playbooks.contract import Action, ActionError, Done, StepContext
from playbooks.diagnostics import dataset

from .test_diagnostics_drift import visitors
from .test_diagnostics_fairness import loans
from .test_diagnostics_intersections import hiring
from .test_diagnostics_performance import loans as scored_loans
from .test_diagnostics_poisoning import admissions
from .test_diagnostics_quality import payments
from .test_diagnostics_sources import START, UNITS, activations, arrivals
from .test_diagnostics_text import answers

#: Every action that diagnoses, with columns of its scene.
ACTIONS = [
    DiagnoseCalibration,
    DiagnoseConceptDrift,
    DiagnoseDrift,
    DiagnoseFairness,
    DiagnoseOutliers,
    DiagnosePoisoning,
    DiagnosePrediction,
    DiagnoseQuality,
    DiagnoseSources,
    DiagnoseText,
    DiagnoseTimeliness,
]
COLUMNS = {
    "group_column": "g",
    "prediction_column": "p",
    "label_column": "l",
    "source_column": "s",
    "text_column": "t",
    "time_column": "at",
}
PAIRED = [
    DiagnoseConceptDrift,
    DiagnoseDrift,
    DiagnosePrediction,
    DiagnoseQuality,
    DiagnoseText,
    DiagnoseTimeliness,
]


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.HOLDFAST_DATA_ROOTS = [tmp_path]
    return tmp_path


def step(params: dict[str, Any] | None = None, **system: Any) -> StepContext:
    return StepContext(
        params=params or {},
        idempotency_key="run-1/step-1",
        now=datetime(2026, 11, 20, tzinfo=UTC),
        incident=None,
        system=SimpleNamespace(data=system),
        run=None,
        step=None,
    )


def windows(folder: Path, reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, str]:
    reference.to_parquet(folder / "reference.parquet")
    current.to_csv(folder / "current.csv", index=False)
    return {"reference": "reference.parquet", "current": "current.csv"}


def ran(action: type[Action], ctx: StepContext) -> Done:
    """Run the action and check what all outcomes share: declared outputs, strict JSON, sound exhibits."""
    done = action().run(ctx)
    assert isinstance(done, Done)
    assert set(done.outputs) == set(action.outputs)
    json.dumps(dict(done.outputs), allow_nan=False)
    assert done.verdict == done.outputs["verdict"]
    assert done.summary == done.outputs["summary"]
    for exhibit in done.exhibits:
        if exhibit.media_type == "image/svg+xml":
            ElementTree.fromstring(exhibit.content)
        elif exhibit.media_type == "application/json":
            json.loads(exhibit.content)
    return done


def exhibit(done: Done, name: str) -> bytes:
    return next(item.content for item in done.exhibits if item.name == name)


def test_drift_is_confirmed_with_figures_plots_and_the_hashes_of_both_windows(folder):
    places = windows(folder, visitors(2000, 1), visitors(2000, 2, age=0.8))
    done = ran(DiagnoseDrift, step(**places))
    assert done.verdict == "confirmed"
    assert done.outputs["confirmed"] is True
    assert done.outputs["drifted"] == ["age"]
    assert done.outputs["share_drifted"] == 0.2
    assert done.outputs["max_psi"] > 0.25
    assert done.outputs["top_features"][0]["name"] == "age"
    assert done.outputs["domain_auc"] > 0.6
    assert {item.name for item in done.exhibits} == {
        "drift.json",
        "drift-features.svg",
        "drift-age.svg",
        "inputs.json",
    }
    entries = json.loads(exhibit(done, "inputs.json"))
    for name, place in places.items():
        assert entries[name]["sha256"] == hashlib.sha256((folder / place).read_bytes()).hexdigest()


def test_no_drift_is_refuted_and_bookkeeping_columns_do_not_count(folder):
    reference, current = visitors(2000, 1), visitors(2000, 2)
    reference["label"], current["label"] = 0, 1
    done = ran(DiagnoseDrift, step(**windows(folder, reference, current), label_column="label"))
    assert done.verdict == "refuted"
    assert done.outputs["confirmed"] is False


def test_drift_in_one_segment_is_localised(folder):
    reference, current = visitors(3000, 1), visitors(3000, 2)
    current.loc[current["device"] == "desktop", "age"] += 12
    done = ran(DiagnoseDrift, step({"segment_column": "device"}, **windows(folder, reference, current)))
    assert done.outputs["segments"][0]["segment"] == "desktop"
    assert done.outputs["segments"][0]["verdict"] == "confirmed"
    assert done.outputs["segments"][-1]["share_drifted"] == 0


def test_the_step_wins_over_the_system_and_thresholds_are_used(folder):
    places = windows(folder, visitors(2000, 1), visitors(2000, 2, age=0.5))
    done = ran(
        DiagnoseDrift,
        step({"features": ["basket", "visits"], "psi_crit": "0.5"}, features=["age", "basket"], **places),
    )
    assert {item["name"] for item in done.outputs["top_features"]} == {"basket", "visits"}
    with pytest.raises(ActionError, match="psi_crit must be a number"):
        DiagnoseDrift().run(step({"psi_crit": "much"}, **places))


def test_quality_names_the_unit_change(folder):
    batch = payments(3000, 2)
    batch["amount"] *= 100
    done = ran(
        DiagnoseQuality,
        step(**windows(folder, payments(3000, 1), batch), key_columns=["id"], required=["amount"]),
    )
    assert done.outputs["cause"] == "unit_or_encoding_change"
    assert done.outputs["ok"] is False
    assert done.outputs["critical"] >= 1
    assert done.outputs["failures"][0]["column"] == "amount"


def test_quality_calls_an_empty_window_an_outage(folder):
    done = ran(DiagnoseQuality, step(**windows(folder, payments(500, 1), payments(5, 2).head(0))))
    assert done.outputs["cause"] == "stale_or_missing_data"


def test_fairness_confirms_the_disparity_and_compares_with_before(folder):
    places = windows(folder, loans(5000, 1, 0.0), loans(5000, 2, 0.2))
    done = ran(
        DiagnoseFairness,
        step(
            **places,
            group_column="group",
            prediction_column="approved",
            label_column="repaid",
            positive_label=1,
        ),
    )
    assert done.outputs["confirmed"] is True
    assert done.outputs["worst_group"] == "C"
    assert done.outputs["ci_low"] < done.outputs["worst_ratio"] < done.outputs["ci_high"]
    assert done.outputs["worst_ratio"] < 0.8 < done.outputs["before_ratio"]
    assert done.outputs["tpr_gap"] > 0.1
    assert done.outputs["n_min"] >= 200
    assert json.loads(exhibit(done, "fairness.json"))["before"]["verdict"] == "refuted"


def test_fairness_needs_a_group_column(folder):
    places = windows(folder, loans(500, 1, 0), loans(500, 2, 0))
    with pytest.raises(ActionError, match="group_column is not set"):
        DiagnoseFairness().run(step(**places, prediction_column="approved"))
    with pytest.raises(ActionError, match=r"no column sex\. It has group, approved, repaid"):
        DiagnoseFairness().run(step(**places, prediction_column="approved", group_column="sex"))


def test_poisoning_lists_the_suspects_with_their_keys(folder):
    frame, bad = admissions(3000, 1, 0.08)
    frame["patient"] = [f"p-{index}" for index in range(3000)]
    places = windows(folder, admissions(3000, 2)[0], frame)
    done = ran(
        DiagnosePoisoning,
        step(**places, label_column="readmitted", source_column="gateway", key_columns=["patient"]),
    )
    assert done.outputs["confirmed"] is True
    assert done.outputs["top_source"] == "gw-3"
    assert done.outputs["top_source_share"] > 0.6
    assert done.outputs["flip_rate"] > done.outputs["baseline_rate"]
    lines = exhibit(done, "suspects.csv").decode().splitlines()
    assert lines[0] == "row,patient,label,expected,score,source,neighbour_disagreement"
    assert len(lines) == done.outputs["suspects"] + 1
    row, patient, *_ = lines[1].split(",")
    assert patient == f"p-{row}"
    assert int(row) in bad


def test_concept_drift_names_the_figure_that_fell_and_plots_both_windows(folder):
    places = windows(folder, scored_loans(3000, 1), scored_loans(3000, 2, blind=0.5))
    done = ran(
        DiagnoseConceptDrift,
        step({"threshold": 0.5}, **places, label_column="default", prediction_column="score"),
    )
    assert done.outputs["confirmed"] is True
    assert done.outputs["task"] == "score"
    assert done.outputs["metric"] == "PR-AUC"
    assert done.outputs["ci_low"] < done.outputs["now"] < done.outputs["ci_high"] < done.outputs["before"]
    assert done.outputs["p_value"] < 0.001
    assert b"AUC, now" in exhibit(done, "concept-drift.svg")
    with pytest.raises(ActionError, match="choose one of labels, score, regression"):
        DiagnoseConceptDrift().run(
            step({"task": "guess"}, **places, label_column="default", prediction_column="score")
        )


def test_calibration_draws_the_reliability_curve(folder):
    places = windows(folder, scored_loans(3000, 1), scored_loans(3000, 2, bias=0.9))
    done = ran(DiagnoseCalibration, step(**places, label_column="default", prediction_column="score"))
    assert done.outputs["confirmed"] is True
    assert done.outputs["ci_low"] < done.outputs["ece"] < done.outputs["ci_high"]
    assert done.outputs["before_ece"] < 0.05 < done.outputs["ece"]
    assert b"perfect" in exhibit(done, "calibration.svg")


def test_text_drift_says_what_moved(folder):
    before, now = (answers(400, seed).to_frame("answer") for seed in (1, 2))
    now["answer"] = answers(400, 2, refused=0.2)
    before.to_json(folder / "before.jsonl", orient="records", lines=True)
    now.to_json(folder / "now.jsonl", orient="records", lines=True)
    done = ran(DiagnoseText, step(reference="before.jsonl", current="now.jsonl", text_column="answer"))
    assert done.outputs["confirmed"] is True
    assert "refusals" in done.outputs["moved"]
    assert done.outputs["refusal_rate"] > 0.12 > done.outputs["refusal_rate_before"]
    assert b"% of the critical limit" in exhibit(done, "text-drift.svg")


def test_timeliness_states_age_and_volume(folder):
    current = arrivals(1, 7, start=START + pd.Timedelta(days=14), rate=20).to_frame("at")
    ctx = step(**windows(folder, arrivals(14, 1).to_frame("at"), current), time_column="at")
    ctx.now = current["at"].max().ceil("s").to_pydatetime()
    done = ran(DiagnoseTimeliness, ctx)
    assert done.outputs["confirmed"] is True
    assert done.outputs["ci_low"] < done.outputs["volume_ratio"] < done.outputs["ci_high"] < 1
    assert done.outputs["age_minutes"] < 0.1
    assert b"Rows per hour" in exhibit(done, "timeliness.svg")


def test_prediction_drift_needs_no_labels(folder):
    places = windows(folder, scored_loans(1000, 1), scored_loans(1000, 2, bias=1.5))
    done = ran(DiagnosePrediction, step(**places, prediction_column="score"))
    assert done.outputs["confirmed"] is True
    assert done.outputs["psi"] > 0.25 > done.outputs["psi_floor"]
    assert done.outputs["median_now"] > done.outputs["median_before"]
    assert 0 < done.outputs["jensen_shannon"] < 1
    assert b"reference" in exhibit(done, "prediction.svg")


def test_outlier_spectra_list_the_rows_that_stand_apart(folder):
    frame, bad = activations(6000, 3, backdoor=0.1)
    places = windows(folder, activations(6000, 4)[0], frame)
    done = ran(DiagnoseOutliers, step(**places, label_column="label", features=UNITS))
    assert done.outputs["confirmed"] is True
    assert done.outputs["class"] == "1"
    assert done.outputs["ci_low"] < done.outputs["share"] < done.outputs["ci_high"]
    assert len(set(done.outputs["rows"]) & bad) > 80


def test_sources_are_left_out_against_the_gold_set(folder):
    frame, _ = admissions(3000, 1)
    harmful = frame["gateway"] == "gw-3"
    frame.loc[harmful, "readmitted"] = 1 - frame.loc[harmful, "readmitted"]
    places = windows(folder, admissions(3000, 50)[0], frame)
    done = ran(DiagnoseSources, step(**places, label_column="readmitted", source_column="gateway"))
    assert done.outputs["source"] == "gw-3"
    assert done.outputs["ci_low"] < done.outputs["gain"] < done.outputs["ci_high"]
    assert done.outputs["n_gold"] == 3000


def test_intersections_count_for_the_verdict(folder):
    hiring(4000, 1, gap=0.12).to_csv(folder / "a.csv", index=False)
    given = {"current": "a.csv", "group_column": ["sex", "age"], "prediction_column": "hired"}
    done = ran(DiagnoseFairness, step({"intersections": True, "correction": "holm"}, **given))
    assert done.outputs["confirmed"] is True
    assert done.outputs["intersection_ratio"] < 0.8
    assert done.outputs["intersection_group"] in ("woman × young", "man × old")
    assert "Holm over 5 comparisons" in done.summary
    with pytest.raises(ActionError, match="choose bh or holm"):
        DiagnoseFairness().run(step({"intersections": True, "correction": "none"}, **given))


@pytest.mark.parametrize("action", PAIRED)
def test_one_file_given_twice_is_refused(folder, action):
    visitors(300, 1).to_csv(folder / "a.csv", index=False)
    with pytest.raises(ActionError, match="same data") as caught:
        action().run(step(reference="a.csv", current="a.csv", **COLUMNS))
    assert not caught.value.retryable


@pytest.mark.parametrize("action", ACTIONS)
def test_a_missing_location_says_where_to_set_it(folder, action):
    with pytest.raises(
        ActionError, match=r"(reference|current) is not set .* AI system's data settings"
    ) as caught:
        action().run(step(**COLUMNS))
    assert not caught.value.retryable


@pytest.mark.parametrize("action", ACTIONS)
def test_files_outside_of_the_data_folders_are_refused(folder, action):
    with pytest.raises(ActionError, match="HOLDFAST_DATA_ROOTS"):
        action().run(step(reference="/etc/passwd", current="/etc/passwd", **COLUMNS))


def test_an_unreachable_url_may_be_retried(folder):
    def fetch(url: str) -> bytes:
        raise TimeoutError("no answer")

    try:
        dataset.set_fetcher(fetch)
        with pytest.raises(ActionError, match="could not be read") as caught:
            DiagnoseDrift().run(step(reference="https://a.example/r.csv", current="https://a.example/c.csv"))
        assert caught.value.retryable
    finally:
        dataset.set_fetcher(None)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_system_without_data_is_no_crash(folder, action):
    ctx = step()
    ctx.system = None
    with pytest.raises(ActionError, match="is not set"):
        action().run(ctx)


def test_the_summary_says_when_only_a_sample_was_judged(folder, monkeypatch):
    places = windows(folder, visitors(2000, 1), visitors(2000, 2))
    monkeypatch.setattr(dataset.read, "__kwdefaults__", {**dataset.read.__kwdefaults__, "max_rows": 1500})
    done = ran(DiagnoseDrift, step(**places))
    assert done.summary.endswith(
        "A random sample was judged: 1,500 of 2,000 rows of reference and 1,500 of 2,000 rows of current."
    )


def test_diagnosing_changes_nothing():
    for action in ACTIONS:
        assert (action.risk, action.changes_world, action.destroys_evidence) == ("R0", False, False)


def test_importing_the_actions_does_not_load_the_numeric_libraries():
    program = (
        "import sys\n"
        + "".join(f"import {action.__module__}\n" for action in ACTIONS)
        + "print(sorted({'pandas', 'numpy', 'scipy', 'sklearn', 'pandera', 'pyarrow'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"


def test_figures_of_numpy_types_become_plain_json(folder):
    current = visitors(600, 2).assign(basket=np.float32(1.5))
    done = ran(DiagnoseDrift, step(**windows(folder, visitors(600, 1), current)))
    assert json.loads(exhibit(done, "drift.json"))["n_current"] == 600
