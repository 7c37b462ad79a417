"""A SageMaker endpoint: the weights of its production variants.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateEndpointWeightsAndCapacities.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from integrations.platforms.aws import Aws, aws_of
from integrations.platforms.traffic import Place, State, endpoint_of
from playbooks.contract import ActionError, StepContext

_GAVE_UP = ("Failed", "UpdateRollbackFailed", "OutOfService")
_MOVING = ("Creating", "Updating", "SystemUpdating", "RollingBack")


class Endpoint(Place):
    platform: ClassVar[str] = "sagemaker"

    def __init__(self, aws: Aws, endpoint: str) -> None:
        self.aws, self.endpoint = aws, endpoint
        self.name = f"SageMaker endpoint {endpoint}"

    def read(self) -> State:
        """Weights are relative: a variant's share is its weight divided by the sum of all."""
        found = self.aws.ask("sagemaker", "DescribeEndpoint", {"EndpointName": self.endpoint})
        variants = found.get("ProductionVariants") or []
        weights = {str(v["VariantName"]): float(v.get("CurrentWeight") or 0) for v in variants}
        total = sum(weights.values())
        status = str(found.get("EndpointStatus"))
        if status == "Deleting":
            raise ActionError(f"{self.name} is being deleted: traffic cannot be shifted there.")
        return State(
            {name: round(100 * weight / total, 2) if total else 0 for name, weight in weights.items()},
            settled=status not in _MOVING,
            failed=f"{status}: {found.get('FailureReason') or 'no reason given'}"
            if status in _GAVE_UP
            else "",
            raw={"status": status, "config": str(found.get("EndpointConfigName") or "")},
        )

    def change(self, shares: Mapping[str, float], state: State, key: str) -> None:
        weights = [{"VariantName": name, "DesiredWeight": shares.get(name, 0) / 100} for name in state.shares]
        body = {"EndpointName": self.endpoint, "DesiredWeightsAndCapacities": weights}
        self.aws.ask("sagemaker", "UpdateEndpointWeightsAndCapacities", body)


def endpoint_at(ctx: StepContext) -> Endpoint:
    """The endpoint of a step, with its AWS account. Raises ActionError."""
    return Endpoint(aws_of(ctx), endpoint_of(ctx, "sagemaker"))
