"""The panel “Context” on an incident's page: dashboards, where model and data come from, what the logs say."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string

from incidents.access import can
from incidents.charts import line_chart, table_of
from incidents.models import Incident
from incidents.pages.door import No, me, of_incident, posts_to
from incidents.pages.incident import show
from integrations.actions.elasticsearch_logs import series_of
from integrations.context import dashboards, pull
from integrations.context.blocks import Block, blocks_of

#: Log lines and rows of a table shown; all of them are in the evidence.
LINES, ROWS = 8, 12


def incident_panel(request: HttpRequest, incident: Incident) -> str:
    """What is known of the incident's context; "" where there is nothing and nothing can be pulled in."""
    user = me(request)
    sees = can(user, "evidence.see", incident)
    blocks = blocks_of(incident) if sees else {}
    context = {
        "incident": incident,
        "dashboards": dashboards.links(incident, dashboards.grafana_of(incident)),
        "model": _model(blocks.get("model")),
        "data": blocks.get("data"),
        "logs": _logs(blocks.get("logs")),
        "may_pull": incident.system_id is not None and can(user, "run.start", incident),
        "pulling": pull.under_way(incident),
    }
    if not any(context[name] for name in ("dashboards", "model", "data", "logs", "may_pull", "pulling")):
        return ""
    return render_to_string("integrations/parts/context.html", context, request)


@posts_to("incidents:incident")
@of_incident
def context(request: HttpRequest, incident: Incident) -> HttpResponse:
    """Pull in context, now."""
    try:
        pull.pull(incident, by=me(request))
    except No as error:
        return show(request, incident, refused=error, at="context")
    messages.success(
        request, "Context is being pulled in; what is found appears here and among the evidence."
    )
    return redirect(f"{incident.get_absolute_url()}#context")


def _model(block: Block | None) -> dict[str, Any] | None:
    if block is None:
        return None
    versions = [
        {
            **one,
            "params": list(one.get("params", {}).items())[:ROWS],
            "metrics": list(one.get("metrics", {}).items())[:ROWS],
        }
        for one in block.content.get("versions", ())
    ]
    return {"block": block, "versions": versions, "differs": block.content.get("differs", ())[:ROWS]}


def _logs(block: Block | None) -> dict[str, Any] | None:
    if block is None:
        return None
    bars = list(block.content.get("bars", ()))
    every = int(block.content.get("every_minutes") or 1)
    title = "Log lines per minute" if every == 1 else f"Log lines per {every} minutes"
    busy = [bar for bar in bars if bar.get("lines")]
    return {
        "block": block,
        "lines": [
            {**line, "moment": _moment(line.get("at"))} for line in block.content.get("lines", ())[:LINES]
        ],
        "chart": line_chart(title, series_of(bars), axis="lines", desc=block.summary) if busy else "",
        "table": table_of(series_of(busy), caption=f"{title}, where there were any", axis="lines")
        if busy
        else "",
    }


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
