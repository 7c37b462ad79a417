"""Speaks to a Redis cache, through the same guard as every outgoing request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from integrations.contract import SendError
from integrations.http.tcp import Socket, dial
from integrations.platforms.account import account_of
from playbooks.contract import ActionError, StepContext

SECONDS = 10.0
BATCH = 500
SHOWN = 1000  #: bytes of a value


class _Guarded(redis.Connection):
    def _connect(self) -> Socket:
        return dial(self.host, self.port, SECONDS)


class _GuardedTLS(redis.SSLConnection):
    def _connect(self) -> Socket:
        return self._wrap_socket_with_ssl(dial(self.host, self.port, SECONDS))


@dataclass(frozen=True, slots=True)
class Cache:
    """One database of a Redis, limited to keys below a prefix."""

    client: Any  # a redis.Redis; its types promise text or bytes, ours are always bytes
    prefix: str
    name: str

    def checked(self, pattern: str) -> str:
        """The pattern, if it stays below the prefix. Raises ActionError."""
        if not pattern.startswith(self.prefix) or not pattern.strip("*?"):
            raise ActionError(
                f"The pattern {pattern!r} does not begin with {self.prefix!r}, the prefix of the connection "
                f"{self.name}: correct one of them."
            )
        return pattern

    def keys(self, pattern: str) -> Iterator[bytes]:
        """The keys that match now. One may come twice."""
        return iter(self.client.scan_iter(match=self.checked(pattern), count=BATCH))

    def count(self, pattern: str) -> int:
        return len(set(self.keys(pattern)))

    def sample(self, pattern: str, size: int) -> list[dict[str, Any]]:
        """Some keys with type, seconds to live, SHA-256 of the dump, and the value where it is text."""
        return [self._described(key) for key in islice(self.keys(pattern), size)]

    def remove(self, pattern: str, renew: Callable[[], None]) -> int:
        """Remove the keys that match; how many there were."""
        removed, found = 0, self.keys(pattern)
        while keys := list(islice(found, BATCH)):
            removed += int(self.client.unlink(*keys))
            renew()
        return removed

    def _described(self, key: bytes) -> dict[str, Any]:
        kind = self.client.type(key).decode()
        dump = self.client.dump(key) or b""
        value = self.client.getrange(key, 0, SHOWN - 1) if kind == "string" else b""
        return {
            "key": key.decode("utf-8", "replace"),
            "type": kind,
            "ttl_ms": self.client.pttl(key),
            "dump_sha256": hashlib.sha256(dump).hexdigest(),
            "value": value.decode("utf-8", "replace"),
        }


@contextmanager
def cache_of(ctx: StepContext) -> Iterator[Cache]:
    """The cache of a step (see `account_of`); what Redis refuses becomes an ActionError."""
    account = account_of(ctx, "redis_cache")
    options: dict[str, Any] = {"connection_class": _Guarded}
    if account.settings.get("tls"):
        options = {"connection_class": _GuardedTLS, "ssl_ca_certs": settings.HOLDFAST_CA_BUNDLE or None}
    pool = redis.ConnectionPool(
        host=account.text("host"),
        port=int(account.settings.get("port") or 6379),
        db=int(account.settings.get("database") or 0),
        username=account.text("username") or None,
        password=account.text("password") or None,
        max_connections=1,
        retry=Retry(NoBackoff(), 0),  # steps have retries of their own
        **options,
    )
    try:
        client = redis.Redis(connection_pool=pool)
        if client.info("cluster").get("cluster_enabled"):
            raise ActionError(
                f"{account.name} is a Redis Cluster, whose nodes would each have to be asked: name a connection per "
                "node, or remove the keys with the cluster's own tools."
            )
        yield Cache(client, account.text("prefix"), account.name)
    except SendError as error:
        raise ActionError(str(error), retryable=error.retryable) from error
    except (redis.AuthenticationError, redis.ResponseError) as error:
        raise ActionError(
            f"Redis ({account.name}) refused: {error}. Check user, password and rights."
        ) from error
    except redis.RedisError as error:
        raise ActionError(f"Redis ({account.name}) did not answer: {error}", retryable=True) from error
    finally:
        pool.disconnect()
