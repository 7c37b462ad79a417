"""Where the vendors' own specifications and samples lie, beside the repository."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT

CONTRACTS = ROOT.parent / "shared" / "contracts"


def contract_path(*parts: str) -> Path:
    """A file or folder of `../shared/contracts`. Without it the test is left out, with a reason that
    `tests/conftest.py` sums up in one line; with CI=true it fails, because there it has to be."""
    path = CONTRACTS.joinpath(*parts)
    if not path.exists():
        reason = f"contracts: ../shared/contracts/{'/'.join(parts)} is not beside this repository"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return path


def contract_json(*parts: str) -> Any:
    """The parsed content of `contract_path`."""
    return json.loads(contract_path(*parts).read_text(encoding="utf-8"))
