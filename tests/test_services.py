"""The harness keeps its word: what real-process tests lean on is itself tested."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest

from tests.processes import ROOT, Process
from tests.services import Alertmanager, Postgres, Prometheus, Redis, manage, wait_until

pytestmark = pytest.mark.once


def test_postgresql_keeps_what_was_committed_over_a_crash() -> None:
    with Postgres(durable=True) as server:
        url = server.createdb("kept")
        with psycopg.connect(url) as ann:
            ann.execute("CREATE TABLE note AS SELECT 'committed' AS text")
        ben = psycopg.connect(url)
        ben.execute("INSERT INTO note VALUES ('not committed')")

        server.immediate_restart()

        with pytest.raises(psycopg.OperationalError):
            ben.execute("SELECT 1")
        with psycopg.connect(url) as ann:
            assert ann.execute("SELECT text FROM note").fetchall() == [("committed",)]
            assert ann.execute("SHOW fsync").fetchone() == ("on",)
    assert not server.folder.exists()


def test_redis_forgets_when_flushed_and_when_stopped() -> None:
    with Redis() as server:
        with server.client() as client:
            client.set("key", "value")
            server.flushall()
            assert client.get("key") is None
            client.set("key", "value")
        server.halt()
        assert not server.answers()
        server.start()
        with server.client() as client:
            assert client.get("key") is None


def test_alertmanager_starts_with_a_configuration() -> None:
    config = "route: {receiver: none}\nreceivers: [{name: none}]\n"
    with Alertmanager(config) as server:
        assert server.answers()


def test_prometheus_starts_with_a_configuration_and_rules() -> None:
    rules = "groups: [{name: g, rules: [{alert: Always, expr: vector(1)}]}]\n"
    with Prometheus("rule_files: [rules.yml]\n", {"rules.yml": rules}) as server:
        assert server.answers()


def test_a_killed_test_run_leaves_no_server_and_no_folder_behind() -> None:
    script = """
        import time
        from tests.services import Redis
        server = Redis().start()
        print("serving", server.process.pid, server.folder, flush=True)
        time.sleep(60)
    """
    with Process([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT) as run:
        found = run.wait_line(r"serving (\d+) (\S+)")
        pid, folder = int(found[1]), Path(found[2])
        os.kill(run.pid, signal.SIGKILL)

        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 15, "the Redis of the killed run is gone")
        wait_until(lambda: not folder.exists(), 15, "the folder of the killed run is gone")


def test_a_process_is_measured_with_its_children() -> None:
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'x = bytearray(50_000_000); print(1); input()'],\n"
        "    stdin=subprocess.PIPE)\n"
        "child.wait()"
    )
    with Process([sys.executable, "-u", "-c", script]) as parent:
        parent.wait_line("1")
        assert len(parent.pids()) == 2
        assert parent.memory() > 50_000_000
        assert parent.cpu_seconds() >= 0
        family = parent.pids()
        parent.kill()
    assert not any(_alive(pid) for pid in family)


def test_a_process_that_ends_early_says_what_it_printed() -> None:
    with (
        Process([sys.executable, "-c", "print('no such port')"]) as process,
        pytest.raises(AssertionError, match="no such port"),
    ):
        process.wait_line("ready")


def test_another_installation_sees_nothing_of_this_test_run(tmp_path: Path) -> None:
    code = "from django.conf import settings; print(settings.DATABASES['default']['NAME'])"

    assert manage(tmp_path, "shell", "-v0", "-c", code).startswith(str(tmp_path))
    with pytest.raises(AssertionError, match="HOLDFAST_LOGIN_ATTEMPTS is 'many'"):
        manage(tmp_path, "check", env={"HOLDFAST_LOGIN_ATTEMPTS": "many"})


def test_waiting_in_vain_names_what_was_awaited() -> None:
    with pytest.raises(AssertionError, match="the moon"):
        wait_until(lambda: False, 0.1, "the moon")


def _alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")
