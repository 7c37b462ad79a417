"""Notes which dashboards to look at, with the time of the incident filled in."""

from __future__ import annotations

import json

from integrations.context.dashboards import links
from integrations.context.settings import skipped
from integrations.platforms.account import NotConnected, account_of
from playbooks.contract import Action, Done, Exhibit, Param, StepContext

#: What is named in the evidence, so that it is found again.
KEPT = "dashboards.json"


class GrafanaPanel(Action):
    title = "Link the dashboards"
    summary = "Grafana dashboards and panels of the system and its alerts, at the time of the incident."
    params = (
        Param(
            "connection", required=False, help="Grafana connection. Default: the system's, else the only one."
        ),
    )
    outputs = ("found", "links")
    timeout = 10.0

    def run(self, ctx: StepContext) -> Done:
        """Nothing is asked outside. Links of the system and of alerts need no connection; `grafana_dashboard` of the
        serving settings does. Without any dashboard the step is skipped with the reason."""
        try:
            base = account_of(ctx, "grafana").text("base_url")
        except NotConnected:
            base = ""
        found = links(ctx.incident, base)
        if not found:
            return skipped("neither the system's links nor its alerts lead to a dashboard of Grafana.")
        listed = [{"title": title, "url": url} for title, url in found]
        content = json.dumps({"kind": "dashboards", "links": listed}, indent=1).encode()
        summary = f"{len(found)} dashboards at the time of the incident."
        exhibit = Exhibit(KEPT, content, source=base or "own records", note=summary)
        return Done({"found": True, "links": listed}, [exhibit], summary=summary)
