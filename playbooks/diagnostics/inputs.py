"""How a diagnosing step finds its data: the step's parameters, else the AI system's `data` settings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from django.conf import settings

from playbooks.contract import ActionError, Done, Exhibit, Param, StepContext, Verdict
from playbooks.diagnostics.dataset import DataProblem, Dataset, read

REFERENCE = Param(
    "reference",
    required=False,
    help="Trusted window: a file (CSV, Parquet, JSON lines), URL or sql://connection/query. Default: the system's.",
)
CURRENT = Param(
    "current",
    required=False,
    help="Window in question: a file (CSV, Parquet, JSON lines), URL or sql://connection/query. Default: the system's.",
)
FEATURES = Param(
    "features", "list", required=False, help="Columns to look at. Default: the system's, else all."
)

LABEL = Param("label_column", required=False, help="The outcome. Default: the system's.")
PREDICTION = Param("prediction_column", required=False, help="The prediction. Default: the system's.")
POSITIVE = Param("positive_label", "any", required=False, help="The value of the label that is predicted.")
TIME = Param("time_column", required=False, help="When a row happened. Default: the system's.")
BOOKKEEPING = ("label_column", "source_column", "time_column", "label_time_column")
VERDICT = ("verdict", "summary", "confirmed")  #: outputs of every diagnosis


class Report(Protocol):
    """What every diagnosis finds out."""

    @property
    def verdict(self) -> Verdict: ...

    @property
    def summary(self) -> str: ...


class StepData:
    """The settings and data sets of one step."""

    def __init__(self, ctx: StepContext):
        self._params = ctx.params
        data = getattr(ctx.system, "data", None)
        self._system: Mapping[str, Any] = data if isinstance(data, Mapping) else {}

    def get(self, name: str, default: Any = None) -> Any:
        """A setting: the step's value wins over the system's; empty ones count as not given."""
        for place in (self._params, self._system):
            if place.get(name) not in (None, "", [], {}):
                return place[name]
        return default

    def need(self, name: str, purpose: str) -> str:
        value = self.get(name)
        if value is None:
            raise DataProblem(
                f"{name} is not set ({purpose}): set it on the step or in the AI system's data settings."
            )
        return str(value)

    def names(self, name: str) -> list[str]:
        """A list of column names; a text is split at commas."""
        value = self.get(name, [])
        parts = value.split(",") if isinstance(value, str) else value
        return [str(part).strip() for part in parts if str(part).strip()]

    def number(self, name: str) -> float | None:
        value = self.get(name)
        if value is None:
            return None
        try:
            return float(value)
        except (TypeError, ValueError):
            raise DataProblem(f"{name} must be a number, not {value!r}: correct it on the step.") from None

    def limits(self, *names: str) -> dict[str, Any]:
        """The thresholds that the step sets; the others keep their defaults."""
        found = {name: self.number(name) for name in names if name in self._params}
        return {name: value for name, value in found.items() if value is not None}

    def bookkeeping(self) -> list[str]:
        """Columns that are no features: label, source, time and keys."""
        single = [self.get(name) for name in BOOKKEEPING]
        return [str(name) for name in single if name] + self.names("key_columns")

    def open(self, name: str, *, allow_no_rows: bool = False) -> Dataset:
        """Read the data set that the setting `name` points to, with the columns it must have."""
        location = self.need(name, "a file, a URL or sql://connection/query")
        return read(
            location,
            roots=settings.HOLDFAST_DATA_ROOTS,
            queries=self.queries(),
            allow_no_rows=allow_no_rows,
        )

    def queries(self) -> dict[str, str]:
        """SQL by name, of the AI system itself: for connections that allow it."""
        found = self._system.get("queries")
        return {str(name): str(text) for name, text in found.items()} if isinstance(found, Mapping) else {}

    def pair(self, *, allow_no_rows: bool = False) -> tuple[Dataset, Dataset]:
        """Reference and current. Refuses one file given twice: it would always look fine."""
        reference, current = self.open("reference"), self.open("current", allow_no_rows=allow_no_rows)
        if reference.sha256 == current.sha256:
            raise DataProblem(
                f"Reference and current are the same data (SHA-256 {current.sha256[:12]}…): "
                "point `current` to the window in question."
            )
        return reference, current


@contextmanager
def explained() -> Iterator[None]:
    """Turn what keeps a diagnosis from running into an ActionError that says what to do."""
    try:
        yield
    except DataProblem as problem:
        raise ActionError(str(problem), retryable=problem.retryable) from problem
    except ModuleNotFoundError as missing:
        raise ActionError(
            f"The diagnosis libraries are not installed here (no module {missing.name}): "
            "install the extra `diagnosis` on the worker."
        ) from missing


def answer(
    report: Report, found: Mapping[str, Any], exhibits: Sequence[Exhibit], datasets: Mapping[str, Dataset]
) -> Done:
    """The outcome of a diagnosis: its verdict beside what it `found`, its exhibits with what was read."""
    summary = report.summary + remarks(datasets)
    outputs = {"verdict": report.verdict, "summary": summary, "confirmed": report.verdict == "confirmed"}
    return Done({**outputs, **found}, [*exhibits, manifest(datasets)], report.verdict, summary)


def rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def remarks(datasets: Mapping[str, Dataset]) -> str:
    """What a reader of the verdict must know about the data: which were too large and sampled."""
    cut = [
        f"{item.rows:,} of {item.total:,} rows of {name}" for name, item in datasets.items() if item.sampled
    ]
    return f" A random sample was judged: {' and '.join(cut)}." if cut else ""


def manifest(datasets: Mapping[str, Dataset]) -> Exhibit:
    """What was read: location, SHA-256 of the whole, rows in all and judged, columns."""
    entries = {
        name: {
            "location": item.location,
            "sha256": item.sha256,
            "rows": item.total,
            "rows_judged": item.rows,
            "sampled": item.sampled,
            "columns": {str(column): str(kind) for column, kind in item.frame.dtypes.items()},
        }
        for name, item in datasets.items()
    }
    return Exhibit(
        "inputs.json", _json(entries), source=_sources(datasets), note="Data that the diagnosis read"
    )


def figures(name: str, report: Mapping[str, Any], datasets: Mapping[str, Dataset]) -> Exhibit:
    """All figures of a report as JSON."""
    return Exhibit(f"{name}.json", _json(report), source=_sources(datasets), note="Figures of the diagnosis")


def plot(name: str, svg: str, note: str) -> Exhibit:
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:80]
    return Exhibit(f"{safe}.svg", svg.encode(), "image/svg+xml", note=note)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False).encode()


def _sources(datasets: Mapping[str, Dataset]) -> str:
    return "; ".join(f"{name} {item.location}" for name, item in datasets.items())
