"""dbt: jobs of dbt Cloud by signed webhooks, and the artifacts run_results.json and sources.json of dbt Core."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from incidents.intake.signal import Level, Signal, Status
from integrations import normalise, reports
from integrations.authenticity import require_hmac, require_shared
from integrations.contract import Example, Field, Inbound, Unreadable
from integrations.listening import Listening, entries, mapping, object_of
from integrations.normalise import first, text
from integrations.reports import About

#: https://docs.getdbt.com/reference/artifacts/run-results-json; "skipped" and "no-op" say nothing.
_STATUSES: dict[str, tuple[Status, Level | None]] = {
    "error": ("firing", "critical"),
    "runtime error": ("firing", "critical"),
    "fail": ("firing", "critical"),
    "partial success": ("firing", "warning"),
    "warn": ("firing", "warning"),
    "success": ("resolved", None),
    "pass": ("resolved", None),
}
_RUNS: dict[str, Status] = {"10": "resolved", "20": "firing", "success": "resolved", "errored": "firing", "error": "firing",
                            "failed": "firing"}  # fmt: skip
#: The relation that a test selects from: the first that is not made by the query itself.
_FROM = re.compile(r'\bfrom\s+((?:["`\[]?[\w$-]+["`\]]?\.){1,3}["`\[]?[\w$-]+["`\]]?)', re.I)
_PERIODS = {"minute": 60, "hour": 3600, "day": 86_400}


class DBT(Listening):
    """A node that passes resolves what it failed before; a skipped one says nothing."""

    title = "dbt"
    docs = "https://docs.getdbt.com/docs/deploy/webhooks"
    summary = "Jobs that fail, tests and models that fail or warn, and sources that are stale."
    fields = (
        Field(
            "signing_secret",
            "Signing secret",
            "Of the webhook at dbt Cloud. When set, messages of jobs that are unsigned or wrongly signed are refused.",
            secret=True,
            required=False,
        ),
        *reports.FIELDS,
    )
    idempotency = "eventId of a webhook and invocation_id of an artifact: the same one is stored once."
    limits = (
        "A cancelled job is neither good nor bad and changes nothing. dbt Cloud gives up after five tries. "
        "https://docs.getdbt.com/docs/deploy/webhooks"
    )
    examples = (
        Example(
            "job",
            b'{"accountId":1,"eventId":"wev_1","timestamp":"2026-02-03T04:05:06.123456789Z","eventType":'
            b'"job.run.completed","webhooksID":"wsu_1","data":{"jobId":"7","jobName":"nightly","runId":"70",'
            b'"environmentName":"Production","projectName":"features","runStatus":"Errored","runStatusCode":20,'
            b'"runStatusMessage":"None","runErroredAt":"2026-02-03T04:05:00Z"}}',
        ),
        Example(
            "run results",
            b'{"metadata":{"dbt_schema_version":"https://schemas.getdbt.com/dbt/run-results/v5.json","invocation_id":'
            b'"i-1","generated_at":"2026-02-03T04:05:06.1Z"},"results":[{"status":"fail","unique_id":'
            b'"test.features.not_null_orders_price.8f3","message":"Got 3 results, configured to fail if != 0",'
            b'"failures":3,"compiled_code":"select price from \\"dw\\".\\"prod\\".\\"orders\\" where price is null"},'
            b'{"status":"success","unique_id":"model.features.orders","relation_name":"\\"dw\\".\\"prod\\".\\"orders\\""},'
            b'{"status":"skipped","unique_id":"model.features.after"}],"args":{"target":"prod"}}',
            alerts=2,
        ),
        Example(
            "freshness",
            b'{"metadata":{"dbt_schema_version":"https://schemas.getdbt.com/dbt/sources/v3.json","invocation_id":"i-2",'
            b'"generated_at":"2026-02-03T04:05:06Z"},"results":[{"unique_id":"source.features.raw.orders","status":"warn",'
            b'"max_loaded_at":"2026-02-02T04:05:06Z","snapshotted_at":"2026-02-03T04:05:06Z",'
            b'"max_loaded_at_time_ago_in_s":86400.0,"criteria":{"warn_after":{"count":12,"period":"hour"},'
            b'"error_after":{"count":2,"period":"day"}}},{"unique_id":"source.features.raw.x","error":"no","status":'
            b'"runtime error"}]}',
            alerts=2,
        ),
        Example("job started", b'{"eventType":"job.run.started","eventId":"wev_2","data":{"jobId":"7"}}', alerts=0),
    )  # fmt: skip

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        """dbt Cloud sends the hex HMAC-SHA256 of the body as `Authorization`; jobs that post artifacts can do the
        same, or send the shared secret."""
        signed = inbound.headers.get("authorization", "").strip()
        shared = settings.get("secret")
        if settings.get("signing_secret") and not (shared and not re.fullmatch(r"[0-9a-fA-F]{64}", signed)):
            require_hmac(inbound.body, [signed], settings["signing_secret"], "Authorization")
        elif shared:
            require_shared(inbound, settings)

    def delivery_key(self, inbound: Inbound) -> str:
        try:
            message = mapping(normalise.read_json(inbound.body))
        except normalise.NotJSON:
            return ""
        metadata = mapping(message.get("metadata"))
        invocation = text(metadata.get("invocation_id"))
        if invocation:
            return f"{invocation} {text(metadata.get('dbt_schema_version')).rpartition('/dbt/')[2]}"
        return text(message.get("eventId")) or super().delivery_key(inbound)

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        report, beside = reports.opened(body, "eventType", "results", "metadata")
        message = object_of(report, "a message or artifact of dbt")
        whom = reports.about({} if beside is report else beside, inbound, settings)
        if isinstance(message.get("results"), list):
            return _artifact(message, whom, inbound)
        if text(message.get("eventType")) or "runStatus" in mapping(message.get("data")):
            return _job(message, whom, inbound)
        raise Unreadable(
            'This is neither a webhook of dbt Cloud ("eventType") nor run_results.json or sources.json ("results").'
        )


def _job(message: Mapping[str, Any], whom: About, inbound: Inbound) -> list[Signal]:
    data = mapping(message.get("data"))
    event = text(message.get("eventType"))
    status = _RUNS.get(text(data.get("runStatusCode"))) or _RUNS.get(text(data.get("runStatus")).lower())
    if status is None and event == "job.run.errored":
        status = "firing"
    if status is None or event == "job.run.started":
        return []
    name = text(first(data, "jobName", "jobId")) or "without a name"
    environment = text(data.get("environmentName"))
    note = text(data.get("runStatusMessage"))
    at = normalise.moment(message.get("timestamp"))
    return [
        reports.check(
            inbound,
            "dbt",
            whom,
            key=("job", message.get("accountId"), text(data.get("projectId")), text(data.get("jobId")) or name),
            status=status,
            title=f"Job {name} {'failed' if status == 'firing' else 'succeeded'}",
            level="critical" if status == "firing" else None,
            family="DATAQ",
            description="" if note == "None" else note,
            observed_at=at,
            starts_at=normalise.moment(data.get("runStartedAt")),
            ends_at=normalise.moment(data.get("runFinishedAt")) if status == "resolved" else None,
            metric="job run",
            labels={
                "alertname": "dbt job",
                "job": name,
                "project": text(data.get("projectName")),
                "dbt_environment": environment,
                "reason": text(data.get("runReason"), 200),
            },
            delivery_key=text(message.get("eventId")),
            extra={"run": data.get("runId"), "account": message.get("accountId"), "environment": data.get("environmentId")},
        )
    ]  # fmt: skip


def _artifact(artifact: Mapping[str, Any], whom: About, inbound: Inbound) -> list[Signal]:
    metadata = mapping(artifact.get("metadata"))
    results = entries(artifact.get("results"))
    if artifact["results"] and not any(text(one.get("unique_id")) for one in results):
        raise Unreadable("This is no artifact of dbt: none of its results has a unique_id.")
    target = text(mapping(artifact.get("args")).get("target"))
    at, run = normalise.moment(metadata.get("generated_at")), text(metadata.get("invocation_id"))
    return [
        _node(one, outcome, at, run, target, whom, inbound)
        for one in results
        if text(one.get("unique_id")) and (outcome := _STATUSES.get(text(one.get("status")).lower()))
    ]


def _node(
    node: Mapping[str, Any],
    outcome: tuple[Status, Level | None],
    at: Any,
    run: str,
    target: str,
    whom: About,
    inbound: Inbound,
) -> Signal:
    status, level = outcome
    identity = text(node.get("unique_id"))
    kind, _, rest = identity.partition(".")
    project, _, name = rest.partition(".")
    if kind == "test":  # a generic test ends with a hash
        name = re.sub(r"\.[0-9a-f]{6,40}$", "", name)
    word = text(node.get("status")).lower()
    if kind == "source":
        dataset, told = name, _freshness(node, word)
    else:
        dataset, told = _relation(node), _counted(node, kind)
    return reports.check(
        inbound,
        "dbt",
        whom,
        key=("node", identity, target),
        status=status,
        title=_title(kind, name, word),
        level=level,
        family="DATAQ",
        description=text(first(node, "message", "error")),
        observed_at=at,
        dataset=dataset,
        labels={"alertname": name, "node": kind, "project": project, "dbt_status": word, "target": target},
        delivery_key=f"{identity} {run}" if run and status == "firing" else "",
        extra={"unique_id": identity, "execution_time": node.get("execution_time"), "invocation": run},
        **told,
    )


def _title(kind: str, name: str, word: str) -> str:
    if kind == "source":
        return f"Source {name} is {'fresh' if word == 'pass' else 'stale' if word in ('warn', 'error') else 'unreadable'}"
    return f"{kind.capitalize() or 'Node'} {name}: {word}"


def _relation(node: Mapping[str, Any]) -> str:
    """`"db"."schema"."table"` as db.schema.table: the node's own, or what a test selects from."""
    named = text(node.get("relation_name"))
    if not named:
        found = _FROM.search(text(first(node, "compiled_code", "compiled_sql"))[:20_000])
        named = found[1] if found else ""
    return re.sub(r'["`\[\]]', "", named)[:200]


def _counted(node: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """How many rows a test found that should not be there."""
    failures = normalise.number(node.get("failures"))
    if failures is None:
        return {"metric": f"dbt {kind or 'node'}"}
    return {"metric": "failures", "value": failures, "threshold": 0, "comparator": ">"}


def _freshness(node: Mapping[str, Any], word: str) -> dict[str, Any]:
    criteria = mapping(node.get("criteria"))
    limit = mapping(criteria.get("warn_after" if word == "warn" else "error_after")) or mapping(
        criteria.get("warn_after")
    )
    count, period = normalise.number(limit.get("count")), _PERIODS.get(text(limit.get("period")))
    return {
        "metric": "freshness_seconds",
        "value": node.get("max_loaded_at_time_ago_in_s"),
        "threshold": count * period if count is not None and period else None,
        "comparator": ">",
        "starts_at": normalise.moment(node.get("max_loaded_at")),
    }  # fmt: skip
