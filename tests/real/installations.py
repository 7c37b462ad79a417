"""Whole installations of separate processes, and the outside world they talk to."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.services import HoldfastProcess, Postgres, Redis, free_port, manage

KEYS = {
    "HOLDFAST_SECRET_KEY": "a secret key that only the tests use",
    "HOLDFAST_ENCRYPTION_KEYS": "YW4gZW5jcnlwdGlvbiBrZXkgZm9yIHRlc3RzIG9ubHk=",
    "HOLDFAST_EGRESS_ALLOW": "127.0.0.0/8",
    # vendors' specifications refuse links to an address of this machine
    "HOLDFAST_BASE_URL": "http://holdfast.example.com",
}


@dataclass
class Outside:
    """PagerDuty's Events API and a model gateway on one port; remembers each effect and its key."""

    url: str = ""
    #: (dedup_key, event_action) → how often
    pages: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: (path, Idempotency-Key) → how often
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    traffic: dict[str, dict[str, Any]] = field(default_factory=dict)

    def keys_of(self, path: str) -> set[str]:
        return {key for where, key in self.changes if where == path}


@contextmanager
def outside() -> Iterator[Outside]:
    """The outside world on a free port of this machine."""
    world = Outside()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self._answer(200, world.traffic.get(self.path, {"mode": "normal"}))

        def _change(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                if self.path == "/v2/enqueue":
                    world.pages[body["dedup_key"], body["event_action"]] += 1
                    answer = {
                        "status": "success",
                        "message": "Event processed",
                        "dedup_key": body["dedup_key"],
                    }
                    self._answer(202, answer)
                else:
                    world.changes[self.path, self.headers["Idempotency-Key"]] += 1
                    world.traffic[self.path] = {**world.traffic.get(self.path, {}), **body}
                    self._answer(200, world.traffic[self.path])

        do_POST = do_PUT = _change

        def log_message(self, *_: Any) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    world.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield world
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Installation:
    """One running Holdfast: `webs` answer, `workers` work (none when embedded)."""

    data: Path
    env: dict[str, str]
    webs: list[HoldfastProcess]
    workers: list[HoldfastProcess]
    postgres: Postgres | None = None
    redis: Redis | None = None

    def manage(self, *arguments: str) -> str:
        return manage(self.data, *arguments, env=self.env)

    def python(self, code: str) -> str:
        """Run Python inside the installation; what it prints."""
        return self.manage("shell", "--no-imports", "-c", code)

    def start_web(self, port: int) -> HoldfastProcess:
        flag = ["--web-only"] if self.postgres else []
        arguments = ("up", "--port", str(port), "--data", str(self.data), "--no-demo", *flag)
        return HoldfastProcess(*arguments, data=self.data, env=self.env, port=port)

    def start_worker(self) -> HoldfastProcess:
        return HoldfastProcess("work", data=self.data, env=self.env)


@contextmanager
def embedded(data: Path) -> Iterator[Installation]:
    """One process tree on SQLite."""
    home = Installation(data, dict(KEYS), [], [])
    with home.start_web(free_port()) as web:
        web.wait_ready(300)
        home.webs.append(web)
        yield home


@contextmanager
def production(
    data: Path, *, webs: int = 2, workers: int = 2, durable: bool = True
) -> Iterator[Installation]:
    """PostgreSQL, Redis, `webs` web and `workers` worker installations."""
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres(durable=durable))
        redis = stack.enter_context(Redis())
        env = {**KEYS, "DATABASE_URL": postgres.createdb("holdfast"), "HOLDFAST_BROKER_URL": redis.url()}
        home = Installation(data, env, [], [], postgres, redis)
        try:
            for _ in range(webs):
                web = home.start_web(free_port())
                home.webs.append(web)
                web.wait_ready()
            home.workers.extend(home.start_worker() for _ in range(workers))
            yield home
        finally:
            for process in (*home.workers, *home.webs):
                if process.running:
                    process.kill()
