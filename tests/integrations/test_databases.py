"""Queries of connected databases (provider sql_database): read-only, bounded, streamed; refusals say what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from integrations import databases
from integrations.models import Connection
from integrations.shelf import provider
from playbooks.diagnostics import dataset
from playbooks.diagnostics.dataset import DataProblem
from tests.services import Postgres

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def asked():
    before = dataset.QUERY_READER
    dataset.set_query_reader(databases.rows_of)
    yield
    dataset.set_query_reader(before)


def shop(folder: Path, settings: Any, **chosen: Any) -> Connection:
    """A SQLite file with 3,000 scores in a data folder, connected as `shop`."""
    settings.HOLDFAST_DATA_ROOTS = [folder]
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("CREATE TABLE scores (id INTEGER, score REAL, day TEXT)")
        rows = [(index, index / 3000, f"2026-11-{index % 30 + 1:02}") for index in range(3000)]
        connection.executemany("INSERT INTO scores VALUES (?, ?, ?)", rows)
    queries = {
        "all": "SELECT * FROM scores",
        "since": "SELECT * FROM scores WHERE day >= :day",
        "write": "DELETE FROM scores",
        "attach": "ATTACH DATABASE '/tmp/other.db' AS other",
        "long": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    }
    return Connection.objects.create(
        provider="sql_database",
        name="shop",
        settings={"url": "sqlite:///shop.db", "queries": queries, "timeout": 20, **chosen},
    )


def read(location: str, **given: Any) -> dataset.Dataset:
    return dataset.read(location, roots=[], **given)


def test_a_named_query_is_read_in_batches_with_bound_parameters(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(databases, "BATCH_ROWS", 700)
    shop(tmp_path, settings)
    assert read("sql://shop/all").total == 3000
    assert set(read("sql://shop/since?day=2026-11-21").frame["day"]) == {
        f"2026-11-{day}" for day in range(21, 31)
    }
    hostile = read("sql://shop/since?day=3' OR 1=1 --", allow_no_rows=True)
    assert hostile.total == 0  # a text later than every day, and nothing but a text
    assert read("sql://shop/all", max_rows=100).rows == 100


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("write", "readonly|read-only|returns no rows"),
        ("attach", "attached databases"),
        ("long", "interrupted"),
        ("nothing", r"holds no query 'nothing' \(it holds: all, attach, long, since, write\)"),
    ],
)
def test_what_writes_opens_other_files_or_never_ends_is_refused(tmp_path, settings, name, message):
    shop(tmp_path, settings, timeout=1)
    with pytest.raises(DataProblem, match=message):
        read(f"sql://shop/{name}")
    assert read("sql://shop/all").total == 3000


def test_queries_of_ai_systems_run_only_where_the_connection_allows_them(tmp_path, settings):
    connection = shop(tmp_path, settings)
    own = {"few": "SELECT * FROM scores LIMIT 5"}
    with pytest.raises(DataProblem, match="does not run queries of AI systems"):
        read("sql://shop/few", queries=own)
    connection.settings = {**connection.settings, "system_queries": True}
    connection.save()
    assert read("sql://shop/few", queries=own).rows == 5


def test_an_unknown_or_disabled_connection_and_a_file_outside_say_what_to_do(tmp_path, settings):
    connection = shop(tmp_path, settings)
    with pytest.raises(DataProblem, match=r"no database connection 'shopp' \(there are: shop\)"):
        read("sql://shopp/all")
    connection.settings = {**connection.settings, "url": "sqlite:///../../etc/passwd"}
    connection.save()
    with pytest.raises(DataProblem, match="inside of the data folders"):
        read("sql://shop/all")
    connection.enabled = False
    connection.save()
    with pytest.raises(DataProblem, match="switched off"):
        read("sql://shop/all")


def test_settings_are_checked():
    check = provider("sql_database").check
    assert check({"url": "postgresql://ann@db.example.org/ml", "queries": {"week": "SELECT 1"}}) == {}
    assert "url" in check({"url": "mysql://db.example.org/ml"})
    assert "password" in check({"url": "postgresql://ann:pw@db.example.org/ml"})["url"]
    assert "queries" in check({"url": "sqlite:///a.db", "queries": {"week": 7}})


@pytest.mark.once
def test_postgresql_streams_read_only_within_its_time_and_only_where_egress_allows(settings):
    with Postgres() as server:
        with psycopg.connect(server.url()) as admin:
            admin.execute(
                "CREATE TABLE scores AS SELECT i AS id, i::numeric / 7 AS score FROM generate_series(1, 120000) i"
            )
        parts = urlsplit(server.url())
        Connection.objects.create(
            provider="sql_database",
            name="warehouse",
            settings={
                "url": f"postgresql://{parts.username}@{parts.hostname}:{parts.port}{parts.path}",
                "password": parts.password,
                "timeout": 2,
                "queries": {
                    "all": "SELECT * FROM scores",
                    "above": "SELECT * FROM scores WHERE id > %(id)s::int",
                    "write": "INSERT INTO scores VALUES (0, 0) RETURNING id",
                    "two": "SELECT 1; COMMIT; BEGIN READ WRITE; DELETE FROM scores",
                    "long": "SELECT pg_sleep(30)",
                },
            },
        )  # fmt: skip
        settings.HOLDFAST_EGRESS_ALLOW = []
        with pytest.raises(DataProblem, match=r"this machine itself.*HOLDFAST_EGRESS_ALLOW"):
            read("sql://warehouse/all")
        settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.1/32"]
        found = read("sql://warehouse/all", max_rows=10_000)
        assert (found.rows, found.total) == (10_000, 120_000)
        assert found.frame["score"].dtype == float
        assert read("sql://warehouse/above?id=119990").total == 10
        with pytest.raises(DataProblem, match=r"read-only transaction|syntax error"):
            read("sql://warehouse/write")
        with pytest.raises(DataProblem, match="multiple commands"):
            read("sql://warehouse/two")
        with pytest.raises(DataProblem, match="statement timeout") as caught:
            read("sql://warehouse/long")
        assert caught.value.retryable
