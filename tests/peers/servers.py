"""Peers that are servers, started for a test from their own environment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.peers import environment
from tests.processes import Process, free_port, wait_until


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """The address of a running MLflow tracking server with an empty registry in `folder`."""
    port = free_port()
    command = [
        environment("mlflow") / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with _running(command, f"http://127.0.0.1:{port}", "/health", folder) as url:
        yield url


@contextmanager
def moto_server() -> Iterator[str]:
    """The address of a running moto server: an empty Amazon."""
    port = free_port()
    command = [environment("moto") / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, f"http://127.0.0.1:{port}", "/moto-api/data.json") as url:
        yield url


@contextmanager
def oidc_server(*people: dict[str, Any]) -> Iterator[str]:
    """The issuer of a running OpenID provider, in front of which one of these people (their claims) may sit."""
    port = free_port()
    claims = [part for one in people for part in ("--user-claims", json.dumps(one))]
    command = [
        environment("oidc") / "oidc-provider-mock",
        "-H",
        "127.0.0.1",
        "-p",
        str(port),
        "-n",
        "true",
        *claims,
    ]
    with _running(command, f"http://127.0.0.1:{port}", "/.well-known/openid-configuration") as url:
        yield url


@contextmanager
def _running(command: list[str | Path], url: str, probe: str, cwd: Path | None = None) -> Iterator[str]:
    with Process(command, cwd=cwd) as process:

        def answers() -> bool:
            assert process.running, process.output[-4000:]
            try:
                return requests.get(url + probe, timeout=5).ok
            except requests.RequestException:
                return False  # it is still starting

        wait_until(answers, 240, f"{command[0]} answers", interval=0.25)
        yield url
