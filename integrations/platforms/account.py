"""The connection that a step uses at a platform, found by name or because there is only one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from integrations import shelf
from integrations.models import Connection
from playbooks.contract import ActionError, StepContext


class NotConnected(ActionError):
    """Nothing says which account is meant. Who only looks may do without; who acts may not."""


@dataclass(frozen=True, slots=True)
class Account:
    """A connection's settings, opened; `secrets` are hidden wherever something is shown."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def text(self, name: str, default: str = "") -> str:
        """A setting as text, without spaces around it."""
        return str(self.settings.get(name) or default).strip()


def account_of(ctx: StepContext, provider: str, *, names: Sequence[str] = ("connection",)) -> Account:
    """The account of a step at this kind of platform.

    The step's `connection` comes first, then what the AI system's serving settings name under one of `names`
    (or `<provider>_connection`), then the only connection there is. Raises ActionError; NotConnected where
    neither step nor system asks for one.
    """
    rows = {row.name: row for row in Connection.objects.filter(provider=provider)}
    serving = getattr(ctx.system, "serving", None)
    serving = serving if isinstance(serving, Mapping) else {}
    wished = ctx.params.get("connection")
    if not wished:
        set_up = [str(serving[key]) for key in (f"{provider}_connection", *names) if serving.get(key)]
        wished = next((name for name in set_up if name in rows), None)
    if not wished and len(rows) == 1:
        wished = next(iter(rows))
    if not wished or wished not in rows:
        which = (
            f"There is no {provider} connection {wished!r}"
            if wished
            else f"No {provider} connection is named"
        )
        error = ActionError if wished else NotConnected
        raise error(
            f"{which} (there are: {', '.join(rows) or 'none'}). Make one with `manage.py connect {provider} "
            f"NAME --set …`, or give its name as `connection` in the step."
        )
    row = rows[wished]
    if not row.enabled:
        raise ActionError(f"The connection {row.name} is switched off: switch it on, then retry the step.")
    settings: Any = row.settings
    secrets = tuple(secret for secret in shelf.provider(provider).secrets(settings) if secret)
    return Account(row.name, settings, secrets)
