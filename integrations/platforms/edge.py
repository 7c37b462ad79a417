"""A model gateway as a place of traffic: the resource `systems/{slug}/traffic` of the shipped playbooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from integrations.gateway import Gateway, gateway_of
from integrations.platforms.rest import part
from integrations.platforms.traffic import Place, State
from playbooks.contract import ActionError, StepContext


class GatewayTraffic(Place):
    platform: ClassVar[str] = "gateway"

    def __init__(self, gateway: Gateway, url: str) -> None:
        self.gateway, self.url = gateway, url
        self.name = f"gateway resource {url}"

    def read(self) -> State:
        found = self.gateway.read(self.url)
        if not isinstance(found, Mapping) or not isinstance(found.get("weights"), Mapping):
            raise ActionError(
                f"{self.name} holds no weights, so what serves is not known: check the address."
            )
        weights = {str(name): float(percent) for name, percent in found["weights"].items()}
        raw = {name: found[name] for name in ("version", "weights", "mode") if name in found}
        return State(weights, raw=raw)

    def called(self, version: str, state: State) -> str:
        """Any name: a gateway tells what serves, not what could, and refuses what it does not know."""
        return version

    def change(self, shares: Mapping[str, float], state: State, key: str) -> None:
        """A fallback ends when a version takes over; decisions that are held stay with people."""
        largest = max(shares, key=lambda name: shares[name])
        body = {"version": largest, "weights": dict(shares)}
        if state.raw.get("mode") == "fallback":
            body["mode"] = "normal"
        self.gateway.change("PUT", self.url, body, {}, key)

    def restore(self, before: State, state: State, key: str) -> None:
        self.gateway.change("PUT", self.url, dict(before.raw), {}, key)


def traffic_at(ctx: StepContext) -> GatewayTraffic:
    """The traffic resource of the step's AI system, or its `endpoint`. Raises ActionError."""
    url = str(ctx.params.get("endpoint") or f"systems/{part(getattr(ctx.system, 'slug', ''))}/traffic")
    return GatewayTraffic(gateway_of(ctx), url)
