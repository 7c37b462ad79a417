"""People at the door: how tests fill in its forms, and an identity provider that signs what it says."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import jwt
import pyotp
import pytest
from django.test import Client
from django.utils import timezone

from config.sign_in import factors, oidc
from incidents.models import User
from integrations import http, id_tokens
from integrations.contract import Request, Response
from tests.integrations.tokens import KEY, token

PASSWORD = "correct horse battery"
ISSUER = "https://id.example.org"
US = "holdfast-test"


def first_step(client: Client, name: str, password: str = PASSWORD, **more: str) -> Any:
    return client.post("/login/", {"username": name, "password": password, **more})


def is_in(client: Client) -> bool:
    return client.get("/settings/").status_code == 200


def with_app(user: User) -> str:
    """Give the user an authenticator app; its key. The code of this moment is not used up."""
    key = pyotp.random_base32()
    user.second_factors.create(kind="totp", name="Phone", secret={"key": key})
    return key


def code_of(key: str, later: int = 0) -> str:
    """What the app shows now, or so many steps of 30 seconds later."""
    return pyotp.TOTP(key).at(timezone.now() + timedelta(seconds=30 * later))


def codes_for(user: User) -> list[str]:
    return factors.new_codes(user)


@dataclass
class IdentityProvider:
    """Answers what the product asks of a provider. `claims` is who sits in front of it."""

    claims: dict[str, Any]
    userinfo: dict[str, Any] = field(default_factory=dict)
    #: replaces or adds to what the identity token says; `raw` replaces the whole token
    twisted: dict[str, Any] = field(default_factory=dict)
    raw: str = ""
    asked: list[Request] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def send(self, request: Request, **_: Any) -> Response:
        self.asked.append(request)
        path = urlsplit(request.url).path
        if path == "/.well-known/openid-configuration":
            places = {
                "authorization_endpoint": "/auth",
                "token_endpoint": "/token",
                "jwks_uri": "/keys",
                "userinfo_endpoint": "/me",
            }
            return self._said({"issuer": ISSUER, **{name: ISSUER + place for name, place in places.items()}})
        if path == "/keys":
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
            return self._said({"keys": [{**public, "kid": "k1", "use": "sig"}]})
        if path == "/me":
            return self._said({"sub": self.claims["sub"], **self.userinfo})
        assert path == "/token"
        return self._token(dict(parse_qsl((request.body or b"").decode())))

    def consent(self, address: str) -> dict[str, str]:
        """The person agrees at the address to which they were sent; the query with which they come back."""
        question = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert question["response_type"] == "code"
        assert question["client_id"] == US
        code = f"code-{len(self._codes)}"
        self._codes[code] = question
        return {"code": code, "state": question["state"]}

    def _token(self, form: dict[str, str]) -> Response:
        question = self._codes.pop(form["code"])
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == question["code_challenge"]
        assert form["redirect_uri"] == question["redirect_uri"]
        said = {"iss": ISSUER, "aud": US, "nonce": question["nonce"], **self.claims, **self.twisted}
        return self._said(
            {"access_token": "at", "token_type": "Bearer", "id_token": self.raw or token(**said)}
        )

    @staticmethod
    def _said(body: dict[str, Any]) -> Response:
        return Response(200, {}, json.dumps(body), body)


def provider(monkeypatch: pytest.MonkeyPatch, settings: Any, **claims: Any) -> IdentityProvider:
    """Single sign-on is set up, and this person sits in front of the provider."""
    made = IdentityProvider(
        {"sub": "s-1", "email": "ann@example.org", "email_verified": True, "groups": [], **claims}
    )
    monkeypatch.setattr(http, "send", made.send)
    monkeypatch.setattr(id_tokens, "_sets", {})
    monkeypatch.setattr(oidc, "_known", {})
    settings.HOLDFAST_OIDC_ISSUER, settings.HOLDFAST_OIDC_CLIENT_ID = ISSUER, US
    settings.HOLDFAST_OIDC_CLIENT_SECRET, settings.HOLDFAST_BASE_URL = "not told", "http://testserver"
    return made


def sign_on(client: Client, there: IdentityProvider, next: str = "/incidents/") -> Any:
    """From the button to the answer that the callback gives."""
    led = client.get("/login/sso/", {"next": next})
    assert led.status_code == 302, led.content
    return client.get("/login/sso/callback/", there.consent(led["Location"]))


def long_ago(client: Client, *keys: str, seconds: int = 7200) -> None:
    """Set these marks of the client's session back in time."""
    session = client.session
    for key in keys:
        session[key] = time.time() - seconds
    session.save()
