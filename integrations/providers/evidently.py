"""Evidently: test suites and reports of every format since 0.2, one signal per test."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from incidents.intake.signal import Signal, Status
from integrations import normalise, reports
from integrations.contract import Example, Inbound, Unreadable
from integrations.listening import Listening, entries, mapping
from integrations.normalise import first, text

_STATUSES: dict[str, tuple[Status, str]] = {
    "FAIL": ("firing", ""),
    "ERROR": ("firing", ""),
    "WARNING": ("firing", "warning"),
    "SUCCESS": ("resolved", ""),
}
#: What breaks a test that wants the value on one side of its threshold.
_BREACHES = {
    "lt": ">=", "le": ">", "lte": ">", "gt": "<=", "ge": "<", "gte": "<", "eq": "!=", "not_eq": "==",
    "less": ">=", "lessorequal": ">", "greater": "<=", "greaterorequal": "<", "equal": "!=", "notequal": "==",
}  # fmt: skip
_COMPARISON = re.compile(
    r"test_v2:(Less(?:OrEqual)?|Greater(?:OrEqual)?|Equal|NotEqual)(?:Than)?MetricTest", re.I
)
#: Old releases name the column in bold, and some of their tests nowhere else.
_MARKED = re.compile(r"(?:column|feature) \*\*([^*]{1,200})\*\*", re.I)
_FAMILIES = (
    ("DRIFT", re.compile(r"drift", re.I)),
    ("DATAQ", re.compile(
        r"missing|null|duplicat|empty|constant|row|column.?count|data.?(quality|integrity|stability)|in.?range|in.?list"
        r"|out.?of|schema|type|unique|categor|correlation", re.I)),
    ("PERF", re.compile(
        r"accuracy|precision|recall|f1|auc|log.?loss|mae|mape|rmse|mse|r2|error|classification|regression|tpr|fpr"
        r"|ndcg|map\b|hit.?rate|ranking", re.I)),
)  # fmt: skip


class Evidently(Listening):
    """A job posts the JSON of a report or a test suite; each test is a condition of its own."""

    title = "Evidently"
    docs = "https://docs.evidentlyai.com/docs/library/output_formats"
    summary = "Drift, data quality and model quality tests that your jobs run with Evidently."
    fields = reports.FIELDS
    limits = (
        "A report names no system and no time: send them beside it. A test that a later report does not contain "
        "keeps its state. https://docs.evidentlyai.com/docs/library/output_formats"
    )
    examples = (
        Example(
            "tests of a report",
            b'{"system":"churn","metrics":[{"id":"m1","metric_name":"ValueDrift(column=tenure)","config":'
            b'{"type":"evidently:metric_v2:ValueDrift","column":"tenure","method":"K-S p_value","threshold":0.05},'
            b'"value":0.001},{"id":"m2","metric_name":"RowCount()","config":{"type":"evidently:metric_v2:RowCount"},'
            b'"value":1200.0}],"tests":[{"id":"drift","name":"Value Drift for column tenure","description":"Drift '
            b'score is 0.00.","metric_config":{"metric_id":"m1","params":{"type":"evidently:metric_v2:ValueDrift",'
            b'"column":"tenure","method":"K-S p_value","threshold":0.05}},"status":"FAIL"},{"id":"gt","name":"Row '
            b'count: Greater 100","description":"","metric_config":{"metric_id":"m2","params":{}},"status":"SUCCESS"},'
            b'{"id":"x","name":"Skipped","status":"SKIPPED"}]}',
            alerts=2,
        ),
        Example(
            "report without tests",
            b'{"metrics":[{"id":"1","metric_name":"ValueDrift(column=age)","config":{"type":'
            b'"evidently:metric_v2:ValueDrift","column":"age","method":"psi","threshold":0.1},"value":NaN},'
            b'{"id":"2","metric_name":"ValueDrift(column=job)","config":{"type":"evidently:metric_v2:ValueDrift",'
            b'"column":"job","method":"psi","threshold":0.1},"value":0.4},{"id":"3","metric_name":'
            b'"DriftedColumnsCount(drift_share=0.5)","config":{"type":"evidently:metric_v2:DriftedColumnsCount",'
            b'"drift_share":0.5},"value":{"count":1.0,"share":0.25}}]}',
            alerts=2,
        ),
        Example(
            "test suite of 0.4",
            b'{"version":"0.4.30","timestamp":"2026-02-03 04:05:06.123456","tests":[{"name":"Share of Missing Values",'
            b'"description":"The share is 0.2.","status":"FAIL","group":"data_quality","parameters":{"condition":'
            b'{"lte":0.05},"column_name":"income","share_of_missing_values":0.2}}],"summary":{"all_passed":false}}',
        ),
        Example(
            "report of 0.4",
            b'{"metrics":[{"metric":"DatasetDriftMetric","result":{"drift_share":0.5,"share_of_drifted_columns":0.1,'
            b'"dataset_drift":false}},{"metric":"DataDriftTable","result":{"drift_by_columns":{"age":{"column_name":'
            b'"age","stattest_name":"psi","drift_score":0.3,"drift_detected":true,"stattest_threshold":0.1}}}}]}',
            alerts=2,
        ),
    )

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        report, beside = reports.opened(body, "tests", "metrics")
        if not isinstance(report, Mapping) or not ("tests" in report or "metrics" in report):
            raise Unreadable(
                'This is no report of Evidently: it has neither "tests" nor "metrics". Post snapshot.json(), or '
                "TestSuite.json() of earlier releases."
            )
        if beside is report:  # its "version" is that of the library
            beside = {name: value for name, value in report.items() if name != "version"}
        whom = reports.about({"timestamp": report.get("timestamp"), **beside}, inbound, settings)
        metrics = entries(report.get("metrics"))
        rows = _rows(metrics)
        checks = [
            check
            for test in entries(report.get("tests"))
            if (check := _test(test, {text(one.get("id")): one for one in metrics}))
        ] or [check for metric in metrics for check in _verdicts(metric)]
        if not checks and not entries(report.get("tests")):
            raise Unreadable(
                "This report of Evidently holds no tests and no drift metrics, so it says nothing about good or "
                "bad. Run it with tests: Report(..., include_tests=True)."
            )
        return [
            reports.check(inbound, "evidently", whom, sample_size=rows, **check) for check in checks
        ]  # fmt: skip


def _test(test: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """A test as fields of a check; None for one that came to no verdict."""
    verdict = _STATUSES.get(text(test.get("status")).upper().rpartition(".")[2])
    if verdict is None:
        return None
    status, level = verdict
    configured = mapping(test.get("metric_config"))
    parameters = mapping(test.get("parameters"))
    metric = mapping(metrics.get(text(configured.get("metric_id"))))
    params = {**mapping(metric.get("config")), **mapping(configured.get("params"))}
    bound = mapping(test.get("bound_test"))
    wanted = mapping(bound.get("test")) or mapping(test.get("test_config"))
    name = text(test.get("name")) or text(test.get("id")) or "Test without a name"
    description = text(test.get("description"))
    marked = _MARKED.search(description)
    column = text(first(params, "column") or first(parameters, "column_name", "feature_name")) or (
        marked[1] if marked else ""
    )
    comparator, threshold = _limit(wanted, parameters, params)
    is_count = bound.get("is_count") is True
    value = _value(metric.get("value"), is_count)
    if value is None:
        value = _legacy_value(parameters)
    kind = text(params.get("type")).rpartition(":")[2] or text(test.get("group"))
    return {
        "key": (name, column, kind, test.get("id") if params else ""),
        "status": status,
        "title": name if not column or column in name else f"{name}: {column}",
        "level": level or _level(wanted),
        "family": _family(kind, text(test.get("group")), name),
        "description": description,
        "feature": column,
        "metric": kind or name,
        "value": value,
        "threshold": threshold,
        "comparator": comparator,
        "labels": {
            "alertname": name,
            "method": text(first({**params, **parameters}, "method", "stattest")),
            "group": text(test.get("group")),
            "test_status": text(test.get("status")),
        },
    }


def _level(wanted: Mapping[str, Any]) -> str | None:
    """Tests that are not critical say so; about others the rules decide."""
    return "warning" if wanted.get("is_critical") is False else None


def _limit(
    wanted: Mapping[str, Any], parameters: Mapping[str, Any], params: Mapping[str, Any]
) -> tuple[str, float | None]:
    """(comparator, threshold) of the breach."""
    comparison = _COMPARISON.search(text(wanted.get("type")))
    if comparison:
        return _BREACHES[comparison[1].lower()], normalise.number(wanted.get("threshold"))
    for word, limit in mapping(parameters.get("condition")).items():
        if word in _BREACHES:
            at = limit.get("value") if isinstance(limit, Mapping) else limit
            return _BREACHES[word], normalise.number(at)
    threshold = normalise.number(first({**params, **parameters}, "threshold", "stattest_threshold"))
    if threshold is None:
        return "", None
    return _drift_comparator(text(first({**params, **parameters}, "method", "stattest"))), threshold


def _drift_comparator(method: str) -> str:
    """Distances drift above their threshold, p-values below it."""
    return "<" if "p_value" in method.lower() or "p-value" in method.lower() else ">="


def _value(value: Any, is_count: bool) -> float | None:
    if isinstance(value, Mapping):
        names = ("count", "share", "mean") if is_count else ("share", "mean", "count", "value")
        return next(
            (found for name in names if (found := normalise.number(value.get(name))) is not None), None
        )
    return normalise.number(value)


def _legacy_value(parameters: Mapping[str, Any]) -> float | None:
    named = first(parameters, "score", "value", "drift_score")
    if normalise.number(named) is not None:
        return normalise.number(named)
    left = {k: v for k, v in parameters.items() if k not in ("condition", "threshold", "stattest_threshold")}
    numbers = [found for one in left.values() if (found := normalise.number(one)) is not None]
    return numbers[0] if len(numbers) == 1 else None


def _family(*words: str) -> str | None:
    for word in words:
        for family, known in _FAMILIES:
            if word and known.search(word):
                return family
    return None


def _rows(metrics: list[Mapping[str, Any]]) -> int | None:
    """How many rows the report is about, where it counted them."""
    for metric in metrics:
        if text(metric.get("metric_name")).startswith("RowCount"):
            return normalise.whole(metric.get("value"))
        current = mapping(mapping(metric.get("result")).get("current"))
        if (rows := normalise.whole(current.get("number_of_rows"))) is not None:
            return rows
    return None


def _verdicts(metric: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a drift metric says by its own threshold, where the report was run without tests."""
    config, result = mapping(metric.get("config")), mapping(metric.get("result"))
    kind = text(config.get("type")).rpartition(":")[2]
    if kind == "ValueDrift":
        value, threshold = normalise.number(metric.get("value")), normalise.number(config.get("threshold"))
        method = text(config.get("method"))
        if value is not None and threshold is not None:
            below = _drift_comparator(method) == "<"
            yield _drift(
                text(config.get("column")),
                value < threshold if below else value >= threshold,
                value,
                threshold,
                method,
            )
    elif kind == "DriftedColumnsCount":
        share, most = _value(metric.get("value"), False), normalise.number(config.get("drift_share"))
        if share is not None and most is not None:
            yield _drift("", share >= most, share, most, "")
    elif isinstance(result.get("dataset_drift"), bool):
        share = normalise.number(first(result, "share_of_drifted_columns"))
        yield _drift("", result["dataset_drift"], share, normalise.number(result.get("drift_share")), "")
    columns = mapping(result.get("drift_by_columns")).values()
    for column in (*columns, result):
        if isinstance(column, Mapping) and isinstance(column.get("drift_detected"), bool):
            yield _drift(
                text(column.get("column_name")),
                column["drift_detected"],
                normalise.number(column.get("drift_score")),
                normalise.number(first(column, "stattest_threshold", "threshold")),
                text(column.get("stattest_name")),
            )


def _drift(
    column: str, drifted: bool, value: float | None, threshold: float | None, method: str
) -> dict[str, Any]:
    name = f"Drift of column {column}" if column else "Share of drifted columns"
    return {
        "key": ("drift", column),
        "status": "firing" if drifted else "resolved",
        "title": name,
        "family": "DRIFT",
        "feature": column,
        "metric": "drift_score" if column else "drifted_columns_share",
        "value": value,
        "threshold": threshold,
        "comparator": _drift_comparator(method),
        "labels": {"alertname": name, "method": method},
    }
