"""Pauses an Airflow DAG, or lets it go on: no retraining on data under suspicion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from integrations.platforms.airflow import Airflow, airflow_of
from integrations.platforms.before import exhibit_of, state_before, tried_before
from integrations.platforms.settle import settled
from playbooks.contract import Action, Done, Exhibit, Param, StepContext, Unverified


class AirflowPause(Action):
    title = "Pause an Airflow DAG"
    summary = "Keeps a DAG from starting runs (or lets it go on), and reads that back."
    params = (
        Param("dag", help="Id of the DAG."),
        Param("paused", "bool", required=False, default=True, help="False lets the DAG go on."),
        Param("connection", required=False, help="Airflow connection. Default: the only one."),
    )
    outputs = ("dag", "paused", "before")
    risk = "R1"
    changes_world = True

    def precheck(self, ctx: StepContext) -> None:
        airflow_of(ctx).dag(str(ctx.params["dag"]))

    def before(self, ctx: StepContext) -> Sequence[Exhibit]:
        if tried_before(ctx):
            return ()
        dag = str(ctx.params["dag"])
        return [exhibit_of(ctx, {"paused": _paused(airflow_of(ctx), dag)}, f"airflow:{dag}")]

    def run(self, ctx: StepContext) -> Done:
        airflow, dag, paused = airflow_of(ctx), str(ctx.params["dag"]), bool(ctx.params["paused"])
        before = state_before(ctx) or {"paused": _paused(airflow, dag)}
        airflow.pause(dag, paused)
        said = "is paused" if paused else "goes on"
        return Done({"dag": dag, "paused": paused, "before": before["paused"]}, summary=f"{dag} {said}.")

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        return _read_back(ctx, outputs["dag"], outputs["paused"])

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        airflow_of(ctx).pause(outputs["dag"], outputs["before"])
        found = _read_back(ctx, outputs["dag"], outputs["before"])
        return Done(
            found,
            summary=f"{outputs['dag']} is {'paused' if outputs['before'] else 'not paused'}, as before.",
        )


def _paused(airflow: Airflow, dag: str) -> bool:
    return bool(airflow.dag(dag).get("is_paused"))


def _read_back(ctx: StepContext, dag: str, paused: bool) -> dict[str, Any]:
    airflow = airflow_of(ctx)
    found, right = settled(ctx, lambda: _paused(airflow, dag), lambda seen: seen == paused)
    if not right:
        raise Unverified(
            f"The DAG {dag} should {'' if paused else 'not '}be paused, and Airflow shows otherwise: look at it there."
        )
    return {"paused": found}
