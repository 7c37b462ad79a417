"""OpenID Connect, the code flow with PKCE: from a click on the button to claims whose signature was checked.

https://openid.net/specs/openid-connect-core-1_0.html, RFC 7636 (PKCE), RFC 9207 (issuer in the answer).
Requests leave through `integrations.http`, so a provider in a private network needs HOLDFAST_EGRESS_ALLOW.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlencode

from django.conf import settings
from django.urls import reverse

from integrations import http
from integrations.contract import Refusal, Request, Response, SendError
from integrations.id_tokens import require_token

#: What providers sign with; nothing with a shared secret, and never "none".
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
#: Seconds that the provider's description is remembered, that somebody may take there, and for one request.
REMEMBERED, PATIENCE, TIMEOUT = 3600.0, 600.0, 8.0

Claims = dict[str, Any]


class NotSignedIn(Exception):
    """The provider's answer does not let anybody in; the message says why, to the person who came."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What the provider says of itself at its discovery address."""

    issuer: str
    authorization: str
    token: str
    keys: str
    userinfo: str
    basic: bool  #: takes our secret as HTTP Basic (the standard's default)


@dataclass(frozen=True, slots=True)
class Asked:
    """One sign-in on its way, kept in the session under its `state`."""

    nonce: str
    verifier: str
    next: str
    at: float


def configured() -> bool:
    return bool(settings.HOLDFAST_OIDC_ISSUER and settings.HOLDFAST_OIDC_CLIENT_ID)


def address_back() -> str:
    """The redirect address, as it is registered at the provider."""
    return f"{settings.HOLDFAST_BASE_URL}{reverse('sso_callback')}"


def start(next: str) -> tuple[str, str, Asked]:
    """Where to send the browser, the state that must come back, and what to remember. Raises NotSignedIn."""
    state, asked = (
        secrets.token_urlsafe(24),
        Asked(secrets.token_urlsafe(24), secrets.token_urlsafe(48), next, time.time()),
    )
    challenge = (
        base64.urlsafe_b64encode(hashlib.sha256(asked.verifier.encode()).digest()).rstrip(b"=").decode()
    )
    there = provider().authorization
    question = urlencode(
        {
            "response_type": "code",
            "client_id": settings.HOLDFAST_OIDC_CLIENT_ID,
            "redirect_uri": address_back(),
            "scope": " ".join(settings.HOLDFAST_OIDC_SCOPES),
            "state": state,
            "nonce": asked.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
    )
    return f"{there}{'&' if '?' in there else '?'}{question}", state, asked


def finish(asked: Asked, answer: Mapping[str, str]) -> Claims:
    """The claims about who came back with `answer` (the query of the redirect). Raises NotSignedIn."""
    if time.time() - asked.at > PATIENCE:
        raise NotSignedIn("The sign-in took too long. Start again.")
    known = provider()
    if answer.get("error"):
        told = answer.get("error_description") or answer["error"]
        raise NotSignedIn(f"{settings.HOLDFAST_OIDC_NAME} did not sign you in: {told[:300]}")
    if answer.get("iss", known.issuer) != known.issuer:
        raise NotSignedIn("The answer came from another identity provider than the one that was asked.")
    if not answer.get("code"):
        raise NotSignedIn("The identity provider's answer holds no code. Start again.")
    tokens = _exchange(known, answer["code"], asked.verifier)
    try:
        claims = require_token(
            str(tokens.get("id_token") or ""), keys=known.keys, issuers=[known.issuer],
            audience=settings.HOLDFAST_OIDC_CLIENT_ID, algorithms=ALGORITHMS,
        )  # fmt: skip
    except Refusal as refusal:
        raise NotSignedIn(str(refusal)) from refusal
    if not hmac.compare_digest(str(claims.get("nonce") or "").encode(), asked.nonce.encode()):
        raise NotSignedIn("The identity token belongs to another sign-in. Start again.")
    party = claims.get("azp") or (claims["aud"] if isinstance(claims["aud"], str) else claims["aud"][0])
    if party != settings.HOLDFAST_OIDC_CLIENT_ID:
        raise NotSignedIn("The identity token was issued to another application.")
    if not claims.get("sub"):
        raise NotSignedIn("The identity token does not say who you are (no `sub`).")
    return claims | _more(known, claims, str(tokens.get("access_token") or ""))


# --- the provider --------------------------------------------------------------------------------------

_lock = threading.Lock()
_known: dict[str, tuple[float, Provider]] = {}


def provider() -> Provider:
    """The configured provider, from its discovery document. Raises NotSignedIn."""
    address = settings.HOLDFAST_OIDC_ISSUER.removesuffix("/.well-known/openid-configuration").rstrip("/")
    found = _known.get(address)
    if found and time.monotonic() - found[0] < REMEMBERED:
        return found[1]
    document = _answer(Request("GET", f"{address}/.well-known/openid-configuration", timeout=TIMEOUT)).json
    if not isinstance(document, dict):
        raise NotSignedIn(f"{address} does not describe an identity provider. Check HOLDFAST_OIDC_ISSUER.")
    # an issuer may end in a slash, which nobody remembers when writing settings
    if str(document.get("issuer") or "").rstrip("/") != address:
        raise NotSignedIn(
            f"The identity provider calls itself {document.get('issuer')}, not {address}. Set HOLDFAST_OIDC_ISSUER to that."
        )
    needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    if missing := [
        name for name in needed if not str(document.get(name) or "").startswith(("https://", "http://"))
    ]:
        raise NotSignedIn(f"The identity provider does not tell its {', '.join(missing)}.")
    methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    made = Provider(
        issuer=document["issuer"],
        authorization=document["authorization_endpoint"],
        token=document["token_endpoint"],
        keys=document["jwks_uri"],
        userinfo=str(document.get("userinfo_endpoint") or ""),
        basic="client_secret_basic" in methods,
    )
    with _lock:
        _known.clear()
        _known[address] = (time.monotonic(), made)
    return made


def _exchange(known: Provider, code: str, verifier: str) -> dict[str, Any]:
    secret = settings.HOLDFAST_OIDC_CLIENT_SECRET
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": address_back(),
        "code_verifier": verifier,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if secret and known.basic:
        # RFC 6749 2.3.1: both halves are form-encoded before they are joined
        pair = f"{quote_plus(settings.HOLDFAST_OIDC_CLIENT_ID)}:{quote_plus(secret)}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        form |= {"client_id": settings.HOLDFAST_OIDC_CLIENT_ID} | (
            {"client_secret": secret} if secret else {}
        )
    request = Request("POST", known.token, headers=headers, body=urlencode(form).encode(), timeout=TIMEOUT)
    tokens = _answer(request, secrets=[secret] if secret else []).json
    if not isinstance(tokens, dict):
        raise NotSignedIn("The identity provider's answer cannot be read.")
    return tokens


def _more(known: Provider, claims: Claims, access: str) -> Claims:
    """Claims that the identity token leaves to the userinfo address, for the same subject."""
    wanted = {"email", settings.HOLDFAST_OIDC_GROUPS_CLAIM.split(".")[0]}
    if not (known.userinfo and access) or wanted <= set(claims):
        return {}
    request = Request("GET", known.userinfo, headers={"Authorization": f"Bearer {access}"}, timeout=TIMEOUT)
    told = _answer(request, secrets=[access]).json
    # https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse: another subject must not be used
    if not isinstance(told, dict) or told.get("sub") != claims["sub"]:
        raise NotSignedIn("The identity provider's userinfo speaks of somebody else.")
    return {name: value for name, value in told.items() if name not in claims}


def _answer(request: Request, secrets: list[str] | None = None) -> Response:
    try:
        response = http.send(request, secrets=secrets or [])
    except SendError as error:
        raise NotSignedIn(f"{settings.HOLDFAST_OIDC_NAME} cannot be reached: {error}") from error
    if response.status != 200:
        told = response.json if isinstance(response.json, dict) else {}
        why = told.get("error_description") or told.get("error") or ""
        raise NotSignedIn(
            f"{settings.HOLDFAST_OIDC_NAME} refused ({response.status}). {str(why)[:300]}".strip()
        )
    return response
