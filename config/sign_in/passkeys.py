"""Passkeys (WebAuthn): what the browser is asked, and whether its answer holds.

The host name under which Holdfast is reached is part of every passkey: one made at one name does not open another.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.http import HttpRequest

from incidents.models import User

if TYPE_CHECKING:
    from fido2.server import Fido2Server

#: Key of the session under which the open question is kept.
ASKED = "passkey"


class NoPasskey(Exception):
    """The browser's answer does not hold; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new passkey. `credential` is its public half (base64), `digest` names it."""

    credential: str
    digest: str
    host: str
    counter: int


def host_of(request: HttpRequest) -> str:
    """The name that passkeys are bound to."""
    return urlsplit("//" + request.get_host()).hostname or ""


def usable(request: HttpRequest) -> bool:
    """Browsers make passkeys for names only, and only over https (or for localhost)."""
    host = host_of(request)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return request.is_secure() or host == "localhost" or host.endswith(".localhost")
    return False


def ask_to_make(request: HttpRequest, user: User, known: list[str]) -> dict[str, Any]:
    """Options for `navigator.credentials.create`; `known` are credentials that the device need not make again."""
    from fido2.webauthn import (
        PublicKeyCredentialUserEntity,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    options, asked = _server(request).register_begin(
        PublicKeyCredentialUserEntity(
            id=str(user.pk).encode(), name=user.get_username(), display_name=str(user)
        ),
        [_credential(one) for one in known],
        resident_key_requirement=ResidentKeyRequirement.PREFERRED,
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    request.session[ASKED] = {**asked, "for": user.pk, "to": "make"}
    return _plain(options)


def made(request: HttpRequest, user: User, answer: str) -> Made:
    """The passkey that the browser made. Raises NoPasskey."""
    asked = _asked(request, user, "make")
    try:
        data = _server(request).register_complete(asked, json.loads(answer))
    except (ValueError, TypeError, KeyError) as error:
        raise NoPasskey(f"The passkey was not accepted ({error}). Try again.") from error
    credential = data.credential_data
    if credential is None:
        raise NoPasskey("The browser's answer holds no passkey. Try again.")
    return Made(
        credential=base64.b64encode(bytes(credential)).decode(),
        digest=hashlib.sha256(credential.credential_id).hexdigest(),
        host=host_of(request),
        counter=data.counter,
    )


def ask(request: HttpRequest, user: User, known: list[str]) -> dict[str, Any]:
    """Options for `navigator.credentials.get` with one of the user's `known` credentials."""
    from fido2.webauthn import UserVerificationRequirement

    options, asked = _server(request).authenticate_begin(
        [_credential(one) for one in known], user_verification=UserVerificationRequirement.PREFERRED
    )
    request.session[ASKED] = {**asked, "for": user.pk, "to": "sign"}
    return _plain(options)


def answered(request: HttpRequest, user: User, known: list[str], answer: str) -> tuple[str, int]:
    """Which of the `known` credentials signed our question, and its count of signatures. Raises NoPasskey."""
    from fido2.webauthn import AuthenticationResponse

    asked = _asked(request, user, "sign")
    try:
        given = json.loads(answer)
        used = _server(request).authenticate_complete(asked, [_credential(one) for one in known], given)
        counter = AuthenticationResponse.from_dict(given).response.authenticator_data.counter
    except (ValueError, TypeError, KeyError) as error:
        raise NoPasskey(
            "This passkey does not belong to you here, or its answer does not hold. Try again."
        ) from error
    return hashlib.sha256(used.credential_id).hexdigest(), counter


def _server(request: HttpRequest) -> Fido2Server:
    from fido2.server import Fido2Server  # 12 MB, paid by processes in which somebody uses a passkey
    from fido2.webauthn import PublicKeyCredentialRpEntity

    return Fido2Server(PublicKeyCredentialRpEntity(id=host_of(request), name="Holdfast"))


def _asked(request: HttpRequest, user: User, to: str) -> dict[str, Any]:
    """The question of this session; taken away, so that an answer counts once."""
    asked: dict[str, Any] = request.session.pop(ASKED, {})
    if asked.get("for") != user.pk or asked.get("to") != to:
        raise NoPasskey("The question to the passkey is not open any more. Try again.")
    return asked


def _credential(text: str) -> Any:
    from fido2.webauthn import AttestedCredentialData

    return AttestedCredentialData(base64.b64decode(text))


def _plain(options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(dict(options)["publicKey"], default=dict))
    return found
