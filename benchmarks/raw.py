"""The reference for accepting: the same inbox rows, inserted by the bare driver, one commit per message.

`python -m benchmarks.raw '{"url" or "file", "connections", "seconds", "alerts"}'` prints one JSON object. PostgreSQL:
so many threads with a connection each, prepared statements. SQLite has one writer at a time: one connection.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
import time
import uuid
from typing import Any

import psycopg

from benchmarks.load import WARM, body

TABLE = "bench_raw_inbox"
HEADERS = json.dumps({"content-type": "application/json"})
_COLUMNS = "receipt, connection_id, received_at, headers, body, items, status, attempts, error"


def prepare_postgres(url: str) -> None:
    """An empty table with the inbox table's columns, keys and indexes."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
        connection.execute(f"CREATE TABLE {TABLE} (LIKE integrations_inboxmessage INCLUDING ALL)")
        connection.execute(
            f"ALTER TABLE {TABLE} ADD FOREIGN KEY (connection_id) REFERENCES integrations_connection"
        )


def on_postgres(url: str, connections: int, seconds: float, alerts: int) -> dict[str, Any]:
    insert = f"INSERT INTO {TABLE} ({_COLUMNS}) VALUES (%s, %s, now(), %s::jsonb, %s, %s, 'new', 0, '') RETURNING receipt"
    with psycopg.connect(url) as first:
        found = first.execute("SELECT min(id) FROM integrations_connection").fetchone()
        assert found is not None
        owner = found[0]
    counts, stored = [0] * connections, [0] * connections
    clock = {"from": 0.0, "to": 0.0}

    def begin() -> None:
        clock["from"] = time.perf_counter() + WARM
        clock["to"] = clock["from"] + seconds

    start = threading.Barrier(connections + 1, action=begin)

    def one(number: int) -> None:
        with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
            cursor = connection.cursor()
            text, done, every = body(alerts, number * alerts).decode(), 0, 0
            start.wait(30)
            while (now := time.perf_counter()) < clock["to"]:
                cursor.execute(insert, [uuid.uuid4(), owner, HEADERS, text, alerts])
                cursor.fetchone()
                every += 1
                done += clock["from"] <= now
            counts[number], stored[number] = done, every

    threads = [threading.Thread(target=one, args=(number,), daemon=True) for number in range(connections)]
    for thread in threads:
        thread.start()
    start.wait(30)
    for thread in threads:
        thread.join(60)
    return {"posts_per_second": sum(counts) / seconds, "accepted": sum(stored), "cpu": time.process_time()}


def on_sqlite(file: str, connections: int, seconds: float, alerts: int) -> dict[str, Any]:
    """`file` holds the migrated tables; autocommit in WAL with synchronous=FULL, as the service has it."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    owner = connection.execute("SELECT min(id) FROM integrations_connection").fetchone()[0]
    insert = (
        f"INSERT INTO integrations_inboxmessage ({_COLUMNS}) "
        "VALUES (?, ?, '2026-02-03 04:05:06.000000', ?, ?, ?, 'new', 0, '') RETURNING receipt"
    )
    text = body(alerts, 0).decode()
    count, every, begin = 0, 0, time.perf_counter() + WARM
    while (now := time.perf_counter()) < begin + seconds:
        connection.execute(insert, (uuid.uuid4().hex, owner, HEADERS, text, alerts)).fetchall()
        every += 1
        count += now >= begin
    connection.close()
    return {"posts_per_second": count / seconds, "accepted": every, "cpu": time.process_time()}


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    print(json.dumps((on_postgres if "url" in order else on_sqlite)(**order)))
