"""Reads a data set (a file, a URL, a query of a database) into pandas, with bounds and clear refusals."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from playbooks.diagnostics import tables

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 500_000  #: held in memory; of more rows a random sample is taken
MAX_BYTES = 256 * 1024 * 1024  #: of what is loaded as a whole (URLs, evidence)
MAX_FILE_BYTES = 16 * 1024 * 1024 * 1024  #: of a local file, which is read as a stream

Fetch = Callable[[str], bytes]

#: How a URL is read. The wiring sets it to the one guarded HTTP transport; until then URLs are refused.
FETCH: Fetch | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a database. `text` is SQL of the AI system's own, used when the connection allows it and
    has no query called `name`; `parameters` are bound, never written into the SQL."""

    connection: str
    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


#: Runs a query read-only: yields the column names, then batches of rows. Raises DataProblem.
QueryReader = Callable[[Query], Iterator[Sequence[Any]]]

#: How databases are asked. Set by the wiring, as the credentials are kept on a floor above.
QUERY_READER: QueryReader | None = None


class DataProblem(Exception):
    """The data cannot be used as it is. The message says what is wrong and what to do.

    `retryable`: the same request may succeed later (the address could not be reached).
    """

    def __init__(self, message: str, *, retryable: bool = False):
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set as it was read: `rows` counts the rows in `frame`, `total` those of the whole source.

    `sha256` is of all bytes of a file; of a query's rows in any order (see `fingerprint`).
    """

    frame: pd.DataFrame
    sha256: str
    location: str  #: as it may be shown: a URL without user, password and query
    rows: int
    total: int

    @property
    def sampled(self) -> bool:
        """`frame` is a random sample of the rows."""
        return self.rows < self.total


def set_fetcher(fetch: Fetch | None) -> None:
    """Choose how http(s) locations are read: a callable from URL to bytes."""
    global FETCH
    FETCH = fetch


def set_query_reader(reader: QueryReader | None) -> None:
    """Choose how sql:// locations are read."""
    global QUERY_READER
    QUERY_READER = reader


def read(
    location: str,
    *,
    roots: Sequence[Path | str],
    fetch: Fetch | None = None,
    queries: Mapping[str, str] | None = None,
    max_rows: int = MAX_ROWS,
    max_bytes: int | None = None,
    allow_no_rows: bool = False,
) -> Dataset:
    """Read `location`: all rows, or a random sample of `max_rows` where there are more.

    A path must lie inside of one of `roots` after links are resolved; a relative path is looked for in
    each root. A URL is read with `fetch`, else with the fetcher set by `set_fetcher`. Files are CSV,
    Parquet or JSON lines. `sql://connection/name?parameter=value` is a query that the connection holds,
    or one of `queries` (name → SQL). Raises DataProblem for whatever keeps the data from being used.
    """
    location = str(location).strip()
    shown = shown_location(location)
    try:
        if query := _query(location, queries):
            digest = _RowDigest()
            frame, total = tables.sample(_query_frames(query, digest), max_rows)
            sha256 = digest.hex()
        else:
            with _stream(location, roots, fetch, max_bytes) as stream:
                sha256 = _sha256(stream)
                if not stream.tell():
                    raise DataProblem(
                        f"{shown} is empty (0 bytes): check that its producer finished writing, then run again."
                    )
                stream.seek(0)
                frame, total = tables.sample(tables.chunks(stream), max_rows)
    except tables.Unparsable as error:
        raise DataProblem(
            f"{shown} {error}. Store it as CSV (UTF-8, comma, header line), as Parquet or as JSON lines."
        ) from error
    if frame.columns.empty:
        raise DataProblem(f"{shown} has no columns: store a CSV with a header line, or a Parquet file.")
    if frame.empty and not allow_no_rows:
        raise DataProblem(f"{shown} has columns but no rows: choose a window that holds data.")
    return Dataset(frame, sha256, shown, len(frame), total)


def load(
    location: str,
    *,
    roots: Sequence[Path | str],
    fetch: Fetch | None = None,
    queries: Mapping[str, str] | None = None,
    max_bytes: int = MAX_BYTES,
) -> bytes:
    """The bytes at `location` as they are (of a query: its rows as CSV), under the same rules as `read`.

    Raises DataProblem, also for more than `max_bytes`.
    """
    location = str(location).strip()
    if query := _query(location, queries):
        content = io.BytesIO()
        for part in tables.as_csv(_query_frames(query, _RowDigest())):
            if content.tell() + len(part) > max_bytes:
                raise DataProblem(_too_large(shown_location(location), content.tell() + len(part), max_bytes))
            content.write(part)
        return content.getvalue()
    with _stream(location, roots, fetch, max_bytes) as stream:
        return stream.read()


def fingerprint(
    location: str,
    *,
    roots: Sequence[Path | str],
    fetch: Fetch | None = None,
    queries: Mapping[str, str] | None = None,
) -> str:
    """What `read` gives as `sha256`, without keeping the data: of a file the SHA-256 of its bytes, of a query
    the sum of its rows' SHA-256 (modulo 2^256), which does not depend on their order. Raises DataProblem."""
    location = str(location).strip()
    if query := _query(location, queries):
        digest = _RowDigest()
        for _ in _query_frames(query, digest):
            pass  # the digest counts the rows as they go by
        return digest.hex()
    with _stream(location, roots, fetch, None) as stream:
        return _sha256(stream)


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


class _RowDigest:
    """The sum of the hashes of rows, in any order."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            found = hashlib.sha256(repr(tuple(row)).encode()).digest()
            self._sum = (self._sum + int.from_bytes(found)) % 2**256

    def hex(self) -> str:
        return self._sum.to_bytes(32).hex()


def _query(location: str, queries: Mapping[str, str] | None) -> Query | None:
    """The query that a sql:// location names, or None for other locations."""
    parts = urlsplit(location)
    if parts.scheme.lower() != "sql":
        return None
    connection, name = unquote(parts.netloc), unquote(parts.path.strip("/"))
    if not connection or not name:
        raise DataProblem(
            f"{shown_location(location)} is no query: write sql://CONNECTION/QUERY with the name of a "
            "connection to a database and of a query that it holds."
        )
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Query(connection, name, parameters, str((queries or {}).get(name, "")))


def _query_frames(query: Query, digest: _RowDigest) -> Iterator[pd.DataFrame]:
    if QUERY_READER is None:
        raise DataProblem(
            f"sql://{query.connection}/{query.name}: this process has no way to databases: give a file path."
        )
    batches = QUERY_READER(query)
    columns = [str(name) for name in next(batches)]
    yield tables.rows_as_frame(columns, [])
    for rows in batches:
        digest.add(rows)
        yield tables.rows_as_frame(columns, rows)


@contextmanager
def _stream(
    location: str, roots: Sequence[Path | str], fetch: Fetch | None, max_bytes: int | None
) -> Iterator[IO[bytes]]:
    """The bytes at a path or URL. Raises DataProblem, also when a file changes while it is read."""
    if not location:
        raise DataProblem(
            "No data location was given: set `reference` and `current` on the AI system or the step."
        )
    shown = shown_location(location)
    if "://" in location:
        content, limit = _fetched(location, shown, fetch or FETCH), max_bytes or MAX_BYTES
        if len(content) > limit:
            raise DataProblem(_too_large(shown, len(content), limit))
        yield io.BytesIO(content)
        return
    with _opened(_confined(location, roots), shown) as file:
        before = os.fstat(file.fileno())
        limit = max_bytes or MAX_FILE_BYTES
        if before.st_size > limit:
            raise DataProblem(_too_large(shown, before.st_size, limit))
        yield file
        after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise DataProblem(
                f"{shown} was changed while it was read: let its producer write a new file and rename it.",
                retryable=True,
            )


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


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


def _opened(path: Path, shown: str) -> IO[bytes]:
    if path.is_dir():
        raise DataProblem(f"{shown} is a folder: give one CSV, Parquet or JSON lines file in it.")
    if not path.is_file():
        raise DataProblem(f"{shown} does not exist: check the path and that its producer has written it.")
    try:
        return path.open("rb")
    except OSError as error:
        raise DataProblem(f"{shown} cannot be read ({error.strerror}): check its permissions.") from error


def _too_large(shown: str, size: int, limit: int) -> str:
    return (
        f"{shown} has {size / 2**20:.0f} MiB, more than the {limit / 2**20:.0f} MiB that are read. "
        "Give a sample or a shorter window."
    )


def _listed(names: Iterable[object], limit: int = 12) -> str:
    texts = [str(name) for name in names]
    shown = ", ".join(texts[:limit])
    return f"{shown} and {len(texts) - limit} more" if len(texts) > limit else shown
