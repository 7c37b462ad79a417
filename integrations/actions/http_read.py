"""Reads a gateway's resource: what serves, what is frozen, as it is now."""

from __future__ import annotations

import json

from integrations.gateway import gateway_of, unlike
from playbooks.contract import Action, ActionError, Done, Exhibit, Param, StepContext


class HttpRead(Action):
    title = "Read from the gateway"
    summary = "Reads a JSON resource, keeps it as evidence, and can insist on values in it."
    params = (
        Param("url", help="Relative to the gateway's address."),
        Param("connection", required=False, help="Gateway connection. Default: the AI system's."),
        Param("expect", "map", required=False, help="{dotted.path: value} that must be there."),
    )
    outputs = ("resource",)
    timeout = 30.0

    def run(self, ctx: StepContext) -> Done:
        gateway, url = gateway_of(ctx), str(ctx.params["url"])
        state = gateway.read(url)
        wrong = unlike(state, ctx.params.get("expect") or {})
        if wrong:
            raise ActionError(
                f"{url} holds {json.dumps(wrong)}, expected {json.dumps(ctx.params['expect'])}.",
                outputs={"resource": state},
            )
        content = json.dumps(state, indent=1).encode()
        exhibit = Exhibit("gateway.json", content, source=url, note="State of the gateway")
        return Done({"resource": state}, [exhibit], summary=f"Read {url}: {json.dumps(state)[:200]}")
