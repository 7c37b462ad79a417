"""Runs an Airflow DAG (backfill, feature recomputation, retraining) and waits until it has ended well."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from integrations.platforms.airflow import GOING, airflow_of, awaited
from playbooks.contract import Action, ActionError, Done, Outcome, Param, StepContext, Unverified, Wait

FIRST, LONGEST = 5, 60  #: seconds between looks, growing by half
UNDO_SECONDS = 40  #: how long one try of undoing waits for the run that undoes


class AirflowRun(Action):
    title = "Run an Airflow DAG"
    summary = "Starts a DAG run once, waits for its end, and fails when it failed."
    params = (
        Param("dag", help="Id of the DAG."),
        Param("conf", "map", required=False, default={}, help="Handed to the run."),
        Param("connection", required=False, help="Airflow connection. Default: the only one."),
        Param("wait", "bool", required=False, default=True, help="False: done as soon as it has started."),
        Param(
            "undo_dag", required=False, help="DAG that takes the effect back; it gets `conf` and `undoes`."
        ),
    )
    outputs = ("dag", "run", "state", "conf")
    risk = "R1"
    changes_world = True

    def precheck(self, ctx: StepContext) -> None:
        """The DAG is there, and not paused: its run would stay queued."""
        airflow, dag = airflow_of(ctx), str(ctx.params["dag"])
        found = airflow.dag(dag)
        if found.get("is_paused") and airflow.run(dag, ctx.idempotency_key) is None:
            raise ActionError(f"The DAG {dag} is paused, so a run would never start: let it go on first.")

    def run(self, ctx: StepContext) -> Outcome:
        airflow, dag, conf = airflow_of(ctx), str(ctx.params["dag"]), ctx.params["conf"]
        note = f"Holdfast {ctx.incident.key}, {ctx.run.ref}" if ctx.incident is not None else "Holdfast"
        found = airflow.start(dag, ctx.idempotency_key, conf, note)
        state = str(found.get("state"))
        if ctx.params["wait"] and state in GOING:
            looks = int(ctx.memory.get("looks", 0))
            pause = min(FIRST * 1.5**looks, LONGEST)
            return Wait(ctx.now + timedelta(seconds=pause), f"{dag} is {state}.", {"looks": looks + 1})
        if state == "failed":
            raise ActionError(
                f"The run {ctx.idempotency_key} of {dag} failed. See its log in Airflow; when the cause is mended, "
                "clear the run there and retry the step, which then follows it.",
                outputs={"dag": dag, "run": ctx.idempotency_key, "state": state},
            )
        outputs = {"dag": dag, "run": ctx.idempotency_key, "state": state, "conf": dict(conf)}
        return Done(outputs, summary=f"{dag}: run {ctx.idempotency_key} is {state}.")

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The run is there, with the configuration that was asked for, in the state it must have."""
        airflow = airflow_of(ctx)
        found = airflow.run(outputs["dag"], outputs["run"]) or {}
        right = ("success",) if ctx.params["wait"] else (*GOING, "success")
        if found.get("state") not in right:
            raise Unverified(
                f"The run {outputs['run']} is {found.get('state', 'not there')}, not {right[-1]}."
            )
        if (found.get("conf") or {}) != outputs["conf"]:
            raise Unverified(
                f"The run {outputs['run']} has another configuration: {found.get('conf')!r:.200}. Look at it in Airflow."
            )
        return {"state": found["state"], "start": found.get("start_date"), "end": found.get("end_date")}

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        """Cancel a run that is still going; undo one that has ended by `undo_dag`."""
        airflow, dag, run = airflow_of(ctx), str(outputs["dag"]), str(outputs["run"])
        if (airflow.run(dag, run) or {}).get("state") in GOING:
            airflow.cancel(dag, run)
            state = awaited(ctx, airflow, dag, run, 10)
            if state != "failed":
                raise Unverified(f"The run {run} of {dag} should be cancelled and is {state or 'gone'}.")
            return Done({"state": state}, summary=f"The run {run} of {dag} was cancelled.")
        back = ctx.params.get("undo_dag")
        if not back:
            raise ActionError(
                f"The run {run} of {dag} has ended, and no `undo_dag` says how to take it back: do it by hand."
            )
        conf = {**outputs["conf"], "undoes": run}
        airflow.start(str(back), ctx.idempotency_key, conf, f"Holdfast undoes {run}")
        state = awaited(ctx, airflow, str(back), ctx.idempotency_key, UNDO_SECONDS)
        if state in GOING:
            raise ActionError(f"{back} is still {state}.", retryable=True, retry_after=60)
        if state != "success":
            raise Unverified(
                f"The run of {back} that undoes {run} is {state or 'gone'}: look at it in Airflow."
            )
        return Done({"state": state}, summary=f"{back} took the run {run} of {dag} back.")
