"""Making and changing connections: settings checked against what the provider declares, address given once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings as site
from django.core.validators import URLValidator
from django.db import transaction
from django.utils import timezone

from incidents.models import Event, User
from integrations.contract import Field, Provider
from integrations.inbox import tokens
from integrations.models import Connection
from integrations.normalise import listed
from integrations.shelf import provider

#: How long a rotated address, and a secret that was changed, stay good.
OVERLAP = timedelta(days=1)

#: Settings that every receiving connection has, whatever its provider.
INBOUND_FIELDS = (
    Field(
        "inbound_per_minute",
        "Messages a minute",
        "More than this are answered with Retry-After, per web process; empty means no limit.",
        required=False,
        kind="number",
    ),
)

_is_url = URLValidator(schemes=["http", "https"])


class BadSettings(ValueError):
    """Settings that cannot be used; `errors` says what is wrong, by field name."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {message}" for name, message in errors.items()))
        self.errors = dict(errors)


@dataclass(frozen=True, slots=True)
class Made:
    """A connection as it was made or changed. `url` is only known when a token was made just now."""

    connection: Connection
    created: bool
    url: str | None


def fields_of(kind: Provider) -> Sequence[Field]:
    """The settings of a connection of this provider."""
    return (*kind.fields, *(INBOUND_FIELDS if kind.inbound else ()))


def clean(kind: Provider, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Settings out of form or command-line values, defaults filled in. Raises BadSettings with all problems."""
    fields = {field.name: field for field in fields_of(kind)}
    errors = {
        name: f"unknown setting; there are {listed(fields) or 'none'}" for name in raw if name not in fields
    }
    cleaned: dict[str, Any] = {}
    for name, field in fields.items():
        value = raw.get(name)
        if value is None or value == "":
            value = field.default
        if value is None or value == "":
            if field.required:
                errors[name] = f"is required: {field.help or field.title}"
            continue
        try:
            cleaned[name] = _typed(field, value)
        except (ValueError, TypeError) as error:
            errors[name] = str(error)
    if not errors:
        errors = kind.check(cleaned)
    if errors:
        raise BadSettings(errors)
    return cleaned


@transaction.atomic
def connect(
    slug: str,
    name: str,
    changes: Mapping[str, Any] | None = None,
    *,
    rotate: bool = False,
    by: User | None = None,
) -> Made:
    """Make the connection `name`, or change the settings of the one there is.

    An empty value takes a setting back to its default. The address of an existing connection stays unless
    `rotate`. Raises BadSettings, UnknownProvider, ValueError (the name belongs to another provider).
    """
    kind = provider(slug)
    row = Connection.objects.select_for_update().filter(name=name).first()
    created = row is None
    if row is None:
        row = Connection(provider=slug, name=name, created_by=by)
    elif row.provider != slug:
        raise ValueError(f'"{name}" is a connection of {row.provider} already; choose another name.')
    changes = changes or {}
    before = {} if created else dict(row.settings)
    row.settings = clean(kind, {**before, **changes})
    if kind.inbound:
        _keep_former_secrets(row, kind, before)
    url = _new_address(row) if kind.inbound and (rotate or not row.token_digest) else None
    row.save()
    Event.objects.create(
        kind="connection.created" if created else "connection.changed",
        by=by,
        actor="" if by else "command line",
        text=f'Connection "{name}" ({kind.title}) {"made" if created else "changed"}.',
        data={"connection": row.pk, "settings": sorted(changes), "rotated": bool(url) and not created},
    )
    transaction.on_commit(tokens.forget)
    return Made(row, created, url)


def switch(row: Connection, *, on: bool, reason: str = "", by: User | None = None) -> None:
    """Pause a connection or let it work again: paused it neither receives nor sends, deliveries wait."""
    with transaction.atomic():
        row.enabled, row.paused_reason = on, "" if on else reason
        row.save(update_fields=["enabled", "paused_reason"])
        Event.objects.create(
            kind="connection.resumed" if on else "connection.paused",
            by=by,
            text=f'Connection "{row.name}" ' + ("works again." if on else f"paused: {reason}"),
            data={"connection": row.pk, "reason": reason},
        )
        transaction.on_commit(tokens.forget)


def hold(row: Connection, reason: str, *, by: User | None = None) -> None:
    """Send nothing to the connection until `integrations.outbox.deliver.resume`; it goes on receiving."""
    with transaction.atomic():
        row.sending_paused = reason[:300]
        row.save(update_fields=["sending_paused"])
        Event.objects.create(
            kind="connection.held",
            by=by,
            text=f'Sending to "{row.name}" paused: {reason}',
            data={"connection": row.pk, "reason": reason},
        )


def expect(row: Connection, every: int | None, *, by: User | None = None) -> None:
    """Open an alert when the source is silent for more than `every` seconds; None: never."""
    with transaction.atomic():
        row.expect_every = every
        row.save(update_fields=["expect_every"])
        Event.objects.create(
            kind="connection.changed",
            by=by,
            text=f'"{row.name}" is expected to report '
            + (f"every {every / 60:g} min." if every else "whenever it likes."),
            data={"connection": row.pk, "expect_every": every},
        )


def _keep_former_secrets(row: Connection, kind: Provider, before: Mapping[str, Any]) -> None:
    secret = [field.name for field in fields_of(kind) if field.secret]
    changed = {
        name: before[name] for name in secret if before.get(name) and before[name] != row.settings.get(name)
    }
    if changed:
        now = timezone.now()
        still = row.former_secrets if row.former_secrets_until and row.former_secrets_until > now else {}
        row.former_secrets, row.former_secrets_until = {**still, **changed}, now + OVERLAP


def _new_address(row: Connection) -> str:
    """A fresh token; the former one stays good for a day, so that rotation loses nothing."""
    if row.token_digest:
        row.previous_token_digest = row.token_digest
        row.previous_token_until = timezone.now() + OVERLAP
    return f"{site.HOLDFAST_BASE_URL.rstrip('/')}{row.inbound_path(row.new_token())}"


def _typed(field: Field, value: Any) -> Any:
    match field.kind:
        case "number":
            number = float(value)
            if number < 0 or number != number or number == float("inf"):
                raise ValueError("must be a number, zero or more")
            return int(number) if number.is_integer() else number
        case "bool":
            if isinstance(value, bool):
                return value
            word = str(value).strip().lower()
            if word not in _TRUE | _FALSE:
                raise ValueError("must be yes or no")
            return word in _TRUE
        case "json":
            if not isinstance(value, str):
                return value
            try:
                return json.loads(value)
            except ValueError as error:
                raise ValueError(f"is not JSON ({error})") from error
        case "choice":
            if str(value) not in field.choices:
                raise ValueError(f"must be one of {listed(field.choices)}")
            return str(value)
        case "url":
            try:
                _is_url(str(value))
            except Exception as error:
                raise ValueError("must be an http(s) address") from error
            return str(value)
        case _:
            return str(value)


_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
