"""SageMaker pipelines: executions started, looked at, stopped, resumed.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Service.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from integrations.platforms.aws import Aws

GOING = ("Executing", "Stopping")
ENDED = ("Succeeded", "Failed", "Stopped")


@dataclass(frozen=True, slots=True)
class Pipelines:
    """The pipelines of one account and region. Every method raises ActionError."""

    aws: Aws

    def pipeline(self, name: str) -> dict[str, Any]:
        return self._ask("DescribePipeline", {"PipelineName": name})

    def start(self, name: str, parameters: Mapping[str, Any], token: str) -> str:
        """Start an execution, or find the one that the token started; its ARN."""
        body: dict[str, Any] = {"PipelineName": name, "ClientRequestToken": token}
        if parameters:
            body["PipelineParameters"] = [
                {"Name": str(key), "Value": str(value)} for key, value in parameters.items()
            ]
        return str(self._ask("StartPipelineExecution", body).get("PipelineExecutionArn") or "")

    def execution(self, arn: str) -> dict[str, Any]:
        return self._ask("DescribePipelineExecution", {"PipelineExecutionArn": arn})

    def state(self, arn: str) -> str:
        return str(self.execution(arn).get("PipelineExecutionStatus") or "")

    def running(self, name: str) -> list[str]:
        """ARNs of the executions that are going on, the newest first."""
        found = self._ask("ListPipelineExecutions", {"PipelineName": name, "SortBy": "CreationTime"})
        return [
            str(one["PipelineExecutionArn"])
            for one in found.get("PipelineExecutionSummaries", ())
            if one.get("PipelineExecutionStatus") == "Executing"
        ]

    def stop(self, arn: str, token: str) -> None:
        self._ask("StopPipelineExecution", {"PipelineExecutionArn": arn, "ClientRequestToken": token})

    def resume(self, arn: str, token: str) -> None:
        """Go on with a stopped execution where it was."""
        self._ask("RetryPipelineExecution", {"PipelineExecutionArn": arn, "ClientRequestToken": token})

    def _ask(self, operation: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self.aws.ask("sagemaker", operation, body)
