"""Runs Prism, a mock server that holds requests against a vendor's OpenAPI specification."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.contracts import contract_json, contract_path
from tests.processes import ROOT, Process, free_port

VERSION = "5.14.2"
HOME = ROOT / ".test-services" / "node"
CLI = HOME / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"


@contextmanager
def prism(spec: str, *, prefix: str = "") -> Iterator[str]:
    """The base address of a mock of `spec` (a path below `../shared/contracts`).

    Prism serves the paths of a specification without the path of its server address; `prefix` puts
    that back. The canaries of the specification run first: where a schema does not compile Prism
    accepts everything, and a green test would mean nothing.
    """
    document = _document(spec)
    document["paths"] = {prefix + path: item for path, item in document["paths"].items()}
    _install()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "spec.json"
        copy.write_text(json.dumps(document), encoding="utf-8")
        port = free_port()
        command = ["node", CLI, "mock", "-h", "127.0.0.1", "-p", str(port), "-m", "false", copy]
        with Process(command) as process:
            process.wait_line("Prism is listening", timeout=60)
            base = f"http://127.0.0.1:{port}"
            _run_canaries(spec, base + prefix)
            yield base


def _document(spec: str) -> Any:
    if spec.endswith(".yaml"):
        return yaml.safe_load(contract_path(*spec.split("/")).read_text(encoding="utf-8"))
    return contract_json(*spec.split("/"))


def _run_canaries(spec: str, base: str) -> None:
    canaries = [one for one in contract_json("MOCK_CANARIES.json") if one["spec"] == spec]
    assert canaries, f"there is no canary for {spec}: a mock of it proves nothing"
    for canary in canaries:
        status = _sing(canary, base)
        assert status == canary["expect_status"], (
            f"canary {canary['name']!r} of {spec}: {status} instead of {canary['expect_status']}"
        )


def _sing(canary: dict[str, Any], base: str) -> int:
    auth = canary.get("basic_auth")
    return requests.request(
        canary["method"],
        base + canary["path"],
        headers=canary.get("headers"),
        json=canary.get("json"),
        data=canary.get("data"),
        auth=(auth[0], auth[1]) if auth else None,
        timeout=30,
    ).status_code


def _install() -> None:
    """Prism in `.test-services/node`, once; parallel test processes wait for each other."""
    if CLI.exists():
        return
    if not shutil.which("npm"):
        reason = "Prism needs Node.js 18 or later with npm; install it to run the vendor contract tests"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    HOME.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(HOME)]
    with (HOME / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not CLI.exists():
            package = f"@stoplight/prism-cli@{VERSION}"
            subprocess.run([*command, package], check=True, capture_output=True, timeout=300)
