"""Threads that store inbound messages: many requests share one INSERT and one commit.

A request hands in its row and waits; it is answered after the commit that holds the row. While one commit is
on its way to the disk the next batch gathers, so the rate grows with the load and not with the commits.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import util
from time import monotonic

import orjson
from django.db import DatabaseError, Error, InterfaceError, OperationalError, connection, transaction
from django.db.models import Q

from incidents import wake
from integrations.inbox.counters import BATCH_ROWS
from integrations.models import InboxMessage
from playbooks import raw

log = logging.getLogger(__name__)

#: Bounds of the queue. Beyond them the answer is 503: memory is finite, and the sender keeps the message.
QUEUE_ROWS, QUEUE_BYTES = 4_000, 64 * 1024 * 1024
#: Bounds of one commit.
BATCH_MAX_ROWS, BATCH_MAX_BYTES = 500, 16 * 1024 * 1024
#: Threads of a process where the database lets several write: one hands in while another's commit is on its way.
WRITERS = 2
#: Seconds a request waits for its commit before it is told to come again.
PATIENCE = 20.0

#: PostgreSQL: one array for each column, bound by the server. The same rows as one JSON text cost the server a
#: third more with large bodies: it reads their quotes twice.
_INSERT_ARRAYS = """
    INSERT INTO integrations_inboxmessage
           (receipt, connection_id, delivery_key, received_at, headers, body, items, status, attempts, error)
    SELECT r, c, k, t, h::jsonb, b, n, 'new', 0, ''
    FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::timestamptz[], %b::text[], %b::text[], %b::integer[])
         AS message(r, c, k, t, h, b, n)
    ON CONFLICT DO NOTHING RETURNING receipt"""
_INSERT_JSON = """
    INSERT INTO integrations_inboxmessage
           (receipt, connection_id, delivery_key, received_at, headers, body, items, status, attempts, error)
    SELECT value ->> 'r', value ->> 'c', value ->> 'k', value ->> 't', value -> 'h', value ->> 'b',
           value ->> 'n', 'new', 0, ''
    FROM json_each(%s) WHERE true
    ON CONFLICT DO NOTHING RETURNING receipt"""


class NotStored(Exception):
    """The message is not in the database. `fault` says whether the message itself is the reason."""

    def __init__(self, message: str, *, fault: bool = False) -> None:
        super().__init__(message)
        self.fault = fault


@dataclass(eq=False, slots=True)
class Entry:
    """One message on its way into the database, and what became of it."""

    connection_id: int
    delivery_key: str | None
    received_at: datetime
    headers: dict[str, str]
    body: str
    items: int
    size: int
    receipt: uuid.UUID = field(default_factory=uuid.uuid4)
    stored: uuid.UUID | None = None  #: the receipt it is kept under: the first one for a repeated delivery
    failure: NotStored | None = None
    given_up: bool = False
    settled: threading.Event = field(default_factory=threading.Event)


class Writer:
    """`store` may be called from any thread; the writing threads start at first use, after the fork."""

    def __init__(self, rows: int = QUEUE_ROWS, size: int = QUEUE_BYTES) -> None:
        self._rows, self._size = rows, size
        self._turn = threading.Condition()
        self._queue: deque[Entry] = deque()
        self._queued_bytes = 0
        self._threads: list[threading.Thread] = []
        self._pid = 0
        self._stopping = False

    def store(self, entry: Entry, patience: float = PATIENCE) -> uuid.UUID:
        """Wait until the entry is committed and return its receipt; raises NotStored."""
        with self._turn:
            if self._pid != os.getpid():
                self._start()
            if self._stopping:
                raise NotStored("this process is stopping")
            if len(self._queue) >= self._rows or self._queued_bytes + entry.size > self._size:
                raise NotStored("the queue is full")
            self._queue.append(entry)
            self._queued_bytes += entry.size
            self._turn.notify()
        if not entry.settled.wait(patience):
            entry.given_up = True
            raise NotStored("the database did not take it in time")
        if entry.failure is not None:
            raise entry.failure
        assert entry.stored is not None
        return entry.stored

    def stop(self, timeout: float = 10.0) -> bool:
        """Store what is queued and end the threads; True when that was done in time."""
        deadline = monotonic() + timeout
        with self._turn:
            threads = self._threads if self._pid == os.getpid() else []
            self._stopping = True
            self._turn.notify_all()
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _start(self) -> None:
        self._pid = os.getpid()
        self._queue.clear()  # a parent's requests are not ours to answer
        self._queued_bytes = 0
        self._stopping = False
        count = WRITERS if connection.features.has_select_for_update_skip_locked else 1
        self._threads = [
            threading.Thread(target=self._run, name=f"inbox-writer-{number}", daemon=True)
            for number in range(1, count + 1)
        ]
        for thread in self._threads:
            thread.start()
        # the server's worker process ends through multiprocessing, which skips `atexit`
        util.Finalize(None, self.stop, exitpriority=90)

    def _run(self) -> None:
        try:
            while batch := self._next():
                try:
                    self._keep(batch)
                except Exception as error:
                    log.exception("storing inbound messages failed unexpectedly")
                    _settle_failed(batch, NotStored(f"an unexpected error ({error.__class__.__name__})"))
                    connection.close()
        finally:
            connection.close()

    def _next(self) -> list[Entry]:
        """The next batch, in order of arrival; empty when stopping and nothing is left."""
        batch: list[Entry] = []
        with self._turn:
            while not batch:
                while not self._queue:
                    if self._stopping:
                        return []
                    self._turn.wait()
                room = BATCH_MAX_BYTES
                while (
                    self._queue and len(batch) < BATCH_MAX_ROWS and (not batch or self._queue[0].size <= room)
                ):
                    entry = self._queue.popleft()
                    self._queued_bytes -= entry.size
                    if not entry.given_up:
                        room -= entry.size
                        batch.append(entry)
        return batch

    def _keep(self, batch: list[Entry]) -> None:
        try:
            _commit_again_if_lost(batch)
        except (OperationalError, InterfaceError) as error:
            log.error("the database does not take inbound messages: %s", error)
            _settle_failed(batch, NotStored("the database is not available"))
            return
        except Error as error:
            log.warning("a batch of %d inbound messages failed (%s); one by one now", len(batch), error)
            connection.close()
            self._keep_one_by_one(batch)
        stored = [entry for entry in batch if entry.stored is not None]
        if stored:
            BATCH_ROWS.observe(len(stored))
            wake.wake("inbox")
        for entry in stored:
            entry.settled.set()

    def _keep_one_by_one(self, batch: Sequence[Entry]) -> None:
        for entry in batch:
            try:
                _commit_again_if_lost([entry])
            except (OperationalError, InterfaceError):
                _settle_failed([entry], NotStored("the database is not available"))
            except DatabaseError as error:
                connection.close()
                _settle_failed([entry], NotStored(str(error).splitlines()[0], fault=True))


#: The process's writer.
writer = Writer()


def keep(entries: Sequence[Entry]) -> int:
    """Store messages that nobody waits for, inside the caller's transaction; how many were new."""
    _commit(entries)
    wake.wake("inbox")
    return sum(entry.stored == entry.receipt for entry in entries)


def _settle_failed(entries: Iterable[Entry], failure: NotStored) -> None:
    for entry in entries:
        if entry.stored is None and not entry.settled.is_set():
            entry.failure = failure
            entry.settled.set()


def _commit_again_if_lost(entries: Sequence[Entry]) -> None:
    """Commit; once more on a fresh connection when the connection was lost (a restarted database).

    Trying twice cannot store twice: receipts are unique.
    """
    started = monotonic()
    try:
        _commit(entries)
    except (OperationalError, InterfaceError):
        connection.close()
        if monotonic() - started > PATIENCE / 4:
            raise  # it was not a lost connection but a database that does not answer
        try:
            _commit(entries)
        except Error:
            connection.close()
            raise


def _commit(entries: Sequence[Entry]) -> None:
    """One statement, one commit; afterwards every entry knows its receipt."""
    new = _insert_arrays(entries) if connection.vendor == "postgresql" else _insert_json(entries)
    for entry in entries:
        if entry.receipt in new:
            entry.stored = entry.receipt
    missing = [entry for entry in entries if entry.receipt not in new]
    if missing:
        _find_first_receipts(missing)


def _insert_arrays(entries: Sequence[Entry]) -> set[uuid.UUID]:
    columns = (
        [entry.receipt for entry in entries],
        [entry.connection_id for entry in entries],
        [entry.delivery_key for entry in entries],
        [entry.received_at for entry in entries],
        [orjson.dumps(entry.headers).decode() for entry in entries],
        [entry.body for entry in entries],
        [entry.items for entry in entries],
    )
    return {receipt for (receipt,) in raw.fetch_all(_INSERT_ARRAYS, columns)}


def _insert_json(entries: Sequence[Entry]) -> set[uuid.UUID]:
    rows = [
        {
            "r": entry.receipt.hex,
            "c": entry.connection_id,
            "k": entry.delivery_key,
            "t": entry.received_at.astimezone(UTC).replace(tzinfo=None).isoformat(" "),
            "h": entry.headers,
            "b": entry.body,
            "n": entry.items,
        }
        for entry in entries
    ]
    # SQLite commits when its rows have been read
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_INSERT_JSON, [orjson.dumps(rows).decode()])
        return {uuid.UUID(receipt) for (receipt,) in cursor.fetchall()}


def _find_first_receipts(entries: Sequence[Entry]) -> None:
    """Entries that were there before: repeated deliveries, or rows of a commit whose answer was lost."""
    keys = [entry.delivery_key for entry in entries if entry.delivery_key]
    found = InboxMessage.objects.filter(
        Q(receipt__in=[entry.receipt for entry in entries])
        | Q(connection_id__in={entry.connection_id for entry in entries}, delivery_key__in=keys)
    ).values_list("receipt", "connection_id", "delivery_key")
    own, first = set(), {}
    for receipt, connection_id, key in found:
        own.add(receipt)
        if key:
            first[connection_id, key] = receipt
    for entry in entries:
        if entry.receipt in own:
            entry.stored = entry.receipt
        elif entry.delivery_key:
            entry.stored = first.get((entry.connection_id, entry.delivery_key))
        if entry.stored is None:
            _settle_failed([entry], NotStored("the database did not say what became of it"))
