"""Sets a feature flag: a feature, a capability or a tool off, or the fallback on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from integrations.platforms.before import exhibit_of, state_before, tried_before
from integrations.platforms.flags import flags_of
from integrations.platforms.settle import settled
from playbooks.contract import Action, Done, Exhibit, Param, StepContext, Unverified


class SetFlag(Action):
    title = "Set a feature flag"
    summary = "Sets a flag at a flag service, reads it back, and can restore what it was."
    params = (
        Param("flag", help="Its name at the flag service."),
        Param("value", "any", help="true, false, or a variant."),
        Param("environment", required=False, help="Default: the connection's."),
        Param("connection", required=False, help="Flag service. Default: the only one."),
    )
    outputs = ("flag", "value", "before")
    risk = "R1"
    changes_world = True

    def precheck(self, ctx: StepContext) -> None:
        flags_of(ctx).read(str(ctx.params["flag"]))

    def before(self, ctx: StepContext) -> Sequence[Exhibit]:
        if tried_before(ctx):
            return ()
        flag = str(ctx.params["flag"])
        return [exhibit_of(ctx, {"value": flags_of(ctx).read(flag)[0]}, f"flag:{flag}")]

    def run(self, ctx: StepContext) -> Done:
        flag, value = str(ctx.params["flag"]), ctx.params["value"]
        present = _set(ctx, flag, value)
        before = (state_before(ctx) or {"value": present})["value"]
        outputs = {"flag": flag, "value": value, "before": before}
        return Done(outputs, summary=f"{flag}: {json.dumps(before)} → {json.dumps(value)}.")

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        return _read_back(ctx, outputs["flag"], outputs["value"])

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        _set(ctx, outputs["flag"], outputs["before"])
        found = _read_back(ctx, outputs["flag"], outputs["before"])
        return Done(found, summary=f"{outputs['flag']} is {json.dumps(outputs['before'])} again.")


def _set(ctx: StepContext, flag: str, value: Any) -> Any:
    """Ask for the value; what it was."""
    flags = flags_of(ctx)
    present, answer = flags.read(flag)
    flags.write(flag, value, answer, ctx.idempotency_key)
    return present


def _read_back(ctx: StepContext, flag: str, value: Any) -> dict[str, Any]:
    flags = flags_of(ctx)
    found, right = settled(ctx, lambda: flags.read(flag)[0], lambda seen: _same(seen, value))
    if not right:
        raise Unverified(
            f"The flag {flag} should be {json.dumps(value)} and is {json.dumps(found)}. Whatever the service answered, "
            "it is not set: look at it there."
        )
    return {"value": found}


def _same(seen: Any, value: Any) -> bool:
    # True is 1 in Python, but not for a flag service
    return isinstance(seen, bool) == isinstance(value, bool) and bool(seen == value)
