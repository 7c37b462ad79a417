"""One request and its redirects: every hop is a new decision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import SplitResult, urljoin, urlsplit

import requests

from integrations.contract import Request, SendError
from integrations.http.guard import CONNECT_SECONDS, Deadline, proxies_for
from integrations.masking import mask, shown_url

MAX_REDIRECTS = 3
AGENT = "Holdfast"


def follow(
    session: requests.Session, request: Request, deadline: Deadline, secrets: Sequence[str]
) -> requests.Response:
    """Send the request, go along with at most three redirects, and return the answer unread.

    Each hop is looked up, checked and connected to like the first. Raises SendError where a
    redirect would lose the message, leave https, or carry a secret to another host.
    """
    body, headers = _written(request)
    for _ in range(MAX_REDIRECTS + 1):
        answer = session.request(
            request.method,
            request.url,
            params=dict(request.params),
            data=body,
            headers=headers,
            timeout=(min(CONNECT_SECONDS, deadline.left), deadline.left),
            allow_redirects=False,
            stream=True,
            proxies=proxies_for(request.url),
        )
        target = answer.headers.get("location", "")
        if not target or answer.status_code not in (301, 302, 303, 307, 308):
            return answer
        answer.close()
        request, headers = _redirected(request, headers, answer.status_code, target, secrets)
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
    request: Request, headers: dict[str, str], status: int, target: str, secrets: Sequence[str]
) -> tuple[Request, dict[str, str]]:
    """The next hop. 307 and 308 keep the method; 303 asks for a look elsewhere; a POST answered with
    301 or 302 is not turned into a GET, which would lose the message and report success.
    https://www.rfc-editor.org/rfc/rfc9110#name-redirection-3xx
    """
    here = urlsplit(request.url)
    try:
        target = urljoin(request.url, target)
    except ValueError:
        raise SendError(f"{here.hostname} redirects to an unreadable address.", retryable=False) from None
    there = address_of(target, secrets)
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
        headers = {n: v for n, v in headers.items() if mask({n: v}, secrets) == {n: v}}
    if method == "GET":
        headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    return replace(request, method=method, url=target, params={}, json=None, body=None), headers


def address_of(url: str, secrets: Sequence[str]) -> SplitResult:
    """The parts of an http or https address. Raises SendError for anything else."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise SendError(
            f"{shown_url(url, secrets)} is not a web address; use https://host/path.", retryable=False
        )
    return parts


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
