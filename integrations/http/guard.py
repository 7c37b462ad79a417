"""Connections that go only where they may, and end when their time is over."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from integrations.contract import SendError
from integrations.http.egress import allowed_networks, refusal

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0


class Deadline:
    """The end of one request. When it comes, every socket opened for it is shut down, so that no
    read, however slowly the other side drips, outlives it (a read timeout alone restarts with
    each byte)."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.ends = time.monotonic() + seconds
        self.passed = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            for held in self._sockets:
                held.close()
            self._sockets.clear()

    @property
    def left(self) -> float:
        return max(self.ends - time.monotonic(), 0.001)

    def watch(self, sock: socket.socket) -> None:
        """Hold a second handle: TLS takes the first one over, the connection stays the same."""
        with self._lock:
            self._sockets.append(sock.dup())

    def _expire(self) -> None:
        with self._lock:
            self.passed = True
            for held in self._sockets:
                try:
                    held.shutdown(socket.SHUT_RDWR)
                except OSError:
                    log.debug("a connection was already closed when its deadline came")


current_deadline: ContextVar[Deadline] = ContextVar("deadline of the request on its way")


def _connect(connection: HTTPConnection) -> socket.socket:
    """Resolve, check, and connect to the very address that was checked.

    Looking the name up once and connecting to the result leaves no gap in which a second look-up
    could answer differently (DNS rebinding). TLS still verifies the host name afterwards.
    """
    deadline, host = current_deadline.get(), connection._dns_host
    try:
        addresses = reachable(host, connection.port)
    except (socket.gaierror, UnicodeError) as error:
        raise NameResolutionError(
            host, connection, error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
        ) from error
    last: OSError = TimeoutError()
    for family, kind, protocol, where in addresses:
        if deadline.passed:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(min(CONNECT_SECONDS, deadline.left))
            sock.connect(where)
        except OSError as error:
            sock.close()
            last = error
            continue
        deadline.watch(sock)
        return sock
    if isinstance(last, TimeoutError):
        raise ConnectTimeoutError(connection, "timed out") from last
    raise NewConnectionError(connection, str(last)) from last


def reachable(host: str, port: int | None) -> Sequence[tuple[int, int, int, Any]]:
    """Family, kind, protocol and address of each way to a host that may be taken.

    Raises SendError when none may, socket.gaierror or UnicodeError when the name does not resolve.
    """
    found, networks = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), allowed_networks()
    refused = {str(where[0]): refusal(str(where[0]), networks) for *_, where in found}
    ways = [
        (family, kind, protocol, where)
        for family, kind, protocol, _, where in found
        if not refused[str(where[0])]
    ]
    if not ways:
        raise _blocked(host, refused)
    return ways


def _blocked(host: str, refused: Mapping[str, str]) -> SendError:
    address, why = next(iter(refused.items()), (host, "has no address"))
    return SendError(
        f"{host} is not reached: {address} is {why}. If this is meant, add its network to "
        f"HOLDFAST_EGRESS_ALLOW (for example HOLDFAST_EGRESS_ALLOW={address}/{128 if ':' in address else 32}).",
        retryable=False,
    )


class _Plain(HTTPConnection):
    _new_conn = _connect


class _Secure(HTTPSConnection):
    _new_conn = _connect


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class _Guarded(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}


def guarded_session() -> requests.Session:
    """A session for one request: no cookie, credential or connection passes between two sends.

    `trust_env` is off, or requests would take proxies and .netrc passwords from the surroundings.
    """
    session = requests.Session()
    session.trust_env = False
    session.verify = settings.HOLDFAST_CA_BUNDLE or True
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Guarded(max_retries=0))
    return session


def proxies_for(url: str) -> dict[str, str]:
    """The environment's proxies, only if HOLDFAST_EGRESS_PROXY says so.

    Behind a proxy the proxy opens the connection: what resolves here is checked here, the rest is
    the proxy's to refuse.
    """
    if not settings.HOLDFAST_EGRESS_PROXY:
        return {}
    proxies: dict[str, str] = get_environ_proxies(url)
    host = urlsplit(url).hostname or ""
    if proxies:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            return proxies
        refused = {str(w[0]): refusal(str(w[0]), allowed_networks()) for *_, w in found}
        if all(refused.values()):
            raise _blocked(host, refused)
    return proxies
