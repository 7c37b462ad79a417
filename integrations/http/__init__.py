"""The one socket to the outside: guarded, bounded in time and size, and silent about secrets."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import orjson
import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from integrations.contract import Request, Response, SendError
from integrations.http import mail, smtp
from integrations.http.guard import CONNECT_SECONDS, Deadline, current_deadline, guarded_session
from integrations.http.hops import address_of, follow
from integrations.masking import mask, shown_url

__all__ = ["Exchange", "fetch_bytes", "kept_request", "mask", "run", "send"]

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_BYTES = 1024 * 1024  #: of an answer, after decompression
KEPT_CHARACTERS = 4096  #: of each body in a transcript

_MALFORMED = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidHeader,
    LocationParseError,
    UnicodeError,
)

#: One request and what came of it, both masked and ready to be stored as JSON.
Exchange = tuple[dict[str, Any], dict[str, Any]]


def send(request: Request, *, secrets: Sequence[str] = ()) -> Response:
    """Send one request and return the answer, whatever its status.

    `request.timeout` is the total time in seconds, from the first look-up to the last byte,
    redirects included. Header names of the answer are lower-case. An answer beyond 1 MiB is cut,
    and its text says so. Raises SendError: retryable when the way failed, permanent when the
    address is refused or the request cannot be written. Mailboxes (imap, imaps) are read by `mail`, mail (smtp, smtps) is
    sent by `smtp`.
    """
    if request.url.startswith(mail.SCHEMES):
        return mail.answer(request)
    if request.url.startswith(smtp.SCHEMES):
        return smtp.answer(request)
    started = time.monotonic()
    with _answer(request, secrets) as answer:
        body, cut = _read(answer, MAX_BYTES)
        text = _decode(body, answer.encoding)
        response = Response(
            status=answer.status_code,
            headers={name.lower(): value for name, value in answer.headers.items()},
            text=f"{text}\n[cut at {MAX_BYTES} bytes]" if cut else text,
            json=None if cut else _parsed(body),
            elapsed=round(time.monotonic() - started, 3),
        )
    log.info(
        "%s %s answered %s in %.3f s",
        request.method,
        shown_url(request.url, secrets),
        response.status,
        response.elapsed,
    )
    return response


def run(
    conversation: Generator[Request, Response, T],
    *,
    secrets: Sequence[str] = (),
    turn: Callable[[], None] = lambda: None,
) -> tuple[T, list[Exchange]]:
    """Hold one conversation with a vendor: send what it yields, hand back what was answered. Before each
    request but the first, `turn` waits until the vendor's rate allows it.

    A failure of the way is raised inside the conversation, at its `yield`, so that a step which
    may fail can be left out; uncaught it comes out here. Returns what the conversation concluded
    and the masked transcript; a SendError carries the transcript so far as `.transcript`.
    """
    transcript: list[Exchange] = []
    try:
        request = next(conversation)
        while True:
            try:
                response = send(request, secrets=secrets)
            except SendError as error:
                transcript.append((kept_request(request, secrets), {"error": mask(str(error), secrets)}))
                request = conversation.throw(error)
            else:
                transcript.append((kept_request(request, secrets), _kept_response(response, secrets)))
                request = conversation.send(response)
            turn()
    except StopIteration as end:
        return end.value, transcript
    except SendError as error:
        error.args = (mask(str(error), secrets),)  # a vendor may repeat our credentials in its complaint
        error.transcript = transcript
        raise
    finally:
        conversation.close()


def fetch_bytes(
    url: str,
    max_bytes: int,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    secrets: Sequence[str] = (),
) -> bytes:
    """Fetch a data set of at most `max_bytes`. Raises SendError when it is bigger or not there."""
    with _answer(Request("GET", url, headers=headers or {}, timeout=timeout), secrets) as answer:
        shown, status = shown_url(url, secrets), answer.status_code
        if not answer.ok:
            raise SendError(
                f"{shown} answered {status} instead of the data.",
                retryable=status in (408, 425, 429) or status >= 500,
            )
        body, cut = _read(answer, max_bytes)
    if cut:
        raise SendError(
            f"{shown} is bigger than {max_bytes} bytes; point to a smaller extract.", retryable=False
        )
    return body


# --- the answer ----------------------------------------------------------------------------------------


@contextmanager
def _answer(request: Request, secrets: Sequence[str]) -> Iterator[requests.Response]:
    """The final answer, its body still unread; errors become SendError in our own words."""
    host = address_of(request.url, secrets).hostname
    with Deadline(request.timeout) as deadline, guarded_session() as session:
        token = current_deadline.set(deadline)
        try:
            yield follow(session, request, deadline, secrets)
        except (requests.RequestException, HTTPError, OSError, UnicodeError) as error:
            permanent = isinstance(error, _MALFORMED)
            reason = (
                f"no complete answer within {deadline.seconds:g} s"
                if deadline.passed
                else _reason(error, request.timeout)
            )
            # `from None`: the original text holds the whole URL, and with it keys in the query
            raise SendError(f"Could not reach {host}: {reason}.", retryable=not permanent) from None
        finally:
            current_deadline.reset(token)


def _read(answer: requests.Response, limit: int) -> tuple[bytes, bool]:
    """The decompressed body up to `limit` bytes, and whether something was left out."""
    body = bytearray()
    for part in answer.raw.stream(65536, decode_content=True):
        body += part
        if len(body) > limit:
            return bytes(body[:limit]), True
    deadline = current_deadline.get()
    if deadline.passed:  # a shut socket ends a body of unknown length like a complete one
        raise requests.exceptions.ReadTimeout()
    return bytes(body), False


def _decode(body: bytes, charset: str | None) -> str:
    try:
        text = body.decode(charset or "utf-8", "replace")
    except LookupError:
        text = body.decode("utf-8", "replace")
    return text.replace("\0", "\ufffd")  # PostgreSQL text has no NUL


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body) if body.strip() else None
    except orjson.JSONDecodeError:
        # an error page, say: whoever asked reads the status and finds the text beside
        return None


def _reason(error: BaseException, seconds: float) -> str:
    """Why the way failed, in words without addresses, keys or object dumps."""
    causes: list[BaseException] = [error]
    while len(causes) < 8:
        last = causes[-1]
        inner = getattr(last, "reason", None) or next(
            (a for a in last.args if isinstance(a, BaseException)), None
        )
        inner = inner if isinstance(inner, BaseException) else last.__cause__ or last.__context__
        if inner is None or inner in causes:
            break
        causes.append(inner)
    reasons: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
        ((NameResolutionError, socket.gaierror), "the name does not resolve"),
        (ConnectionRefusedError, "the connection was refused"),
        (requests.exceptions.SSLError, "the TLS certificate or handshake was not accepted"),
        (NewConnectionError, "no connection to it could be made"),
        (ConnectTimeoutError, f"no connection within {min(CONNECT_SECONDS, seconds):g} s"),
        (
            (ReadTimeoutError, requests.exceptions.ReadTimeout, TimeoutError),
            f"no answer within {seconds:g} s",
        ),
        (_MALFORMED, "the address or a header holds characters that HTTP does not allow"),
    )
    for kind, reason in reasons:
        if any(isinstance(cause, kind) for cause in causes):
            return reason
    return "the connection broke off"


# --- what is kept --------------------------------------------------------------------------------------


def kept_request(request: Request, secrets: Sequence[str]) -> dict[str, Any]:
    """A request as it may be shown and stored: secrets masked, the body cut."""
    raw = mask(_decode(request.body or b"", None), secrets)[:KEPT_CHARACTERS]
    return {
        "method": request.method,
        "url": shown_url(request.url, secrets),
        "params": mask(dict(request.params), secrets),
        "headers": mask(dict(request.headers), secrets),
        "body": raw if request.json is None else mask(request.json, secrets),
    }


def _kept_response(response: Response, secrets: Sequence[str]) -> dict[str, Any]:
    return {
        "status": response.status,
        "headers": mask(dict(response.headers), secrets),
        "text": mask(response.text, secrets)[:KEPT_CHARACTERS],
        "elapsed": response.elapsed,
    }
