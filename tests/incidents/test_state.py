"""The state while threads read incidents again, and when reading them fails half-way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection

from incidents.models import Incident
from tests.scenes import incident, person


def _while_it_is_read(do: Callable[[], None]) -> Callable[..., Any]:
    """A wrapper of queries that calls `do` in the middle of reading an incident."""

    def wrapped(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if 'FROM "incidents_incident"' in sql:
            do()
        return execute(sql, params, many, context)

    return wrapped


@pytest.mark.django_db
def test_while_one_incident_is_read_again_the_state_of_another_stays_guarded():
    read, other = incident(), incident()
    refusals = []

    def write() -> None:
        with pytest.raises(AttributeError, match="not allowed"):
            other.state = "closed"
        refusals.append(other.state)

    with connection.execute_wrapper(_while_it_is_read(write)):
        read.refresh_from_db()
    assert refusals == ["detected"]
    with pytest.raises(AttributeError, match="not allowed"):
        read.state = "closed"


@pytest.mark.django_db
def test_an_incident_can_be_read_to_the_end_when_another_reading_ended_meanwhile():
    slow, quick = incident(), incident()
    Incident.objects.filter(pk=slow.pk).update(title="Read again")
    busy: list[bool] = []

    def read_the_other() -> None:
        if not busy:
            busy.append(True)
            quick.refresh_from_db()

    with connection.execute_wrapper(_while_it_is_read(read_the_other)):
        slow.refresh_from_db()
    assert slow.title == "Read again"
    assert slow.state == quick.state == "detected"


@pytest.mark.django_db(transaction=True)
def test_a_verb_that_cannot_read_its_incident_leaves_the_thread_s_connection_usable():
    found, bob = incident(), person("bob", "IC")

    def away() -> None:
        raise OperationalError("the server closed the connection")

    seen: dict[str, Any] = {}

    def work() -> None:  # a thread of a worker: its connection serves the next task too
        try:
            with (
                pytest.raises(OperationalError, match="closed the connection"),
                connection.execute_wrapper(_while_it_is_read(away)),
            ):
                found.acknowledge(by=bob)
            seen["left open"] = connection.in_atomic_block
            found.acknowledge(by=bob)
            seen["acknowledged"] = found.acked_at
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert seen["left open"] is False
    assert seen["acknowledged"] is not None
