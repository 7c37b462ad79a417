"""What the operator reads: log lines without secrets, requests with an id, a duration and a route."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application

from config.logs import JsonLines, TextLines, mask, request_id
from config.metrics import requests_registry
from config.observability import measured


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("holdfast.test", logging.ERROR, __file__, 1, message, args, info)


@pytest.mark.parametrize(
    "secret",
    [
        "POST /inbound/3kPq_tokentokentoken/ 202",
        "Authorization: Bearer 3kPq_tokentokentoken",
        'header {"authorization": "Basic 3kPq_tokentokentoken"}',
        "Authorization: GenieKey 3kPq_tokentokentoken",
        "redis://:3kPq_tokentokentoken@redis:6379/0",
        "postgresql://holdfast:3kPq_tokentokentoken@db/holdfast",
        "api_key=3kPq_tokentokentoken&page=2",
        '{"routing_key": "3kPq_tokentokentoken"}',
        "{'client_secret': '3kPq_tokentokentoken'}",
        "password = 3kPq_tokentokentoken",
        "slack xoxb-3kPq-tokentokentoken",
    ],
)
def test_secrets_are_masked_wherever_they_stand(secret: str) -> None:
    shown = mask(secret)
    assert "token" not in shown.replace("token token=", "")
    assert "•••" in shown


@pytest.mark.parametrize(
    "text", ["INC-7 went from detected to triaged", "GET /api/v1/incidents/INC-7/ 200 12 ms"]
)
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert mask(text) == text


def test_a_json_line_is_one_line_with_time_level_and_masked_error() -> None:
    try:
        raise ValueError("cannot reach https://bob:hunter2@example.org\nsecond line")
    except ValueError as error:
        line = JsonLines().format(record("%s failed", "delivery 7", error=error))
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("error", "holdfast.test", "delivery 7 failed")
    assert "ValueError" in told["error"]
    assert "hunter2" not in line
    assert told["at"].endswith("+00:00")


def test_a_text_line_is_masked_as_well() -> None:
    assert "hunter2" not in TextLines().format(record("password=hunter2"))


def call(
    application: Callable[..., Iterable[bytes]], path: str = "/healthz", **environ: str
) -> tuple[str, dict[str, str], bytes]:
    """One request to a WSGI application: status line, headers, body."""
    answer: list[Any] = []
    body = b"".join(
        measured(application)(
            {
                "REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "testserver", "SERVER_PORT": "80",
                "HTTP_HOST": "localhost", "wsgi.url_scheme": "http", "wsgi.input": BytesIO(), **environ,
            },
            lambda status, headers, *rest: answer.extend([status, dict(headers)]),
        )
    )  # fmt: skip
    return answer[0], answer[1], body


def seen(route: str, status: str) -> float:
    labels = {"method": "GET", "route": route, "status": status}
    return requests_registry.get_sample_value("holdfast_http_requests_total", labels) or 0.0


@pytest.mark.django_db
def test_a_request_is_counted_under_its_route_and_gets_an_id() -> None:
    before = seen("/healthz", "200")
    status, headers, body = call(get_wsgi_application())
    assert (status, body) == ("200 OK", b"ok\n")
    assert len(headers["X-Request-ID"]) == 32
    assert seen("/healthz", "200") == before + 1


def test_the_proxys_request_id_is_kept_and_reaches_the_log_lines() -> None:
    lines: list[dict[str, str]] = []

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        lines.append(json.loads(JsonLines().format(record("working"))))
        start("200 OK", [])
        return [b""]

    _, headers, _ = call(application, HTTP_X_REQUEST_ID="proxy-0123456789")
    assert headers["X-Request-ID"] == "proxy-0123456789"
    assert lines[0]["request_id"] == "proxy-0123456789"
    assert request_id.get() == "-"


@pytest.mark.django_db
def test_an_unusable_request_id_is_replaced() -> None:
    _, headers, _ = call(get_wsgi_application(), HTTP_X_REQUEST_ID="a\r\nSet-Cookie: b")
    assert "Set-Cookie" not in headers["X-Request-ID"]


def test_inbound_tokens_and_unknown_addresses_never_become_labels() -> None:
    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("202 Accepted", [])
        return [b""]

    inbound, other = seen("/inbound/<token>/", "202"), seen("other", "202")
    call(application, "/inbound/3kPq_tokentokentoken/")
    call(application, "/wp-login.php")
    assert seen("/inbound/<token>/", "202") == inbound + 1
    assert seen("other", "202") == other + 1


def test_a_crash_is_counted_as_500_and_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        raise ZeroDivisionError

    before = seen("other", "500")
    with pytest.raises(ZeroDivisionError):
        call(application, "/broken")
    assert seen("other", "500") == before + 1
    assert "GET /broken 500" in caplog.text
