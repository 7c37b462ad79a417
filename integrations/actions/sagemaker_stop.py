"""Stops what a SageMaker pipeline is executing now: no retraining on data under suspicion.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopPipelineExecution.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from integrations.platforms.aws import aws_of
from integrations.platforms.before import exhibit_of, state_before, tried_before
from integrations.platforms.pipelines import ENDED, Pipelines
from integrations.platforms.settle import settled
from playbooks.contract import Action, Done, Exhibit, Outcome, Param, StepContext, Unverified, Wait

LOOK = 15  #: seconds


class SagemakerStop(Action):
    title = "Stop a SageMaker pipeline"
    summary = "Stops the executions that are going on, waits until they have stopped, and can resume them."
    params = (
        Param("pipeline", help="Name or ARN."),
        Param("connection", required=False, help="AWS account. Default: the only one."),
    )
    outputs = ("pipeline", "stopped")
    risk = "R1"
    changes_world = True

    def precheck(self, ctx: StepContext) -> None:
        Pipelines(aws_of(ctx)).pipeline(str(ctx.params["pipeline"]))

    def before(self, ctx: StepContext) -> Sequence[Exhibit]:
        if tried_before(ctx):
            return ()
        name = str(ctx.params["pipeline"])
        return [exhibit_of(ctx, {"running": Pipelines(aws_of(ctx)).running(name)}, f"sagemaker:{name}")]

    def run(self, ctx: StepContext) -> Outcome:
        pipelines, name = Pipelines(aws_of(ctx)), str(ctx.params["pipeline"])
        before = (state_before(ctx) or {}).get("running", [])
        # what has begun since the first look is stopped as well
        wanted = list(dict.fromkeys([*before, *pipelines.running(name)]))
        states = {arn: pipelines.state(arn) for arn in wanted}
        for arn, state in states.items():
            if state == "Executing":
                pipelines.stop(arn, _token(ctx, arn))
        left = [arn for arn, state in states.items() if state not in ENDED]
        if left:
            return Wait(
                ctx.now + timedelta(seconds=LOOK), f"{len(left)} executions are stopping.", ctx.memory
            )
        stopped = [arn for arn, state in states.items() if state == "Stopped"]
        return Done(
            {"pipeline": name, "stopped": stopped}, summary=f"{name}: {len(stopped)} executions stopped."
        )

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        left = Pipelines(aws_of(ctx)).running(outputs["pipeline"])
        if left:
            raise Unverified(f"{len(left)} executions of {outputs['pipeline']} are going on: {left[0]}.")
        return {"running": 0}

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        """Resume the executions that were stopped."""
        pipelines = Pipelines(aws_of(ctx))
        for arn in outputs["stopped"]:
            if pipelines.state(arn) == "Stopped":
                pipelines.resume(arn, _token(ctx, arn))
            state, right = settled(
                ctx, partial(pipelines.state, arn), lambda seen: seen in ("Executing", "Succeeded")
            )
            if not right:
                raise Unverified(f"The execution {arn} should go on and is {state}: look at it in SageMaker.")
        return Done(summary=f"{len(outputs['stopped'])} executions go on.")


def _token(ctx: StepContext, arn: str) -> str:
    return hashlib.sha256(f"{ctx.idempotency_key} {arn}".encode()).hexdigest()
