"""What is done about signing in goes on the record, as events without an incident."""

from __future__ import annotations

from typing import Any

from incidents.models import Event, User


def tell(
    what: str, user: User | None, text: str, /, *, by: User | None = None, actor: str = "", **data: Any
) -> None:
    """Keep what happened to `user`; `by` is who did it (they themselves by default), `actor` when it was nobody."""
    Event.objects.create(
        kind=f"sign_in.{what}",
        by=by if by or actor else user,
        actor=actor,
        text=text,
        data={"user": user.get_username() if user else "", **data},
    )
