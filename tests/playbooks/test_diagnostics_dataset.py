"""Data sets: what is read, what is refused, and that each refusal says what to do."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pandas as pd
import pytest

from playbooks.diagnostics import dataset
from playbooks.diagnostics.dataset import DataProblem, read

CSV = b"age,group\n31,A\n44,B\n52,A\n"


def stored(folder: Path, content: bytes = CSV, name: str = "rows.csv") -> str:
    (folder / name).write_bytes(content)
    return name


def test_a_csv_is_read_with_its_hash(tmp_path):
    found = read(stored(tmp_path), roots=[tmp_path])
    assert found.frame["age"].tolist() == [31, 44, 52]
    assert found.sha256 == hashlib.sha256(CSV).hexdigest()
    assert (found.rows, found.truncated, found.location) == (3, False, "rows.csv")


def test_a_parquet_file_and_an_absolute_path_are_read(tmp_path):
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"x": range(1000)}).to_parquet(path)
    found = read(str(path), roots=[tmp_path / "elsewhere", tmp_path], max_rows=400)
    assert (found.rows, found.truncated) == (400, True)
    assert found.frame["x"].tolist() == list(range(400))


def test_a_csv_is_cut_at_the_row_cap(tmp_path):
    found = read(stored(tmp_path), roots=[tmp_path], max_rows=2)
    assert (found.rows, found.truncated) == (2, True)


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
