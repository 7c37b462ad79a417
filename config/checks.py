"""System checks: combinations of settings that would surprise later, each with what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from config.settings import env

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@register(Tags.security)
def settings_fit_together(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    given = {name for name, variable in env.variables.items() if variable.from_environment}
    public = urlsplit(settings.HOLDFAST_BASE_URL).hostname not in _LOOPBACK
    if settings.DATABASE_VENDOR == "sqlite" and not settings.EMBEDDED:
        found.append(
            Error(
                "HOLDFAST_BROKER_URL names a broker, but the database is SQLite.",
                hint="SQLite serves one process. Set DATABASE_URL to PostgreSQL, or leave HOLDFAST_BROKER_URL empty.",
                id="holdfast.E001",
            )
        )
    if settings.EMBEDDED and settings.HOLDFAST_WEB_PROCESSES > 1:
        found.append(
            Error(
                "HOLDFAST_WEB_PROCESSES is above 1 in embedded mode, where web and worker share one process.",
                hint="Set it to 1, or set HOLDFAST_BROKER_URL (and PostgreSQL) to use several processes.",
                id="holdfast.E002",
            )
        )
    if settings.DATABASE_VENDOR == "postgresql":
        for name in ("HOLDFAST_SECRET_KEY", "HOLDFAST_ENCRYPTION_KEYS"):
            if name not in given:
                found.append(
                    Warning(
                        f"{name} is kept in this host's data folder, but the database can serve several hosts.",
                        hint=f"Set {name} to the same value on every host; `manage.py settings` says what it is for.",
                        id="holdfast.W001",
                    )
                )
    if public and not settings.HTTPS:
        found.append(
            Warning(
                "HOLDFAST_BASE_URL is neither https nor this machine: passwords and tokens travel readable.",
                hint="Put a TLS proxy in front and set HOLDFAST_BASE_URL to its https:// address.",
                id="holdfast.W002",
            )
        )
    if public and settings.DEBUG:
        found.append(
            Error(
                "HOLDFAST_DEBUG is on for an address that others can reach; its pages show settings and code.",
                hint="Set HOLDFAST_DEBUG=0.",
                id="holdfast.E003",
            )
        )
    return found
