"""Rules of every test run: which tests belong to which database, and that nothing is left out silently.

The database itself is chosen in `tests/settings.py`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest
from django.test import TransactionTestCase

DATABASE = os.environ.get("HOLDFAST_TEST_DATABASE") or "sqlite"
CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
REAL = Path(__file__).parent / "real"

#: How `tests/contracts.py` begins the reason of a skip when the vendors' contracts are not there.
CONTRACTS = "contracts:"

_calm = [hypothesis.HealthCheck.too_slow]  # says how busy the machine is, not whether the code is right
hypothesis.settings.register_profile("local", deadline=None, suppress_health_check=_calm)
hypothesis.settings.register_profile(
    "ci", deadline=None, suppress_health_check=_calm, derandomize=True, print_blob=True
)
hypothesis.settings.load_profile("ci" if CI else "local")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what belongs to the other database; real processes come first and one after another."""
    for item in items:
        if item.path.is_relative_to(REAL):
            item.add_marker("once")
            item.add_marker(pytest.mark.xdist_group("real"))
    left_out = {item for item in items if not _belongs_here(item)}
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
    items[:] = sorted(
        (item for item in items if item not in left_out), key=lambda item: not item.path.is_relative_to(REAL)
    )


def _belongs_here(item: pytest.Item) -> bool:
    if DATABASE == "sqlite":
        return item.get_closest_marker("postgresql_only") is None
    # The second run repeats what reaches the database; pytest-django refuses it to every other test.
    if item.get_closest_marker("sqlite_only") or item.get_closest_marker("once"):
        return False
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(
        item.get_closest_marker("django_db")
        or item.get_closest_marker("postgresql_only")
        or fixtures & {"db", "transactional_db", "live_server"}
        or (isinstance(item, pytest.Function) and issubclass(item.cls or object, TransactionTestCase))
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    excused = report.outcome != "skipped" or hasattr(report, "wasxfail")
    if CI and not excused and not item.get_closest_marker("allowed_skip"):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if CI and report.outcome == "skipped":
        _fail(report)
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    report.outcome = "failed"
    report.longrepr = (
        f"Left out: {_reason(report)}\nWith CI=true everything must run: provide what is missing, or mark the "
        "test with @pytest.mark.allowed_skip(reason)."
    )


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    where = report.longrepr
    return where[2].removeprefix("Skipped: ") if isinstance(where, tuple) else str(where)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each reason that left tests out; all that miss a vendor's contract are one reason."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    contracts = sum(count for reason, count in reasons.items() if reason.startswith(CONTRACTS))
    if contracts:
        terminalreporter.write_line(
            f"{contracts} contract tests were left out: the vendors' contracts are not there "
            "(they are read from ../shared/contracts)."
        )
    for reason, count in sorted(reasons.items()):
        if not reason.startswith(CONTRACTS):
            terminalreporter.write_line(f"{count} left out: {reason}")


def pytest_report_header() -> str:
    return f"holdfast: {DATABASE}{', CI' if CI else ''}"
