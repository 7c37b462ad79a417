"""Drafts the post-mortem from the facts, so that writing starts while memory is fresh."""

from __future__ import annotations

from incidents import postmortem
from playbooks.contract import Action, Done, StepContext


class DraftPostmortem(Action):
    title = "Draft the post-mortem"
    summary = "Makes the incident's post-mortem from timeline, measures and evidence; an existing one stays."
    outputs = ("status", "missing")

    def run(self, ctx: StepContext) -> Done:
        if ctx.dry_run:
            return Done({"status": "", "missing": []}, summary="Dry run: no draft was made.")
        draft = postmortem.draft(ctx.incident)
        missing = [
            title for key, (title, _) in postmortem.WRITTEN.items() if not draft.sections.get(key, "").strip()
        ]
        return Done(
            {"status": draft.status, "missing": missing},
            summary=f"Post-mortem is {draft.get_status_display().lower()}; people write {len(missing)} sections.",
        )
