"""What the AI system's serving settings say about where to look, and how an action says that it found nothing to ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playbooks.contract import Done, StepContext


def setting_of(system: Any, name: str) -> Any:
    """A part of the serving settings, such as `logs`; None without one."""
    serving = getattr(system, "serving", None)
    return serving.get(name) if isinstance(serving, Mapping) else None


def asked_for(ctx: StepContext, name: str, setting: Mapping[str, Any], default: Any = None) -> Any:
    """A parameter of the step, else of the system's settings, else the default."""
    value = ctx.params.get(name)
    return value if value not in (None, "", [], {}) else setting.get(name, default)


def skipped(why: str) -> Done:
    """Nothing is connected or set up: the run goes on, and the reason is on record."""
    return Done({"found": False, "skipped": why}, summary=f"Skipped: {why}")
