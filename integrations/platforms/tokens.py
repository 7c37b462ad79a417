"""Access tokens that are good for an hour: fetched once, kept in memory, renewed before they end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from integrations import http
from integrations.contract import Request, SendError
from integrations.masking import mask
from integrations.platforms.rest import SECONDS
from integrations.vendor import failure
from playbooks.contract import ActionError

EARLY = 120.0  #: seconds before its end that a token is renewed

_kept: dict[str, tuple[str, float]] = {}
_lock = threading.Lock()


def access_token(
    key: str, url: str, form: Callable[[], Mapping[str, str]], vendor: str, *secrets: str
) -> str:
    """The token for this account, asked for at an OAuth 2 token endpoint when none is kept.

    `key` stands for everything the token depends on; keep no secret in it, a hash will do. Raises ActionError.
    https://www.rfc-editor.org/rfc/rfc6749#section-4.4
    """
    with _lock:
        token, until = _kept.get(key, ("", 0.0))
    if time.monotonic() < until:
        return token
    token, seconds = _fetched(url, form(), vendor, secrets)
    with _lock:
        _kept[key] = (token, time.monotonic() + max(seconds - EARLY, 0.0))
    return token


def forget() -> None:
    """Drop every token."""
    with _lock:
        _kept.clear()


def _fetched(url: str, form: Mapping[str, str], vendor: str, secrets: tuple[str, ...]) -> tuple[str, float]:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    body = urlencode(form).encode()
    hidden = (*secrets, form.get("assertion", ""))
    try:
        response = http.send(Request("POST", url, headers, body=body, timeout=SECONDS), secrets=hidden)
        if response.status != 200:
            raise failure(
                response, f"{vendor} sign-in", mask(response.text, hidden), "Check the credentials."
            )
    except SendError as error:
        raise ActionError(str(error), retryable=error.retryable, retry_after=error.retry_after) from error
    answer = response.json if isinstance(response.json, Mapping) else {}
    if not isinstance(answer.get("access_token"), str):
        raise ActionError(f"{vendor} sign-in answered without a token: check the connection's addresses.")
    return answer["access_token"], float(answer.get("expires_in") or 0)
