"""Hexnode's devices on paper: what each round of polling tells, and what not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from integrations.contract import Polled, Request, Response, SendError, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import NOON, read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {"api_v1_devices_list": "1 resolved"}
PORTAL = {"base_url": "https://acme.hexnodemdm.com/", "api_key": "k-1", "system": "kiosk vision"}


def device(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "device_name": f"Kiosk {number}", "udid": f"u{number}", "compliant": True,
            "enrollment_status": "enrolled", "last_reported": (NOON - timedelta(hours=1)).isoformat(), **more}  # fmt: skip


def page(*devices: Any, after: str | None = None) -> Response:
    return Response(200, {}, "", {"count": len(devices), "next": after, "results": list(devices)})


def round_of(answer: Callable[[Request], Response], memory: Any = None, **more: Any) -> Polled:
    polling = provider("hexnode").poll({**PORTAL, **more}, memory or {}, NOON)
    try:
        asked = next(polling)
        while True:
            asked = polling.send(answer(asked))
    except StopIteration as end:
        polled: Polled = end.value
        return polled


def test_a_device_is_told_when_it_changes_and_not_again() -> None:
    first = round_of(lambda asked: page(device(1), device(2, compliant=False)))
    [signal] = read("hexnode", request(first.messages[0].body), **PORTAL)
    assert (signal.title, signal.status, signal.family) == ("Kiosk 2 is out of compliance", "firing", "COMPL")
    assert (signal.system, first.memory["bad"]) == ("kiosk vision", {"2": "noncompliant"})
    again = round_of(lambda asked: page(device(1), device(2, compliant=False)), first.memory)
    assert not again.messages
    well = round_of(lambda asked: page(device(1), device(2)), again.memory)
    [over] = read("hexnode", request(well.messages[0].body), **PORTAL)
    assert (over.status, over.fingerprint) == ("resolved", signal.fingerprint)
    assert well.memory["bad"] == {}
    assert "imei" not in repr(over.extra)


def test_the_same_change_later_is_a_new_message_and_a_repeated_round_is_not() -> None:
    def bad(asked: Request) -> Response:
        return page(device(2, compliant=False))

    first, repeated = round_of(bad), round_of(bad)
    assert [one.key for one in first.messages] == [one.key for one in repeated.messages]
    later = round_of(bad, {"bad": {}, "round": 5})
    assert later.messages[0].key != first.messages[0].key


def test_silence_and_departure_are_conditions_of_their_own() -> None:
    old = (NOON - timedelta(days=9)).isoformat()
    polled = round_of(
        lambda asked: page(device(1, last_reported=old), device(2, enrollment_status="disenrolled"))
    )
    signals = read("hexnode", request(polled.messages[0].body), **PORTAL)
    assert [one.labels["alertname"] for one in signals] == ["silent", "gone"]
    patient = round_of(lambda asked: page(device(1, last_reported=old)), silent_days=0)
    assert not patient.messages


def test_from_one_condition_to_another_the_first_is_over() -> None:
    polled = round_of(lambda asked: page(device(1, compliant=False)), {"bad": {"1": "silent"}, "round": 1})
    told = {
        one.labels["alertname"]: one.status
        for one in read("hexnode", request(polled.messages[0].body), **PORTAL)
    }
    assert told == {"silent": "resolved", "noncompliant": "firing"}


def test_every_page_is_asked_with_the_key_and_only_at_the_portal() -> None:
    asked: list[Request] = []

    def answer(one: Request) -> Response:
        asked.append(one)
        return page(
            device(len(asked)),
            after="http://acme.hexnodemdm.com/api/v1/devices/?page=2" if len(asked) == 1 else None,
        )

    round_of(answer)
    assert [one.url for one in asked] == ["https://acme.hexnodemdm.com/api/v1/devices/?per_page=100",
                                          "https://acme.hexnodemdm.com/api/v1/devices/?page=2"]  # fmt: skip
    assert all(one.headers["Authorization"] == "k-1" for one in asked)
    with pytest.raises(SendError, match="another address"):
        round_of(lambda one: page(after="https://evil.example/api/v1/devices/?page=2"))


@pytest.mark.parametrize(
    ("answer", "retryable"),
    [
        (Response(429, {"retry-after": "12"}, "", {"detail": "throttled"}), True),
        (Response(401, {}, "", {"detail": "no"}), False),
        (Response(200, {}, "<html>", None), False),
        (Response(200, {}, "", {"results": "x"}), False),
    ],
)
def test_a_refusal_says_whether_to_ask_again(answer: Response, retryable: bool) -> None:
    with pytest.raises(SendError, match="Hexnode") as failed:
        round_of(lambda asked: answer)
    assert failed.value.retryable is retryable


def test_a_list_of_the_api_is_judged_by_compliance() -> None:
    [well] = read("hexnode", sample("hexnode", "api_v1_devices_list"))
    assert (well.status, well.title) == ("resolved", "OnePlusONEPLUS A5000 is out of compliance")
    assert (
        read("hexnode", request({"results": [{"id": 1, "compliant": False}, {}, "x", {"id": 2}]}))[0].status
        == "firing"
    )
    with pytest.raises(Unreadable):
        provider("hexnode").parse(request({"results": {}}), {})
