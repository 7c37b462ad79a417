"""Sets how much traffic the newest revision of an InferenceService gets; the rest goes to the one before."""

from __future__ import annotations

from integrations.platforms.kserve import InferenceService, service_of
from integrations.platforms.traffic import TrafficShift
from playbooks.contract import StepContext


class KserveTraffic(TrafficShift):
    title = "Shift KServe traffic"
    summary = "Sets how much traffic the newest revision of an InferenceService gets; the rest goes to the one before."

    def place(self, ctx: StepContext) -> InferenceService:
        return service_of(ctx)
