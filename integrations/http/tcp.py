"""A plain connection to a host, under the same guard as every request: for protocols other than HTTP."""

from __future__ import annotations

import socket
import time

from integrations.contract import SendError
from integrations.http.guard import CONNECT_SECONDS, reachable

Socket = socket.socket


def dial(host: str, port: int, seconds: float = CONNECT_SECONDS) -> Socket:
    """A connected socket whose reads and writes end after `seconds`. The address that was checked is the one that is
    connected to. Raises SendError."""
    try:
        addresses = reachable(host, port)
    except (socket.gaierror, UnicodeError) as error:
        raise SendError(f"Could not reach {host}: the name does not resolve.", retryable=True) from error
    end = time.monotonic() + seconds
    reason = "no connection in time"
    for family, kind, protocol, where in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(max(end - time.monotonic(), 0.001))
            sock.connect(where)
        except OSError as error:
            sock.close()
            reason = "the connection was refused" if isinstance(error, ConnectionRefusedError) else reason
            continue
        sock.settimeout(seconds)
        return sock
    raise SendError(f"Could not reach {host}: {reason}.", retryable=True)
