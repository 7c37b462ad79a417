"""Changes the weights of a SageMaker endpoint's variants, waits for the update, and reads them back."""

from __future__ import annotations

from integrations.platforms.sagemaker import Endpoint, endpoint_at
from integrations.platforms.traffic import TrafficShift
from playbooks.contract import StepContext


class SagemakerWeights(TrafficShift):
    title = "Shift SageMaker traffic"
    summary = (
        "Changes the weights of a SageMaker endpoint's variants, waits for the update, and reads them back."
    )

    def place(self, ctx: StepContext) -> Endpoint:
        return endpoint_at(ctx)
