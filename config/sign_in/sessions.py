"""Browsers that are signed in: Django's database sessions, whose rows say whose they are, from where and since when."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends import db
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from config.sign_in.models import Session
from incidents.models import User

#: "Last seen" is written once a minute, not with every request.
TOUCH = timedelta(minutes=1)
#: Key of the session's own data that becomes columns of its row.
MARK = "browser"

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


class SessionStore(db.SessionStore):
    """The store that `SESSION_ENGINE` names."""

    #: when the row was last seen, once it was read
    seen_at: datetime | None = None

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def _get_session_from_db(self) -> Session | None:
        row: Session | None = super()._get_session_from_db()  # type: ignore[misc]
        self.seen_at = row.seen_at if row else None
        return row

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        row = cast(Session, super().create_model_instance(data))
        row.user_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
        mark = data.get(MARK, {})
        row.address, row.agent, row.way = (mark.get(name, "") for name in ("address", "agent", "way"))
        if "began_at" in mark:
            row.began_at = datetime.fromisoformat(mark["began_at"])
        return row


@dataclass(frozen=True, slots=True)
class Browser:
    """One signed-in browser as its owner sees it. `name` stands for the session without being its key."""

    name: str
    device: str
    address: str
    way: str
    began_at: datetime
    seen_at: datetime
    here: bool


def mark(request: HttpRequest, way: str) -> None:
    """Note in the session where it began; also forgets sessions whose time is over."""
    request.session[MARK] = {
        "address": address_of(request),
        "agent": request.headers.get("User-Agent", "")[:300],
        "way": way,
        "began_at": timezone.now().isoformat(),
    }
    Session.objects.filter(expire_date__lt=timezone.now()).delete()


def touch(request: HttpRequest) -> None:
    """The session was used now, from here."""
    seen = getattr(request.session, "seen_at", None)
    now = timezone.now()
    if seen is not None and now - seen > TOUCH:
        Session.objects.filter(session_key=request.session.session_key).update(
            seen_at=now, address=address_of(request)
        )


def browsers(user: User, here: str | None) -> list[Browser]:
    """The browsers in which `user` is signed in, the one with the session key `here` first, then newest first."""
    found = [
        Browser(_name(row), device(row.agent), row.address, row.way, row.began_at, row.seen_at, row.session_key == here)
        for row in _live(user)
    ]  # fmt: skip
    return sorted(found, key=lambda one: (one.here, one.seen_at), reverse=True)


def end(user: User, name: str) -> bool:
    """Sign the browser out that goes by `name`; False when it is not one of the user's."""
    keys = [row.session_key for row in user.sessions.all() if _name(row) == name]
    return bool(Session.objects.filter(session_key__in=keys).delete()[0])


def end_others(user: User, here: str | None) -> int:
    """Sign all browsers out but this one; how many of them were still signed in."""
    ended = sum(row.session_key != here for row in _live(user))
    user.sessions.exclude(session_key=here or "").delete()
    return ended


def device(agent: str) -> str:
    """ "Firefox on Linux", for a User-Agent header; the header's first words where it is none of the usual."""
    system = next((name for sign, name in _SYSTEMS if sign in agent), "")
    browser = next((name for sign, name in _BROWSERS if re.search(rf"\b{sign}[A-Za-z]*/", agent)), "")
    return " on ".join(filter(None, (browser, system))) or agent[:40] or "unknown"


def address_of(request: HttpRequest) -> str:
    """Where the request comes from; a trusted proxy's word was already taken over."""
    return request.META.get("REMOTE_ADDR", "")[:45]


def _live(user: User) -> list[Session]:
    """Sessions that still let somebody in: a changed password ends the others by Django's hash of it."""
    valid = user.get_session_auth_hash()
    return [
        row
        for row in user.sessions.filter(expire_date__gt=timezone.now())
        if constant_time_compare(SessionStore().decode(row.session_data).get(HASH_SESSION_KEY, ""), valid)
    ]


def _name(row: Session) -> str:
    return hashlib.sha256(row.session_key.encode()).hexdigest()[:16]
