"""Reads how a metric went around an incident from Prometheus, and keeps it as a chart with its threshold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from incidents.charts import PRINT, Series, Threshold, line_chart
from integrations.context.settings import asked_for, setting_of, skipped
from integrations.platforms.account import NotConnected, account_of
from integrations.platforms.rest import Rest, authorized
from playbooks.contract import Action, ActionError, Done, Exhibit, Param, StepContext

#: Points of a line, and lines of a chart, at most; Prometheus itself refuses more than 11,000 points.
POINTS, LINES = 240, 12


class PrometheusRange(Action):
    title = "Read a metric around the incident"
    summary = "Asks Prometheus for a range around the onset and keeps the lines as a chart and as data."
    params = (
        Param(
            "query", required=False, help='PromQL, such as psi{system="credit-risk"}. Default: the system\'s.'
        ),
        Param("hours", "number", required=False, default=6, help="How far to look before the onset."),
        Param(
            "threshold",
            "number",
            required=False,
            help="Drawn as a line; outputs say since when it is crossed.",
        ),
        Param(
            "above", "bool", required=False, default=True, help="False: values below the threshold are bad."
        ),
        Param("connection", required=False, help="Prometheus connection. Default: the only one."),
    )
    outputs = ("series", "last", "highest", "lowest", "crossed_at")
    timeout = 30.0

    def run(self, ctx: StepContext) -> Done:
        """`query_range` from `hours` before the onset (else the detection) until now, at most as long after it.

        The verdict is `likely` when a line is beyond the threshold, `refuted` when none is, and none without one.
        `metric` of the AI system's serving settings ({"query", "threshold", "above"}) stands for what the step leaves
        out; without a query, or without a connection, the step is skipped with the reason.
        """
        setting = setting_of(ctx.system, "metric") or {}
        setting = setting if isinstance(setting, Mapping) else {"query": str(setting)}
        query = str(asked_for(ctx, "query", setting, ""))
        if not query:
            return skipped("neither the step nor `metric` of the serving settings names a query.")
        try:
            server = prometheus_of(ctx)
        except NotConnected as absent:
            return skipped(str(absent))
        onset = ctx.incident.onset_at or ctx.incident.detected_at
        span = timedelta(hours=float(ctx.params.get("hours") or 6))
        since, until = onset - span, min(onset + span, ctx.now)
        step = max(1, math.ceil((until - since).total_seconds() / POINTS))
        asked = {
            "query": query,
            "start": str(since.timestamp()),
            "end": str(until.timestamp()),
            "step": str(step),
        }
        answer = server.ask("GET", "api/v1/query_range", params=asked, bearing=(400, 422)).json
        lines = _lines(answer, query)
        limit = asked_for(ctx, "threshold", setting)
        limit = None if limit in (None, "") else float(str(limit))
        above = setting.get("above", True) if ctx.params.get("above") in (None, True) else False
        crossed = _crossed(lines, limit, bool(above))
        values = [value for line in lines for _, value in line.points if value is not None]
        summary = (
            f"{len(lines)} lines of {query} from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC"
            + (
                "."
                if limit is None
                else f"; beyond {limit:g} since {crossed:%H:%M}."
                if crossed
                else f"; never beyond {limit:g}."
            )
        )
        chart = line_chart(
            query[:120], lines[:LINES], axis="value", desc=summary, palette=PRINT,
            thresholds=() if limit is None else (Threshold(limit, f"threshold {limit:g}", "crit"),),
        )  # fmt: skip
        kept = json.dumps({"asked": asked, "result": answer["data"]["result"]}, indent=1).encode()
        source = f"{server.base} {query}"
        exhibits = [
            Exhibit("metric.svg", chart.encode(), "image/svg+xml", source, summary),
            Exhibit("metric.json", kept, source=source, note="What Prometheus answered"),
        ]
        outputs = {
            "series": len(lines), "last": _last(lines), "highest": max(values, default=None),
            "lowest": min(values, default=None), "crossed_at": crossed.isoformat() if crossed else "",
        }  # fmt: skip
        verdict: Literal["likely", "refuted"] | None = (
            None if limit is None else "likely" if crossed else "refuted"
        )
        return Done(outputs, exhibits, verdict, summary)


def prometheus_of(ctx: StepContext) -> Rest:
    """The server of a step. Raises ActionError."""
    return authorized("Prometheus", account_of(ctx, "prometheus"))


def _lines(answer: Any, query: str) -> list[Series]:
    if not isinstance(answer, Mapping) or answer.get("status") != "success":
        said = answer.get("error") if isinstance(answer, Mapping) else "no JSON"
        raise ActionError(f"Prometheus cannot answer {query!r}: {said}. Correct the query in the step.")
    found = answer["data"]["result"]
    if not found:
        raise ActionError(
            f"Prometheus has nothing for {query!r} around the incident: check names and labels."
        )
    return [
        Series(_name(line["metric"]), [_point(at, value) for at, value in line["values"]]) for line in found
    ]


def _point(at: float, value: str) -> tuple[datetime, float | None]:
    number = float(value)
    return datetime.fromtimestamp(at, UTC), number if math.isfinite(number) else None


def _name(labels: Mapping[str, str]) -> str:
    told = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "__name__")
    return told or labels.get("__name__", "value")


def _crossed(lines: list[Series], limit: float | None, above: bool) -> datetime | None:
    """When a line first went beyond the threshold."""
    if limit is None:
        return None
    beyond = [
        at
        for line in lines
        for at, value in line.points
        if isinstance(at, datetime) and value is not None and (value > limit if above else value < limit)
    ]
    return min(beyond, default=None)


def _last(lines: list[Series]) -> float | None:
    return next((value for _, value in reversed(lines[0].points) if value is not None), None)
