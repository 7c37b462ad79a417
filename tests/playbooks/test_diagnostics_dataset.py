"""Data sets: what is read, what is refused, and that each refusal says what to do."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from playbooks.diagnostics import dataset, tables
from playbooks.diagnostics.dataset import DataProblem, read

CSV = b"age,group\n31,A\n44,B\n52,A\n"


def stored(folder: Path, content: bytes = CSV, name: str = "rows.csv") -> str:
    (folder / name).write_bytes(content)
    return name


def test_a_csv_is_read_with_its_hash(tmp_path):
    found = read(stored(tmp_path), roots=[tmp_path])
    assert found.frame["age"].tolist() == [31, 44, 52]
    assert found.sha256 == hashlib.sha256(CSV).hexdigest()
    assert (found.rows, found.total, found.sampled, found.location) == (3, 3, False, "rows.csv")


def test_a_parquet_file_and_an_absolute_path_are_read(tmp_path):
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"x": range(1000)}).to_parquet(path)
    found = read(str(path), roots=[tmp_path / "elsewhere", tmp_path])
    assert found.frame["x"].tolist() == list(range(1000))


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_of_too_many_rows_a_random_sample_is_taken_from_the_whole_file(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(tables, "CHUNK_ROWS", 700)
    rows = pd.DataFrame({"x": range(10_000), "name": [f"n{index}" for index in range(10_000)]})
    path = tmp_path / f"rows.{ending}"
    if ending == "csv":
        rows.to_csv(path, index=False)
    elif ending == "parquet":
        rows.to_parquet(path)
    else:
        rows.to_json(path, orient="records", lines=True)
    found = read(path.name, roots=[tmp_path], max_rows=1000)
    assert (found.rows, found.total, found.sampled) == (1000, 10_000, True)
    drawn = found.frame["x"]
    assert drawn.is_monotonic_increasing
    assert drawn.is_unique
    assert drawn.mean() == pytest.approx(5000, abs=3 * 2887 / 1000**0.5)  # uniform: sd 2887
    assert (found.frame["name"] == "n" + drawn.astype(str)).all()
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read(path.name, roots=[tmp_path], max_rows=1000).frame.equals(found.frame)


def test_a_large_file_is_sampled_in_bounded_memory(tmp_path):
    """A file of two million rows (16 MB as numbers) never holds more than the sample and a chunk."""
    path = tmp_path / "large.csv"
    line = b"0.123456,17\n" * 50_000
    with path.open("wb") as file:
        file.write(b"a,b\n")
        for _ in range(40):
            file.write(line)
    tracemalloc.start()
    try:
        found = read(path.name, roots=[tmp_path], max_rows=10_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found.rows, found.total) == (10_000, 2_000_000)
    assert peak < 24 * 2**20


def test_json_lines_are_read_and_a_bad_line_is_named(tmp_path):
    lines = b'{"age": 31, "group": "A"}\n\n{"age": null, "group": "B", "note": "new"}\n'
    found = read(stored(tmp_path, lines, "rows.jsonl"), roots=[tmp_path])
    assert found.frame.columns.tolist() == ["age", "group", "note"]
    assert found.frame["group"].tolist() == ["A", "B"]
    assert found.frame["age"].isna().tolist() == [False, True]
    with pytest.raises(DataProblem, match=r"cannot be parsed as JSON lines \(line 4: "):
        read(stored(tmp_path, lines + b'{"age": ', "bad.jsonl"), roots=[tmp_path])
    with pytest.raises(DataProblem, match="line 2 is no JSON object"):
        read(stored(tmp_path, b'{"age": 1}\n[2]\n', "list.jsonl"), roots=[tmp_path])


def test_a_file_that_changes_while_it_is_read_is_refused_and_may_be_retried(tmp_path, monkeypatch):
    place = stored(tmp_path)
    chunks = tables.chunks

    def meanwhile(stream):
        with (tmp_path / place).open("ab") as file:
            file.write(b"60,B\n")
        return chunks(stream)

    monkeypatch.setattr(tables, "chunks", meanwhile)
    with pytest.raises(DataProblem, match="changed while it was read") as caught:
        read(place, roots=[tmp_path])
    assert caught.value.retryable


def warehouse(query: dataset.Query):
    """A database with one table; answers the query `week` in two batches."""
    if query.name != "week":
        raise DataProblem(f"There is no query {query.name}.")
    yield ["age", "score", "since"]
    yield [(31, Decimal("0.5"), query.parameters.get("since")), (44, Decimal("0.7"), None)]
    yield [(52, None, None)]


@pytest.fixture
def database():
    dataset.set_query_reader(warehouse)
    yield
    dataset.set_query_reader(None)


def test_a_query_is_read_with_its_parameters_and_decimals_are_numbers(database):
    found = read("sql://shop/week?since=2026-11-01", roots=[])
    assert found.frame["age"].tolist() == [31, 44, 52]
    assert found.frame["score"].dropna().tolist() == [0.5, 0.7]
    assert found.frame["since"][0] == "2026-11-01"
    assert found.location == "sql://shop/week"
    assert found.sha256 == dataset.fingerprint("sql://shop/week?since=2026-11-01", roots=[])
    assert found.sha256 != dataset.fingerprint("sql://shop/week?since=2026-11-02", roots=[])


def test_the_fingerprint_of_a_query_does_not_depend_on_the_order_of_its_rows(database):
    forward = dataset.fingerprint("sql://shop/week", roots=[])
    dataset.set_query_reader(
        lambda query: iter([["age", "score", "since"], [(52, None, None), (44, Decimal("0.7"), None)],
                            [(31, Decimal("0.5"), None)]])
    )  # fmt: skip
    assert dataset.fingerprint("sql://shop/week", roots=[]) == forward


def test_a_query_is_loaded_as_csv_within_its_bound(database):
    content = dataset.load("sql://shop/week", roots=[])
    assert content.decode().splitlines()[:2] == ["age,score,since", "31,0.5,"]
    with pytest.raises(DataProblem, match="Give a sample"):
        dataset.load("sql://shop/week", roots=[], max_bytes=20)


def test_queries_that_cannot_be_asked_say_why(database):
    with pytest.raises(DataProblem, match="sql://CONNECTION/QUERY"):
        read("sql://shop", roots=[])
    with pytest.raises(DataProblem, match="no query month"):
        read("sql://shop/month", roots=[])
    dataset.set_query_reader(None)
    with pytest.raises(DataProblem, match="no way to databases"):
        read("sql://shop/week", roots=[])


@pytest.mark.parametrize("location", ["../secret.csv", "/etc/passwd", "sub/../../secret.csv"])
def test_paths_outside_of_the_roots_are_refused(tmp_path, location):
    root = tmp_path / "data"
    root.mkdir()
    stored(tmp_path, name="secret.csv")
    with pytest.raises(DataProblem, match=r"outside of the allowed data folders.*HOLDFAST_DATA_ROOTS"):
        read(location, roots=[root])


def test_a_link_out_of_the_roots_is_refused(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    stored(tmp_path, name="secret.csv")
    (root / "innocent.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(DataProblem, match="outside"):
        read("innocent.csv", roots=[root])


def test_without_roots_no_file_is_read(tmp_path):
    with pytest.raises(DataProblem, match="no data folder is allowed"):
        read(stored(tmp_path), roots=[])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"age,group\n", "no rows"),
        (b"\x00\x01\x02binary", "cannot be parsed as CSV"),
        (b"PAR1 but not really", "cannot be parsed as Parquet"),
        (b'a,b\n1,2\n3,4,5\n"', "cannot be parsed as CSV"),
        (b"a,b\n1,2,3\n4,5,6\n", "more fields than the header"),
        ("größe\n1".encode("latin-1"), "UTF-8"),
        (gzip.compress(CSV, mtime=0), "compressed with gzip"),
    ],
)
def test_unusable_content_is_refused_with_advice(tmp_path, content, message):
    with pytest.raises(DataProblem, match=message):
        read(stored(tmp_path, content), roots=[tmp_path])


def test_missing_files_folders_and_too_large_files_are_refused(tmp_path):
    with pytest.raises(DataProblem, match="does not exist"):
        read("nothing.csv", roots=[tmp_path])
    with pytest.raises(DataProblem, match="is a folder"):
        read(".", roots=[tmp_path])
    with pytest.raises(DataProblem, match="Give a sample"):
        read(stored(tmp_path), roots=[tmp_path], max_bytes=10)


def test_missing_columns_are_named_with_those_that_are_there(tmp_path):
    found = read(stored(tmp_path), roots=[tmp_path])
    with pytest.raises(DataProblem, match=r"no column income, sex\. It has age, group"):
        dataset.require(found, ["age", "sex", "income"])


def test_a_url_is_read_by_the_given_fetcher_and_shown_without_secrets():
    asked = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return CSV

    url = "https://ann:pw@store.example/rows.csv?sig=s3cret"
    found = read(url, roots=[], fetch=fetch)
    assert asked == [url]
    assert found.location == "https://store.example/rows.csv"


def test_a_url_is_refused_without_transport_and_read_after_one_is_set():
    try:
        dataset.set_fetcher(None)
        with pytest.raises(DataProblem, match="no HTTP transport"):
            read("https://store.example/rows.csv", roots=[])
        dataset.set_fetcher(lambda url: CSV)
        assert read("https://store.example/rows.csv", roots=[]).rows == 3
    finally:
        dataset.set_fetcher(None)


def test_other_schemes_are_refused():
    for location in ("s3://bucket/rows.csv", "file:///etc/passwd"):
        with pytest.raises(DataProblem, match="not read directly"):
            read(location, roots=[], fetch=lambda url: CSV)


def test_a_failing_transport_is_explained_may_be_retried_and_leaks_no_secret():
    def fetch(url: str) -> bytes:
        raise TimeoutError(f"no answer from {url}")

    with pytest.raises(DataProblem, match="could not be read") as caught:
        read("https://store.example/rows.csv?sig=s3cret", roots=[], fetch=fetch)
    assert caught.value.retryable
    assert "s3cret" not in str(caught.value)
