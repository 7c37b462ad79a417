"""A database that diagnosis reads from: PostgreSQL or a SQLite file, by named read-only queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from integrations.contract import Field, Provider


class SqlDatabase(Provider):
    title = "SQL database (read only)"
    docs = "https://www.postgresql.org/docs/current/sql-set-transaction.html"
    summary = (
        "Diagnosis reads reference and current windows here by named queries, in read-only transactions."
    )
    acting = True
    fields = (
        Field(
            "url",
            "Address",
            "postgresql://user@host:5432/database, or sqlite:///file.db inside of the data folders.",
        ),
        Field("password", "Password", "Of a database user that may only read.", secret=True, required=False),
        Field(
            "sslmode",
            "TLS",
            "How PostgreSQL's certificate is checked.",
            required=False,
            kind="choice",
            default="prefer",
            choices=("prefer", "require", "verify-full", "disable"),
        ),
        Field(
            "queries",
            "Queries",
            'JSON from names to SQL, e.g. {"week": "SELECT … WHERE at > %(since)s"}; sql://CONNECTION/week reads it.',
            kind="json",
            required=False,
            default={},
        ),
        Field(
            "system_queries",
            "Queries of AI systems",
            "Also run the SQL that an AI system's data settings hold under `queries`.",
            kind="bool",
            required=False,
            default=False,
        ),
        Field(
            "timeout", "Seconds", "Longest time for one query.", kind="number", required=False, default=120
        ),
    )
    idempotency = "Nothing is written: every query runs in a read-only transaction."

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        wrong: dict[str, str] = {}
        try:
            parts = urlsplit(str(settings.get("url") or ""))
            scheme, user_password = parts.scheme, parts.password
        except ValueError:
            scheme, user_password = "", None
        if scheme not in ("postgresql", "postgres", "sqlite"):
            wrong["url"] = "Write postgresql://user@host/database or sqlite:///file.db."
        elif user_password:
            wrong["url"] = (
                "Leave the password out of the address and give it as password: it is kept secret there."
            )
        queries = settings.get("queries") or {}
        if not isinstance(queries, Mapping) or not all(
            isinstance(text, str) and text.strip() for text in queries.values()
        ):
            wrong["queries"] = 'Give a JSON object from names to SQL: {"week": "SELECT …"}.'
        return wrong
