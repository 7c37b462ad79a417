"""NannyML: results of its calculators and estimators as JSON, one condition per metric and column."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from incidents.intake.signal import Signal
from integrations import normalise, reports
from integrations.contract import Example, Inbound, Unreadable
from integrations.listening import Listening, entries, mapping
from integrations.normalise import first, text
from integrations.reports import About

#: The words by which a column of a result is known to tell about a chunk or a metric.
_ABOUT_CHUNK = ("key", "chunk_index", "start_index", "end_index", "start_date", "end_date", "period")
_PARTS = re.compile(r"['\"]([^'\"]*)['\"]")
_FAMILIES = (
    ("DATAQ", re.compile(r"missing|unseen|unique|range|constant|summary|mean|median|std|sum|row_?count", re.I)),
    ("DRIFT", re.compile(
        r"jensen|wasserstein|hellinger|kolmogorov|chi2|infinity|drift|classifier|reconstruct|cosine", re.I)),
    ("PERF", re.compile(
        r"auc|f1|precision|recall|specificity|accuracy|confusion|business|average_precision|mae|mape|mse|rms", re.I)),
)  # fmt: skip


class NannyML(Listening):
    """A job posts `result.to_df()` as JSON; a chunk beyond the thresholds fires, the newest chunk decides."""

    title = "NannyML"
    docs = "https://nannyml.readthedocs.io/en/stable/"
    summary = "Estimated and realised performance, univariate and multivariate drift, data quality per chunk."
    fields = reports.FIELDS
    limits = (
        "A result names no system: send it beside the result. The newest chunk resolves what earlier chunks "
        "fired; a ranking of features resolves nothing. https://nannyml.readthedocs.io/en/stable/"
    )
    examples = (
        Example(
            "drift, columns joined by dots",
            b'{"system":"loans","result":[{"chunk.chunk.key":"[0:99]","chunk.chunk.end_index":99,'
            b'"chunk.chunk.start_index":0,"chunk.chunk.period":"analysis","age.jensen_shannon.value":0.1,'
            b'"age.jensen_shannon.alert":false,"job.jensen_shannon.value":0.3,"job.jensen_shannon.upper_threshold":0.2,'
            b'"job.jensen_shannon.alert":true},{"chunk.chunk.key":"[-100:-1]","chunk.chunk.period":"reference",'
            b'"age.jensen_shannon.value":0.1,"age.jensen_shannon.alert":true}]}',
            alerts=2,
        ),
        Example(
            "columns as tuples, by column",
            b'{"(\'chunk\', \'key\')":{"0":"2026-01","1":"2026-02"},"(\'f1\', \'value\')":{"0":0.8,"1":0.7},'
            b'"(\'f1\', \'lower_threshold\')":{"0":0.75,"1":0.75},"(\'f1\', \'alert\')":{"0":false,"1":true}}',
        ),
        Example("ranking", b'[{"number_of_alerts":4,"column_name":"age","rank":1}]'),
    )

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        result, beside = reports.opened(body, "columns")
        whom = reports.about(beside if beside is not body else {}, inbound, settings)
        rows = _rows(result)
        ranked = [row for row in rows if "number_of_alerts" in row and "column_name" in row]
        if ranked:
            return [_ranked(row, whom, inbound) for row in ranked]
        chunks = [_chunk(row) for row in rows]
        found = list(_signals([one for one in chunks if one[0].get("period") != "reference"], whom, inbound))
        if not found and not any(chunk.get("period") == "reference" for chunk, _ in chunks):
            raise Unreadable(
                "This is no result of NannyML: no column ends with alert. Post result.to_df() as JSON records, its "
                'columns joined by "." (docs/integrations/nannyml.md).'
            )
        return found


def _rows(result: Any) -> list[Mapping[str, Any]]:
    """The rows of a table as pandas writes it: records, by column, or split."""
    if isinstance(result, list):
        return entries(result)
    table = mapping(result)
    columns, data = table.get("columns"), table.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        names = [_name(one) for one in columns]
        return [dict(zip(names, row, strict=False)) for row in data if isinstance(row, list)]
    if isinstance(data, list):  # orient="table"
        return entries(data)
    by_row: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, cells in table.items():
        if isinstance(cells, Mapping):
            for row, cell in cells.items():
                by_row[row][name] = cell
        elif isinstance(cells, list):
            for number, cell in enumerate(cells):
                by_row[str(number)][name] = cell
    return list(by_row.values())


def _name(column: Any) -> str:
    return ".".join(text(part) for part in column) if isinstance(column, list) else text(column)


def _chunk(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """(what is told about the chunk, what is told about each metric in it)."""
    chunk: dict[str, Any] = {}
    metrics: dict[str, dict[str, Any]] = defaultdict(dict)
    for column, cell in row.items():
        name = column.strip(".")  # joined with an empty level
        if column.startswith("("):
            name = ".".join(part for part in _PARTS.findall(column) if part)
        of, _, attribute = name.rpartition(".")
        if of in ("", "chunk", "chunk.chunk"):
            word = attribute.removeprefix("chunk_") if attribute != "chunk_index" else attribute
            if word in _ABOUT_CHUNK:
                chunk.setdefault(word, cell)
        else:
            metrics[of][attribute] = cell
    return chunk, metrics


def _signals(
    chunks: list[tuple[dict[str, Any], dict[str, dict[str, Any]]]], whom: About, inbound: Inbound
) -> Iterator[Signal]:
    """Every chunk that alerts, and for each metric that its newest chunk does not."""
    by_metric: dict[str, list[tuple[dict[str, Any], dict[str, Any], bool]]] = defaultdict(list)
    for chunk, metrics in chunks:
        for of, told in metrics.items():
            alerting = _flag(told.get("alert"))
            if alerting is not None:
                by_metric[of].append((chunk, told, alerting))
    for of, tellings in by_metric.items():
        # in the order of time: pandas keeps it, and chunks by size have no dates
        for position, (chunk, told, alerting) in enumerate(tellings):
            if alerting or position == len(tellings) - 1:
                yield _signal(of, chunk, told, alerting, whom, inbound)


def _flag(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}.get(
        text(value).lower()
    )


def _signal(
    of: str, chunk: Mapping[str, Any], told: Mapping[str, Any], alerting: bool, whom: About, inbound: Inbound
) -> Signal:
    column, _, method = of.rpartition(".")
    family = _family(method or of) or _family(of)
    if not column and family is None:  # data quality results have a column and no method
        column, method = of, "data_quality"
    key = text(chunk.get("key"))
    value = normalise.number(told.get("value"))
    low, high = normalise.number(told.get("lower_threshold")), normalise.number(told.get("upper_threshold"))
    below = value is not None and low is not None and value < low
    names = f"{method or of} of {column}" if column else of
    begin, end = normalise.whole(chunk.get("start_index")), normalise.whole(chunk.get("end_index"))
    return reports.check(
        inbound,
        "nannyml",
        whom,
        key=(of,),
        status="firing" if alerting else "resolved",
        title=f"{names} is {'beyond its thresholds' if alerting else 'within its thresholds'} in chunk {key or '?'}",
        family=family or ("DATAQ" if method == "data_quality" else None),
        feature=column,
        metric=method or of,
        value=value,
        threshold=low if below or high is None else high,
        comparator="<" if below or (high is None and low is not None) else ">",
        baseline="reference period",
        window=key,
        sample_size=end - begin + 1 if begin is not None and end is not None and end >= begin else None,
        starts_at=normalise.moment(chunk.get("start_date")),
        observed_at=_seen(chunk, inbound),
        labels={"alertname": names, "period": text(chunk.get("period"))},
        delivery_key=f"{of} {key}" if key and alerting else "",
        extra={name: cell for name, cell in told.items() if name not in ("value", "alert")},
    )


def _seen(chunk: Mapping[str, Any], inbound: Inbound) -> Any:
    """A chunk is observed when it ends; one that ends in the future is still being filled."""
    ended = normalise.moment(chunk.get("end_date"))
    return ended if ended is not None and ended <= inbound.received_at else None


def _family(words: str) -> str | None:
    return next((family for family, known in _FAMILIES if known.search(words)), None)


def _ranked(row: Mapping[str, Any], whom: About, inbound: Inbound) -> Signal:
    column, alerts = text(row.get("column_name")), normalise.number(row.get("number_of_alerts"))
    return reports.check(
        inbound,
        "nannyml",
        whom,
        key=("alerts", column),
        status="firing" if alerts else "resolved",
        title=f"{text(first(row, 'number_of_alerts')) or 'No'} drift alerts of {column or 'a column'}",
        level="info",
        family="DRIFT",
        feature=column,
        metric="number_of_alerts",
        value=alerts,
        threshold=0,
        comparator=">",
        labels={"alertname": "AlertCountRanker", "rank": text(row.get("rank"))},
    )
