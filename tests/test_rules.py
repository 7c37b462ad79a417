"""The rules of a test run hold: each is shown by running pytest on a small file of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

pytestmark = pytest.mark.once


def run(folder: Path, source: str, **env: str) -> str:
    """What pytest prints for a test file with this source, under the rules of this project."""
    file = folder / "test_sample.py"
    file.write_text(f"import pytest\n\n{source}")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CI"))}
    options = ["-p", "tests.conftest", "-p", "no:django", "-p", "no:cacheprovider", "-o", "addopts="]
    options += ["-o", "DJANGO_SETTINGS_MODULE=", "-c", str(ROOT / "pyproject.toml"), "-rA"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(file)],
        cwd=ROOT,
        env={**inherited, "HOLDFAST_TEST_DATABASE": "sqlite", **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout + done.stderr


def test_a_skip_fails_in_ci_and_says_why(tmp_path: Path) -> None:
    source = "def test_left_out():\n    pytest.skip('no browser here')\n"

    assert "1 left out: no browser here" in run(tmp_path, source)
    in_ci = run(tmp_path, source, CI="true")
    assert "1 failed" in in_ci
    assert "Left out: no browser here" in in_ci


def test_a_skipped_file_fails_in_ci(tmp_path: Path) -> None:
    source = "pytest.skip('not for us', allow_module_level=True)\n"

    assert "1 skipped" in run(tmp_path, source)
    assert "1 error" in run(tmp_path, source, CI="true")


def test_an_allowed_skip_passes_in_ci(tmp_path: Path) -> None:
    source = (
        "@pytest.mark.allowed_skip('only on macOS')\ndef test_left_out():\n    pytest.skip('not macOS')\n"
    )

    assert "1 skipped" in run(tmp_path, source, CI="true")


def test_contract_tests_left_out_are_told_in_one_line(tmp_path: Path) -> None:
    source = (
        "@pytest.mark.parametrize('name', 'abc')\n"
        "def test_contract(name):\n"
        "    pytest.skip('contracts: ../shared/contracts is not there')\n"
    )

    assert "3 contract tests were left out" in run(tmp_path, source)
    assert "3 failed" in run(tmp_path, source, CI="true")


def test_each_database_runs_what_belongs_to_it(tmp_path: Path) -> None:
    source = "".join(
        f"@pytest.mark.{mark}\ndef test_{mark}():\n    pass\n\n"
        for mark in ("once", "sqlite_only", "postgresql_only", "django_db")
    )
    source += "def test_on_paper():\n    pass\n"

    on_sqlite = run(tmp_path, source)
    assert "4 passed, 1 deselected" in on_sqlite
    assert "::test_postgresql_only" not in on_sqlite
    on_postgresql = run(tmp_path, source, HOLDFAST_TEST_DATABASE="postgresql")
    assert "2 passed, 3 deselected" in on_postgresql
    assert "::test_postgresql_only" in on_postgresql
    assert "::test_django_db" in on_postgresql
