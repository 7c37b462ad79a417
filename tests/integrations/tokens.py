"""An identity provider of the tests: a key, its public half as JWKS, and tokens signed with it."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from integrations import http, id_tokens
from integrations.contract import Request, Response

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def token(kid: str = "k1", algorithm: str = "RS256", key: Any = KEY, **claims: Any) -> str:
    now = int(time.time())
    return jwt.encode({"iat": now, "exp": now + 300, **claims}, key, algorithm, headers={"kid": kid})


def publish(monkeypatch: pytest.MonkeyPatch, *kids: str, status: int = 200) -> list[str]:
    """Serve the public key under these names; returns the addresses that were asked."""
    asked: list[str] = []
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))

    def send(request: Request, **more: Any) -> Response:
        asked.append(request.url)
        return Response(status, {}, "", {"keys": [{**public, "kid": kid, "use": "sig"} for kid in kids]})

    monkeypatch.setattr(http, "send", send)
    monkeypatch.setattr(id_tokens, "_sets", {})
    return asked
