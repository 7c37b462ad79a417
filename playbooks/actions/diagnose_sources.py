"""Trains without each source in turn, to find the one that harms the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from incidents.charts import PRINT, Level, Row, Threshold, interval_chart
from playbooks.contract import Action, Done, Exhibit, Param, StepContext
from playbooks.diagnostics.dataset import require
from playbooks.diagnostics.inputs import (
    CURRENT,
    FEATURES,
    LABEL,
    VERDICT,
    StepData,
    answer,
    explained,
    figures,
    plot,
    rounded,
)

if TYPE_CHECKING:
    from playbooks.diagnostics.sources import SourcesReport


class DiagnoseSources(Action):
    title = "Diagnose sources"
    summary = "Leave-one-source-out: accuracy on a trusted set with and without each source of training rows."
    params = (
        CURRENT,
        Param(
            "gold",
            required=False,
            help="Trusted labelled rows. Default: the system's gold, else its reference.",
        ),
        FEATURES,
        LABEL,
        Param("source_column", required=False, help="Where a row came from."),
    )
    outputs = (*VERDICT, "source", "gain", "ci_low", "ci_high", "p_value", "accuracy", "n", "n_gold")
    timeout = 600.0

    def run(self, ctx: StepContext) -> Done:
        with explained():
            from playbooks.diagnostics import sources

            data = StepData(ctx)
            label = data.need("label_column", "the outcome that is learned")
            source = data.need("source_column", "where a row came from")
            current = data.open("current")
            gold = data.open("gold" if data.get("gold") else "reference")
            require(current, [label, source])
            require(gold, [label])
            ctx.progress(0.2, "training without each source")
            ctx.renew()
            report = sources.leave_out(
                current.frame,
                gold.frame,
                label_column=label,
                source_column=source,
                features=data.names("features"),
                exclude=[*data.bookkeeping(), *data.names("prediction_column")],
            )
            datasets = {"current": current, "gold": gold}
            exhibits = [figures("sources", report.as_json(), datasets), self._plot(report)]
        top = report.sources[0] if report.sources else None
        found = {
            "source": top.name if top else None,
            "gain": rounded(top.gain.value if top else None),
            "ci_low": rounded(top.gain.low if top else None),
            "ci_high": rounded(top.gain.high if top else None),
            "p_value": top.p_adjusted if top else None,
            "accuracy": rounded(report.accuracy.value),
            "n": report.n,
            "n_gold": report.n_gold,
        }
        return answer(report, found, exhibits, datasets)

    def _plot(self, report: SourcesReport) -> Exhibit:
        limits = report.thresholds
        rows = []
        for item in report.sources:
            level: Level = "none"
            if item.p_adjusted < limits.alpha and item.gain.value > limits.gain_warn:
                level = "crit" if item.gain.value > limits.gain_crit else "warn"
            low, high = 100 * item.gain.low, 100 * item.gain.high
            rows.append(Row(item.name, 100 * item.gain.value, low, high, level, f"{item.n:,} rows"))
        svg = interval_chart(
            "Accuracy without each source",
            rows,
            axis="gain on the gold set (points, 95 % interval)",
            thresholds=[Threshold(100 * limits.gain_crit, f"critical {100 * limits.gain_crit:g}", "crit")],
            desc=report.summary,
            palette=PRINT,
        )
        return plot("sources", svg, "Gain of accuracy without each source")
