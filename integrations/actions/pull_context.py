"""Pulls in the context of an incident from whatever is connected: metric, logs, lineage, dashboards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from integrations.actions.dvc_lineage import DvcLineage
from integrations.actions.elasticsearch_logs import ElasticsearchLogs
from integrations.actions.grafana_panel import GrafanaPanel
from integrations.actions.mlflow_lineage import MlflowLineage
from integrations.actions.prometheus_range import PrometheusRange
from playbooks.contract import Action, ActionError, Done, Exhibit, Param, StepContext

SOURCES: tuple[Action, ...] = (
    PrometheusRange(), ElasticsearchLogs(), MlflowLineage(), DvcLineage(), GrafanaPanel(),
)  # fmt: skip


class PullContext(Action):
    title = "Pull in context"
    summary = (
        "Metric, logs, lineage of model and data, dashboards around the incident, from whatever is connected."
    )
    params = (
        Param(
            "hours",
            "number",
            required=False,
            help="How far metric and logs look around the onset. Default: theirs.",
        ),
    )
    outputs = ("found", "skipped", "failed")
    timeout = 240.0

    def run(self, ctx: StepContext) -> Done:
        """Which connections are asked, and for what, comes from the AI system's settings: the same step serves every
        system. What is not connected is skipped, and what fails is told; neither stops the others.
        """
        told: dict[str, dict[str, str]] = {"found": {}, "skipped": {}, "failed": {}}
        exhibits: list[Exhibit] = []
        params = {"hours": ctx.params["hours"]} if ctx.params.get("hours") else {}
        for source in SOURCES:
            ctx.renew()
            try:
                done: Any = source.run(replace(ctx, params=params))
            except ActionError as error:
                told["failed"][source.title] = str(error)
                continue
            exhibits += done.exhibits
            why = done.outputs.get("skipped")
            told["skipped" if why else "found"][source.title] = str(why or done.summary)
        return Done(told, exhibits, summary=_summary(told))


def _summary(told: dict[str, dict[str, str]]) -> str:
    parts = [f"{title}: {said}" for title, said in told["found"].items()]
    parts += [f"{title} failed: {said}" for title, said in told["failed"].items()]
    if told["skipped"]:
        parts.append(f"Not connected or not set up: {', '.join(told['skipped'])}.")
    return " ".join(parts)
