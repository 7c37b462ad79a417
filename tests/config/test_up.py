"""`manage.py up` and `manage.py work` for real: one command, one process tree, an orderly end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.processes import HoldfastProcess, free_port, holdfast, manage, wait_until

pytestmark = [pytest.mark.once, pytest.mark.xdist_group("up")]


def is_ready(house: HoldfastProcess) -> bool:
    return house.get("/readyz")[0] == 200


def test_one_command_serves_works_survives_kills_and_stops(tmp_path: Path) -> None:
    with holdfast(tmp_path) as house:
        password = house.wait_line(r"sign in as admin with the password (\S+)")[1]
        wait_until(lambda: is_ready(house), 20, "the house is ready")
        checks = json.loads(house.get("/readyz")[1])["checks"]
        assert checks["broker"]["kind"] == "embedded"
        assert b"holdfast_inbox_messages" in house.get("/metrics")[1]
        assert manage(tmp_path, "settings", "--json").count(house.url) >= 1

        # the process that serves and works is killed: the server starts another
        supervisor, server, worker = house.pids()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: another(house, than=worker), 20, "another worker process")
        wait_until(lambda: answers(house), 20, "it answers again")

        # everything below the supervisor is killed at once: the supervisor starts it again
        for pid in house.pids()[1:]:
            os.kill(pid, signal.SIGKILL)
        house.wait_line("the server ended unexpectedly")
        wait_until(lambda: another(house, than=server) and answers(house), 30, "it answers again")
        wait_until(lambda: is_ready(house), 30, "the house is ready again")
        assert house.pids()[0] == supervisor

        assert house.terminate(15) == 0
        assert re.search(r"worker \S+ stopped", house.output)

    with holdfast(tmp_path) as again:
        assert password not in again.output
        assert "sign in with your account" in again.wait_line("(sign in .*)")[1]


def another(house: HoldfastProcess, *, than: int) -> bool:
    family = house.pids()
    return len(family) == 3 and than not in family


def answers(house: HoldfastProcess) -> bool:
    try:
        return house.get("/healthz", 2)[0] == 200
    except OSError:
        return False


def test_when_the_supervisor_is_killed_the_rest_ends_by_itself(tmp_path: Path) -> None:
    with holdfast(tmp_path) as house:
        _, *below = house.pids()
        house.signal(signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in below), 15, "server and worker have ended")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_port_in_use_is_said_before_anything_is_started(tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)), HoldfastProcess(data=tmp_path, port=port) as house:
        assert house.wait(60) == 1
        assert f"Cannot listen on 127.0.0.1:{port}" in house.output
        assert f"--port {port + 1}" in house.output


def test_a_folder_in_use_is_not_shared(tmp_path: Path) -> None:
    with holdfast(tmp_path), HoldfastProcess(data=tmp_path) as second:
        assert second.wait(60) == 1
        assert "is in use by another `up`" in second.output


def test_work_in_embedded_mode_says_what_to_run_instead(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"run `python manage\.py up`"):
        manage(tmp_path, "work")
