"""Keeps the web server running: what `manage.py up` becomes. Standard library only, to stay small.

The server replaces a failed worker process by itself, but ends when all its workers are killed at once. It is
then started again, sooner or later depending on how long it lived.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from types import FrameType
from typing import Any

#: Seconds before the next start, by number of starts that failed early in a row.
PAUSES = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)
#: A server that lived this many seconds had a good start.
GOOD_LIFE = 30.0


class Supervisor:
    """Starts `command`, says when it answers, starts it again when it ends unasked, stops it when asked."""

    def __init__(self, command: list[str], cwd: str, address: str, grace: float, told: list[str]) -> None:
        self.command = command
        self.cwd = cwd
        self.address = address
        self.grace = grace
        self.told = told
        self.asked_to_stop = threading.Event()
        self.server: subprocess.Popen[bytes] | None = None
        self._announced = False
        # nobody writes: the reading end, which the server inherits, ends when this process is gone
        self._life, self._alive = os.pipe()

    def run(self) -> int:
        """Serve until asked to stop. Returns the exit code: 0 after an orderly stop, 1 when the very first
        start never answered, which is a matter of configuration and not of luck."""
        early = 0
        while not self.asked_to_stop.is_set():
            started = time.monotonic()
            # own session: Ctrl-C reaches this process only, which passes it on in order
            self.server = subprocess.Popen(  # noqa: S603  our own command
                self.command,
                cwd=self.cwd,
                start_new_session=True,
                pass_fds=[self._life],
                env={**os.environ, "HOLDFAST_SUPERVISOR_LIFE": str(self._life)},
            )
            self._watch(self.server)
            if self.asked_to_stop.is_set():
                break
            lived = time.monotonic() - started
            if not self._announced:
                self._say(
                    f"the server did not start (exit code {self.server.returncode}); see the lines above"
                )
                return 1
            early = 0 if lived > GOOD_LIFE else early + 1
            pause = PAUSES[min(early, len(PAUSES) - 1)]
            self._say(f"the server ended unexpectedly after {lived:.0f} s; starting it again in {pause:g} s")
            self.asked_to_stop.wait(pause)
        return self._stop()

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: the orderly stop; asked a second time, the hard one."""
        if self.asked_to_stop.is_set() and self.server is not None and self.server.poll() is None:
            self._kill()
        self.asked_to_stop.set()

    def _watch(self, server: subprocess.Popen[bytes]) -> None:
        while server.poll() is None and not self.asked_to_stop.is_set():
            if not self._announced and self._answers():
                self._announced = True
                self._say(f"ready {self.address}", *self.told)
            # a child that ends interrupts nothing in Python; waiting in slices costs next to nothing
            self.asked_to_stop.wait(0.5 if self._announced else 0.1)

    def _answers(self) -> bool:
        # an address of ours, never one from outside
        request = urllib.request.Request(self.address + "/healthz", headers={"Host": "127.0.0.1"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _stop(self) -> int:
        server = self.server
        if server is None or server.poll() is not None:
            return 0
        self._say("stopping: work in hand is finished first (again Ctrl-C: at once)")
        server.terminate()
        try:
            server.wait(self.grace)
        except subprocess.TimeoutExpired:
            self._say("the server did not stop in time and is ended; its work is resumed at the next start")
            self._kill()
            server.wait()
        return 0

    def _kill(self) -> None:
        if self.server is not None:
            try:
                os.killpg(self.server.pid, signal.SIGKILL)
            except ProcessLookupError:
                return  # it ended by itself in between

    @staticmethod
    def _say(*lines: str) -> None:
        print(*lines, sep="\n", flush=True)


def main(orders: dict[str, Any]) -> int:
    supervisor = Supervisor(**orders)
    signal.signal(signal.SIGINT, supervisor.stop)
    signal.signal(signal.SIGTERM, supervisor.stop)
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
