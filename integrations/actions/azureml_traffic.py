"""Changes the traffic of an Azure ML online endpoint's deployments, waits for it, and reads it back."""

from __future__ import annotations

from integrations.platforms.azureml import OnlineEndpoint, endpoint_at
from integrations.platforms.traffic import TrafficShift
from playbooks.contract import StepContext


class AzuremlTraffic(TrafficShift):
    title = "Shift Azure ML traffic"
    summary = (
        "Changes the traffic of an Azure ML online endpoint's deployments, waits for it, and reads it back."
    )

    def place(self, ctx: StepContext) -> OnlineEndpoint:
        return endpoint_at(ctx)
