"""Whom a question of a playbook concerns: everybody who may answer it now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playbooks.electorate import electorate
from playbooks.models import Approval

if TYPE_CHECKING:
    from incidents.models import Event, User


def asked_of(event: Event) -> list[User]:
    """Of an event that a question was asked or handed on: those who may answer while it waits."""
    asked = (
        Approval.objects.filter(pk=event.data.get("approval"), decision="pending")
        .select_related("incident", "run", "step")
        .first()
    )
    return [user for user, _ in electorate(asked).may] if asked else []
