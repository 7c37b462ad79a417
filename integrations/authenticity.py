"""Is this message from whom it says? Shared secrets and HMAC signatures, compared in constant time.

A secret setting may hold several secrets, separated by commas or line breaks: while a secret is rotated at the
vendor, the old and the new one are both accepted.

One rule for all providers: without a secret the address alone admits a message, and it is taken as information
(alerts, changes); what a person asks in it is done only where the vendor proves its messages.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from integrations.contract import Field, Inbound, Provider, Refusal
from integrations.normalise import listed

#: Seconds a signed message may be old or early where a vendor names no bound of its own.
TOLERANCE = 300

#: Characters of the shortest secret that is taken as one of several.
SHORTEST = 8

#: Parameters of an address that are looked at.
MOST_PARAMETERS = 50

#: The header that carries a shared secret where a vendor lets its user add headers.
SECRET_HEADER = "x-holdfast-secret"  # noqa: S105 - a name

SHARED_SECRET = Field(
    "secret",
    "Shared secret",
    "When set, messages without it are refused. Sent as the password of basic authentication, as "
    "Authorization: Bearer …, or in the header X-Holdfast-Secret. Several may be given while one is replaced.",
    secret=True,
    required=False,
)


def secrets_in(value: Any) -> list[str]:
    """The secrets that a setting holds. Where a comma would leave a part too short to be a secret, it belongs to
    the secret and does not separate."""
    whole = str(value or "").strip()
    parts = [part.strip() for part in re.split(r"[,\r\n]+", whole) if part.strip()]
    if len(parts) > 1 and min(map(len, parts)) < SHORTEST:
        return [whole]
    return parts


def unproven(kind: Provider, settings: Mapping[str, Any]) -> str:
    """Why nothing that people ask by such a connection is done, and what to do about it; "" when it is done, or
    when nothing can be asked there at all."""
    if not kind.proved_by or any(secrets_in(settings.get(name)) for name in kind.proved_by):
        return ""
    titles = listed(field.title for field in kind.fields if field.name in kind.proved_by)
    return (
        f"Messages of this connection do not prove that {kind.title} sent them, so alerts and changes are taken but "
        f"nothing that a person asks is done. Enter {titles} in the connection's settings."
    )


def is_among(offered: str, right: Iterable[str]) -> bool:
    """Whether `offered` equals one of `right`; the time taken does not tell how far it fits."""
    given = offered.encode(errors="surrogatepass")
    fits = [hmac.compare_digest(given, one.encode(errors="surrogatepass")) for one in right]
    return any(fits)


def hmac_sha256(secret: str, content: bytes) -> str:
    """Lower-case hex HMAC-SHA256."""
    return hmac.new(secret.encode(errors="surrogatepass"), content, hashlib.sha256).hexdigest()


def require_hmac(content: bytes, offered: Iterable[str], setting: Any, header: str) -> None:
    """Refuse (401) unless one of the offered hex signatures fits one of the secrets in `setting`.

    `header` is the name of the header that carries them, for the message.
    """
    signatures = [one.strip().lower() for one in offered if one.strip()]
    if not signatures:
        raise Refusal(
            f"This connection takes signed messages only, and {header} is missing. Enter the secret at the "
            "vendor, or take it out of the connection.",
            401,
        )
    right = [hmac_sha256(secret, content) for secret in secrets_in(setting)]
    if not any(is_among(signature, right) for signature in signatures):
        raise Refusal("The signature does not fit. Compare the secret here with the vendor's.", 401)


def require_shared(inbound: Inbound, settings: Mapping[str, Any]) -> None:
    """Refuse (401) a message without the shared secret of the setting `secret`, if there is one."""
    right = secrets_in(settings.get("secret"))
    if not right:
        return
    if not any(is_among(offered, right) for offered in _offered(inbound)):
        raise Refusal(
            "This connection asks for its shared secret: as the password of basic authentication, as "
            "Authorization: Bearer …, in the header X-Holdfast-Secret, or as ?secret=… in the address.",
            401,
        )


def require_recent(signed_at: datetime | None, received_at: datetime, seconds: float = TOLERANCE) -> None:
    """Refuse (401) a message whose signed time is missing, or further than `seconds` from when it arrived."""
    if signed_at is None or abs((received_at - signed_at).total_seconds()) > seconds:
        raise Refusal(
            f"The message was signed more than {seconds / 60:g} minutes away from our time. Check the sender's "
            "clock; repeat old messages with a new signature.",
            401,
        )


def bearer(inbound: Inbound) -> str:
    """The credentials of `Authorization: Bearer …`, or ""."""
    scheme, _, rest = inbound.headers.get("authorization", "").strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else ""


def _offered(inbound: Inbound) -> list[str]:
    scheme, _, rest = inbound.headers.get("authorization", "").strip().partition(" ")
    offered = [inbound.headers.get(SECRET_HEADER, ""), rest.strip() or scheme]
    if scheme.lower() == "basic":
        offered.append(_password(rest))
    if inbound.query.count("&") < MOST_PARAMETERS:
        offered += parse_qs(inbound.query).get("secret", [])
    return [one for one in offered if one]


def _password(coded: str) -> str:
    try:
        pair = base64.b64decode(coded.strip(), validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""
    return pair.partition(":")[2]
