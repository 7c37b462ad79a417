"""Judges measured figures against their limits: the verification that “mitigated” asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from playbooks.contract import Action, ActionError, Done, Param, StepContext

TESTS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "below": ("<", lambda value, limit: value < limit),
    "at_most": ("≤", lambda value, limit: value <= limit),
    "at_least": ("≥", lambda value, limit: value >= limit),
    "equals": ("=", lambda value, limit: value == limit),
}


class CheckRecovery(Action):
    title = "Check the recovery"
    summary = "Compares what was measured after the change with the limits that say the harm is over."
    params = (
        Param(
            "checks",
            "list",
            help="[{name, value, below|at_most|at_least|equals: limit, optional}]; optional ones may be unmeasured.",
        ),
    )
    outputs = ("passed", "checks", "failed")

    def run(self, ctx: StepContext) -> Done:
        """Done when every check holds. Raises ActionError naming those that do not, with their values.

        An unmeasured value fails its check, unless the check is optional; nothing measured at all fails too.
        A dry run changed nothing, so nothing can have recovered: it only says what would be judged.
        """
        checks = [found for item in ctx.params["checks"] if (found := _checked(item)) is not None]
        if ctx.dry_run:
            judged = "; ".join(f"{item['name']} {item['limit']}" for item in checks)
            outputs = {"passed": False, "checks": checks, "failed": []}
            return Done(
                outputs, summary=f"Dry run: would judge {judged or 'nothing, as nothing is measured'}."
            )
        if not checks:
            raise ActionError(
                "Nothing was measured, so nothing is verified: measure one of the figures first."
            )
        failed = [
            f"{item['name']} is {item['value']}, not {item['limit']}" for item in checks if not item["ok"]
        ]
        if failed:
            raise ActionError(
                f"Not recovered: {'; '.join(failed)}.",
                outputs={"passed": False, "checks": checks, "failed": failed},
            )
        return Done(
            {"passed": True, "checks": checks, "failed": []},
            verdict="confirmed",
            summary="; ".join(f"{item['name']} {item['value']} ({item['limit']})" for item in checks) + ".",
        )


def _checked(item: Any) -> dict[str, Any] | None:
    """One check as {name, value, limit, ok}, or None for an optional one without a value."""
    kinds = [kind for kind in TESTS if isinstance(item, Mapping) and kind in item]
    if len(kinds) != 1 or "name" not in item:
        raise ActionError(f"A check needs a name and one of {', '.join(TESTS)}; this one is {item!r:.200}.")
    kind, value, limit = kinds[0], item.get("value"), item[kinds[0]]
    sign, holds = TESTS[kind]
    shown = {"name": str(item["name"]), "value": value, "limit": f"{sign} {limit}"}
    if item.get("optional") and limit in (None, ""):
        return None
    if value is None or value == "":
        return None if item.get("optional") else {**shown, "value": "not measured", "ok": False}
    try:
        return {**shown, "ok": bool(holds(value, limit))}
    except TypeError:
        # a text against a number, say: it cannot hold, and both are shown beside the failed check
        return {**shown, "ok": False}
