"""`manage.py up`: prepare the installation, then serve it in the foreground.

Preparing (migrate, shipped playbooks, first administrator, demo) happens here. Then this process replaces itself with
`config/supervisor.py`, which needs neither Django nor memory, and which starts the web server.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from config.demo import connections as demo
from config.env import remember_address
from playbooks import library

#: A number of our own for PostgreSQL's advisory lock: several hosts may start at once, one migrates.
_MIGRATING = 0x401DFA57


class Command(BaseCommand):
    help = (
        "Migrate, load the demo once, start everything and stay in the foreground. Ctrl-C or SIGTERM stops."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default 8000)")
        parser.add_argument("--data", help="folder of the installation (HOLDFAST_DATA)")
        demo = parser.add_mutually_exclusive_group()
        demo.add_argument(
            "--demo", action="store_true", dest="demo", help="load the demo into an empty database"
        )
        demo.add_argument("--no-demo", action="store_false", dest="demo", help="start empty (the default)")
        worker = parser.add_mutually_exclusive_group()
        worker.add_argument(
            "--web-only", action="store_false", dest="with_worker", default=None,
            help="no worker in the web process (the default when there is a broker)",
        )  # fmt: skip
        worker.add_argument(
            "--with-worker",
            action="store_true",
            dest="with_worker",
            help="host a worker although there is a broker",
        )
        parser.set_defaults(demo=False)

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        with_worker = settings.EMBEDDED if options["with_worker"] is None else options["with_worker"]
        if settings.EMBEDDED and not with_worker:
            raise CommandError(
                "--web-only needs a broker: in embedded mode nobody else would work. Set HOLDFAST_BROKER_URL."
            )
        settings.HOLDFAST_DATA.mkdir(parents=True, exist_ok=True, mode=0o700)
        if settings.EMBEDDED:
            claim_folder(settings.HOLDFAST_DATA)
        check_port(host, port)
        address = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104
        remember_address(settings.HOLDFAST_DATA, address)
        for folder in settings.HOLDFAST_DATA_ROOTS:
            if folder.is_relative_to(settings.HOLDFAST_DATA):
                folder.mkdir(parents=True, exist_ok=True)
        try:
            with migration_lock():
                call_command("migrate", verbosity=0, interactive=False)
                library.install()
                told = self.first_start(demo=options["demo"])
                demo.follow(settings.HOLDFAST_DATA, address)
        except DatabaseError as error:
            raise CommandError(f"The database cannot be prepared: {error}".strip()) from error
        connection.close()
        self.stdout.flush()
        serve(host, port, address, with_worker=with_worker, told=told)

    def first_start(self, *, demo: bool) -> list[str]:
        """Make the administrator and load the demo if the database is empty; how to sign in, in lines."""
        people = get_user_model().objects
        if people.exists():
            python = Path(sys.executable)
            if python.is_relative_to(Path.cwd()):
                python = python.relative_to(Path.cwd())
            return [f"sign in with your account; lost the password? {python} manage.py changepassword NAME"]
        password = secrets.token_urlsafe(12)
        people.create_superuser("admin", "", password)
        told = [f"sign in as admin with the password {password} (shown this once)"]
        if demo and "demo" in get_commands() and is_empty():
            self.stdout.write("loading the demo ...")
            self.stdout.flush()
            shared = secrets.token_urlsafe(9)
            call_command("demo", password=shared, stdout=self.stdout)
            told.append(f"or as ann (incident commander), bo, … of the demo with the password {shared}")
        return told


def is_empty() -> bool:
    """Whether nothing was ever recorded: the demo must not mix with real incidents."""
    return not any(
        apps.get_model(name)._default_manager.exists()
        for name in ("incidents.Incident", "incidents.AISystem", "integrations.Connection")
    )


def claim_folder(data: Path) -> None:
    """Hold the folder until this process (or what it becomes) ends; raises CommandError when it is taken."""
    lock = os.open(data / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise CommandError(
            f"{data} is in use by another `up`. Stop that one, or choose another folder with --data."
        ) from error
    os.set_inheritable(lock, True)  # kept by the supervisor, which this process becomes


def check_port(host: str, port: int, patience: float = 4.0) -> None:
    """Raises CommandError when nobody can listen there. A server whose supervisor was killed leaves within
    seconds, so the port is asked for a little longer."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    end = time.monotonic() + patience
    while True:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                return
            except (OSError, OverflowError) as error:
                if (
                    time.monotonic() > end
                    or not isinstance(error, OSError)
                    or error.errno != errno.EADDRINUSE
                ):
                    raise CommandError(
                        f"Cannot listen on {host}:{port} ({error}). "
                        f"Choose another port, for example --port {port + 1 if port < 65535 else 8001}."
                    ) from error
        time.sleep(0.25)


@contextmanager
def migration_lock() -> Iterator[None]:
    """One host migrates at a time; the folder lock already says so for SQLite."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_MIGRATING])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_MIGRATING])


def serve(host: str, port: int, address: str, *, with_worker: bool, told: list[str]) -> None:
    """Become the supervisor; does not return."""
    base, grace = settings.BASE_DIR, settings.HOLDFAST_SHUTDOWN_SECONDS
    processes = settings.HOLDFAST_WEB_PROCESSES
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "config.settings"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(base), os.environ.get("PYTHONPATH", "")])),
    }
    environment.pop("HOLDFAST_EMBEDDED_WORKER", None)
    if with_worker:
        environment["HOLDFAST_EMBEDDED_WORKER"] = "1"
    if processes > 1:
        counters = settings.HOLDFAST_DATA / "metrics"
        shutil.rmtree(counters, ignore_errors=True)
        counters.mkdir()
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(counters)
    # fmt: off
    command = [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws",
        "--host", host, "--port", str(port), "--workers", str(processes),
        "--blocking-threads", str(settings.HOLDFAST_WEB_THREADS),
        # a worker that hangs in a step is ended after the grace; the step's lease runs out
        "--workers-kill-timeout", str(grace + 2),
        "--respawn-failed-workers", "--respawn-interval", "0.2",
        "--log-level", "error", "--no-access-log",
        "config.wsgi:application",
    ]
    # fmt: on
    orders = {"command": command, "cwd": str(base), "address": address, "grace": grace + 4, "told": told}
    supervisor = str(base / "config" / "supervisor.py")
    # -P: the folder of the script has modules named like others' (celery), and must not be searched
    os.execve(sys.executable, [sys.executable, "-P", supervisor, json.dumps(orders)], environment)  # noqa: S606
