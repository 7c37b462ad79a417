"""Reads a system's log lines around an incident, and keeps them with a chart of how many came when."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from incidents.charts import PRINT, Series, line_chart
from integrations.context import logs
from integrations.context.settings import asked_for, setting_of, skipped
from integrations.context.window import HOURS, around, onset_of
from integrations.platforms.account import Account, NotConnected, account_of
from integrations.platforms.rest import Rest, authorized
from playbooks.contract import Action, ActionError, Done, Exhibit, Param, StepContext

#: What is named in the evidence, so that it is found again.
KEPT = "logs.json"


class ElasticsearchLogs(Action):
    title = "Read the logs around the incident"
    summary = "Asks Elasticsearch or OpenSearch for the system's lines around the onset: counts by minute and samples."
    params = (
        Param("match", "map", required=False, help="{field: value or list}. Default: the system's short name."),
        Param("words", required=False, help="All of these words are in the message."),
        Param("hours", "number", required=False, help=f"On either side of the onset. Default: {HOURS:g}."),
        Param("rows", "number", required=False, help=f"Lines kept, errors first; at most {logs.ROWS}. Default: 50."),
        Param("index", required=False, help="Default: the system's, else the connection's."),
        Param("connection", required=False, help="Elasticsearch connection. Default: the only one."),
    )  # fmt: skip
    outputs = ("found", "total", "errors", "errors_before", "errors_after", "since", "until")
    timeout = 45.0

    def run(self, ctx: StepContext) -> Done:
        """Only the window and the fields that are set up are asked for; credentials in lines are hidden.

        `logs` of the AI system's serving settings names `index`, `match`, `words` for it. Without a connection, or
        without a system to look for, the step is skipped with the reason.
        """
        setting = setting_of(ctx.system, "logs") or {}
        if not isinstance(setting, Mapping):
            raise ActionError(
                '`logs` of the serving settings is written like {"match": {"service.name": "credit"}}.'
            )
        try:
            account = account_of(ctx, "elasticsearch")
        except NotConnected as absent:
            return skipped(str(absent))
        fields = _fields(account)
        match = logs.matches(asked_for(ctx, "match", setting, {}))
        if not match and ctx.system is None:
            return skipped("the incident names no AI system, so it is not known whose lines to read.")
        since, until = around(ctx.incident, ctx.now, float(asked_for(ctx, "hours", setting, HOURS)))
        search = logs.Search(
            since,
            until,
            match,
            system="" if match or ctx.system is None else ctx.system.slug,
            words=str(asked_for(ctx, "words", setting, ""))[:500],
            rows=int(float(asked_for(ctx, "rows", setting, 50))),
            fields=fields,
        )
        index = str(asked_for(ctx, "index", setting, account.text("index", "logs-*")))
        server = server_of(account)
        answer = server.ask("POST", logs.address(index), search.body(), bearing=(404,))
        if answer.status == 404:
            raise ActionError(f"There are no indices {index} at {server.base}: correct `index`.")
        return _told(ctx, search, index, logs.read(answer.json, fields, server.secrets), server.base)


def server_of(account: Account) -> Rest:
    """The cluster with its credentials: an API key, or user and password, or none."""
    key = account.text("api_key")
    if not key:
        return authorized("Elasticsearch", account)
    return Rest(
        "Elasticsearch", account.text("base_url"), {"Authorization": f"ApiKey {key}"}, account.secrets
    )


def _fields(account: Account) -> logs.Fields:
    system = tuple(
        one.strip() for one in account.text("system_fields", "service.name").split(",") if one.strip()
    )
    return logs.Fields(
        account.text("time_field", "@timestamp"), account.text("message_field", "message"),
        account.text("level_field", "log.level"), system,
    )  # fmt: skip


def _told(ctx: StepContext, search: logs.Search, index: str, found: logs.Found, base: str) -> Done:
    onset = onset_of(ctx.incident)
    before = sum(errors for at, _, errors in found.bars if at < onset)
    every = "minute" if search.minutes == 1 else f"{search.minutes} minutes"
    summary = (
        f"{found.total} lines, {found.errors} of them errors, from {search.since:%Y-%m-%d %H:%M} to "
        f"{search.until:%Y-%m-%d %H:%M} UTC; {before} errors before the onset, {found.errors - before} after it."
        + ("" if found.complete else " The cluster did not answer completely.")
    )
    bars = [{"at": at.isoformat(), "lines": lines, "errors": errors} for at, lines, errors in found.bars]
    kept = {
        "kind": "logs", "server": base, "index": index, "asked": search.body(), "since": search.since.isoformat(),
        "until": search.until.isoformat(), "onset": onset.isoformat(), "every_minutes": search.minutes,
        "total": found.total, "errors": found.errors, "complete": found.complete, "bars": bars, "lines": found.lines,
    }  # fmt: skip
    source = f"{base} {index}"
    exhibits = [Exhibit(KEPT, json.dumps(kept, indent=1).encode(), source=source, note=summary)]
    if found.total:
        chart = line_chart(
            f"Log lines per {every}", series_of(bars), axis="lines", desc=summary, palette=PRINT
        )
        exhibits.append(Exhibit("logs.svg", chart.encode(), "image/svg+xml", source, summary))
    outputs = {
        "found": found.total > 0, "total": found.total, "errors": found.errors, "errors_before": before,
        "errors_after": found.errors - before, "since": search.since.isoformat(), "until": search.until.isoformat(),
    }  # fmt: skip
    return Done(outputs, exhibits, summary=summary)


def series_of(bars: list[dict[str, Any]]) -> list[Series]:
    """Two lines for a chart or table: all, and those that tell of errors."""
    at = [datetime.fromisoformat(str(bar["at"])) for bar in bars]
    return [
        Series(name, [(moment, float(bar[key])) for moment, bar in zip(at, bars, strict=True)])
        for name, key in (("all lines", "lines"), ("errors", "errors"))
    ]
