"""The state before an effect, kept as evidence: what undoing goes back to, over retries and restarts."""

from __future__ import annotations

import json
from typing import Any

from incidents.models import Evidence
from playbooks.contract import Exhibit, StepContext


def exhibit_of(ctx: StepContext, state: Any, source: str) -> Exhibit:
    """The state as a piece of evidence that `state_before` finds again."""
    return Exhibit("before.json", json.dumps(state, indent=1).encode(), source=source, note=_note(ctx))


def tried_before(ctx: StepContext) -> bool:
    """Whether an earlier try, here or before a restart, may have had its effect already: what is read now
    is then no state before."""
    steps = getattr(ctx.run, "steps", None)
    if steps is None:
        return False
    return bool(steps.filter(idempotency_key=_effect(ctx)).exclude(phase="").exists())


def state_before(ctx: StepContext) -> Any:
    """The newest state before that was kept for this effect, or None."""
    if getattr(ctx.incident, "pk", None) is None:
        return None
    found = Evidence.objects.filter(incident=ctx.incident, note=_note(ctx)).order_by("-pk").first()
    return json.loads(bytes(found.content)) if found else None


def _note(ctx: StepContext) -> str:
    return f"State before {_effect(ctx)}"


def _effect(ctx: StepContext) -> str:
    return str(getattr(ctx.step, "idempotency_key", "") or ctx.idempotency_key)
