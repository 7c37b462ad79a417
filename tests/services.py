"""Private PostgreSQL, Redis, Prometheus and Alertmanager: real programs in a temp folder on free ports."""

from __future__ import annotations

import abc
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psycopg
import redis
from psycopg import sql

from tests.binaries import Missing, program
from tests.processes import (
    HoldfastProcess,
    Process,
    free_port,
    guard,
    holdfast,
    installation_env,
    manage,
    wait_until,
)

__all__ = [
    "Alertmanager",
    "HoldfastProcess",
    "Missing",
    "Postgres",
    "Process",
    "Prometheus",
    "Redis",
    "Service",
    "free_port",
    "holdfast",
    "installation_env",
    "manage",
    "wait_until",
]


class Service(abc.ABC):
    """One server of our own: `start()` answers when it serves, `stop()` also removes its folder.

    Works as a context manager. The port stays the same over restarts, so clients find it again.
    """

    name: str

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"holdfast-{self.name}-"))
        guard.tell("folder", self.folder)
        self.process: Process | None = None

    @abc.abstractmethod
    def command(self) -> Sequence[str | Path]: ...

    @abc.abstractmethod
    def answers(self) -> bool: ...

    def launch(self) -> Process:
        return Process(self.command(), cwd=self.folder)

    def start(self) -> Self:
        self.process = process = self.launch()

        def ready() -> bool:
            if not process.running:
                raise AssertionError(f"{self.name} ended with {process.returncode}:\n{process.output}")
            return self.answers()

        wait_until(ready, 60, f"{self.name} answers on port {self.port}")
        return self

    def halt(self, number: int = signal.SIGTERM) -> None:
        """End the process and keep the data; `start()` brings it back on the same port."""
        if self.process is not None and self.process.running:
            self.process.signal(number)
            self.process.wait(60)

    def stop(self) -> None:
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class Postgres(Service):
    """A PostgreSQL cluster. `durable=True` keeps fsync and synchronous commit, as tests that kill
    things need; without it nothing waits for the disk."""

    name = "postgres"
    user = "holdfast"

    def __init__(self, *, durable: bool = False, settings: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.durable = durable
        self.settings = dict(settings or {})
        self.password = secrets.token_hex(8)
        self.binaries = program("postgres").resolve().parent
        self._account = _unprivileged() if os.geteuid() == 0 else None
        if self._account:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def command(self) -> Sequence[str | Path]:
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "shared_buffers": "64MB",
            "timezone": "UTC",
            **({} if self.durable else _CARELESS),
            **self.settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self.binaries / "postgres", "-D", self.data, *options]

    def launch(self) -> Process:
        if not self.data.exists():
            self._initdb()
        return self._run(self.command())

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def halt(self, number: int = signal.SIGINT) -> None:
        # SIGINT is PostgreSQL's "fast" stop: it does not wait for clients to leave.
        super().halt(number)

    def immediate_restart(self) -> Self:
        """Crash (every connection is cut, nothing is flushed) and recover from the log."""
        self.halt(signal.SIGQUIT)
        return self.start()

    def createdb(self, name: str) -> str:
        """Make an empty database and return its URL."""
        self._admin(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def dropdb(self, name: str) -> None:
        self._admin(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def _initdb(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)  # below a folder that only the server's account can enter
        locale = "--locale=C.UTF-8" if sys.platform == "linux" else "--no-locale"
        command = [
            *(self.binaries / "initdb", "-D", self.data, "-U", self.user, f"--pwfile={secret}"),
            *("--auth=password", "--encoding=UTF8", locale, "--no-sync"),
        ]
        made = self._run(command)
        if made.wait(120):
            raise AssertionError(f"initdb failed:\n{made.output}")

    def _run(self, command: Sequence[str | Path]) -> Process:
        account = self._account
        if account is None:
            return Process(command, cwd=self.folder)
        return Process(command, cwd=self.folder, user=account.pw_uid, group=account.pw_gid)


_CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def _unprivileged() -> pwd.struct_passwd:
    """The account that runs PostgreSQL when we are root, which it refuses to be."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise Missing("PostgreSQL cannot run as root and there is no account `postgres` or `nobody` to run it.")


class Redis(Service):
    """A Redis without persistence: what it held is gone after `halt()`, as with a broker that was lost."""

    name = "redis"

    def __init__(self) -> None:
        super().__init__()
        self.binary = program("redis")

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def command(self) -> Sequence[str | Path]:
        return [
            *(self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder),
            *("--save", "", "--appendonly", "no", "--databases", "32"),
        ]

    @contextlib.contextmanager
    def client(self, database: int = 0) -> Any:
        with redis.Redis.from_url(self.url(database), socket_timeout=2) as client:
            yield client

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def flushall(self) -> None:
        with self.client() as client:
            client.flushall()


class _Web(Service):
    """A server that says on a page whether it is ready."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Prometheus(_Web):
    """A Prometheus with `config` as its YAML and further files (rules) beside it, by name."""

    name = "prometheus"

    def __init__(self, config: str, files: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.binary = program("prometheus")
        for name, text in {**(files or {}), "prometheus.yml": config}.items():
            (self.folder / name).write_text(text)

    def command(self) -> Sequence[str | Path]:
        return [
            self.binary,
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]


class Alertmanager(_Web):
    """An Alertmanager without peers, with `config` as its YAML."""

    name = "alertmanager"

    def __init__(self, config: str) -> None:
        super().__init__()
        self.binary = program("alertmanager")
        (self.folder / "alertmanager.yml").write_text(config)

    def command(self) -> Sequence[str | Path]:
        return [
            self.binary,
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]
