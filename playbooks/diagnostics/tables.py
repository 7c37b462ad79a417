"""Streams of rows: CSV, Parquet, JSON lines and query results as chunks, and a fair sample of them in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

CHUNK_ROWS = 100_000
PARQUET_MAGIC = b"PAR1"
GZIP_MAGIC = b"\x1f\x8b"
SEED = 20_240_501


class Unparsable(Exception):
    """The bytes are no table of the format that they look like; the message says why."""

    def __init__(self, format: str, reason: str):
        super().__init__(f"cannot be parsed as {format} ({reason.strip()[:200]})")


def chunks(stream: IO[bytes]) -> Iterator[pd.DataFrame]:
    """The rows of a file in order, at most 100,000 at a time. The format is told by the first bytes.

    At least one frame comes, maybe without rows. Raises Unparsable.
    """
    head = stream.read(4096)
    stream.seek(0)
    if head.startswith(GZIP_MAGIC):
        raise Unparsable("CSV", "it is compressed with gzip: unpack it, or store it as Parquet")
    if head.startswith(PARQUET_MAGIC):
        yield from _read("Parquet", _parquet(stream))
    elif head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        yield from _read("JSON lines", _json_lines(stream))
    else:
        yield from _read("CSV", _csv(stream, head))


def sample(parts: Iterable[pd.DataFrame], max_rows: int) -> tuple[pd.DataFrame, int]:
    """(at most `max_rows` rows in their order, rows in all).

    Every row has the same chance: each draws a key and the smallest keys are kept (reservoir sampling;
    Vitter 1985, ACM TOMS 11:37). The draw is seeded, so the same data give the same sample. At most
    twice `max_rows` and one chunk are held at a time.
    """
    import numpy as np

    chance = np.random.default_rng(SEED)
    held: list[tuple[pd.DataFrame, np.ndarray]] = []
    waiting = total = 0
    limit = 1.0  #: keys above it can no longer be among the smallest
    for part in parts:
        keys = chance.random(len(part))
        total += len(part)
        if limit < 1.0:
            part, keys = part[keys < limit], keys[keys < limit]
        held.append((part, keys))
        waiting += len(part)
        if waiting > 2 * max_rows:
            held, limit = _smallest(held, max_rows)
            waiting = max_rows
    if waiting > max_rows:
        held, _ = _smallest(held, max_rows)
    frames = [frame for frame, _ in held if len(frame)] or [held[0][0]]
    return _joined(frames), total


def rows_as_frame(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Rows of a database as a frame; decimals become floats, as the statistics need them."""
    from decimal import Decimal

    import pandas as pd

    frame = pd.DataFrame([tuple(row) for row in rows], columns=list(columns))
    for name in frame.select_dtypes(include="object").columns:
        first = frame[name].dropna().head(1)
        if len(first) and isinstance(first.iloc[0], Decimal):
            frame[name] = frame[name].astype(float)
    return frame


def as_csv(parts: Iterable[pd.DataFrame]) -> Iterator[bytes]:
    """The frames as one CSV text with one header line."""
    for position, part in enumerate(parts):
        yield part.to_csv(index=False, header=position == 0, lineterminator="\n").encode()


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The frames in one. A column without any value in one of them takes its type from the others."""
    import pandas as pd

    if len(frames) == 1:
        return frames[0].reset_index(drop=True)
    plain = []
    for frame in frames:
        texts = frame.select_dtypes(include="object")
        empty = texts.columns[texts.isna().all()]
        plain.append(frame.astype(dict.fromkeys(empty, float)) if len(empty) else frame)
    return pd.concat(plain, ignore_index=True)


def _smallest(
    held: Sequence[tuple[pd.DataFrame, np.ndarray]], count: int
) -> tuple[list[tuple[pd.DataFrame, np.ndarray]], float]:
    import numpy as np

    frame = _joined([part for part, _ in held if len(part)])
    keys = np.concatenate([keys for _, keys in held])
    limit = float(np.partition(keys, count - 1)[count - 1])
    kept = keys <= limit
    return [(frame[kept], keys[kept])], limit


def _read(format: str, parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The frames with texts as column names; whatever the reader raises becomes Unparsable."""
    while True:
        try:
            part = next(parts, None)
        except Exception as error:
            raise Unparsable(format, str(error)) from error
        if part is None:
            return
        part.columns = [str(name) for name in part.columns]
        yield part


def _csv(stream: IO[bytes], head: bytes) -> Iterator[pd.DataFrame]:
    import pandas as pd

    if b"\x00" in head:
        raise ValueError("it holds binary data")
    with pd.read_csv(stream, chunksize=CHUNK_ROWS, encoding="utf-8-sig", low_memory=False) as reader:
        for part in reader:
            if not isinstance(part.index, pd.RangeIndex):
                raise ValueError("the rows have more fields than the header line")
            yield part


def _parquet(stream: IO[bytes]) -> Iterator[pd.DataFrame]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(stream)
    found = False
    for batch in file.iter_batches(batch_size=CHUNK_ROWS):
        found = True
        yield pa.Table.from_batches([batch]).to_pandas(ignore_metadata=True)
    if not found:
        yield file.schema_arrow.empty_table().to_pandas(ignore_metadata=True)


def _json_lines(stream: IO[bytes]) -> Iterator[pd.DataFrame]:
    import orjson
    import pandas as pd

    records: list[dict[str, Any]] = []
    for number, line in enumerate(stream, start=1):
        text = line.removeprefix(b"\xef\xbb\xbf").strip()
        if not text:
            continue
        try:
            record = orjson.loads(text)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        if not isinstance(record, dict):
            raise ValueError(f"line {number} is no JSON object")
        records.append(record)
        if len(records) == CHUNK_ROWS:
            yield pd.DataFrame.from_records(records)
            records = []
    if records:
        yield pd.DataFrame.from_records(records)
