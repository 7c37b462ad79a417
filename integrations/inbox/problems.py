"""What a refused request gets back: a problem body (RFC 9457) that says what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson

MEDIA_TYPE = "application/problem+json"


@dataclass(eq=False)
class Problem(Exception):
    """Why a request is not accepted, and what its sender can do about it."""

    status: int
    detail: str
    action: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.detail

    def body(self) -> bytes:
        told: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.action:
            told["action"] = self.action
        return orjson.dumps(told)


def unknown_token() -> Problem:
    return Problem(
        401,
        "No connection has this address.",
        "Copy the inbound address again from the connection's page, or make a connection with "
        "`manage.py connect`. An address that was rotated ends a day after its successor was made.",
    )


def switched_off(name: str, reason: str) -> Problem:
    because = f" ({reason})" if reason else ""
    return Problem(
        403,
        f'The connection "{name}" is switched off{because}; the message was not stored.',
        "Switch the connection on again, or take this address out of the sender.",
    )


def wrong_method(allowed: str, method: str) -> Problem:
    return Problem(
        405,
        f"This is an inbound address: it takes messages by POST, not {method[:16]}.",
        "Enter this address as the webhook of your monitor. To try it by hand: "
        """curl -H 'Content-Type: application/json' -d '{"title": "Test"}' ADDRESS""",
        {"Allow": allowed},
    )


def too_big(limit: int) -> Problem:
    return Problem(
        413,
        f"The message is larger than {limit:,} bytes; it was not stored.",
        "Send fewer items per message, or raise HOLDFAST_INBOUND_MAX_BYTES.",
    )


def wrong_type(sent: str, accepted: Iterable[str]) -> Problem:
    return Problem(
        415,
        f"This connection does not take {sent or 'messages without Content-Type'}.",
        f"Send Content-Type: {' or '.join(accepted)}.",
    )


def overloaded(why: str) -> Problem:
    return Problem(
        503, f"The message was not stored: {why}.", "Send it again after the pause.", {"Retry-After": "5"}
    )


def over_quota(status: int, per_minute: int, seconds: int) -> Problem:
    return Problem(
        status,
        f"This connection takes {per_minute:,} messages a minute; this one was not stored.",
        "Send it again after the pause, group alerts into fewer messages, or raise the connection's "
        "inbound_per_minute.",
        {"Retry-After": str(seconds)},
    )
