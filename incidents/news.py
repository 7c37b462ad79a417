"""What an open page asks every two seconds: is there news of my incident, or of the house? Answered before Django.

Whoever opened the page was given a signed address for its subject, so that asking needs neither session nor database:
the newest events are read once in `FRESH` seconds for everybody who asks. The answer is a number or nothing; what
changed is then fetched by the page's parts, which know who may see what.

A fact recorded by a transaction that began before a newer one of the same incident, and ended after it, is told
with the next one, or when the page looks after ten minutes by itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from django.core.signing import BadSignature, TimestampSigner
from django.db import Error, close_old_connections
from django.db.models import Max, Q

from incidents.models import Event

PREFIX = "/news/"
#: The subject of the start page: whatever changes what is on fire, waiting or late.
HOUSE = 0
#: Seconds for which what was read is answered.
FRESH = 0.4
#: Seconds in which a transaction that took its number earlier may still commit.
BEHIND = 10.0
#: Seconds that an address is good: as long as a sign-in.
GOOD = 14 * 24 * 3600
#: Subjects remembered at most, and events read at a time.
ROOM, MOST = 20_000, 5_000
#: Kinds of events after which the start page looks the same as before.
QUIET = ("alert", "step.", "note.", "evidence.", "postmortem.", "inbox.", "playbook.", "message.", "notice.", "delivery.delivered", "delivery.retrying")  # fmt: skip

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_signer = TimestampSigner(salt="incidents.news", sep=".")


class News:
    """The newest event by subject, as far as this process has read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[int, int] = {}
        self._read: deque[tuple[float, int]] = deque()
        self._until = 0.0

    def newest(self, subject: int) -> int:
        """Number of the newest event that concerns the subject; 0 before the first."""
        if self._until < monotonic():
            self._refresh()
        found = self._newest.get(subject)
        if found is None:
            found = self._look_up(subject)
            with self._lock:
                if len(self._newest) >= ROOM:
                    self._newest.clear()
                found = self._newest[subject] = max(found, self._newest.get(subject, 0))
        return found

    def forget(self) -> None:
        with self._lock:
            self._newest.clear()
            self._read.clear()
            self._until = 0.0

    def _refresh(self) -> None:
        """Read on; while one thread does, the others answer with what is known."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            now = monotonic()
            self._until = now + FRESH
            while len(self._read) > 1 and self._read[1][0] <= now - BEHIND:
                self._read.popleft()
            if not self._read:
                self._read.append((now, _last()))
                return
            later = Event.objects.filter(pk__gt=self._read[0][1]).order_by("-pk")
            rows = list(later.values_list("pk", "incident", "kind")[:MOST])
            if len(rows) == MOST:  # nobody has asked for long: every subject is looked up anew
                self._newest.clear()
            for number, incident, kind in rows:
                subjects = (incident, HOUSE) if not kind.startswith(QUIET) else (incident,)
                for subject in subjects:
                    if subject in self._newest:
                        self._newest[subject] = max(number, self._newest[subject])
            self._read.append((now, rows[0][0] if rows else self._read[-1][1]))
        finally:
            self._lock.release()

    def _look_up(self, subject: int) -> int:
        rows = Event.objects.order_by()
        if subject != HOUSE:
            return int(rows.filter(incident=subject).aggregate(n=Max("pk"))["n"] or 0)
        quiet = Q()
        for start in QUIET:
            quiet |= Q(kind__startswith=start)
        last = _last()
        return int(rows.filter(pk__gt=last - MOST).exclude(quiet).aggregate(n=Max("pk"))["n"] or 0)


def _last() -> int:
    return int(Event.objects.order_by().aggregate(n=Max("pk"))["n"] or 0)


_news = News()
newest = _news.newest
forget = _news.forget


def of(subject: int) -> dict[str, Any]:
    """What a page needs to ask: {"address", "seen"}. Call it before the page's facts are read."""
    return {"address": f"{PREFIX}{_signer.sign(str(subject))}", "seen": newest(subject)}


def fronted(app: Application) -> Application:
    """The WSGI application `app` with the address of news in front of it: `GET /news/<signed>?seen=<number>`
    answers 204, or 200 with the number of something newer."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        if not path.startswith(PREFIX):
            return app(environ, start_response)
        status, body = _answer(path[len(PREFIX) :], environ.get("QUERY_STRING", ""))
        headers = [("Content-Type", "text/plain"), ("Cache-Control", "no-store")]
        if body:
            headers.append(("Content-Length", str(len(body))))
        start_response(status, headers)
        return [body]

    return application


def _answer(signed: str, query: str) -> tuple[str, bytes]:
    seen = query.removeprefix("seen=")
    close_old_connections()  # who asks here passes by Django's own signals
    try:
        number = newest(int(_signer.unsign(signed, max_age=GOOD)))
    except BadSignature:
        return "404 Not Found", b"There is no such subject. Load the page again.\n"
    except Error:
        close_old_connections()
        return "503 Service Unavailable", b"The database is not available.\n"
    if not seen.isdecimal() or len(seen) > 18 or number > int(seen):
        return "200 OK", str(number).encode()
    return "204 No Content", b""
