"""Codes of an authenticator app (RFC 6238): 6 digits that change every 30 seconds."""

from __future__ import annotations

import hmac
import io
from datetime import datetime

import pyotp
from django.utils.safestring import SafeString, mark_safe

ISSUER = "Holdfast"
SECONDS = 30
#: Steps before and after the present one that are accepted, for clocks that differ and people who type slowly.
AROUND = 1


def new_key() -> str:
    """160 random bits in base32."""
    return pyotp.random_base32()


def address(key: str, name: str) -> str:
    """The otpauth:// address that an app reads, for the account `name`."""
    return pyotp.TOTP(key).provisioning_uri(name=name, issuer_name=ISSUER)


def picture(address: str) -> SafeString:
    """The address as a QR code: SVG made of numbers, with nothing of the text in it."""
    import segno  # 6 MB, for the few minutes in an installation's life in which somebody sets an app up

    out = io.BytesIO()
    segno.make(address, error="m").save(
        out, kind="svg", scale=4, border=2, xmldecl=False, svgclass="qr", title="QR code for the authenticator app",
        dark="#000", light="#fff",
    )  # fmt: skip
    return mark_safe(out.getvalue().decode())  # noqa: S308


def step_of(key: str, code: str, at: datetime) -> int | None:
    """The 30-second step to which the code belongs, when it is valid at `at`; else None."""
    digits = "".join(code.split())
    now, app = int(at.timestamp()) // SECONDS, pyotp.TOTP(key)
    for step in range(now - AROUND, now + AROUND + 1):
        if hmac.compare_digest(app.generate_otp(step).encode(), digits.encode()):
            return step
    return None
