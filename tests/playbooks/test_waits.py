"""A run waits for a time, for a condition, or for something to happen on its incident."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from config import wiring
from incidents import outbox
from incidents.models import Alert, Incident
from integrations.models import Connection, RemoteLink
from playbooks.expressions import ExpressionError
from playbooks.models import Run
from playbooks.waits import next_time
from tests import scenes
from tests.playbooks.scenes import NOON, World, advance, started, step, world

__all__ = ["world"]
pytestmark = pytest.mark.django_db


def wait(clauses: str) -> str:
    return f"- {{id: W, kind: wait, title: Wait, {clauses}}}"


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("02:00", datetime(2030, 5, 7, 2, 0, tzinfo=UTC)),
        ("13:30", datetime(2030, 5, 6, 13, 30, tzinfo=UTC)),
        ("Sun 02:00", datetime(2030, 5, 12, 2, 0, tzinfo=UTC)),
        ("monday 11:00", datetime(2030, 5, 13, 11, 0, tzinfo=UTC)),
        ("2030-06-01T08:00:00+02:00", datetime(2030, 6, 1, 6, 0, tzinfo=UTC)),
        ("2030-06-01T08:00", datetime(2030, 6, 1, 8, 0, tzinfo=UTC)),
    ],
)
def test_the_next_time_the_clock_says_so(text: str, at: datetime) -> None:
    assert next_time(text, NOON) == at


@pytest.mark.parametrize("text", ["soon", "25:00", "", "Caturday 02:00"])
def test_what_is_no_time_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"write it as 2026-11-21T02:00:00\+00:00"):
        next_time(text, NOON)


def test_until_a_time_that_the_system_names(world: World) -> None:
    incident = scenes.incident(system=scenes.system(serving={"window": "14:00"}))
    run = advance(started(wait('until_time: "{{ system.serving.window }}"'), incident=incident))
    assert run.wake_at == datetime(2030, 5, 6, 14, 0, tzinfo=UTC)
    assert advance(run, after=minutes(121)).state == "succeeded"


def test_for_as_long_as_a_path_says(world: World) -> None:
    incident = scenes.incident(system=scenes.system(data={"maturity": "36h"}))
    run = advance(started(wait('for: "{{ system.data.maturity }}"'), incident=incident))
    assert run.wake_at == NOON + timedelta(hours=36)


def test_a_path_that_is_no_duration_fails_the_step(world: World) -> None:
    run = advance(started(wait('for: "{{ incident.title }}"'), incident=scenes.incident(title="Later")))
    assert run.state == "failed"
    assert "“Later” is no duration" in run.reason


def test_what_was_decided_at_the_beginning_stays_when_the_clock_jumps_back(world: World) -> None:
    run = advance(started(wait("for: 1h")))
    run = advance(run, after=timedelta(hours=-3))
    assert (run.state, run.wake_at) == ("waiting", NOON + timedelta(hours=1))
    assert advance(run, after=timedelta(days=2)).state == "succeeded"


def tell(incident: Incident, kind: str, at: datetime, **data: object) -> None:
    incident.record(kind, text="Told.", data=data)
    incident.events.filter(kind=kind).update(recorded_at=at, at=at)
    outbox.relay(wiring.LISTENERS)


UNTIL = wait("until_event: {kind: approval.approved, when: \"event.data.step == 'Q'\"}, every: 1h")


def test_an_event_that_fits_wakes_the_run_at_once(world: World) -> None:
    incident = scenes.incident()
    run = advance(started(UNTIL, incident=incident))
    assert run.wake_at == NOON + timedelta(hours=1)
    tell(incident, "approval.approved", NOON + minutes(1), step="R")
    run.refresh_from_db()
    assert run.wake_at == NOON + minutes(1)
    assert advance(run, after=minutes(1)).state == "waiting"
    tell(incident, "approval.approved", NOON + minutes(2), step="Q")
    run = advance(run, after=minutes(2))
    assert run.state == "succeeded"
    assert step(run, "W").outputs["event"]["data"] == {"step": "Q"}


def test_an_event_that_nobody_was_woken_for_is_found_at_the_next_look(world: World) -> None:
    incident = scenes.incident()
    run = advance(started(UNTIL, incident=incident))
    incident.record("approval.approved", text="Told.", data={"step": "Q"})
    incident.events.filter(kind="approval.approved").update(recorded_at=NOON + minutes(1))
    assert advance(run, after=minutes(60)).state == "succeeded"


def test_what_happened_before_the_step_began_does_not_count(world: World) -> None:
    incident = scenes.incident()
    tell(incident, "approval.approved", NOON - minutes(1), step="Q")
    run = advance(started(UNTIL.replace("every: 1h", "every: 1h, deadline: 2h"), incident=incident))
    assert run.state == "waiting"
    run = advance(run, after=timedelta(hours=2))
    assert run.state == "failed"
    assert "After 2 h 0 min this still does not hold: approval.approved" in run.reason


def monitor(incident: Incident, at: datetime, *, status: str = "resolved", samples: int = 200) -> None:
    """What a drift monitor said last."""
    Alert.objects.update_or_create(
        origin="connection:1", fingerprint="psi", incident=incident,
        defaults={"source": "evidently", "title": "PSI", "level": "warning", "metric": "psi", "status": status,
                  "sample_size": samples, "first_seen": at, "last_seen": at},
    )  # fmt: skip


CLEAN = wait("until_event: {clean: {windows: 2, window: 10m, samples: 100, monitor: 'metric=\"psi\"'}}")


def looked(run: Run, at: float) -> Run:
    return advance(run, after=minutes(at))


def test_until_the_monitor_was_clean_in_windows_in_a_row_with_enough_samples(world: World) -> None:
    incident = scenes.incident()
    run = advance(started(CLEAN, incident=incident))
    assert run.wake_at == NOON + minutes(10)
    monitor(incident, NOON + minutes(9))
    run = looked(run, 10)
    assert "1 so far" in step(run, "W").summary
    monitor(incident, NOON + minutes(15), samples=20)
    run = looked(run, 20)
    assert "0 so far; only 20 of 100 samples" in step(run, "W").summary
    monitor(incident, NOON + minutes(29))
    run = looked(run, 30)
    monitor(incident, NOON + minutes(31), status="firing")
    run = looked(run, 40)
    assert "0 so far; an alert fires" in step(run, "W").summary
    for at in (50, 60):
        monitor(incident, NOON + minutes(at - 1))
        run = looked(run, at)
    assert run.state == "succeeded", run.reason
    assert step(run, "W").outputs["clean_windows"] == 2


def test_an_alert_that_came_and_went_within_a_window_is_not_overlooked(world: World) -> None:
    incident = scenes.incident()
    run = advance(started(CLEAN, incident=incident))
    monitor(incident, NOON + minutes(9))
    run = looked(run, 10)
    monitor(incident, NOON + minutes(19))
    incident.alerts.update(starts_at=NOON + minutes(13))
    run = looked(run, 20)
    assert "0 so far; an alert fires" in step(run, "W").summary


def test_until_the_ticket_is_closed(world: World) -> None:
    incident = scenes.incident()
    jira = Connection.objects.create(provider="jira", name="Jira")
    link = RemoteLink.objects.create(
        connection=jira, incident=incident, remote_id="OPS-7", data={"state": "Open"}
    )
    run = advance(
        started(wait("until_event: {ticket: closed, provider: jira}, every: 5m"), incident=incident)
    )
    run = advance(run, after=minutes(5))
    assert "Until the ticket is closed" in step(run, "W").summary
    link.data = {"state": "Done"}
    link.save()
    assert advance(run, after=minutes(10)).state == "succeeded"


def test_what_people_are_asked_names_what_it_is_about(world: World) -> None:
    incident = scenes.incident(title="Too many refunds")
    run = advance(
        started(
            "- {id: Q, kind: human, title: Ask, text: 'Why {{ incident.title }}?', form: [{name: why}]}",
            incident=incident,
        )
    )
    assert run.approvals.get().prompt == "Why Too many refunds?"
    asks = "- {id: Q, kind: approve, title: Ask, text: 'Go on with {{ incident.title }}?', approve: {all_of: [IC, BO]}}"
    run = advance(started(asks.replace("id: Q", "id: R"), incident=scenes.incident(title="Other")))
    asked = run.approvals.get()
    assert (asked.prompt, asked.all_of) == ("Go on with Other?", ["IC", "BO"])
