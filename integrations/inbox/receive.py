"""The front door: `POST /inbound/<token>/` is answered here, before Django; all else passes to Django.

Nothing is understood here beyond what a refusal needs: the address, the size, the envelope. The body is stored
as it came, and 202 is answered after the commit.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.db import Error

from integrations import http
from integrations.contract import Inbound, Provider, Refusal, Reply, SendError
from integrations.inbox import problems, tokens
from integrations.inbox.counters import RECEIVED
from integrations.inbox.problems import Problem
from integrations.inbox.tokens import Caller
from integrations.inbox.writer import Entry, NotStored, writer
from integrations.normalise import short_key, terms
from integrations.secrets import SecretsUnreadable

log = logging.getLogger(__name__)

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Answer = tuple[int, Mapping[str, str], bytes]

PREFIX = "/inbound/"
JSON = "application/json"
#: How much of a body that is too big is read anyway, so that the sender sees the answer and not a reset.
_READ_ON = 4

#: Headers that say nothing about the message, or that must not be kept.
_LEFT_OUT = terms(
    "host connection content-length transfer-encoding accept accept-encoding accept-language te proxy "
    "keep-alive x-forwarded-host x-forwarded-port x-forwarded-server"
)
_SECRET_HEADER = re.compile(r"authori[sz]ation|cookie|token|secret|passw|api-?key")


def predispatch(app: Application) -> Application:
    """The WSGI application `app` with the inbound address in front of it."""

    def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        if not path.startswith(PREFIX):
            return app(environ, start_response)
        token, _, rest = path[len(PREFIX) :].partition("/")
        if rest or not token:
            return app(environ, start_response)
        status, headers, body = _answer(token, environ)
        start_response(
            f"{status} {HTTPStatus(status).phrase}",
            [*headers.items(), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")],
        )
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    return application


def _answer(token: str, environ: Environ) -> Answer:
    name = label = ""
    try:
        body = _read_body(environ)  # before any answer: a sender that is still writing sees a reset instead
        who = tokens.caller(token)
        if who is None:
            raise problems.unknown_token()
        name, label = who.name, who.provider.slug if who.provider else ""
        answer = _receive(who, environ, body)
    except Problem as problem:
        answer = _told(problem)
    except Error as error:
        log.error("an inbound message could not be taken: %s", error)
        answer = _told(problems.overloaded("the database is not available"))
    except SecretsUnreadable as error:
        log.error("an inbound message could not be taken: %s", error)
        answer = _told(problems.overloaded("the settings of its connection cannot be decrypted"))
    except Exception:
        log.exception("a defect on the inbound path")
        answer = _told(Problem(500, "A defect kept the message from being stored.", "Send it again later."))
    RECEIVED.labels(name, label, str(answer[0])).inc()
    return answer


def _told(problem: Problem) -> Answer:
    return problem.status, {"Content-Type": problems.MEDIA_TYPE, **problem.headers}, problem.body()


def _receive(who: Caller, environ: Environ, body: bytes) -> Answer:
    provider = who.provider
    if provider is None or not provider.inbound:
        raise Problem(
            404, f'"{who.name}" does not receive messages.', "Check the address; this kind only sends."
        )
    if not who.enabled:
        raise problems.switched_off(who.name, who.paused_reason)
    method = environ["REQUEST_METHOD"]
    headers = _headers(environ)
    if method != "POST":
        return _greet(provider, who, Inbound(
            headers, body, datetime.now(UTC), who.origin, None, method, environ.get("QUERY_STRING", "")
        ))  # fmt: skip
    if who.bucket is not None and (pause := who.bucket.take()):
        raise problems.over_quota(provider.quota_status, who.bucket.per_minute, pause)
    _check_content_type(provider, headers)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Problem(422, f"The body is not UTF-8 text ({error.reason} at byte {error.start}).",
                      "Send UTF-8; put binary data into the message as base64.") from error  # fmt: skip
    if "\x00" in text:
        raise Problem(422, "The body holds a NUL character, which no text has.", "Send it as text.")
    inbound = Inbound(
        headers=headers,
        body=body,
        received_at=datetime.now(UTC),
        origin=who.origin,
        method=method,
        query=environ.get("QUERY_STRING", ""),
    )
    try:
        items, valid = _admitted(provider, inbound, who)
        reply = provider.handshake(inbound, valid) if items == 0 else None
    except Refusal as refusal:
        raise Problem(refusal.status, str(refusal)) from refusal
    if reply is not None:
        return _shaken(reply, who)
    entry = Entry(
        connection_id=who.id,
        delivery_key=short_key(provider.delivery_key(inbound)) or None,
        received_at=inbound.received_at,
        headers={name: value for name, value in headers.items() if not _SECRET_HEADER.search(name)},
        body=text,
        items=items,
        size=len(body),
    )
    try:
        receipt = writer.store(entry)
    except NotStored as error:
        if error.fault:
            raise Problem(
                422, f"The database cannot hold this message: {error}.", "Change the message."
            ) from error
        raise problems.overloaded(str(error)) from error
    if provider.accepted is not None:
        return provider.accepted.status, provider.accepted.headers, provider.accepted.body
    return 202, {"Content-Type": JSON}, b'{"receipt":"%b","items":%d}' % (str(receipt).encode(), items)


def _admitted(provider: Provider, inbound: Inbound, who: Caller) -> tuple[int, Mapping[str, Any]]:
    """Items of the message, and the settings under which it is genuine: secrets that were changed count for a
    day, as the sender cannot be changed at the same moment. Raises Refusal."""
    try:
        return provider.admit(inbound, who.settings), who.settings
    except Refusal as refusal:
        if refusal.status != 401 or who.former_until is None or who.former_until <= inbound.received_at:
            raise
        return provider.admit(inbound, who.former), who.former


def _greet(provider: Provider, who: Caller, inbound: Inbound) -> Answer:
    """GET, HEAD and OPTIONS are for vendors that check an address before they use it."""
    if inbound.method in ("GET", "HEAD", "OPTIONS"):
        reply = provider.handshake(inbound, who.settings)
        if reply is not None:
            return _shaken(reply, who)
        if inbound.method == "OPTIONS":
            return 204, {"Allow": "POST, OPTIONS"}, b""
    raise problems.wrong_method("POST, OPTIONS", inbound.method)


def _shaken(reply: Reply, who: Caller) -> Answer:
    """The answer to a handshake, once what it asks for is done. Raises Problem 503 when that failed."""
    if reply.confirm is not None:
        try:
            answered = http.send(reply.confirm).status
            failed = "" if 200 <= answered < 300 else f"it answered {answered}"
        except SendError as error:
            failed = str(error)
        if failed:
            log.warning('"%s" could not confirm its address at the vendor: %s', who.name, failed)
            raise Problem(
                503, f"The confirmation at the vendor failed: {failed}", "Ask for a new confirmation."
            )
    return reply.status, reply.headers, reply.body


def _headers(environ: Environ) -> dict[str, str]:
    """Request headers by lower-case name. The server's environment variables are among the keys of
    `environ`; none begins with HTTP_ but HTTP_PROXY, which `_LEFT_OUT` leaves out."""
    found = {
        name: value
        for key, value in environ.items()
        if key.startswith("HTTP_") and (name := key[5:].replace("_", "-").lower()) not in _LEFT_OUT
    }
    if content_type := environ.get("CONTENT_TYPE"):
        found["content-type"] = content_type
    return found


def _check_content_type(provider: Provider, headers: dict[str, str]) -> None:
    accepted = provider.content_types
    if "*/*" in accepted:
        return
    sent = headers.get("content-type", "").split(";")[0].strip().lower()
    if not sent and JSON in accepted:
        headers["content-type"] = JSON  # a body that is not JSON is refused as such
        return
    if sent in accepted or (JSON in accepted and (sent.endswith("+json") or sent == "text/json")):
        return
    raise problems.wrong_type(sent, accepted)


def _read_body(environ: Environ) -> bytes:
    """The whole body. Raises Problem 413 (after reading on for a while), 400 when it ends early."""
    limit: int = settings.HOLDFAST_INBOUND_MAX_BYTES
    declared = environ.get("CONTENT_LENGTH") or ""
    if not declared and not environ.get("wsgi.input_terminated"):
        return b""
    if declared and not declared.isdecimal():
        raise Problem(400, "Content-Length is not a number.", "Send the message with a valid Content-Length.")
    length = int(declared) if declared else None
    source = environ["wsgi.input"]
    if length is not None and length <= limit:
        body: bytes = source.read(length)
        while len(body) < length and (more := source.read(length - len(body))):
            body += more
        if len(body) < length:
            raise Problem(400, f"The body ended after {len(body)} of {length} bytes.", "Send it again.")
        return body
    kept, size, most = [], 0, limit * _READ_ON if length is None else min(length, limit * _READ_ON)
    while size < most and (chunk := source.read(min(65536, most - size))):
        size += len(chunk)
        if size <= limit:
            kept.append(chunk)
        else:
            kept.clear()
    if size > limit or length is not None:
        raise problems.too_big(limit)
    return b"".join(kept)
