"""Tables as CSV and Parquet, written while they are read: memory stays flat however many rows there are."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from integrations.feeds.tables import Column

#: Rows of one row group of Parquet, and of one piece of CSV.
GROUP = 5000
#: Spreadsheets take text that begins so for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Rows = Iterator[tuple[Any, ...]]


class NoParquet(Exception):
    """This installation lacks pyarrow; the message says how to get it."""


def as_csv(columns: Sequence[Column], rows: Rows) -> Iterator[bytes]:
    """RFC 4180 with a header line, UTF-8; times in ISO 8601, UTC. Text that a spreadsheet would run is quoted
    with an apostrophe."""
    yield _lines([[column.name for column in columns]])
    texts = [column.kind == "text" for column in columns]
    while group := list(islice(rows, GROUP)):
        yield _lines([[_cell(value, text) for value, text in zip(row, texts, strict=True)] for row in group])


def as_parquet(columns: Sequence[Column], rows: Rows) -> Iterator[bytes]:
    """Apache Parquet, one row group per GROUP rows. Raises NoParquet at once where it cannot be written."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise NoParquet(
            "Parquet needs pyarrow: install Holdfast with its extra [diagnosis], or take format=csv."
        ) from error
    kinds = {
        "text": arrow.string(), "int": arrow.int64(), "float": arrow.float64(), "bool": arrow.bool_(),
        "time": arrow.timestamp("us", tz="UTC"),
    }  # fmt: skip
    schema = arrow.schema([arrow.field(c.name, kinds[c.kind], nullable=c.null) for c in columns])

    def pieces() -> Iterator[bytes]:
        sink = _Outflow()
        with parquet.ParquetWriter(arrow.PythonFile(sink, mode="w"), schema) as writer:
            while group := list(islice(rows, GROUP)):
                by_column = zip(*group, strict=True)
                arrays = [
                    arrow.array(values, type=field.type)
                    for values, field in zip(by_column, schema, strict=True)
                ]
                writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))
                yield sink.taken()
        yield sink.taken()

    return pieces()


class _Outflow(io.RawIOBase):
    """A file that is only written at its end, and whose content is taken away piece by piece."""

    def __init__(self) -> None:
        self._held, self._written = bytearray(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = len(data)
        self._held += data
        self._written += size
        return size

    def tell(self) -> int:
        return self._written

    def close(self) -> None:
        """What is held stays to be taken."""

    def taken(self) -> bytes:
        piece = bytes(self._held)
        self._held.clear()
        return piece


def _lines(rows: list[list[Any]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def _cell(value: Any, text: bool) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if text and isinstance(value, str) and value.startswith(_FORMULA) else value
