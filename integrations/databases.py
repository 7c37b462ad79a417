"""Runs a query of a connected database for diagnosis: read-only, bounded in time, row by row."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from django.conf import settings

from integrations.contract import SendError
from integrations.http.egress import allowed_networks, refusal
from integrations.masking import mask
from integrations.models import Connection
from playbooks.diagnostics.dataset import DataProblem, Query

BATCH_ROWS = 50_000
CONNECT_SECONDS = 10
SECONDS = 120.0


def rows_of(query: Query) -> Iterator[Sequence[Any]]:
    """The column names, then batches of rows, as the database streams them.

    PostgreSQL sends them through a server-side cursor in a READ ONLY transaction with a statement timeout
    (https://www.postgresql.org/docs/current/sql-declare.html); SQLite opens the file with mode=ro. Raises
    DataProblem: retryable when the database could not be reached or was busy.
    """
    shown = f"sql://{query.connection}/{query.name}"
    row = Connection.objects.filter(name=query.connection, provider="sql_database").first()
    if row is None:
        known = ", ".join(Connection.objects.filter(provider="sql_database").values_list("name", flat=True))
        raise DataProblem(
            f"{shown}: there is no database connection {query.connection!r} (there are: {known or 'none'}): make "
            f"one with `manage.py connect sql_database {query.connection} --set url=…`, or correct the name."
        )
    if not row.enabled:
        raise DataProblem(
            f"{shown}: the connection {row.name} is switched off: switch it on, then try again."
        )
    chosen: Mapping[str, Any] = row.settings
    text = _text(query, chosen, shown)
    address = str(chosen.get("url") or "")
    try:
        seconds = float(chosen.get("timeout") or SECONDS)
        if urlsplit(address).scheme == "sqlite":
            yield from _sqlite(address, text, query.parameters, seconds)
        else:
            yield from _postgresql(address, chosen, text, query.parameters, seconds)
    except (psycopg.Error, sqlite3.Error) as error:
        reason = " ".join(mask(str(error), [str(chosen.get("password") or "")]).split())[:300]
        raise DataProblem(
            f"{shown} failed ({type(error).__name__}: {reason}). Try the query in the database itself, then "
            "correct it or the connection.",
            retryable=isinstance(error, psycopg.OperationalError | sqlite3.OperationalError),
        ) from error
    except SendError as error:
        raise DataProblem(f"{shown}: {error}", retryable=error.retryable) from error


def _text(query: Query, chosen: Mapping[str, Any], shown: str) -> str:
    held = chosen.get("queries") or {}
    if query.name in held:
        return str(held[query.name])
    if query.text and chosen.get("system_queries"):
        return query.text
    known = ", ".join(sorted(held)) or "none"
    refused = " It does not run queries of AI systems (setting system_queries)." if query.text else ""
    raise DataProblem(
        f"{shown}: the connection holds no query {query.name!r} (it holds: {known}).{refused} Add the query to "
        "the connection's setting queries, or correct the name."
    )


def _postgresql(
    address: str, chosen: Mapping[str, Any], text: str, parameters: Mapping[str, str], seconds: float
) -> Iterator[Sequence[Any]]:
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or 5432
    with psycopg.connect(
        host=host,
        hostaddr=_allowed_address(host, port),
        port=port,
        user=unquote(parts.username or ""),
        password=str(chosen.get("password") or "") or None,
        dbname=unquote(parts.path.strip("/")),
        sslmode=str(chosen.get("sslmode") or "prefer"),
        connect_timeout=CONNECT_SECONDS,
        application_name="holdfast diagnosis",
        options=f"-c default_transaction_read_only=on -c statement_timeout={int(seconds * 1000)}",
    ) as connection:
        connection.read_only = True
        with connection.cursor(name="diagnosis") as cursor:
            cursor.itersize = BATCH_ROWS
            cursor.execute(text.encode(), dict(parameters) or None)
            if cursor.description is None:
                raise DataProblem("The query returns no rows: write a SELECT.")
            yield [column.name for column in cursor.description]
            ends = time.monotonic() + seconds
            while rows := cursor.fetchmany(BATCH_ROWS):
                yield rows
                _in_time(ends, seconds)


def _sqlite(
    address: str, text: str, parameters: Mapping[str, str], seconds: float
) -> Iterator[Sequence[Any]]:
    path = _file(unquote(urlsplit(address).path).removeprefix("/"))
    ends = time.monotonic() + seconds
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=CONNECT_SECONDS)
    try:
        connection.execute("PRAGMA query_only = ON")
        # ATTACH would open other files than the one that was allowed
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_progress_handler(lambda: int(time.monotonic() > ends), 10_000)
        cursor = connection.execute(text, dict(parameters))
        if cursor.description is None:
            raise DataProblem("The query returns no rows: write a SELECT.")
        yield [column[0] for column in cursor.description]
        while rows := cursor.fetchmany(BATCH_ROWS):
            yield rows
            _in_time(ends, seconds)
    finally:
        connection.close()


def _in_time(ends: float, seconds: float) -> None:
    if time.monotonic() > ends:
        raise DataProblem(
            f"The query took longer than {seconds:g} seconds: ask for a shorter window, or raise the "
            "connection's timeout."
        )


def _file(name: str) -> Path:
    """The SQLite file inside of the data folders. Raises DataProblem."""
    folders = [Path(root).resolve() for root in settings.HOLDFAST_DATA_ROOTS]
    for folder in folders:
        found = (folder / name).resolve()
        if any(found.is_relative_to(root) for root in folders) and found.is_file():
            return found
    raise DataProblem(
        f"There is no SQLite file {name} inside of the data folders "
        f"({', '.join(map(str, folders)) or 'none is allowed'}): correct the connection's address or HOLDFAST_DATA_ROOTS."
    )


def _allowed_address(host: str, port: int) -> str:
    """The address to connect to, checked as every outgoing request is; looked up once, so that a second
    look-up cannot answer differently. Raises SendError and DataProblem."""
    if not host:
        raise DataProblem("The connection's address names no host: write postgresql://user@host/database.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise DataProblem(f"{host} has no address ({error}): check the host name.", retryable=True) from error
    networks = allowed_networks()
    addresses = [str(where[0]) for *_, where in found]
    refused = {address: refusal(address, networks) for address in addresses}
    open_ones = [address for address in addresses if not refused[address]]
    if not open_ones:
        address = addresses[0]
        raise DataProblem(
            f"{host} is not reached: {address} is {refused[address]}. If this is meant, add its network to "
            f"HOLDFAST_EGRESS_ALLOW (for example HOLDFAST_EGRESS_ALLOW={address}/{128 if ':' in address else 32})."
        )
    return open_ones[0]
