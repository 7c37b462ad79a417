"""The supervisor: tells when the server answers, starts it again when it dies, stops it in order."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import ROOT, Process, free_port

pytestmark = pytest.mark.once

#: A server that answers /healthz, says its process id, and stops at SIGTERM (or, stubborn, does not).
SERVER = """
import http.server, os, signal, sys, threading
port, stubborn = int(sys.argv[1]), sys.argv[2] == "stubborn"
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *args): pass
def stop(*args):
    print("asked to stop", flush=True)
    if not stubborn: os._exit(0)
signal.signal(signal.SIGTERM, stop)
server = http.server.HTTPServer(("127.0.0.1", port), Answer)
print("server", os.getpid(), flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
while True: signal.pause()
"""


@contextmanager
def supervised(*command: str, port: int = 0, grace: float = 5) -> Iterator[Process]:
    orders = {
        "command": [sys.executable, *command], "cwd": str(ROOT), "address": f"http://127.0.0.1:{port}",
        "grace": grace, "told": ["sign in as ann"],
    }  # fmt: skip
    with Process([sys.executable, "-P", ROOT / "config" / "supervisor.py", json.dumps(orders)]) as process:
        yield process


@contextmanager
def supervised_server(kind: str = "obedient", grace: float = 5) -> Iterator[Process]:
    port = free_port()
    with supervised("-c", SERVER, str(port), kind, port=port, grace=grace) as process:
        process.wait_line(r"^ready http://127.0.0.1")
        yield process


def servers(process: Process) -> list[int]:
    return [int(line.split()[1]) for line in process.lines if line.startswith("server ")]


def test_it_says_ready_and_how_to_sign_in_once_the_server_answers() -> None:
    with supervised_server() as process:
        process.wait_line("^sign in as ann$")
        assert process.output.index("server ") < process.output.index("ready http")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_asks_the_server_and_ends_with_0(number: signal.Signals) -> None:
    with supervised_server() as process:
        process.signal(number)
        assert process.wait(5) == 0
        assert "asked to stop" in process.output


def test_a_server_that_dies_is_started_again() -> None:
    with supervised_server() as process:
        import os

        os.kill(servers(process)[0], signal.SIGKILL)
        process.wait_line("ended unexpectedly")
        process.wait_line(r"server \d+\n(.*\n)*.*server \d+")
        assert len(set(servers(process))) == 2
        assert process.terminate(5) == 0


def test_a_server_that_does_not_stop_is_ended_after_the_grace() -> None:
    with supervised_server("stubborn", grace=0.5) as process:
        assert process.terminate(5) == 0
        assert "did not stop in time" in process.output


def test_asked_twice_it_ends_at_once() -> None:
    with supervised_server("stubborn", grace=30) as process:
        process.signal(signal.SIGINT)
        process.wait_line("asked to stop")
        process.signal(signal.SIGINT)
        assert process.wait(5) == 0


def test_a_server_that_never_answered_is_a_fault_of_configuration_and_is_not_tried_for_ever() -> None:
    with supervised("-c", "import sys; print('no such module'); sys.exit(3)") as process:
        assert process.wait(10) == 1
        assert "the server did not start (exit code 3)" in process.output


def test_the_supervisor_needs_the_standard_library_only() -> None:
    source = (ROOT / "config" / "supervisor.py").read_text()
    imported = {
        line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))
    }
    assert imported - {"__future__"} <= set(sys.stdlib_module_names)
    assert Path(sys.executable).exists()
