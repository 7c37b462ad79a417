"""Measures whether predicted probabilities come true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from incidents.charts import PRINT, Series, line_chart
from playbooks.contract import Action, Done, Exhibit, Param, StepContext
from playbooks.diagnostics.dataset import require
from playbooks.diagnostics.inputs import (
    CURRENT,
    LABEL,
    POSITIVE,
    PREDICTION,
    VERDICT,
    StepData,
    answer,
    explained,
    figures,
    plot,
    rounded,
)

if TYPE_CHECKING:
    from playbooks.diagnostics.calibration import CalibrationReport
    from playbooks.diagnostics.dataset import Dataset


class DiagnoseCalibration(Action):
    title = "Diagnose calibration"
    summary = "Expected calibration error with its interval, Brier score and a reliability curve."
    params = (
        CURRENT,
        Param("reference", required=False, help="Earlier window to show the error of (optional)."),
        LABEL,
        PREDICTION,
        POSITIVE,
        Param("ece_warn", "number", required=False, help="Default 0.05"),
        Param("ece_crit", "number", required=False, help="Default 0.10"),
    )
    outputs = (*VERDICT, "ece", "ci_low", "ci_high", "p_value", "brier", "bias", "before_ece", "n")
    timeout = 120.0

    def run(self, ctx: StepContext) -> Done:
        with explained():
            from playbooks.diagnostics import calibration

            data = StepData(ctx)
            label = data.need("label_column", "the outcome")
            prediction = data.need("prediction_column", "the predicted probability")
            datasets: dict[str, Dataset] = {"current": data.open("current")}
            if data.get("reference"):
                datasets["reference"] = data.open("reference")
            for window in datasets.values():
                require(window, [label, prediction])
            report = calibration.assess(
                datasets["current"].frame,
                label_column=label,
                prediction=prediction,
                positive=data.get("positive_label"),
                reference=datasets["reference"].frame if "reference" in datasets else None,
                thresholds=calibration.Thresholds(**data.limits("ece_warn", "ece_crit")),
            )
            exhibits = [figures("calibration", report.as_json(), datasets), self._curve(report)]
        found = {
            "ece": rounded(report.ece.value),
            "ci_low": rounded(report.ece.low),
            "ci_high": rounded(report.ece.high),
            "p_value": rounded(report.p_value),
            "brier": rounded(report.brier.value),
            "bias": rounded(report.bias),
            "before_ece": rounded(report.before.value if report.before else None),
            "n": report.n,
        }
        return answer(report, found, exhibits, datasets)

    def _curve(self, report: CalibrationReport) -> Exhibit:
        bins = report.bins
        lines = [
            Series("observed", [(item.predicted, item.observed) for item in bins]),
            Series("perfect", [(0.0, 0.0), (1.0, 1.0)]),
            Series("from (95 %)", [(item.predicted, item.interval.low) for item in bins]),
            Series("to (95 %)", [(item.predicted, item.interval.high) for item in bins]),
        ]
        svg = line_chart(
            f"Reliability of {report.n:,} predictions",
            lines,
            axis="share that came true",
            x_axis="predicted probability",
            desc=report.summary,
            palette=PRINT,
        )
        return plot("calibration", svg, "Reliability curve")
