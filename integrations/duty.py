"""Who is on duty by the paging tools: asked every few minutes, shown on the pages of the systems they are paged for."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.utils import timezone

from incidents.wake import wake
from integrations import http, shelf
from integrations.contract import OnDuty, SendError
from integrations.models import Connection, DutyAnswer, Route
from integrations.outbox.announce import leads
from integrations.secrets import SecretsUnreadable

if TYPE_CHECKING:
    from incidents.models import AISystem

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=5)
#: An answer older than this is shown with a warning: nobody knows who is on duty now.
STALE = timedelta(minutes=30)
MOST = 20


@dataclass(frozen=True, slots=True)
class Duty:
    """What one tool answered last: `people` by level, and when; `error` why it could not be asked since."""

    connection: Connection
    people: list[OnDuty]
    answered_at: datetime | None
    error: str

    @property
    def is_stale(self) -> bool:
        return self.answered_at is None or self.answered_at < timezone.now() - STALE


def sweep(now: datetime | None = None) -> int:
    """Wake a worker for each paging tool that was not asked of late; how many."""
    knowing = [one.slug for one in shelf.providers().values() if one.knows_duty]
    old = Q(duty=None) | Q(duty__asked_at__lte=(now or timezone.now()) - EVERY)
    due = list(
        Connection.objects.filter(old, enabled=True, provider__in=knowing).values_list("pk", flat=True)[:50]
    )
    for pk in due:
        wake("duty", pk)
    return len(due)


def ask(connection_id: int) -> bool:
    """Ask one tool who is on duty now and keep its answer; False when it was not due, or is not set up to tell."""
    now = timezone.now()
    row = Connection.objects.filter(pk=connection_id, enabled=True).first()
    if row is None:
        return False
    answer, made = DutyAnswer.objects.get_or_create(connection=row, defaults={"asked_at": now})
    if not made and not DutyAnswer.objects.filter(pk=answer.pk, asked_at__lte=now - EVERY).update(
        asked_at=now
    ):
        return False
    kind = shelf.provider(row.provider)
    try:
        settings = row.settings
        conversation = kind.on_duty(settings)
        if conversation is None:
            return False
        people, _ = http.run(conversation, secrets=kind.secrets(settings))
        kept: dict[str, Any] = {
            "people": [asdict(one) for one in people[:MOST]],
            "error": "",
            "answered_at": now,
        }
    except (SendError, SecretsUnreadable) as error:
        kept = {"error": str(error)[:300]}
    except Exception as error:
        log.exception("asking connection %s who is on duty broke", connection_id)
        kept = {
            "error": f"A defect of the {row.provider} provider kept it from being asked ({error!r})."[:300]
        }
    DutyAnswer.objects.filter(pk=answer.pk).update(**kept)
    return True


def for_system(system: AISystem) -> list[Duty]:
    """What the tools that are told of this system's incidents answered last."""
    labels = {
        "severity": "1", "class": "", "state": "detected", "restricted": "false", "system": system.slug,
        "environment": system.environment, "team": system.team.slug if system.team else "",
        "risk_tier": system.risk_tier,
    }  # fmt: skip
    answered = Q(answered_at__isnull=False) | ~Q(error="")
    answers = {
        one.connection_id: one
        for one in DutyAnswer.objects.filter(answered, connection__enabled=True).select_related("connection")
    }
    routes = Route.objects.filter(active=True, connection__in=answers).select_related("connection")
    paged = dict.fromkeys(route.connection_id for route in routes if leads(route, "opened", labels))
    return [
        Duty(answers[pk].connection, [OnDuty(**one) for one in answers[pk].people], answers[pk].answered_at, answers[pk].error)
        for pk in paged
    ]  # fmt: skip
