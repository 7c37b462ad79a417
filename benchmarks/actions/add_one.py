"""The least that a step can do: the time that remains is the engine's."""

from __future__ import annotations

from playbooks.contract import Action, Done, Outcome, StepContext


class AddOne(Action):
    """Adds one, as the task of the bare Celery chain does."""

    title = "Add one"
    outputs = ("sum",)

    def run(self, ctx: StepContext) -> Outcome:
        return Done({"sum": 1 + 1})
