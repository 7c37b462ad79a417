"""A running demo and the passwords that it printed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services import HoldfastProcess, free_port


@dataclass
class Demo:
    """`passwords` has the people of docs/demo.md that are signed in here, and `admin`."""

    process: HoldfastProcess
    passwords: dict[str, str]

    @property
    def url(self) -> str:
        return self.process.url


@contextmanager
def demo(data: Path) -> Iterator[Demo]:
    """`up --demo` in the empty folder `data`, ready; ended hard when the block ends unless it was stopped."""
    port = free_port()
    arguments = ("up", "--port", str(port), "--data", str(data), "--demo")
    with HoldfastProcess(*arguments, data=data, port=port) as process:
        process.wait_ready(180)
        common = process.wait_line(r"sign in with the password (\S+)")[1]
        admin = process.wait_line(r"sign in as admin with the password (\S+)")[1]
        yield Demo(process, {**dict.fromkeys(("ann", "bo", "rep", "aud"), common), "admin": admin})
