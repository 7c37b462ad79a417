"""Shifts traffic wherever the AI system serves: the playbook says which version, the inventory says where."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from integrations.platforms import azureml, edge, kserve, mlflow, sagemaker, vertex
from integrations.platforms.traffic import Place, TrafficShift, deployments, serving_of
from playbooks.contract import ActionError, StepContext

PLACES: Mapping[str, Callable[[StepContext], Place]] = {
    "gateway": edge.traffic_at,
    "mlflow": mlflow.alias_of,
    "sagemaker": sagemaker.endpoint_at,
    "kserve": kserve.service_of,
    "vertex": vertex.endpoint_at,
    "azureml": azureml.endpoint_at,
}


class ShiftTraffic(TrafficShift):
    title = "Shift traffic"
    summary = "Gives all traffic (or shares of it) to versions, at the platform where the AI system serves."

    def place(self, ctx: StepContext) -> Place:
        """By `platform` of the system's serving settings, else of its largest deployment, else its gateway."""
        serving = serving_of(ctx)
        platform = str(serving.get("platform") or "")
        if not platform:
            platform = next((str(d.platform) for d in deployments(ctx)), "gateway")
        if platform not in PLACES:
            raise ActionError(
                f"Traffic cannot be shifted at {platform!r} (there are: {', '.join(PLACES)}): set `platform` in the "
                "AI system's serving settings, or do it by hand."
            )
        return PLACES[platform](ctx)
