"""System checks: combinations of settings that would surprise later, each with what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from config.settings import env
from config.sign_in import oidc, people
from incidents.models.people import ROLES

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
    return found + _signing_in()


def _signing_in() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.HOLDFAST_LOCAL_PASSWORDS == "none" and not oidc.configured():
        found.append(
            Error(
                "Nobody can sign in: HOLDFAST_LOCAL_PASSWORDS is none, and single sign-on is not set up.",
                hint="Set HOLDFAST_OIDC_ISSUER and HOLDFAST_OIDC_CLIENT_ID, or leave passwords to superusers.",
                id="holdfast.E004",
            )
        )
    if bool(settings.HOLDFAST_OIDC_ISSUER) != bool(settings.HOLDFAST_OIDC_CLIENT_ID):
        found.append(
            Error(
                "Single sign-on is half set up: HOLDFAST_OIDC_ISSUER and HOLDFAST_OIDC_CLIENT_ID belong together.",
                hint="Set both, or neither; docs/sign-in.md says where the provider shows them.",
                id="holdfast.E005",
            )
        )
    try:
        unknown = {one.role for one in people.mapping(settings.HOLDFAST_OIDC_ROLES)} - set(ROLES)
        wrong = f"roles that do not exist: {', '.join(sorted(unknown))}" if unknown else ""
    except ValueError as error:
        wrong = str(error)
    if wrong:
        found.append(
            Error(
                f"HOLDFAST_OIDC_ROLES cannot be used ({wrong}).",
                hint=f"Write group=ROLE, group=ROLE+ROLE or group=ROLE@system; roles are {', '.join(ROLES)}.",
                id="holdfast.E006",
            )
        )
    if unknown := set(settings.HOLDFAST_SECOND_FACTOR_FOR) - set(ROLES) - {"all"}:
        found.append(
            Error(
                f"HOLDFAST_SECOND_FACTOR_FOR names roles that do not exist: {', '.join(sorted(unknown))}.",
                hint=f"Write all, or some of {', '.join(ROLES)}.",
                id="holdfast.E007",
            )
        )
    issuer = urlsplit(settings.HOLDFAST_OIDC_ISSUER)
    if issuer.scheme == "http" and issuer.hostname not in _LOOPBACK:
        found.append(
            Warning(
                "HOLDFAST_OIDC_ISSUER is not https: whoever is on the way can sign in as anybody.",
                hint="Use the provider's https:// address.",
                id="holdfast.W003",
            )
        )
    return found
