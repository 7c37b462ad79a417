"""Who calls the API in tests, and how: a bearer token, JSON in, JSON out."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from incidents.models import ApiToken, User

V1 = "/api/v1"
EVERYTHING = ("read", "write", "act", "admin")


class Caller:
    """A client of the API that shows a token (or none)."""

    def __init__(self, user: User | None = None, scopes: tuple[str, ...] = EVERYTHING) -> None:
        self.headers: dict[str, str] = {}
        if user is not None:
            _, plain = ApiToken.issue(user, "test", scopes)
            self.headers["Authorization"] = f"Bearer {plain}"
        self.client = Client(raise_request_exception=False)

    def __call__(self, method: str, path: str, data: Any = None, *, raw: Any = None, **headers: str) -> Any:
        body = raw if raw is not None else ("" if data is None else json.dumps(data))
        return self.client.generic(
            method, path if path.startswith("/api") else f"{V1}/{path}", body,
            content_type=headers.pop("Content_Type", "application/json"),
            headers={**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}},
        )  # fmt: skip

    def get(self, path: str, **headers: str) -> Any:
        return self("GET", path, **headers)

    def post(self, path: str, data: Any = None, **headers: str) -> Any:
        return self("POST", path, data, **headers)

    def patch(self, path: str, data: Any = None, **headers: str) -> Any:
        return self("PATCH", path, data, **headers)

    def put(self, path: str, data: Any = None, **headers: str) -> Any:
        return self("PUT", path, data, **headers)


def problem(answer: Any, status: int) -> dict[str, Any]:
    """The problem body of a refusal; it must be one."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert len(body["detail"]) > 10
    return body
