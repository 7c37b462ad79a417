"""Changes something over HTTP and believes it only when the change can be read back."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from integrations.gateway import Gateway, at, gateway_of, unlike
from integrations.platforms.before import exhibit_of, state_before, tried_before
from playbooks.contract import Action, ActionError, Done, Exhibit, Param, StepContext, Unverified

PAUSES = (0.0, 0.3, 0.7, 1.5, 2.5)  #: seconds before each look: gateways take a moment to converge
LARGEST = 2000  #: characters of an answer that are kept


class HttpCall(Action):
    title = "Change the gateway"
    summary = "Sends one HTTP request with an idempotency key, reads the effect back, and can take it back."
    params = (
        Param("url", help="Relative to the gateway's address."),
        Param("method", required=False, default="PUT", choices=("PUT", "POST", "PATCH", "DELETE")),
        Param("body", "map", required=False, help="JSON that is sent."),
        Param("headers", "map", required=False, help="Further headers; credentials belong in a connection."),
        Param("connection", required=False, help="Gateway connection. Default: the AI system's."),
        Param("read_url", required=False, help="Where the state is read. Default: url."),
        Param("expect", "map", help="{dotted.path: value} that must be read back afterwards."),
        Param("undo_method", required=False, help="Default: method.", choices=("PUT", "POST", "PATCH", "DELETE")),
        Param("undo_body", "map", required=False, help="What undoing sends. Default: the state before, at `restore`."),
        Param("restore", "list", required=False, help="Top-level names that undoing sends back. Default: all."),
    )  # fmt: skip
    outputs = ("status", "answer", "before")
    risk = "R1"
    changes_world = True
    timeout = 60.0

    def precheck(self, ctx: StepContext) -> None:
        """The target is there and can be read; what cannot be verified is not begun."""
        if not ctx.params.get("expect"):
            raise ActionError("Say in `expect` what must be read back; without it the effect is never known.")
        gateway = gateway_of(ctx)
        gateway.address(str(ctx.params["url"]))
        gateway.read(_read_url(ctx))

    def before(self, ctx: StepContext) -> Sequence[Exhibit]:
        """The state before the first try. A later try finds its own effect, which is no state before."""
        if tried_before(ctx):
            return ()
        state = gateway_of(ctx).read(_read_url(ctx))
        return [exhibit_of(ctx, state, _read_url(ctx))]

    def run(self, ctx: StepContext) -> Done:
        gateway = gateway_of(ctx)
        before = state_before(ctx)
        if before is None:
            before = gateway.read(_read_url(ctx))
        response = gateway.change(
            str(ctx.params.get("method") or "PUT"),
            str(ctx.params["url"]),
            ctx.params.get("body"),
            _headers(ctx),
            ctx.idempotency_key,
        )
        answer = response.text[:LARGEST]
        for secret in gateway.secrets:
            answer = answer.replace(secret, "•••")
        return Done(
            {"status": response.status, "answer": answer, "before": before},
            summary=f"The gateway answered {response.status}; {_wanted(ctx.params['expect'])}.",
        )

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        return _read_back(ctx, gateway_of(ctx), ctx.params["expect"])

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        """Send the state before (or `undo_body`), and read it back."""
        gateway, before = gateway_of(ctx), outputs.get("before")
        body = ctx.params.get("undo_body")
        if body is None:
            if not isinstance(before, Mapping):
                raise ActionError(
                    "The state before the change is not known, so it cannot be restored: do it by hand."
                )
            names = ctx.params.get("restore") or list(before)
            body = {name: before[name] for name in names if name in before}
        expected = {name: value for name, value in body.items() if at(before, name) == value}
        method = str(ctx.params.get("undo_method") or ctx.params.get("method") or "PUT")
        gateway.change(method, str(ctx.params["url"]), body, _headers(ctx), ctx.idempotency_key)
        state = _read_back(ctx, gateway, expected or body)
        exhibit = Exhibit("after-undo.json", json.dumps(state, indent=1).encode(), source=_read_url(ctx))
        return Done({"state": state}, [exhibit], summary=f"Restored: {_wanted(expected or body)}.")


def _read_url(ctx: StepContext) -> str:
    return str(ctx.params.get("read_url") or ctx.params["url"])


def _headers(ctx: StepContext) -> dict[str, str]:
    return {str(name): str(value) for name, value in (ctx.params.get("headers") or {}).items()}


def _wanted(expected: Mapping[str, Any]) -> str:
    return ", ".join(f"{path} = {json.dumps(value)}" for path, value in expected.items())


def _read_back(ctx: StepContext, gateway: Gateway, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Look a few times until everything expected is there. Raises Unverified with what was read instead."""
    state: Any = None
    wrong: dict[str, Any] = dict(expected)
    for pause in PAUSES:
        time.sleep(pause)
        ctx.renew()
        state = gateway.read(_read_url(ctx))
        wrong = unlike(state, expected)
        if not wrong:
            return {"state": state, "checked": dict(expected)}
    instead = ", ".join(f"{path} is {json.dumps(value)}" for path, value in wrong.items())
    raise Unverified(
        f"{_read_url(ctx)} should show {_wanted(expected)}, but {instead}. Whatever the gateway answered, the "
        "change is not in force: look at the gateway, then retry the step."
    )
