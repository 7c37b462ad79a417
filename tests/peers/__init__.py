"""Real peers from PyPI (MLflow, moto, DVC, …), each in an environment of its own so that none bends the service's.

`environment("mlflow")` installs `mlflow.lock` from this folder once into `.peers/` beside the repository's
virtual environment and answers the folder of its programs. Without a package index it raises Missing, which
fails the test: a peer is never skipped silently.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.binaries import Missing
from tests.processes import ROOT

HERE = Path(__file__).parent
FOLDER = ROOT / ".peers"


def environment(name: str) -> Path:
    """The `bin` folder of the peer's environment, installed when it is not there. Raises Missing."""
    lock = HERE / f"{name}.lock"
    stamp = hashlib.sha256(lock.read_bytes()).hexdigest()
    home = FOLDER / name
    done = home / "installed"
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # test processes start at the same time
        if not (done.exists() and done.read_text() == stamp):
            shutil.rmtree(home, ignore_errors=True)
            for command in _commands(home, lock):
                told = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
                if told.returncode:
                    raise Missing(f"The peer {name} could not be installed: {told.stderr[-2000:]}")
            done.write_text(stamp)
    return home / "bin"


def _commands(home: Path, lock: Path) -> list[list[str]]:
    uv = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".venv" / "bin"))
    python = str(home / "bin" / "python")
    if uv:
        return [
            [uv, "venv", "-q", "--python", sys.executable, str(home)],
            [uv, "pip", "install", "-q", "--python", python, "--require-hashes", "-r", str(lock)],
        ]
    return [
        [sys.executable, "-m", "venv", str(home)],
        [
            python,
            "-m",
            "pip",
            "install",
            "-qq",
            "--disable-pip-version-check",
            "--require-hashes",
            "-r",
            str(lock),
        ],
    ]
