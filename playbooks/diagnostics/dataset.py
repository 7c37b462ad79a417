"""Reads a data set (CSV or Parquet, a local file or a URL) into pandas, with bounds and clear refusals."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 500_000
MAX_BYTES = 256 * 1024 * 1024
PARQUET_MAGIC = b"PAR1"
GZIP_MAGIC = b"\x1f\x8b"

Fetch = Callable[[str], bytes]

#: How a URL is read. The wiring sets it to the one guarded HTTP transport; until then URLs are refused.
FETCH: Fetch | None = None


class DataProblem(Exception):
    """The data cannot be used as it is. The message says what is wrong and what to do.

    `retryable`: the same request may succeed later (the address could not be reached).
    """

    def __init__(self, message: str, *, retryable: bool = False):
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set as it was read: `rows` counts the rows in `frame`, `sha256` is of the whole file."""

    frame: pd.DataFrame
    sha256: str
    location: str  #: as it may be shown: a URL without user, password and query
    rows: int
    truncated: bool  #: the file has more rows than were read


def set_fetcher(fetch: Fetch | None) -> None:
    """Choose how http(s) locations are read: a callable from URL to bytes."""
    global FETCH
    FETCH = fetch


def read(
    location: str,
    *,
    roots: Sequence[Path | str],
    fetch: Fetch | None = None,
    max_rows: int = MAX_ROWS,
    max_bytes: int = MAX_BYTES,
    allow_no_rows: bool = False,
) -> Dataset:
    """Read `location` and return its first `max_rows` rows.

    A path must lie inside of one of `roots` after links are resolved; a relative path is looked for
    in each root. A URL is read with `fetch`, else with the fetcher set by `set_fetcher`.
    Raises DataProblem for whatever keeps the data from being used.
    """
    content = load(location, roots=roots, fetch=fetch, max_bytes=max_bytes)
    shown = shown_location(str(location).strip())
    if not content:
        raise DataProblem(
            f"{shown} is empty (0 bytes): check that its producer finished writing, then run again."
        )
    frame, truncated = _parsed(content, shown, max_rows)
    if frame.columns.empty:
        raise DataProblem(f"{shown} has no columns: store a CSV with a header line, or a Parquet file.")
    if frame.empty and not allow_no_rows:
        raise DataProblem(f"{shown} has columns but no rows: choose a window that holds data.")
    return Dataset(
        frame=frame,
        sha256=hashlib.sha256(content).hexdigest(),
        location=shown,
        rows=len(frame),
        truncated=truncated,
    )


def load(
    location: str, *, roots: Sequence[Path | str], fetch: Fetch | None = None, max_bytes: int = MAX_BYTES
) -> bytes:
    """The bytes at `location` as they are, under the same rules as `read`. Raises DataProblem."""
    location = str(location).strip()
    if not location:
        raise DataProblem(
            "No data location was given: set `reference` and `current` on the AI system or the step."
        )
    shown = shown_location(location)
    if "://" not in location:
        return _content_of(_confined(location, roots), shown, max_bytes)
    content = _fetched(location, shown, fetch or FETCH)
    if len(content) > max_bytes:
        raise DataProblem(_too_large(shown, len(content), max_bytes))
    return content


def require(dataset: Dataset, columns: Iterable[str]) -> None:
    """Raise DataProblem naming the columns that are asked for and not there."""
    missing = sorted({str(name) for name in columns} - {str(name) for name in dataset.frame.columns})
    if missing:
        raise DataProblem(
            f"{dataset.location} has no column {_listed(missing)}. It has {_listed(dataset.frame.columns)}. "
            "Correct the column names in the system's data settings or in the step."
        )


def shown_location(location: str) -> str:
    """The location without the parts of a URL that may be secret (user, password, query)."""
    if "://" not in location:
        return location
    parts = urlsplit(location)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _fetched(location: str, shown: str, fetch: Fetch | None) -> bytes:
    scheme = urlsplit(location).scheme.lower()
    if scheme not in ("http", "https"):
        raise DataProblem(
            f"{shown}: {scheme}:// is not read directly. Give a file inside of the data folders, "
            "or an http(s) address (for object stores a signed one)."
        )
    if fetch is None:
        raise DataProblem(
            f"{shown} is a URL and this process has no HTTP transport: give a file path instead."
        )
    try:
        return fetch(location)
    except DataProblem:
        raise
    except Exception as error:
        reason = str(error).replace(location, shown)
        raise DataProblem(
            f"{shown} could not be read ({type(error).__name__}: {reason}). "
            "Check the address and that it may be reached from here.",
            retryable=bool(getattr(error, "retryable", True)),
        ) from error


def _confined(location: str, roots: Sequence[Path | str]) -> Path:
    folders = [Path(root).resolve() for root in roots]
    if not folders:
        raise DataProblem(
            f"{location}: files are not read because no data folder is allowed. "
            "Set HOLDFAST_DATA_ROOTS to the folders that hold data sets."
        )
    candidates = [(folder / location).resolve() for folder in folders]
    inside = [
        candidate for candidate in candidates if any(candidate.is_relative_to(folder) for folder in folders)
    ]
    if not inside:
        raise DataProblem(
            f"{location} is outside of the allowed data folders ({_listed(folders)}). "
            "Move the file into one of them or add its folder to HOLDFAST_DATA_ROOTS."
        )
    return next((candidate for candidate in inside if candidate.is_file()), inside[0])


def _content_of(path: Path, shown: str, max_bytes: int) -> bytes:
    if path.is_dir():
        raise DataProblem(f"{shown} is a folder: give one CSV or Parquet file in it.")
    if not path.is_file():
        raise DataProblem(f"{shown} does not exist: check the path and that its producer has written it.")
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise DataProblem(f"{shown} cannot be read ({error.strerror}): check its permissions.") from error
    if len(content) > max_bytes:
        raise DataProblem(_too_large(shown, path.stat().st_size, max_bytes))
    return content


def _parsed(content: bytes, shown: str, max_rows: int) -> tuple[pd.DataFrame, bool]:
    if content.startswith(GZIP_MAGIC):
        raise DataProblem(f"{shown} is compressed with gzip: unpack it, or store it as Parquet.")
    try:
        frame = _parquet(content, max_rows) if content.startswith(PARQUET_MAGIC) else _csv(content, max_rows)
    except Exception as error:
        kind = "Parquet" if content.startswith(PARQUET_MAGIC) else "CSV"
        raise DataProblem(
            f"{shown} cannot be parsed as {kind} ({str(error).strip()[:200]}). "
            "Store it as CSV (UTF-8, comma, header line) or as Parquet."
        ) from error
    frame.columns = [str(name) for name in frame.columns]
    return frame.iloc[:max_rows].reset_index(drop=True), len(frame) > max_rows


def _csv(content: bytes, max_rows: int) -> pd.DataFrame:
    import pandas as pd

    if b"\x00" in content[:4096]:
        raise ValueError("it holds binary data")
    frame = pd.read_csv(io.BytesIO(content), nrows=max_rows + 1, encoding="utf-8-sig", low_memory=False)
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError("the rows have more fields than the header line")
    return frame


def _parquet(content: bytes, max_rows: int) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(content))
    batches, rows = [], 0
    for batch in file.iter_batches():
        batches.append(batch)
        rows += batch.num_rows
        if rows > max_rows:
            break
    return pa.Table.from_batches(batches, schema=file.schema_arrow).to_pandas(ignore_metadata=True)


def _too_large(shown: str, size: int, limit: int) -> str:
    return (
        f"{shown} has {size / 2**20:.0f} MiB, more than the {limit / 2**20:.0f} MiB that are read. "
        "Give a sample or a shorter window."
    )


def _listed(names: Iterable[object], limit: int = 12) -> str:
    texts = [str(name) for name in names]
    shown = ", ".join(texts[:limit])
    return f"{shown} and {len(texts) - limit} more" if len(texts) > limit else shown
