"""Freezes the list of affected parties: who got an adverse decision since the onset, by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playbooks.contract import Action, Done, Exhibit, Param, StepContext
from playbooks.diagnostics.dataset import require
from playbooks.diagnostics.inputs import CURRENT, StepData, explained, manifest

if TYPE_CHECKING:
    import pandas as pd


class FreezeAffected(Action):
    title = "Freeze the affected parties"
    summary = (
        "Lists the rows with an adverse decision (of one group, if named) and records their number as final."
    )
    params = (
        CURRENT,
        Param("prediction_column", required=False, help="The decision."),
        Param("positive_label", "any", required=False, help="The favourable value; all others are adverse."),
        Param("threshold", "number", required=False, help="For scores: adverse below it."),
        Param("group_column", "any", required=False, help="Column of the group."),
        Param("group", required=False, help="Only this group (as the fairness diagnosis names it)."),
        Param("people", "number", required=False, help="The number, when people counted it elsewhere."),
    )
    outputs = ("people", "rows")
    timeout = 120.0

    def run(self, ctx: StepContext) -> Done:
        exhibits: list[Exhibit] = []
        if ctx.params.get("people") is not None:
            people = rows = int(ctx.params["people"])
            how = "counted by people"
        else:
            with explained():
                data = StepData(ctx)
                frame, exhibits = self._adverse(data)
            rows = len(frame)
            keys = [name for name in data.names("key_columns") if name in frame]
            people = len(frame[keys].drop_duplicates()) if keys else rows
            how = f"{rows:,} adverse decisions"
            if ctx.params.get("group"):
                how += f" of group {ctx.params['group']}"
        if not ctx.dry_run:
            frozen = ctx.incident.freeze_affected(
                people=people, text=f"List of affected parties frozen: {people:,} ({how}).", actor=ctx.run.ref, at=ctx.now
            )  # fmt: skip
            if frozen is None:
                how += "; an earlier list stays frozen"
        return Done(
            {"people": people, "rows": rows}, exhibits, summary=f"{people:,} affected parties: {how}."
        )

    def _adverse(self, data: StepData) -> tuple[pd.DataFrame, list[Exhibit]]:
        """Rows with an adverse decision: keys, time and group only, so that the list holds no features."""
        from playbooks.diagnostics import fairness

        decision = data.need("prediction_column", "the decision")
        current = data.open("current")
        groups = data.names("group_column")
        require(current, [decision, *groups])
        frame = current.frame
        good = fairness.favourable(
            frame[decision], decision, data.get("positive_label"), data.number("threshold")
        )
        adverse = ~good & frame[decision].notna()
        if groups and data.get("group"):
            adverse &= fairness.groups_of(frame, groups)[0] == str(data.get("group"))
        shown = [*data.names("key_columns"), data.get("time_column"), *groups, decision]
        columns = list(dict.fromkeys(name for name in shown if name and name in frame))
        found = frame.loc[adverse, columns]
        content = found.to_csv(index_label="row").encode()
        listed = Exhibit("affected.csv", content, "text/csv", current.location, "Adverse decisions, frozen")
        return found, [listed, manifest({"current": current})]
