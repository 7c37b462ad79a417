"""Takes a model that has no traffic any more down from a Vertex AI endpoint, and can deploy it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from integrations.platforms import settle
from integrations.platforms.before import exhibit_of, state_before, tried_before
from integrations.platforms.traffic import LOOK_AGAIN
from integrations.platforms.vertex import Endpoint, endpoint_at
from playbooks.contract import (
    Action,
    ActionError,
    Done,
    Exhibit,
    Outcome,
    Param,
    StepContext,
    Unverified,
    Wait,
)


class VertexUndeploy(Action):
    title = "Undeploy from Vertex AI"
    summary = "Takes a bad version down after its traffic was shifted away, so that nothing can reach it."
    params = (
        Param("version", help="The version to take down: a deployed model's id, display name or version."),
        Param("endpoint", required=False, help="Default: the one in the AI system's serving settings."),
        Param("connection", required=False, help="The account. Default: the AI system's."),
    )
    outputs = ("model", "spec")
    risk = "R2"
    changes_world = True
    timeout = 90.0

    def precheck(self, ctx: StepContext) -> None:
        """The model is deployed and nobody is sent to it."""
        if tried_before(ctx):
            return
        endpoint = endpoint_at(ctx)
        state = endpoint.read()
        model = endpoint.called(str(ctx.params["version"]), state)
        if share := state.shares[model]:
            raise ActionError(
                f"{model} still has {share:g} % of the traffic of {endpoint.name}: shift it away first."
            )

    def before(self, ctx: StepContext) -> Sequence[Exhibit]:
        """How the model was deployed: what undoing asks for."""
        if tried_before(ctx):
            return ()
        endpoint = endpoint_at(ctx)
        return [exhibit_of(ctx, _spec(ctx, endpoint), endpoint.name)]

    def run(self, ctx: StepContext) -> Outcome:
        """Undeploying takes minutes: ask once, then look at the operation."""
        endpoint = endpoint_at(ctx)
        spec = state_before(ctx) or _spec(ctx, endpoint)
        model = str(spec["id"])
        operation = str(ctx.memory.get("operation") or "")
        if not operation and model in endpoint.deployed():
            operation = endpoint.undeploy(model)
        if operation and not endpoint.finished(operation):
            return Wait(
                ctx.now + LOOK_AGAIN, f"{endpoint.name} takes {model} down.", {"operation": operation}
            )
        return Done({"model": model, "spec": spec}, summary=f"{model} is taken down from {endpoint.name}.")

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        return _read_back(ctx, str(outputs["model"]), there=False)

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        """Deploy it again with the same id, without traffic. Machines start slowly: it is looked at again."""
        endpoint, model = endpoint_at(ctx), str(outputs["model"])
        if model not in endpoint.deployed():
            endpoint.deploy(outputs["spec"], endpoint.read().shares)
            try:
                _read_back(ctx, model, there=True)
            except Unverified as error:
                raise ActionError(
                    f"{model} is being deployed again.", retryable=True, retry_after=120
                ) from error
        return Done(
            {"model": model}, summary=f"{model} is deployed at {endpoint.name} again, without traffic."
        )


def _spec(ctx: StepContext, endpoint: Endpoint) -> dict[str, Any]:
    return endpoint.deployed()[endpoint.called(str(ctx.params["version"]), endpoint.read())]


def _read_back(ctx: StepContext, model: str, *, there: bool) -> dict[str, Any]:
    endpoint = endpoint_at(ctx)
    deployed, right = settle.settled(
        ctx, lambda: list(endpoint.deployed()), lambda found: (model in found) is there
    )
    if not right:
        raise Unverified(
            f"{endpoint.name} shows {', '.join(deployed) or 'no model'}; {model} is {'missing' if there else 'still there'}."
        )
    return {"deployed": deployed}
