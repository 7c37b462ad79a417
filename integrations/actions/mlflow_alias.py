"""Points an alias of MLflow's model registry to another version, reads it back, and can set it back."""

from __future__ import annotations

from integrations.platforms.mlflow import Alias, alias_of
from integrations.platforms.traffic import TrafficShift
from playbooks.contract import StepContext


class MlflowAlias(TrafficShift):
    title = "Move a registry alias"
    summary = (
        "Points an alias of MLflow's model registry to another version, reads it back, and can set it back."
    )

    def place(self, ctx: StepContext) -> Alias:
        return alias_of(ctx)
