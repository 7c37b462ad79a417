"""Mailboxes over IMAP, under the same guard as every request: read what is new, change nothing.

A request for `imaps://host[:port]/MAILBOX` (or `imap://`, which has to offer STARTTLS) is answered like one over
HTTP. `Authorization: Basic …` carries user and password. `params`: `after`, the last uid known (empty: only say
where the mailbox ends), `most` messages, and `encryption=none` for a server that has none.
"""

from __future__ import annotations

import base64
import binascii
import imaplib
import socket
import ssl
import time
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings

from integrations.contract import Request, Response, SendError
from integrations.http.tcp import dial

SCHEMES = ("imap://", "imaps://")
PORTS = {"imap": 143, "imaps": 993}
#: Messages of one request; bytes of one message: attachments beyond that are not needed to read an alert.
MOST, BYTES = 25, 512 * 1024


class _Mailbox(imaplib.IMAP4):
    """imaplib on a connection that the guard made."""

    def __init__(self, host: str, port: int, seconds: float, context: ssl.SSLContext | None):
        self._dialled, self._context, self._seconds = (host, port), context, seconds
        super().__init__(host, port, seconds)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        sock = dial(*self._dialled, self._seconds)
        return self._context.wrap_socket(sock, server_hostname=self._dialled[0]) if self._context else sock


def answer(request: Request) -> Response:
    """What is new in a mailbox: status 200 and JSON `{"uidvalidity", "last", "more", "messages": [{"uid", "raw"}]}`,
    where `raw` is base64 of at most BYTES; 401 when the login is refused, 404 when there is no such mailbox.

    Raises SendError when the way fails.
    """
    started = time.monotonic()
    parts = urlsplit(request.url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    user, password = credentials(request)
    context = ssl.create_default_context(cafile=settings.HOLDFAST_CA_BUNDLE or None)
    box: _Mailbox | None = None
    try:
        box = _Mailbox(host, port, request.timeout, context if parts.scheme == "imaps" else None)
        if parts.scheme == "imap" and request.params.get("encryption") != "none":
            if "STARTTLS" not in box.capabilities:
                raise SendError(
                    f"{host} offers no STARTTLS, and the password is not sent in the clear. Use TLS (imaps).",
                    retryable=False,
                )
            box.starttls(context)
        status, found = _read(box, request, unquote(parts.path.strip("/")) or "INBOX", user, password)
    except imaplib.IMAP4.abort as error:
        raise SendError(f"{host} ended the conversation: {error}", retryable=True) from error
    except imaplib.IMAP4.error as error:
        raise SendError(f"{host} does not speak IMAP as expected: {error}", retryable=False) from error
    except (OSError, EOFError) as error:
        reason = "its certificate is not accepted" if isinstance(error, ssl.SSLError) else "no answer in time"
        raise SendError(f"Could not reach {host}: {reason}.", retryable=True) from error
    finally:
        if box is not None:
            _leave(box)
    return Response(status, {}, "", found, round(time.monotonic() - started, 3))


def _read(
    box: _Mailbox, request: Request, mailbox: str, user: str, password: str
) -> tuple[int, dict[str, Any]]:
    try:
        box.login(user, password)
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error as error:
        return 401, {"message": str(error)}
    quoted = '"' + mailbox.replace("\\", "\\\\").replace('"', '\\"') + '"'
    chosen, told = box.select(quoted, readonly=True)
    if chosen != "OK":
        return 404, {"message": str(told[0])}
    validity, after = _number(box, "UIDVALIDITY"), request.params.get("after", "")
    last = max(_number(box, "UIDNEXT") - 1, 0)
    if not after.isdecimal():
        return 200, {"uidvalidity": validity, "last": last, "more": False, "messages": []}
    known = int(after)
    _, listed = box.uid("SEARCH", f"UID {known + 1}:*")
    # `*` is the last message, whatever its number
    uids = sorted(uid for word in (listed[0] or b"").split() if word.isdigit() and (uid := int(word)) > known)
    asked = uids[: min(int(request.params.get("most", MOST)), MOST)]
    messages = [{"uid": uid, "raw": raw} for uid in asked if (raw := _message(box, uid)) is not None]
    return 200, {
        "uidvalidity": validity,
        "last": asked[-1] if asked else known,
        "more": len(uids) > len(asked),
        "messages": messages,
    }


def _message(box: _Mailbox, uid: int) -> str | None:
    """One message, not marked as read; None when it was removed meanwhile."""
    _, parts = box.uid("FETCH", str(uid), f"(UID BODY.PEEK[]<0.{BYTES}>)")
    for part in parts:
        if isinstance(part, tuple) and len(part) > 1:
            return base64.b64encode(part[1]).decode()
    return None


def _number(box: _Mailbox, name: str) -> int:
    _, told = box.response(name)
    word = told[0] if told else None
    return int(word) if word and word.isdigit() else 0


def credentials(request: Request) -> tuple[str, str]:
    """User and password of `Authorization: Basic …`; empty where there are none."""
    coded = request.headers.get("Authorization", "").removeprefix("Basic ")
    try:
        user, _, password = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password


def _leave(box: _Mailbox) -> None:
    try:
        box.logout()
    except (imaplib.IMAP4.error, OSError):
        box.shutdown()
