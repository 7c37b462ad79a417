"""Great Expectations: validation and checkpoint results of releases 0.x and 1.x, one signal per expectation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from incidents.intake.signal import Signal
from integrations import normalise, reports
from integrations.contract import Example, Inbound, Unreadable
from integrations.listening import Listening, entries, mapping
from integrations.normalise import first, text
from integrations.reports import About

#: Arguments of an expectation that name the batch and not the condition.
_NOT_THE_CONDITION = ("batch_id", "result_format", "catch_exceptions", "include_config", "meta")
_COMPACT_TIME = re.compile(r"(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})(\.\d{1,9})?Z")


class GreatExpectations(Listening):
    """A job or an action of a checkpoint posts the result; unexpected values themselves are not kept in alerts."""

    title = "Great Expectations"
    docs = "https://docs.greatexpectations.io/docs/core/trigger_actions_based_on_results/run_a_checkpoint/"
    summary = "Expectations on data that fail, and pass again."
    fields = reports.FIELDS
    limits = (
        "An expectation that a later result does not contain keeps its state; one with other arguments is another. "
        "https://docs.greatexpectations.io/docs/core/trigger_actions_based_on_results/run_a_checkpoint/"
    )
    examples = (
        Example(
            "validation result of 1.x",
            b'{"success":false,"suite_name":"orders","statistics":{"evaluated_expectations":2},"meta":{"run_id":'
            b'{"run_name":"n","run_time":"2026-02-03T04:05:06.7+00:00"},"validation_id":"v-1","active_batch_definition":'
            b'{"datasource_name":"dw","data_asset_name":"orders"}},"results":[{"success":false,"expectation_config":'
            b'{"type":"expect_column_values_to_not_be_null","kwargs":{"column":"price","mostly":0.95,"batch_id":"b"},'
            b'"severity":"warning"},"result":{"element_count":100,"unexpected_count":9,"unexpected_percent":9.0},'
            b'"exception_info":{"raised_exception":false}},{"success":true,"expectation_config":{"type":'
            b'"expect_table_row_count_to_be_between","kwargs":{"min_value":1}},"result":{"observed_value":100}}]}',
            alerts=2,
        ),
        Example(
            "checkpoint of 0.x",
            b'{"run_id":{"run_name":"n","run_time":"2026-02-03T04:05:06+00:00"},"success":false,"run_results":'
            b'{"ValidationResultIdentifier::orders/n/t/b":{"validation_result":{"success":false,"meta":'
            b'{"expectation_suite_name":"orders","batch_kwargs":{"datasource":"dw","table":"orders"}},"results":'
            b'[{"success":false,"expectation_config":{"expectation_type":"expect_column_max_to_be_between","kwargs":'
            b'{"column":"price","max_value":10}},"result":{"observed_value":12}}]},"actions_results":{}}}}',
        ),
        Example(
            "described checkpoint of 1.x",
            b'{"success":true,"statistics":{},"validation_results":[{"success":true,"asset_name":"orders","expectations":'
            b'[{"expectation_type":"expect_column_to_exist","success":true,"kwargs":{"column":"price"},"result":{}}],'
            b'"result_url":null}]}',
        ),
    )

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        report, beside = reports.opened(body, "results", "run_results", "validation_results", "validations")
        validations = list(_validations(report))
        if not validations:
            raise Unreadable(
                'This is no result of Great Expectations: it has neither "results" nor "run_results" nor '
                '"validation_results". Post result.to_json_dict().'
            )
        # what a result calls its own is not what it is about
        own = {
            name: value
            for name, value in beside.items()
            if name not in ("meta", "run_id", "results", "result")
        }
        whom = reports.about(own, inbound, settings)
        found = [
            _signal(expectation, validation, whom, inbound)
            for validation in validations
            for expectation in _expectations(validation)
        ]
        if not found and any(one.get("success") is False for one in validations):
            raise Unreadable(
                "This validation failed but holds no expectations: post the whole result, not its summary."
            )
        return found


def _validations(report: Any) -> Iterator[Mapping[str, Any]]:
    """The validation results of a checkpoint, or the one that this is."""
    if isinstance(report, list):
        for one in entries(report):
            yield from _validations(one)
        return
    result = mapping(report)
    run_results = result.get("run_results")
    if isinstance(run_results, Mapping):
        for run in run_results.values():
            inner = mapping(run)
            found = inner.get("validation_result")
            one = found if isinstance(found, Mapping) else inner
            if isinstance(one.get("results"), list):
                yield {"run_id": result.get("run_id"), **one}
    for name in ("validation_results", "validations"):
        for one in entries(result.get(name)):
            yield from _validations(one)
    if isinstance(result.get("results"), list) or isinstance(result.get("expectations"), list):
        yield result


def _expectations(validation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        one
        for one in (*entries(validation.get("results")), *entries(validation.get("expectations")))
        if isinstance(one.get("success"), bool)
    ]


def _signal(one: Mapping[str, Any], validation: Mapping[str, Any], whom: About, inbound: Inbound) -> Signal:
    meta = mapping(validation.get("meta"))
    config = mapping(one.get("expectation_config")) or one
    kind = text(first(config, "type", "expectation_type")) or "expectation"
    arguments = {k: v for k, v in mapping(config.get("kwargs")).items() if k not in _NOT_THE_CONDITION}
    suite = text(
        first(validation, "suite_name", "expectation_suite_name") or first(meta, "expectation_suite_name")
    )
    dataset = _dataset(validation, meta)
    column = _column(arguments)
    words = kind.removeprefix("expect_").replace("_", " ")
    subject = f"{column}: {words}" if column else words
    raised = _exception(one.get("exception_info"))
    failed = not one["success"]
    result = mapping(one.get("result"))
    value, threshold, comparator = _numbers(result, arguments)
    return reports.check(
        inbound,
        "great_expectations",
        whom,
        key=(suite, dataset, kind, arguments),
        status="firing" if failed else "resolved",
        title=f"Expectation {'failed' if failed else 'met'}: {subject}"
        + (f" in {dataset}" if dataset else ""),
        level=normalise.level(first(config, "severity") or mapping(config.get("meta")).get("severity")),
        family="DATAQ",
        description=raised or _described(result),
        dataset=dataset,
        feature=column,
        metric=kind,
        value=value,
        threshold=threshold,
        comparator=comparator,
        sample_size=normalise.whole(result.get("element_count")),
        observed_at=_run_time(validation, meta),
        labels={
            "alertname": kind,
            "suite": suite,
            "datasource": text(_batch(meta).get("datasource_name") or _batch(meta).get("datasource")),
            "raised": "true" if raised else "",
        },
        links=[("Validation", first(validation, "result_url") or meta.get("result_url"))],
        delivery_key=_key(validation, meta, kind, arguments) if failed else "",
        extra={
            "arguments": arguments,
            "missing_percent": result.get("missing_percent"),
            "unexpected_count": result.get("unexpected_count"),
            "validation": validation.get("id") or meta.get("validation_id"),
        },
    )


def _batch(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(first(meta, "active_batch_definition", "batch_kwargs", "batch_spec"))


def _dataset(validation: Mapping[str, Any], meta: Mapping[str, Any]) -> str:
    batch = _batch(meta)
    return text(
        first(batch, "data_asset_name", "table", "dataset", "path") or first(validation, "asset_name", "data_asset_name"), 200
    )  # fmt: skip


def _column(arguments: Mapping[str, Any]) -> str:
    one = first(arguments, "column", "column_A", "column_list", "column_set")
    return ", ".join(text(name) for name in one[:5]) if isinstance(one, list) else text(one)


def _exception(info: Any) -> str:
    """What went wrong in the expectation itself: flat in 0.x, by metric in 1.x."""
    told = mapping(info)
    for one in (told, *told.values()):
        if isinstance(one, Mapping) and one.get("raised_exception") is True:
            return text(one.get("exception_message")) or "The expectation raised an exception."
    return ""


def _numbers(
    result: Mapping[str, Any], arguments: Mapping[str, Any]
) -> tuple[float | None, float | None, str]:
    """(value, threshold, comparator of the breach): the share of unexpected values in percent, or what was observed."""
    share = normalise.number(result.get("unexpected_percent"))
    if share is not None:
        mostly = normalise.number(arguments.get("mostly"))
        return share, round((1 - (1.0 if mostly is None else mostly)) * 100, 6), ">"
    seen = normalise.number(result.get("observed_value"))
    low, high = (normalise.number(arguments.get(name)) for name in ("min_value", "max_value"))
    if seen is not None and high is not None and (seen > high or low is None):
        return seen, high, ">"
    if low is not None:
        return seen, low, "<"
    wanted = normalise.number(first(arguments, "value"))
    return seen, wanted, "!=" if wanted is not None else ""


def _described(result: Mapping[str, Any]) -> str:
    """In numbers only: the unexpected values may be personal data."""
    count, of = normalise.whole(result.get("unexpected_count")), normalise.whole(result.get("element_count"))
    if count is not None and of is not None:
        return f"{count} of {of} values are unexpected."
    seen = result.get("observed_value")
    return f"Observed: {text(seen, 300)}." if isinstance(seen, int | float) else ""


def _run_time(validation: Mapping[str, Any], meta: Mapping[str, Any]) -> datetime | None:
    run = first(meta, "run_id") or validation.get("run_id")
    when = mapping(run).get("run_time") or mapping(meta.get("batch_markers")).get("ge_load_time")
    compact = _COMPACT_TIME.fullmatch(text(when))  # 20260203T040506.789012Z
    if compact:
        year, month, day, hour, minute, second, part = compact.groups(default="")
        when = f"{year}-{month}-{day}T{hour}:{minute}:{second}{part[:7]}+00:00"
    return normalise.moment(when)


def _key(
    validation: Mapping[str, Any], meta: Mapping[str, Any], kind: str, arguments: Mapping[str, Any]
) -> str:
    """One expectation in one run; the id of a validation is that of its definition."""
    run = first(meta, "run_id") or validation.get("run_id")
    when = _run_time(validation, meta)
    return normalise.fingerprint(run, str(when), kind, arguments) if run and when else ""
