"""Compares the predictions of two windows: the earliest sign of drift that needs no labels."""

from __future__ import annotations

from incidents.charts import PRINT, histogram_pair
from playbooks.contract import Action, Done, Param, StepContext
from playbooks.diagnostics.dataset import require
from playbooks.diagnostics.inputs import (
    CURRENT,
    PREDICTION,
    REFERENCE,
    VERDICT,
    StepData,
    answer,
    explained,
    figures,
    plot,
    rounded,
)


class DiagnosePrediction(Action):
    title = "Diagnose prediction drift"
    summary = "PSI, KS or chi-square, Jensen-Shannon and Wasserstein distance of the predictions."
    params = (
        REFERENCE,
        CURRENT,
        PREDICTION,
        Param("psi_warn", "number", required=False, help="Default 0.10"),
        Param("psi_crit", "number", required=False, help="Default 0.25"),
    )
    outputs = (
        *VERDICT,
        "psi",
        "psi_floor",
        "statistic",
        "p_value",
        "jensen_shannon",
        "wasserstein",
        "median_before",
        "median_now",
        "n_reference",
        "n_current",
    )
    timeout = 120.0

    def run(self, ctx: StepContext) -> Done:
        with explained():
            from playbooks.diagnostics import drift

            data = StepData(ctx)
            column = data.need("prediction_column", "the prediction")
            reference, current = data.pair()
            for window in (reference, current):
                require(window, [column])
            report = drift.compare(
                reference.frame,
                current.frame,
                features=[column],
                thresholds=drift.Thresholds(**data.limits("psi_warn", "psi_crit")),
                domain_classifier=False,
            )
            item = report.features[0]
            datasets = {"reference": reference, "current": current}
            bins, before, now = drift.binned(item.kind, reference.frame[column], current.frame[column])
            svg = histogram_pair(
                f"{column}: {item.reason}", bins, before.tolist(), now.tolist(), x_axis=column, palette=PRINT
            )
            exhibits = [
                figures("prediction", report.as_json(), datasets),
                plot("prediction", svg, "Predictions before and now"),
            ]
        found = {
            "psi": rounded(item.psi),
            "psi_floor": rounded(item.psi_floor),
            "statistic": rounded(item.statistic),
            "p_value": item.p_adjusted,
            "jensen_shannon": rounded(item.jensen_shannon),
            "wasserstein": rounded(item.wasserstein),
            "median_before": rounded(item.median_reference),
            "median_now": rounded(item.median_current),
            "n_reference": report.n_reference,
            "n_current": report.n_current,
        }
        return answer(report, found, exhibits, datasets)
