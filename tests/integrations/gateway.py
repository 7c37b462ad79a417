"""A model gateway of our own: a real HTTP server with the two resources that the shipped playbooks use."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.integrations.local import server

TRAFFIC = {"version": "v3", "weights": {"v3": 100}, "mode": "normal"}
PIPELINE = {
    "training": "running", "promotion": "automatic", "ingestion": "open", "blocked_sources": [], "quarantined": [],
}  # fmt: skip


@dataclass
class ModelGateway:
    """What the gateway holds, by path, and how it misbehaves."""

    url: str = ""
    state: dict[str, dict[str, Any]] = field(default_factory=dict)
    writes: list[tuple[str, str, Any, str]] = field(default_factory=list)  #: method, path, body, key
    token: str = ""  #: asked for when set
    lies: bool = False  #: answers 200 and changes nothing
    slow: int = 0  #: so many reads show the old state first
    broken: list[int] = field(default_factory=list)  #: statuses of the next writes

    def add(self, slug: str, *, pipeline: bool = True, **traffic: Any) -> None:
        self.state[f"/systems/{slug}/traffic"] = copy.deepcopy(TRAFFIC) | traffic
        if pipeline:
            self.state[f"/systems/{slug}/pipeline"] = copy.deepcopy(PIPELINE)

    def traffic(self, slug: str) -> dict[str, Any]:
        return self.state[f"/systems/{slug}/traffic"]

    def pipeline(self, slug: str) -> dict[str, Any]:
        return self.state[f"/systems/{slug}/pipeline"]

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Any]:
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return 401, {"error": "Who are you?"}
        found = self.state.get(request.path)
        if found is None:
            return 404, {"error": f"There is no {request.path}."}
        if request.command == "GET":
            if self.slow and "next" in found:
                self.slow -= 1
                if not self.slow:
                    found |= found.pop("next")
            return 200, {name: value for name, value in found.items() if name != "next"}
        change = json.loads(body)
        self.writes.append(
            (request.command, request.path, change, request.headers.get("Idempotency-Key", ""))
        )
        if self.broken:
            return self.broken.pop(0), {"error": "Not now."}
        if not self.lies:
            if "version" in change and "weights" not in change:
                change = {**change, "weights": {change["version"]: 100}}
            if self.slow:
                found["next"] = change
            else:
                found |= change
        return 200, {"ok": True}


@contextmanager
def gateway(*slugs: str) -> Iterator[ModelGateway]:
    """A running gateway that knows these systems."""
    made = ModelGateway()
    for slug in slugs:
        made.add(slug)

    def handle(request: BaseHTTPRequestHandler) -> None:
        status, answer = made.answer(request, seen[-1][3])
        content = json.dumps(answer).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    with server(handle) as (url, seen):
        made.url = url
        yield made
