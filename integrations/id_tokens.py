"""Signed tokens with which a cloud says who is calling (OpenID Connect): checked against its published keys."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any

import jwt

from integrations import http
from integrations.contract import Refusal, Request, SendError

#: Seconds that keys are remembered; seconds before an unknown key makes us ask again; key sets remembered.
KEYS_SECONDS, AGAIN_SECONDS, SETS = 3600.0, 60.0, 64
#: Seconds that clocks may differ.
LEEWAY = 60

_lock = threading.Lock()
_sets: dict[str, tuple[float, dict[str, jwt.PyJWK]]] = {}


def require_token(
    token: str, *, keys: str, issuers: Sequence[str], audience: str, algorithms: Sequence[str] = ("RS256",)
) -> dict[str, Any]:
    """The claims of a token for `audience` by one of `issuers`, signed with a key of the JWKS at `keys`.

    Raises Refusal: 401, or 503 where the keys cannot be fetched.
    """
    if not token:
        raise Refusal("This connection asks for the caller's identity token (Authorization: Bearer …).", 401)
    try:
        name = str(jwt.get_unverified_header(token).get("kid") or "")
        claims: dict[str, Any] = jwt.decode(
            token,
            _key(keys, name),
            algorithms=list(algorithms),
            audience=audience,
            issuer=list(issuers),
            leeway=LEEWAY,
            options={"require": ["exp", "iat", "aud", "iss"]},
        )
    except (jwt.PyJWTError, ValueError) as error:
        raise Refusal(f"The identity token is not accepted: {error}", 401) from error
    return claims


def _key(url: str, name: str) -> jwt.PyJWK:
    now = monotonic()
    fetched, known = _sets.get(url, (float("-inf"), {}))
    unknown = not name or name not in known
    if now - fetched > KEYS_SECONDS or (unknown and now - fetched > AGAIN_SECONDS):
        known = _fetched(url)
        with _lock:
            if len(_sets) >= SETS:
                _sets.clear()
            _sets[url] = (now, known)
    if not name and len(known) == 1:
        # a token may leave the name out where there is one key to choose from: RFC 7515 4.1.4, OpenID Connect Core 10.1
        return next(iter(known.values()))
    if name not in known:
        raise Refusal("The identity token is signed with a key that its issuer does not publish.", 401)
    return known[name]


def _fetched(url: str) -> dict[str, jwt.PyJWK]:
    try:
        response = http.send(Request("GET", url, timeout=6.0))
    except SendError as error:
        raise Refusal(f"The keys of the token's issuer cannot be fetched: {error}", 503) from error
    if response.status != 200 or not isinstance(response.json, dict):
        raise Refusal(f"The keys of the token's issuer cannot be fetched: {response.status}.", 503)
    try:
        found = jwt.PyJWKSet.from_dict(response.json).keys
    except jwt.PyJWTError as error:
        raise Refusal(f"The keys of the token's issuer cannot be read: {error}", 503) from error
    return {one.key_id or "": one for one in found}
