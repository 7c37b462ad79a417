"""Speaks to a model gateway: finds its address, reads a resource, changes it; errors in words of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from integrations import http
from integrations.contract import Request, Response, SendError
from integrations.masking import mask, shown_url
from integrations.models import Connection
from integrations.vendor import failure
from playbooks.contract import ActionError, StepContext

SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """An address with the credentials that go there and nowhere else."""

    base: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def address(self, url: str) -> str:
        """The full address of `url`. Raises ActionError when it would leave the gateway."""
        if not self.base:
            if urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname:
                return url
            raise ActionError(
                f"{url!r} is relative and there is no gateway to add: name a connection in the step, or set "
                "`connection` (or `gateway_url`) in the AI system's serving settings."
            )
        base = self.base.rstrip("/") + "/"
        found = urljoin(base, url.lstrip("/") if "://" not in url else url)
        if not found.startswith(base):
            raise ActionError(f"{shown_url(url)} lies outside of the gateway {base}: correct the address.")
        return found

    def read(self, url: str) -> Any:
        """The resource as JSON. Raises ActionError."""
        response = self._send(Request("GET", self.address(url), {"Cache-Control": "no-cache"}))
        if response.json is None:
            raise ActionError(
                f"{shown_url(self.address(url), self.secrets)} answered no JSON, so its state is not known: "
                "check the address."
            )
        return mask(response.json, self.secrets)

    def change(self, method: str, url: str, body: Any, headers: Mapping[str, str], key: str) -> Response:
        """Send one change with its idempotency key. Raises ActionError."""
        return self._send(Request(method, self.address(url), {**headers, "Idempotency-Key": key}, json=body))

    def _send(self, request: Request) -> Response:
        whole = Request(
            request.method,
            request.url,
            {"Accept": "application/json", **request.headers, **self.headers},
            json=request.json,
            timeout=SECONDS,
        )
        try:
            response = http.send(whole, secrets=self.secrets)
            if not 200 <= response.status < 300:
                where = f"{request.method} {shown_url(request.url, self.secrets)}"
                raise failure(response, f"The gateway ({where})", mask(response.text, self.secrets))
        except SendError as error:
            raise ActionError(str(error), retryable=error.retryable, retry_after=error.retry_after) from error
        return response


def gateway_of(ctx: StepContext) -> Gateway:
    """The gateway of a step: its `connection`, else the one that the AI system's serving settings name.

    Without either, addresses must be complete and no credentials are sent. Raises ActionError.
    """
    serving = getattr(ctx.system, "serving", None)
    serving = serving if isinstance(serving, Mapping) else {}
    name = ctx.params.get("connection") or serving.get("connection")
    if not name:
        return Gateway(str(serving.get("gateway_url") or ""))
    row = Connection.objects.filter(name=name).first()
    if row is None or row.provider != "gateway":
        known = ", ".join(Connection.objects.filter(provider="gateway").values_list("name", flat=True))
        raise ActionError(
            f"There is no gateway connection {name!r} (there are: {known or 'none'}): make one with "
            f"`manage.py connect gateway {name} --set base_url=…`, or correct the name."
        )
    if not row.enabled:
        raise ActionError(f"The connection {name} is switched off: switch it on, then retry the step.")
    settings: Any = row.settings
    token = str(settings.get("token") or "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Gateway(str(settings.get("base_url") or ""), headers, (token,) if token else ())


def at(state: Any, path: str) -> Any:
    """The value at a dotted path, or None."""
    for name in path.split("."):
        if isinstance(state, Mapping) and name in state:
            state = state[name]
        elif isinstance(state, list) and name.isdecimal() and int(name) < len(state):
            state = state[int(name)]
        else:
            return None
    return state


def unlike(state: Any, expected: Mapping[str, Any]) -> dict[str, Any]:
    """The paths whose value is not the expected one, with the value that is there."""
    return {path: found for path, value in expected.items() if not _same(found := at(state, path), value)}


def _same(found: Any, expected: Any) -> bool:
    # True is 1 in Python, but not for a gateway
    return isinstance(found, bool) == isinstance(expected, bool) and found == expected
