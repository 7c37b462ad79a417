"""Every request of every conversation fails in turn: tried again, given up, or left out and noted; never a surprise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from integrations.contract import Announcement, Provider, Request, Response, SendError, Sent
from integrations.shelf import providers
from tests.integrations.test_outbound_table import CASES
from tests.integrations.test_provider_contract import settings_of
from tests.integrations.vendors import VENDORS
from tests.integrations.wire import Answer, answered, converse, told

pytestmark = pytest.mark.once

OUTBOUND = [one for one in providers().values() if one.outbound]
#: What comes instead of an answer, whether it is tried again, and after how many seconds.
FAULTS: dict[str, tuple[Answer, bool, float | None]] = {
    "rate limit with a time": (Response(429, {"Retry-After": "7"}, ""), True, 7.0),
    "rate limit without": (Response(429, {}, ""), True, None),
    "trouble": (Response(503, {}, "<html>"), True, None),
    "time-out": (SendError("Could not reach the vendor: no answer in time.", retryable=True), True, None),
    "refusal": (answered(403, {"message": "no"}), False, None),
}


def settings_for(one: Provider) -> Mapping[str, Any]:
    case = CASES.get(one.slug)
    return case.settings("https://vendor.example.org") if case else settings_of(one)


def held(
    one: Provider, what: Announcement, link: Any, fail_at: int = -1, fault: Answer | None = None
) -> tuple[Sent, int]:
    """The conversation with the vendor on paper, whose n-th answer is the fault; and how many requests it had."""
    case = CASES.get(one.slug)
    vendor, asked = (case.vendor if case else VENDORS[one.slug])(), 0

    def answer(request: Request) -> Answer:
        nonlocal asked
        asked += 1
        return fault if fault is not None and asked - 1 == fail_at else vendor(request)

    sent, _ = converse(one.compose(what, settings_for(one), link), answer)
    return sent, asked


@pytest.mark.parametrize("one", OUTBOUND, ids=lambda one: one.slug)
def test_each_request_may_fail_in_each_way(one: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    came_of_it: Counter[str] = Counter()
    for kind in sorted(one.carries):
        what = told(kind)
        for position in range(held(one, what, None)[1]):
            for name, (fault, retryable, after) in FAULTS.items():
                where = f"{one.slug} {kind}, request {position}: {name}"
                came_of_it[_outcome(one, what, position, fault, (retryable, after), where)] += 1
    with capsys.disabled():
        print(
            f"\n{one.slug:14}",
            ", ".join(f"{times} {name}" for name, times in sorted(came_of_it.items())),
            end="",
        )
    assert came_of_it["again"] >= 4
    assert came_of_it["given up"]


def _outcome(
    one: Provider,
    what: Announcement,
    position: int,
    fault: Answer,
    expected: tuple[bool, float | None],
    where: str,
) -> str:
    error: SendError | None = None
    try:
        sent, _ = held(one, what, None, position, fault)
    except SendError as raised:
        error = raised
    if error is None:
        assert position > 0 or sent.note, where
        return "left out"
    assert (error.retryable, error.retry_after) == expected, where
    assert str(error), where
    return "again" if error.retryable else "given up"
