"""The load generator, a process of its own: keep-alive connections, requests formatted from prepared bytes.

`python -m benchmarks.load '{"port", "path", "connections", "seconds", "alerts", "first"}'` prints one JSON object.
Each connection sends its next request when it has read the answer to the last one (closed loop). Every alert has a
fingerprint of its own, counted up from `first`.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections import Counter
from typing import Any

#: Seconds before counting begins: connections are made, caches are filled.
WARM = 0.3
#: Seconds that the last answers may take after the end.
PATIENCE = 30.0
SYSTEMS = 40

_ALERT = (
    '{{"status":"firing","labels":{{"alertname":"FeaturePSIHigh","severity":"warning","model":"model-{system:02d}",'
    '"feature":"feature-%011d","env":"prod"}},"annotations":{{"summary":"PSI of a feature is above its threshold",'
    '"value":"0.31"}},"startsAt":"2026-02-03T04:05:06Z","endsAt":"0001-01-01T00:00:00Z",'
    '"generatorURL":"http://prometheus.example.org/graph?g0.expr=feature_psi+%%3E+0.25","fingerprint":"%016x"}}'
)


def body(alerts: int, first: int) -> bytes:
    """An Alertmanager message of so many alerts; its length depends on `alerts` alone."""
    system = first // alerts % SYSTEMS
    told = ",".join(_ALERT.format(system=system) % (n, n) for n in range(first, first + alerts))
    return (
        f'{{"version":"4","groupKey":"g","status":"firing","receiver":"holdfast","groupLabels":{{}},'
        f'"commonLabels":{{}},"commonAnnotations":{{}},"externalURL":"http://am.example.org","alerts":[{told}]}}'
    ).encode()


class _Requests:
    """The next request, cheaply: one template per system, only the numbers are filled in."""

    def __init__(self, path: str, alerts: int, first: int) -> None:
        self.alerts, self.next = alerts, first
        length = len(body(alerts, first))
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        begin, end = body(alerts, 0).split(b'"alerts":[')[0] + b'"alerts":[', b"]}"
        self.templates = [
            (head.encode() + begin).replace(b"%", b"%%")
            + b",".join([_ALERT.format(system=system).encode()] * alerts)
            + end
            for system in range(SYSTEMS)
        ]

    def take(self) -> bytes:
        first, self.next = self.next, self.next + self.alerts
        numbers = tuple(n for number in range(first, self.next) for n in (number, number))
        return self.templates[first // self.alerts % SYSTEMS] % numbers


def run(
    port: int, path: str, connections: int, seconds: float, alerts: int, first: int = 0
) -> dict[str, Any]:
    """Send for so long; counts only what was answered 202 after the warm-up. Times in seconds."""
    requests = _Requests(path, alerts, first)
    selector = selectors.DefaultSelector()
    sent: dict[socket.socket, float] = {}
    pending: dict[socket.socket, bytes] = {}
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port), timeout=5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        pending[connection] = b""
    begin = time.perf_counter()
    counted_from, end = begin + WARM, begin + WARM + seconds
    for connection in pending:
        sent[connection] = time.perf_counter()
        connection.sendall(requests.take())
    answers: Counter[int] = Counter()
    spans: list[float] = []
    accepted = 0
    while sent and time.perf_counter() < end + PATIENCE:
        for key, _ in selector.select(1):
            connection: Any = key.fileobj
            got = connection.recv(65536)
            if not got:
                raise SystemExit("the server closed a connection")
            pending[connection] += got
            if not _complete(pending[connection]):
                continue
            now = time.perf_counter()
            status = int(pending[connection][9:12])
            pending[connection] = b""
            answers[status] += 1
            accepted += status == 202
            if status == 202 and counted_from <= now <= end:
                spans.append(now - sent[connection])
            if now < end:
                sent[connection] = now
                connection.sendall(requests.take())
            else:
                del sent[connection]
    if sent:
        raise SystemExit(f"{len(sent)} requests were not answered within {PATIENCE:g} s")
    spans.sort()
    return {
        "posts_per_second": len(spans) / seconds,
        "accepted": accepted,
        "next": requests.next,
        "p50": spans[len(spans) // 2] if spans else None,
        "p99": spans[int(len(spans) * 0.99)] if spans else None,
        "answers": answers,
        "cpu": time.process_time(),
        "elapsed": time.perf_counter() - begin,
    }


def _complete(answer: bytes) -> bool:
    head, separator, rest = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(rest) >= int(value)
    raise SystemExit(f"an answer without Content-Length: {head[:200]!r}")


if __name__ == "__main__":
    print(json.dumps(run(**json.loads(sys.argv[1]))))
