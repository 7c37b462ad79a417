"""Runs a SageMaker pipeline (retraining, processing) and waits until it has ended well.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StartPipelineExecution.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from integrations.platforms.aws import aws_of
from integrations.platforms.pipelines import ENDED, GOING, Pipelines
from integrations.platforms.settle import settled
from playbooks.contract import Action, ActionError, Done, Outcome, Param, StepContext, Unverified, Wait

FIRST, LONGEST = 10, 120  #: seconds between looks, growing by half


class SagemakerPipeline(Action):
    title = "Run a SageMaker pipeline"
    summary = "Starts one execution, waits for its end, and fails when it failed."
    params = (
        Param("pipeline", help="Name or ARN."),
        Param("parameters", "map", required=False, default={}, help="Pipeline parameters: {name: text}."),
        Param("connection", required=False, help="AWS account. Default: the only one."),
        Param("wait", "bool", required=False, default=True, help="False: done as soon as it has started."),
    )
    outputs = ("execution", "pipeline", "state")
    risk = "R1"
    changes_world = True

    def precheck(self, ctx: StepContext) -> None:
        Pipelines(aws_of(ctx)).pipeline(str(ctx.params["pipeline"]))

    def run(self, ctx: StepContext) -> Outcome:
        pipelines, name = Pipelines(aws_of(ctx)), str(ctx.params["pipeline"])
        # AWS takes a repeated token as the same execution: a try whose answer was lost does not start a second one
        token = hashlib.sha256(ctx.idempotency_key.encode()).hexdigest()
        execution = str(ctx.memory.get("execution") or pipelines.start(name, ctx.params["parameters"], token))
        found = pipelines.execution(execution)
        state = str(found.get("PipelineExecutionStatus"))
        outputs = {"execution": execution, "pipeline": name, "state": state}
        if ctx.params["wait"] and state in GOING:
            looks = int(ctx.memory.get("looks", 0))
            pause = min(FIRST * 1.5**looks, LONGEST)
            memory = {"execution": execution, "looks": looks + 1}
            return Wait(ctx.now + timedelta(seconds=pause), f"{name} is {state}.", memory)
        if state in ("Failed", "Stopped"):
            why = found.get("FailureReason") or "no reason given"
            raise ActionError(
                f"The execution of {name} is {state}: {why}. See it in SageMaker.", outputs=outputs
            )
        return Done(outputs, summary=f"{name}: {execution.rpartition('/')[2]} is {state}.")

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        found = Pipelines(aws_of(ctx)).execution(outputs["execution"])
        state, right = (
            found.get("PipelineExecutionStatus"),
            ("Succeeded",) if ctx.params["wait"] else (*GOING, "Succeeded"),
        )
        if state not in right:
            raise Unverified(f"The execution {outputs['execution']} is {state}, not {right[-1]}.")
        return {"state": state}

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        """Stop an execution that is still going. One that has ended cannot be taken back here."""
        pipelines, execution = Pipelines(aws_of(ctx)), str(outputs["execution"])
        if pipelines.state(execution) in ENDED:
            raise ActionError(
                f"The execution {execution} has ended; what it registered or wrote is taken back by hand, or by a step "
                "of its own (a model version, a data version)."
            )
        pipelines.stop(execution, hashlib.sha256(ctx.idempotency_key.encode()).hexdigest())
        state, right = settled(
            ctx, lambda: pipelines.state(execution), lambda seen: seen in ("Stopping", "Stopped")
        )
        if not right:
            raise Unverified(
                f"The execution {execution} should stop and is {state}: look at it in SageMaker."
            )
        return Done({"state": state}, summary=f"The execution of {outputs['pipeline']} is {state}.")
