"""Changes the traffic split of a Vertex AI endpoint between its deployed models, and reads it back."""

from __future__ import annotations

from integrations.platforms.traffic import TrafficShift
from integrations.platforms.vertex import Endpoint, endpoint_at
from playbooks.contract import StepContext


class VertexTraffic(TrafficShift):
    title = "Shift Vertex AI traffic"
    summary = (
        "Changes the traffic split of a Vertex AI endpoint between its deployed models, and reads it back."
    )

    def place(self, ctx: StepContext) -> Endpoint:
        return endpoint_at(ctx)
