"""A Redis that caches predictions or features: where playbooks remove what an old model computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations.contract import Field, Provider


class RedisCache(Provider):
    title = "Redis cache"
    docs = "https://redis.io/docs/latest/commands/scan/"
    summary = "Playbooks remove cached predictions and features by pattern, and look that none is left."
    acting = True
    fields = (
        Field("host", "Host", "Under the same guard as every outgoing request (HOLDFAST_EGRESS_ALLOW)."),
        Field("port", "Port", kind="number", default=6379),
        Field("database", "Database", kind="number", default=0),
        Field("username", "User", "With SCAN, UNLINK, TYPE, PTTL, DUMP, INFO.", required=False),
        Field("password", "Password", secret=True, required=False),
        Field("tls", "TLS", kind="bool", default=False),
        Field("prefix", "Prefix", "Every pattern must begin with it, so that nothing else is ever removed."),
    )
    idempotency = "Removing what matches a pattern has the same effect however often it is done."

    def check(self, settings: Mapping[str, Any]) -> dict[str, str]:
        if set(str(settings.get("prefix") or "")) & set("*?[]\\"):
            return {"prefix": "is taken as it is written: leave out * ? [ ] and \\"}
        return {}
