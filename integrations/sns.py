"""Amazon SNS over HTTP: the envelope, its signature, and the confirmation of a subscription.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Mapping
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_pem_x509_certificate

from integrations import http
from integrations.contract import Refusal, Request, SendError
from integrations.normalise import text

TYPES = frozenset({"Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"})

#: What is signed, in this order; Subject only where there is one.
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
    "UnsubscribeConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip
_HOST = re.compile(r"sns\.[a-z0-9-]{1,40}\.amazonaws\.com(\.cn)?")

#: Bytes of a certificate at most; seconds it is remembered; certificates remembered at most.
CERTIFICATE_BYTES, CERTIFICATE_SECONDS, CERTIFICATES = 20_000, 24 * 3600.0, 64
#: Seconds for a call to SNS while it waits for our answer: it gives up after 15.
SECONDS = 6.0

_lock = threading.Lock()
_certificates: dict[str, tuple[float, rsa.RSAPublicKey]] = {}


def is_envelope(body: Any) -> bool:
    """Whether this JSON is what SNS posts, raw delivery excepted."""
    return isinstance(body, Mapping) and text(body.get("Type")) in TYPES and "TopicArn" in body


def verify(envelope: Mapping[str, Any]) -> None:
    """Check the signature of versions 1 (SHA1) and 2 (SHA256). Raises Refusal: 401, or 503 where the certificate
    cannot be fetched (SNS tries again then).

    The age is not judged: SNS retries for up to an hour and redrives from a queue later; a message that comes
    again is known by its MessageId.
    """
    algorithm = {"1": hashes.SHA1, "2": hashes.SHA256}.get(text(envelope.get("SignatureVersion")))
    if algorithm is None:
        raise Refusal("The message has no SignatureVersion 1 or 2 of Amazon SNS.", 401)
    try:
        signature = base64.b64decode(text(envelope.get("Signature")), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal("The Signature of this SNS message is not base64.", 401) from error
    if not signature:
        raise Refusal("The message carries no Signature of Amazon SNS.", 401)
    key = _public_key(_vendor_address(envelope.get("SigningCertURL"), "SigningCertURL"))
    try:
        key.verify(signature, signed_text(envelope), padding.PKCS1v15(), algorithm())
    except InvalidSignature as error:
        raise Refusal("The signature does not fit: this is not what Amazon SNS sent.", 401) from error


def signed_text(envelope: Mapping[str, Any]) -> bytes:
    """https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html"""
    names = _SIGNED[text(envelope["Type"])]
    parts = [f"{name}\n{envelope[name]}\n" for name in names if envelope.get(name) is not None]
    return "".join(parts).encode(errors="replace")


def confirmation(envelope: Mapping[str, Any]) -> Request:
    """The request that confirms a subscription. Raises Refusal (401) when it would not go to SNS."""
    url = _vendor_address(envelope.get("SubscribeURL"), "SubscribeURL")
    if parse_qs(urlsplit(url).query).get("Action") != ["ConfirmSubscription"]:
        raise Refusal("The SubscribeURL of this message does not confirm a subscription.", 401)
    return Request("GET", url, timeout=SECONDS)


def _vendor_address(value: Any, name: str) -> str:
    """The address, if it is one of Amazon's SNS hosts over https. Raises Refusal (401)."""
    url = text(value, 2000)
    try:
        parts = urlsplit(url)
        fits = parts.scheme == "https" and parts.port in (None, 443) and not parts.username
    except ValueError:
        fits = False
    if not fits or not _HOST.fullmatch(parts.hostname or ""):
        raise Refusal(f"The {name} of this message does not lead to Amazon SNS.", 401)
    return url


def _public_key(url: str) -> rsa.RSAPublicKey:
    now = monotonic()
    known = _certificates.get(url)
    if known is not None and known[0] > now:
        return known[1]
    try:
        pem = http.fetch_bytes(url, CERTIFICATE_BYTES, timeout=SECONDS)
    except SendError as error:
        raise Refusal(f"The certificate of this SNS message cannot be fetched: {error}", 503) from error
    try:
        key = load_pem_x509_certificate(pem).public_key()
    except ValueError as error:
        raise Refusal("The certificate that this SNS message names cannot be read.", 401) from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise Refusal("The certificate that this SNS message names is none of Amazon's.", 401)
    with _lock:
        if len(_certificates) >= CERTIFICATES:
            _certificates.clear()
        _certificates[url] = (now + CERTIFICATE_SECONDS, key)
    return key
