"""SQLite with one fair write lock per process: writers queue in memory instead of polling the file.

SQLite lets one connection write at a time. A second one sleeps and retries up to its busy timeout; with many
threads the unlucky ones starve and fail with "database is locked". Here a transaction (BEGIN IMMEDIATE) or a
single writing statement first takes its turn in a first-come-first-served queue of this process. The busy
timeout remains for other processes, such as a management command beside a running server.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict, deque
from typing import Any

from django.db.backends.sqlite3 import base, operations

#: Statements that never need the write lock by themselves, by their first six letters.
_READS = frozenset({"SELECT", "PRAGMA", "EXPLAI", "BEGIN", "BEGIN ", "SAVEPO", "RELEAS", "ROLLBA", "COMMIT"})


class TurnLock:
    """A lock handed from owner to owner in the order of asking. Owners are connections, not threads:
    a connection may be closed by another thread than the one that began its transaction."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[tuple[object, threading.Event]] = deque()
        self.owner: object | None = None

    def acquire(self, owner: object, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the turn; False when it did not come."""
        with self._mutex:
            if self.owner is None:
                self.owner = owner
                return True
            place = (owner, threading.Event())
            self._waiting.append(place)
        if place[1].wait(timeout):
            return True
        with self._mutex:
            if self.owner is owner:  # the turn came between the timeout and this line
                return True
            self._waiting.remove(place)
            return False

    def release(self, owner: object) -> None:
        """Hand the lock to the next in line; nothing happens when `owner` does not hold it."""
        with self._mutex:
            if self.owner is not owner:
                return
            if self._waiting:
                self.owner, turn = self._waiting.popleft()
                turn.set()
            else:
                self.owner = None


_locks: defaultdict[str, TurnLock] = defaultdict(TurnLock)


class WriteCursor(base.SQLiteCursorWrapper):
    """Takes the write lock around a writing statement outside a transaction."""

    database: DatabaseWrapper

    def execute(self, query: str, params: Any = None) -> Any:
        if not self.database.needs_turn(query):
            return super().execute(query, params)
        with self.database.turn():
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        if not self.database.needs_turn(query):
            return super().executemany(query, param_list)
        with self.database.turn():
            return super().executemany(query, param_list)


class _Turn:
    def __init__(self, database: DatabaseWrapper) -> None:
        self.database = database

    def __enter__(self) -> None:
        self.database.take_turn()

    def __exit__(self, *exc_info: object) -> None:
        self.database.end_turn()


class Operations(operations.DatabaseOperations):
    """Emptying tables (`flush`) goes past triggers, as TRUNCATE does on PostgreSQL."""

    def sql_flush(self, style: Any, tables: Any, **options: Any) -> list[str]:
        statements = super().sql_flush(style, tables, **options)
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")
            guards = [(name, sql) for name, table, sql in cursor.fetchall() if table in set(tables)]
        if not statements:
            return statements
        return [
            *(f"DROP TRIGGER {self.quote_name(name)}" for name, _ in guards),
            *statements,
            *(sql for _, sql in guards),
        ]


class DatabaseWrapper(base.DatabaseWrapper):
    ops_class = Operations

    @property
    def write_lock(self) -> TurnLock:
        return _locks[str(self.settings_dict["NAME"])]

    def needs_turn(self, query: str) -> bool:
        """Whether `query` writes outside a transaction that already holds the lock."""
        if self.write_lock.owner is self:
            return False
        return query.lstrip()[:6].upper() not in _READS

    def turn(self) -> _Turn:
        return _Turn(self)

    def take_turn(self) -> None:
        timeout = float(self.settings_dict["OPTIONS"].get("timeout", 5.0))
        if not self.write_lock.acquire(self, timeout):
            raise sqlite3.OperationalError(
                f"database is locked: another transaction of this process has been writing for {timeout:g} s. "
                "Keep transactions short and free of network calls, or move to PostgreSQL."
            )

    def end_turn(self) -> None:
        self.write_lock.release(self)

    def create_cursor(self, name: str | None = None) -> WriteCursor:
        cursor: WriteCursor = self.connection.cursor(factory=WriteCursor)
        cursor.database = self
        return cursor

    def _start_transaction_under_autocommit(self) -> None:
        if self.write_lock.owner is self:
            return super()._start_transaction_under_autocommit()  # type: ignore[misc]
        with self.wrap_database_errors:
            self.take_turn()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self.end_turn()
            raise

    def _commit(self) -> None:
        # a commit that fails leaves the transaction open: Django rolls back next, which ends the turn
        super()._commit()  # type: ignore[misc]
        self.end_turn()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self.end_turn()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self.end_turn()
