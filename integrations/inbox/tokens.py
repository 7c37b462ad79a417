"""Which connection an inbound address belongs to: looked up by digest, remembered for a few seconds."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any

from django.db import close_old_connections
from django.db.models import Q
from django.utils import timezone

from integrations.contract import Provider
from integrations.inbox.quota import Bucket
from integrations.models import Connection
from integrations.shelf import UnknownProvider, provider

#: Seconds until a change of a connection made in another process is noticed.
FRESH = 5.0
#: Addresses remembered at most, so that somebody who guesses addresses cannot fill the memory.
ROOM = 4096

_SHAPE = re.compile(r"[A-Za-z0-9_-]{16,128}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Everything the inbound path needs of a connection, settings already decrypted.

    `provider` is None when this installation has no such provider any more. `until` is set when the
    address is the former one of a rotated token.
    """

    id: int
    name: str
    provider: Provider | None
    settings: Mapping[str, Any]
    origin: str
    enabled: bool
    paused_reason: str
    until: datetime | None
    bucket: Bucket | None = field(compare=False)
    #: the settings with the secrets that were changed a short while ago; good until `former_until`
    former: Mapping[str, Any] = field(default_factory=dict)
    former_until: datetime | None = None


_lock = threading.Lock()
_known: dict[str, tuple[float, Caller | None]] = {}
_buckets: dict[int, Bucket] = {}


def forget() -> None:
    """Look everything up anew; call it where this process changes a connection."""
    with _lock:
        _known.clear()


def caller(token: str) -> Caller | None:
    """The connection of this address, or None. Raises django.db.Error while the database is away."""
    if not _SHAPE.fullmatch(token):
        return None
    digest = Connection.digest_of(token)
    now = monotonic()
    known = _known.get(digest)
    if known is None or known[0] < now:
        known = (now + FRESH, _look_up(digest))
        with _lock:
            if len(_known) >= ROOM:
                _known.clear()
            _known[digest] = known
    found = known[1]
    if found is not None and found.until is not None and found.until <= timezone.now():
        return None
    return found


def _look_up(digest: str) -> Caller | None:
    close_old_connections()  # requests here pass by Django's own signals
    try:
        row = Connection.objects.filter(
            Q(token_digest=digest) | Q(previous_token_digest=digest, previous_token_until__gt=timezone.now())
        ).first()
    finally:
        close_old_connections()
    if row is None:
        return None
    try:
        spoken = provider(row.provider)
    except UnknownProvider:
        spoken = None
    return Caller(
        id=row.pk,
        name=row.name,
        provider=spoken,
        settings=row.settings,
        origin=row.origin,
        enabled=row.enabled,
        paused_reason=row.paused_reason,
        until=None if row.token_digest == digest else row.previous_token_until,
        bucket=_bucket(row),
        former={**row.settings, **row.former_secrets} if row.former_secrets_until else {},
        former_until=row.former_secrets_until,
    )


def _bucket(row: Connection) -> Bucket | None:
    """The same bucket over look-ups, so that looking up does not fill it; a new one for a new rate."""
    per_minute = int(row.settings.get("inbound_per_minute") or 0)
    with _lock:
        if per_minute <= 0:
            _buckets.pop(row.pk, None)
            return None
        bucket = _buckets.get(row.pk)
        if bucket is None or bucket.per_minute != per_minute:
            bucket = _buckets[row.pk] = Bucket(per_minute)
        return bucket
