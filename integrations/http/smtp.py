"""Mail over SMTP, under the same guard as every request: hand one message over, say what became of each recipient.

A request for `smtp://host[:port]` (which has to offer STARTTLS) or `smtps://host[:port]` is answered like one over HTTP.
`Authorization: Basic …` carries user and password, `body` the message, `params` its envelope: `from`, `to` (addresses
separated by commas), and `encryption=none`, which is for servers inside: their network stands in
`HOLDFAST_EGRESS_ALLOW`.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
import time
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from integrations.contract import Request, Response, SendError
from integrations.http.egress import allowed_networks
from integrations.http.mail import credentials
from integrations.http.tcp import dial

SCHEMES = ("smtp://", "smtps://")
PORTS = {"smtp": 587, "smtps": 465}


class _Server(smtplib.SMTP):
    """smtplib on a connection that the guard made."""

    def __init__(self, host: str, port: int, seconds: float, context: ssl.SSLContext | None):
        self._context = context
        name = urlsplit(settings.HOLDFAST_BASE_URL).hostname or "localhost"
        super().__init__(host, port, local_hostname=name, timeout=seconds)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = dial(host, port, timeout)
        return self._context.wrap_socket(sock, server_hostname=host) if self._context else sock


def answer(request: Request) -> Response:
    """What became of a message: status 200 and JSON `{"code", "message", "refused": {address: reason}}`, where some
    recipients were taken; 401 when the login is refused, 422 for what the server will never take, 503 for what it may
    take later.

    Raises SendError when the way fails, or is not safe.
    """
    started = time.monotonic()
    parts = urlsplit(request.url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    context = ssl.create_default_context(cafile=settings.HOLDFAST_CA_BUNDLE or None)
    server: _Server | None = None
    try:
        server = _Server(host, port, request.timeout, context if parts.scheme == "smtps" else None)
        if parts.scheme == "smtp":
            _protect(server, host, request, context)
        status, told = _hand_over(server, request)
    except smtplib.SMTPServerDisconnected as error:
        raise SendError(f"{host} ended the conversation: {error}", retryable=True) from error
    except smtplib.SMTPResponseException as error:
        status, told = _status(error.smtp_code), _said(error.smtp_code, error.smtp_error)
    except smtplib.SMTPException as error:
        raise SendError(f"{host} does not speak SMTP as expected: {error}", retryable=False) from error
    except (OSError, EOFError) as error:
        reason = "its certificate is not accepted" if isinstance(error, ssl.SSLError) else "no answer in time"
        raise SendError(f"Could not reach {host}: {reason}.", retryable=True) from error
    finally:
        if server is not None:
            _leave(server)
    return Response(status, {}, str(told["message"]), told, round(time.monotonic() - started, 3))


def _protect(server: _Server, host: str, request: Request, context: ssl.SSLContext) -> None:
    """Encrypt what follows; in the clear only inside networks that the operator allowed."""
    if request.params.get("encryption") == "none":
        peer = ip_address(server.sock.getpeername()[0]) if server.sock else None
        if peer is None or not any(peer in network for network in allowed_networks()):
            raise SendError(
                f"Mail to {host} would travel in the clear. Use STARTTLS or TLS, or allow its network in "
                "HOLDFAST_EGRESS_ALLOW.",
                retryable=False,
            )
        return
    server.ehlo()
    if not server.has_extn("starttls"):
        raise SendError(
            f"{host} offers no STARTTLS, and mail is not sent in the clear. Use TLS.", retryable=False
        )
    server.starttls(context=context)


def _hand_over(server: _Server, request: Request) -> tuple[int, dict[str, Any]]:
    user, password = credentials(request)
    server.ehlo_or_helo_if_needed()
    if user:
        try:
            server.login(user, password)
        except smtplib.SMTPAuthenticationError as error:
            return 503 if 400 <= error.smtp_code < 500 else 401, _said(error.smtp_code, error.smtp_error)
        except smtplib.SMTPNotSupportedError:
            return 401, _said(0, b"The server takes no login; leave user and password empty.")
    to = [one for one in request.params["to"].split(",") if one]
    try:
        refused = server.sendmail(request.params["from"], to, request.body or b"")
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        # some of them may be taken later: all are tried again
        code = min(codes, default=550)
        return _status(code), {
            **_said(code, b"no recipient was taken"),
            "refused": _refused(error.recipients),
        }
    return 200, {**_said(250, b"OK"), "refused": _refused(refused)}


def _status(code: int) -> int:
    """https://www.rfc-editor.org/rfc/rfc5321#section-4.2.1: 4yz passes, 5yz is for good."""
    return 503 if 400 <= code < 500 else 422


def _said(code: int, words: bytes | str) -> dict[str, Any]:
    return {"code": code, "message": _words(words), "refused": {}}


def _refused(recipients: Any) -> dict[str, str]:
    return {address: f"{code} {_words(words)}" for address, (code, words) in recipients.items()}


def _words(words: bytes | str) -> str:
    return words.decode(errors="replace") if isinstance(words, bytes) else str(words)


def _leave(server: _Server) -> None:
    try:
        server.quit()
    except (smtplib.SMTPException, OSError):
        server.close()
