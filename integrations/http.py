"""The one socket to the outside: guarded, bounded in time and size, and silent about secrets."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin, urlsplit

import orjson
import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from integrations.contract import Conversation, Request, Response, SendError, Sent
from integrations.egress import allowed_networks, refusal
from integrations.masking import mask, shown_url

__all__ = ["Exchange", "fetch_bytes", "mask", "run", "send"]

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
MAX_BYTES = 1024 * 1024  #: of an answer, after decompression
MAX_REDIRECTS = 3
KEPT_CHARACTERS = 4096  #: of each body in a transcript
AGENT = "Holdfast"

_MALFORMED = (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader, LocationParseError)

#: One request and what came of it, both masked and ready to be stored as JSON.
Exchange = tuple[dict[str, Any], dict[str, Any]]


def send(request: Request, *, secrets: Sequence[str] = ()) -> Response:
    """Send one request and return the answer, whatever its status.

    `request.timeout` is the total time in seconds, from the first look-up to the last byte,
    redirects included. Header names of the answer are lower-case. An answer beyond 1 MiB is cut,
    and its text says so. Raises SendError: retryable when the way failed, permanent when the
    address is refused or the request cannot be written.
    """
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


def run(conversation: Conversation, *, secrets: Sequence[str] = ()) -> tuple[Sent, list[Exchange]]:
    """Hold one conversation with a vendor: send what it yields, hand back what was answered.

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
                transcript.append((_kept_request(request, secrets), {"error": mask(str(error), secrets)}))
                request = conversation.throw(error)
            else:
                transcript.append((_kept_request(request, secrets), _kept_response(response, secrets)))
                request = conversation.send(response)
    except StopIteration as end:
        return end.value, transcript
    except SendError as error:
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


# --- one request, its redirects, its deadline --------------------------------------------------------


class _Deadline:
    """The end of one request. When it comes, every socket opened for it is shut down, so that no
    read, however slowly the other side drips, outlives it (a read timeout alone restarts with
    each byte)."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.ends = time.monotonic() + seconds
        self.passed = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            for held in self._sockets:
                held.close()
            self._sockets.clear()

    @property
    def left(self) -> float:
        return max(self.ends - time.monotonic(), 0.001)

    def watch(self, sock: socket.socket) -> None:
        """Hold a second handle: TLS takes the first one over, the connection stays the same."""
        with self._lock:
            self._sockets.append(sock.dup())

    def _expire(self) -> None:
        with self._lock:
            self.passed = True
            for held in self._sockets:
                try:
                    held.shutdown(socket.SHUT_RDWR)
                except OSError:
                    log.debug("a connection was already closed when its deadline came")


_deadline: ContextVar[_Deadline] = ContextVar("deadline of the request on its way")


@contextmanager
def _answer(request: Request, secrets: Sequence[str]) -> Iterator[requests.Response]:
    """The final answer, its body still unread; errors become SendError in our own words."""
    host = urlsplit(request.url).hostname or "the address"
    with _Deadline(request.timeout) as deadline, _session() as session:
        token = _deadline.set(deadline)
        try:
            yield _follow(session, request, deadline, secrets)
        except (requests.RequestException, HTTPError, OSError) as error:
            permanent = isinstance(error, _MALFORMED)
            reason = (
                f"no complete answer within {deadline.seconds:g} s"
                if deadline.passed
                else _reason(error, request.timeout)
            )
            # `from None`: the original text holds the whole URL, and with it keys in the query
            raise SendError(f"Could not reach {host}: {reason}.", retryable=not permanent) from None
        finally:
            _deadline.reset(token)


def _follow(
    session: requests.Session, request: Request, deadline: _Deadline, secrets: Sequence[str]
) -> requests.Response:
    body, headers = _written(request)
    for _ in range(MAX_REDIRECTS + 1):
        parts = urlsplit(request.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SendError(
                f"{shown_url(request.url, secrets)} is not a web address; use https://host/path.",
                retryable=False,
            )
        answer = session.request(
            request.method,
            request.url,
            params=dict(request.params),
            data=body,
            headers=headers,
            timeout=(min(CONNECT_SECONDS, deadline.left), deadline.left),
            allow_redirects=False,
            stream=True,
            proxies=_proxies(request.url),
        )
        target = answer.headers.get("location", "")
        if not target or answer.status_code not in (301, 302, 303, 307, 308):
            return answer
        answer.close()
        request, headers = _redirected(request, headers, answer.status_code, urljoin(request.url, target))
        if request.method == "GET":
            body = None
        elif body is not None and _crosses(answer.url, request.url) and _holds(body, secrets):
            raise SendError(
                f"{urlsplit(answer.url).hostname} redirects to {urlsplit(request.url).hostname}; "
                "a request that contains a secret is not carried to another host. "
                "Set the connection to the final address.",
                retryable=False,
            )
    raise SendError(
        f"{urlsplit(request.url).hostname} redirects more than {MAX_REDIRECTS} times; "
        "set the connection to the final address.",
        retryable=False,
    )


def _redirected(
    request: Request, headers: dict[str, str], status: int, target: str
) -> tuple[Request, dict[str, str]]:
    """The next hop. 307 and 308 keep the method; 303 asks for a look elsewhere; a POST answered with
    301 or 302 is not turned into a GET, which would lose the message and report success.
    https://www.rfc-editor.org/rfc/rfc9110#name-redirection-3xx
    """
    here, there = urlsplit(request.url), urlsplit(target)
    if here.scheme == "https" and there.scheme != "https":
        raise SendError(f"{here.hostname} redirects from https to an unprotected address.", retryable=False)
    method = request.method.upper()
    if status in (301, 302) and method not in ("GET", "HEAD"):
        raise SendError(
            f"{here.hostname} answered {status} and points to {there.hostname}; "
            "set the connection to that address.",
            retryable=False,
        )
    if status == 303:
        method = "GET"
    if _crosses(request.url, target):
        headers = {name: value for name, value in headers.items() if mask({name: value})[name] == value}
    if method == "GET":
        headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    return replace(request, method=method, url=target, params={}, json=None, body=None), headers


def _crosses(here: str, there: str) -> bool:
    return urlsplit(here)[:2] != urlsplit(there)[:2]


def _holds(body: bytes, secrets: Sequence[str]) -> bool:
    return any(secret.encode() in body for secret in secrets if secret)


def _written(request: Request) -> tuple[bytes | None, dict[str, str]]:
    headers = {"User-Agent": AGENT, "Accept": "application/json, */*;q=0.5", **request.headers}
    if request.json is None:
        return request.body, headers
    try:
        body = json.dumps(request.json, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise SendError(f"The request cannot be written as JSON: {error}", retryable=False) from error
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json; charset=utf-8"
    return body.encode("utf-8", "replace"), headers


def _read(answer: requests.Response, limit: int) -> tuple[bytes, bool]:
    """The decompressed body up to `limit` bytes, and whether something was left out."""
    body = bytearray()
    for part in answer.raw.stream(65536, decode_content=True):
        body += part
        if len(body) > limit:
            return bytes(body[:limit]), True
    deadline = _deadline.get()
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
        (_MALFORMED, "the address or a header is not valid"),
    )
    for kind, reason in reasons:
        if any(isinstance(cause, kind) for cause in causes):
            return reason
    return "the connection broke off"


# --- the guard -----------------------------------------------------------------------------------------


def _connect(connection: HTTPConnection) -> socket.socket:
    """Resolve, check, and connect to the very address that was checked.

    Looking the name up once and connecting to the result leaves no gap in which a second look-up
    could answer differently (DNS rebinding). TLS still verifies the host name afterwards.
    """
    deadline, networks = _deadline.get(), allowed_networks()
    host, port = connection._dns_host, connection.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise NameResolutionError(
            host, connection, error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
        ) from error
    refused = {str(where[0]): refusal(str(where[0]), networks) for *_, where in found}
    last: OSError | None = TimeoutError() if deadline.passed else None
    for family, kind, protocol, _, where in found:
        if deadline.passed or refused[str(where[0])]:
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(min(CONNECT_SECONDS, deadline.left))
            sock.connect(where)
        except OSError as error:
            sock.close()
            last = error
            continue
        deadline.watch(sock)
        return sock
    if isinstance(last, TimeoutError):
        raise ConnectTimeoutError(connection, "timed out") from last
    if last is not None:
        raise NewConnectionError(connection, str(last)) from last
    raise _blocked(host, refused)


def _blocked(host: str, refused: Mapping[str, str]) -> SendError:
    address, why = next(iter(refused.items()), (host, "has no address"))
    return SendError(
        f"{host} is not reached: {address} is {why}. If this is meant, add its network to "
        f"HOLDFAST_EGRESS_ALLOW (for example HOLDFAST_EGRESS_ALLOW={address}/{128 if ':' in address else 32}).",
        retryable=False,
    )


class _Plain(HTTPConnection):
    _new_conn = _connect


class _Secure(HTTPSConnection):
    _new_conn = _connect


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class _Guarded(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}


def _session() -> requests.Session:
    """A session for one request: no cookie, credential or connection passes between two sends.

    `trust_env` is off, or requests would take proxies and .netrc passwords from the surroundings.
    """
    session = requests.Session()
    session.trust_env = False
    session.verify = getattr(settings, "HOLDFAST_CA_BUNDLE", "") or True
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Guarded(max_retries=0))
    return session


def _proxies(url: str) -> dict[str, str]:
    """The environment's proxies, only if HOLDFAST_EGRESS_PROXY says so.

    Behind a proxy the proxy opens the connection: what resolves here is checked here, the rest is
    the proxy's to refuse.
    """
    if not getattr(settings, "HOLDFAST_EGRESS_PROXY", False):
        return {}
    proxies: dict[str, str] = get_environ_proxies(url)
    host = urlsplit(url).hostname or ""
    if proxies:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            return proxies
        refused = {str(w[0]): refusal(str(w[0]), allowed_networks()) for *_, w in found}
        if all(refused.values()):
            raise _blocked(host, refused)
    return proxies


# --- what is kept --------------------------------------------------------------------------------------


def _kept_request(request: Request, secrets: Sequence[str]) -> dict[str, Any]:
    body = request.json if request.json is not None else _decode(request.body or b"", None)[:KEPT_CHARACTERS]
    return {
        "method": request.method,
        "url": shown_url(request.url, secrets),
        "params": mask(dict(request.params), secrets),
        "headers": mask(dict(request.headers), secrets),
        "body": mask(body, secrets),
    }


def _kept_response(response: Response, secrets: Sequence[str]) -> dict[str, Any]:
    return {
        "status": response.status,
        "headers": mask(dict(response.headers), secrets),
        "text": mask(response.text[:KEPT_CHARACTERS], secrets),
        "elapsed": response.elapsed,
    }
