"""Identity tokens of clouds: only those that are signed, current and meant for us."""

from __future__ import annotations

import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from integrations.contract import Refusal
from integrations.id_tokens import require_token
from tests.integrations.tokens import publish, token

pytestmark = pytest.mark.once

ISSUER, OURS = "https://issuer.example.org", "https://holdfast.example.org"


def required(written: str) -> dict[str, Any]:
    return require_token(written, keys="https://issuer.example.org/keys", issuers=(ISSUER,), audience=OURS)


def test_a_right_token_tells_its_claims_and_keys_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = publish(monkeypatch, "k1", "k2")
    for kid in ("k1", "k2", "k1"):
        assert required(token(kid, iss=ISSUER, aud=OURS, email="a@b.example"))["email"] == "a@b.example"
    assert asked == ["https://issuer.example.org/keys"]


def test_a_token_that_names_no_key_is_checked_against_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, "k1")
    assert required(token("", iss=ISSUER, aud=OURS, email="a@b.example"))["email"] == "a@b.example"
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(Refusal, match="Signature"):
        required(token("", key=stranger, iss=ISSUER, aud=OURS))
    publish(monkeypatch, "k1", "k2")
    with pytest.raises(Refusal, match="does not publish"):
        required(token("", iss=ISSUER, aud=OURS))


def wrong_tokens() -> dict[str, str]:
    right = {"iss": ISSUER, "aud": OURS}
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "none": "",
        "nonsense": "a.b.c",
        "another audience": token(**{**right, "aud": "https://elsewhere.example"}),
        "another issuer": token(**{**right, "iss": "https://elsewhere.example"}),
        "expired": token(**right, exp=int(time.time()) - 120),
        "from the future": token(**right, iat=int(time.time()) + 600),
        "without audience": token(iss=ISSUER),
        "signed by a stranger": token(key=stranger, **right),
        "of an unknown key": token("k9", **right),
        "not signed": token(algorithm="none", key=None, **right),
        "signed with a shared secret": token(algorithm="HS256", key="x" * 32, **right),
    }


@pytest.mark.parametrize("name", wrong_tokens())
def test_a_wrong_token_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    publish(monkeypatch, "k1")
    with pytest.raises(Refusal) as refused:
        required(wrong_tokens()[name])
    assert refused.value.status == 401


def test_an_unknown_key_does_not_make_us_ask_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = publish(monkeypatch, "k1")
    for _ in range(3):
        with pytest.raises(Refusal, match="does not publish"):
            required(token("k9", iss=ISSUER, aud=OURS))
    assert len(asked) == 1


def test_without_keys_the_caller_is_asked_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, "k1", status=500)
    with pytest.raises(Refusal, match="cannot be fetched") as refused:
        required(token(iss=ISSUER, aud=OURS))
    assert refused.value.status == 503
