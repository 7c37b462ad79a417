"""A platform's JSON interface over HTTP: one address, its credentials, and errors in words of a step."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from integrations import http
from integrations.contract import Request, Response, SendError
from integrations.masking import mask
from integrations.platforms.account import Account
from integrations.vendor import failure
from playbooks.contract import ActionError

SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Rest:
    """An address with the credentials that go there and nowhere else."""

    vendor: str  #: as people call it
    base: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def ask(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        bearing: Collection[int] = (),
    ) -> Response:
        """One request. The answer is a success, or one of the statuses in `bearing`. Raises ActionError."""
        request = Request(
            method,
            f"{self.base.rstrip('/')}/{path.lstrip('/')}",
            {"Accept": "application/json", **(headers or {}), **self.headers},
            json=json,
            params=params or {},
            timeout=SECONDS,
        )
        try:
            response = http.send(request, secrets=self.secrets)
            if not 200 <= response.status < 300 and response.status not in bearing:
                said = f"{self.vendor} ({method} /{path.lstrip('/')})"
                raise failure(response, said, mask(response.text, self.secrets))
        except SendError as error:
            raise ActionError(str(error), retryable=error.retryable, retry_after=error.retry_after) from error
        return response

    def read(self, path: str, *, params: Mapping[str, str] | None = None) -> Any:
        """The resource as JSON, without secrets. Raises ActionError."""
        response = self.ask("GET", path, headers={"Cache-Control": "no-cache"}, params=params)
        if response.json is None:
            raise ActionError(
                f"{self.vendor} answered no JSON at /{path.lstrip('/')}, so its state is not known: check the "
                "address in the connection."
            )
        return mask(response.json, self.secrets)


def authorized(vendor: str, account: Account) -> Rest:
    """The interface of an account with an address and a token, or user and password, or neither."""
    headers: dict[str, str] = {}
    secrets = account.secrets
    if token := account.text("token"):
        headers["Authorization"] = f"Bearer {token}"
    elif user := account.text("username"):
        basic = base64.b64encode(f"{user}:{account.text('password')}".encode()).decode()
        headers["Authorization"] = f"Basic {basic}"
        secrets = (*secrets, basic)
    return Rest(vendor, account.text("base_url"), headers, secrets)


def part(text: object) -> str:
    """A name as one part of a path, so that it cannot lead elsewhere. Raises ActionError."""
    name = str(text).strip()
    if not name or name in (".", ".."):
        raise ActionError(f"{text!r} cannot be a name in an address: correct it in the step.")
    return quote(name, safe="")
