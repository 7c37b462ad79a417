"""Shared secrets and signatures: what is let in, and what is not."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from integrations.authenticity import (
    bearer,
    hmac_sha256,
    require_hmac,
    require_recent,
    require_shared,
    secrets_in,
)
from integrations.contract import Inbound, Refusal
from tests.integrations.inbound import NOON, request

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        (None, []),
        ("", []),
        (" one-secret ", ["one-secret"]),
        ("old-secret,new-secret", ["old-secret", "new-secret"]),
        ("old-secret\nnew-secret", ["old-secret", "new-secret"]),
        ("words, with a comma", ["words, with a comma"]),
        ("It's a Secret to Everybody", ["It's a Secret to Everybody"]),
    ],
)
def test_a_setting_holds_one_secret_or_several(setting: str | None, found: list[str]) -> None:
    assert secrets_in(setting) == found


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"user:{password}".encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer new-secret"},
        {"authorization": "GenieKey old-secret"},
        {"authorization": "old-secret"},
        {"authorization": basic("new-secret")},
        {"x_holdfast_secret": "new-secret"},
    ],
)
def test_a_shared_secret_is_found_wherever_vendors_can_put_it(headers: dict[str, str]) -> None:
    message = request({}, **headers)
    require_shared(message, {"secret": "old-secret,new-secret"})
    with pytest.raises(Refusal, match="shared secret") as refused:
        require_shared(message, {"secret": "another-one"})
    assert refused.value.status == 401


def test_a_shared_secret_may_stand_in_the_address() -> None:
    message = Inbound({}, b"", NOON, query="a=1&secret=old%2Dsecret")
    require_shared(message, {"secret": "old-secret"})
    crowded = Inbound({}, b"", NOON, query="&".join(["x=1"] * 60 + ["secret=old-secret"]))
    with pytest.raises(Refusal):
        require_shared(crowded, {"secret": "old-secret"})


@pytest.mark.parametrize("header", ["", "Basic", "Basic %%%", "Bearer", "Bearer  ", "\ud800"])
def test_nothing_and_nonsense_are_refused(header: str) -> None:
    with pytest.raises(Refusal):
        require_shared(request({}, authorization=header), {"secret": "old-secret"})
    require_shared(request({}, authorization=header), {})


def test_any_of_several_signatures_may_fit_any_of_several_secrets() -> None:
    right = hmac_sha256("new-secret", b"body")
    require_hmac(b"body", ["00ff", right.upper()], "old-secret,new-secret", "X-Signature")
    with pytest.raises(Refusal, match="does not fit"):
        require_hmac(b"other body", [right], "new-secret", "X-Signature")
    with pytest.raises(Refusal, match="X-Signature is missing"):
        require_hmac(b"body", ["", " "], "new-secret", "X-Signature")


def test_what_was_signed_long_ago_or_in_the_future_is_refused() -> None:
    require_recent(NOON - timedelta(seconds=299), NOON)
    require_recent(NOON + timedelta(seconds=299), NOON)
    for signed_at in (None, NOON - timedelta(seconds=301), NOON + timedelta(seconds=301)):
        with pytest.raises(Refusal, match="5 minutes"):
            require_recent(signed_at, NOON)


def test_a_bearer_is_told_from_other_schemes() -> None:
    assert bearer(request({}, authorization="bearer abc")) == "abc"
    assert bearer(request({}, authorization="Basic abc")) == ""
