"""Processes that tests start: free ports, waiting, a guard that outlives a killed test run, Holdfast itself."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Self, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent

#: Reads "watch PID", "forget PID", "folder PATH" and, when the test run is gone, ends and removes them.
_GUARD = r"""
import os, shutil, signal, sys, time
pids, folders = set(), set()
for line in sys.stdin:
    word, _, rest = line.rstrip("\n").partition(" ")
    if word == "watch": pids.add(int(rest))
    elif word == "forget": pids.discard(int(rest))
    elif word == "folder": folders.add(rest)
for number in (signal.SIGQUIT, signal.SIGKILL):
    for pid in pids:
        try: os.killpg(pid, number)
        except (ProcessLookupError, PermissionError): pass
    if pids: time.sleep(1)
for folder in folders: shutil.rmtree(folder, ignore_errors=True)
"""


class Guard:
    """Ends our child processes even when the test run itself is killed: a helper process notices
    that its input closed. Signals cannot do that (SIGKILL runs no handler), and a parent-death
    signal is lost when the child changes its user, as PostgreSQL must."""

    def __init__(self) -> None:
        self._helper: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def tell(self, word: str, value: object) -> None:
        with self._lock:
            if self._helper is None:
                self._helper = subprocess.Popen(
                    [sys.executable, "-c", _GUARD], stdin=subprocess.PIPE, text=True, start_new_session=True
                )
                atexit.register(self.close)
            assert self._helper.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._helper.stdin.write(f"{word} {value}\n")
                self._helper.stdin.flush()

    def close(self) -> None:
        if self._helper is not None and self._helper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._helper.stdin.close()


guard = Guard()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    predicate: Callable[[], T], timeout: float = 10.0, what: str = "", interval: float = 0.05
) -> T:
    """The first true value of `predicate`; AssertionError naming `what` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:g} s: {what or predicate!r} (last value {value!r})")
        time.sleep(interval)


class Process:
    """One child process with its output kept, in a process group of its own."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: int | None = None,
        group: int | None = None,
    ) -> None:
        self.command = [str(part) for part in command]
        self.lines: list[str] = []
        self._popen = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            user=user,
            group=group,
            extra_groups=[] if user is not None else None,
            start_new_session=True,
        )
        guard.tell("watch", self.pid)
        assert self._popen.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._popen.stdout,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            self.lines.append(line.decode(errors="replace").rstrip("\n"))

    def wait_line(self, pattern: str, timeout: float = 30.0) -> re.Match[str]:
        """The first match of `pattern` in the output; fails at once when the process ends before."""

        def look() -> re.Match[str] | None:
            ended = not self.running
            if ended:
                self._reader.join(2)
            found = re.search(pattern, self.output, re.MULTILINE)
            if ended and found is None:
                raise AssertionError(
                    f"{self.command} ended with {self.returncode} before {pattern!r}:\n{self.output}"
                )
            return found

        try:
            found = wait_until(look, timeout, f"output of {self.command} matches {pattern!r}")
        except AssertionError as missing:
            raise AssertionError(f"{missing}\n{self.output[-4000:]}") from None
        assert found is not None
        return found

    def signal(self, number: int) -> None:
        """Signal the process alone, as a supervisor does."""
        with contextlib.suppress(ProcessLookupError):
            self._popen.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.command} still runs after {timeout:g} s\n{self.output[-4000:]}"
            ) from None
        self._reader.join(2)
        guard.tell("forget", self.pid)
        return code

    def terminate(self, timeout: float = 30.0) -> int:
        """SIGTERM and wait: the orderly stop. Returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """SIGKILL for the process and all that came from it, at once: the power cut."""
        family = self.pids()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait()

    def pids(self) -> list[int]:
        """The process and its living descendants, parents first."""
        children: dict[int, list[int]] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
        family = [self.pid] if self.running else []
        for pid in family:
            family.extend(children.get(pid, []))
        return family

    def memory(self) -> int:
        """Bytes of RAM of the whole family; pages that members share are counted once (PSS)."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += int(re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[0]) * 1024
        return total

    def cpu_seconds(self) -> float:
        """Processor time of the family's living members and their ended children."""
        ticks = 0
        for pid in self.pids():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += sum(int(value) for value in fields[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.kill()


def installation_env(data: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a separate installation: this one's without anything of Holdfast, plus `env`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HOLDFAST_", "DJANGO_", "PYTEST_")) and name != "DATABASE_URL"
    }
    return {**kept, "PYTHONUNBUFFERED": "1", "HOLDFAST_DATA": str(data), **(env or {})}


def manage(data: Path, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 120.0) -> str:
    """Run one `manage.py` command of the installation in `data` and return its standard output."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=installation_env(data, env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if done.returncode:
        raise AssertionError(
            f"manage.py {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
    return done.stdout


class HoldfastProcess(Process):
    """`python manage.py …` of the installation in `data`, as an operator starts it.

    Without arguments it is `up` on a free port, with an empty world; `url` is known after `wait_ready()`.
    """

    def __init__(
        self, *arguments: str, data: Path, env: Mapping[str, str] | None = None, port: int | None = None
    ) -> None:
        self.data = data
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = installation_env(data, env)
        if not arguments:
            arguments = ("up", "--port", str(self.port), "--data", str(data), "--no-demo")
        super().__init__([sys.executable, ROOT / "manage.py", *arguments], env=self.env, cwd=ROOT)

    def wait_ready(self, timeout: float = 90.0) -> str:
        """Wait for the `ready http://…` line and return the address."""
        self.url = self.wait_line(r"ready (http://\S+)", timeout)[1].rstrip("/")
        return self.url

    def get(self, path: str, timeout: float = 10.0) -> tuple[int, bytes]:
        """Status and body of GET `path`; errors of the HTTP kind are answers, not exceptions."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read()


@contextlib.contextmanager
def holdfast(
    data: Path, *, env: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[HoldfastProcess]:
    """A running, ready installation; ended hard when the block ends unless the test stopped it."""
    with HoldfastProcess(data=data, env=env, port=port) as process:
        process.wait_ready()
        yield process
