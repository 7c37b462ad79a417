"""Scenes for inbound tests: a request on paper, vendors' samples, a monitor that knocks at the front door."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connections

from incidents.intake.signal import Signal
from integrations.connecting import connect
from integrations.contract import Inbound
from integrations.inbox import tokens
from integrations.inbox.receive import predispatch
from integrations.models import Connection
from integrations.shelf import provider
from tests.contracts import contract_path

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def request(body: Any, received_at: datetime = NOON, **headers: str) -> Inbound:
    """A request; header names are written with underscores."""
    return Inbound(
        headers={
            "content-type": "application/json",
            **{name.replace("_", "-"): v for name, v in headers.items()},
        },
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        received_at=received_at,
        origin="connection:1",
        inbox_id=7,
    )


def sample(vendor: str, name: str) -> Inbound:
    """A vendor's sample with the headers that belong to it."""
    body = contract_path(vendor, "inbound", f"{name}.json")
    beside = body.with_name(f"{name}.headers.json")
    headers = json.loads(beside.read_text()) if beside.exists() else {"Content-Type": "application/json"}
    return Inbound({key.lower(): v for key, v in headers.items()}, body.read_bytes(), NOON, "connection:1", 7)


def read(slug: str, inbound: Inbound, **settings: Any) -> list[Signal]:
    """What the provider makes of a request that it also admits."""
    one = provider(slug)
    signals = one.parse(inbound, settings)
    assert one.admit(inbound, settings) == len(signals)
    return signals


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def receipt(self) -> str:
        assert self.status == 202, (self.status, self.body)
        return str(self.json["receipt"])


def django(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """What lies behind the front door."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"behind the door"]


def knock(
    path: str,
    body: bytes = b"",
    method: str = "POST",
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    **environ: Any,
) -> Answered:
    """One request at the front door, as a WSGI server hands it over."""
    told: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        told.update(status=int(status[:3]), headers=dict(headers))

    request = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()},
        **environ,
    }
    answer = b"".join(predispatch(django)(request, start_response))
    if threading.current_thread() is not threading.main_thread():
        connections.close_all()  # the pool's threads end with the test, not with the process
    return Answered(told["status"], told["headers"], answer)


@dataclass(frozen=True)
class Monitor:
    """A connection and the address its monitor was given."""

    connection: Connection
    path: str

    def post(self, body: Any, **more: Any) -> Answered:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return knock(self.path, data, **more)


def monitor(slug: str = "generic", name: str = "", **settings: Any) -> Monitor:
    made = connect(slug, name or f"{slug} of the test", settings)
    tokens.forget()
    assert made.url is not None
    return Monitor(made.connection, "/inbound/" + made.url.split("/inbound/")[1])
