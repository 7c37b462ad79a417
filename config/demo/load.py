"""Loads the demo: the world, its past and its stories in their order, then the marker that opens the recorders."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.utils import timezone

from config.demo import aside, attack, connections, data, gateway, past, story, world
from config.demo.clock import Clock
from config.demo.stage import Stage
from config.env import remembered_address
from incidents import wake
from incidents.models import SeverityProfile, User
from playbooks import library


def load(folder: Path, password: str) -> list[User]:
    """Fill the installation in `folder`; everybody signs in with `password`. Returns the people.

    Workers of this process are not woken meanwhile: stories do their work themselves, in their own time.
    """
    base = remembered_address(folder) or settings.HOLDFAST_BASE_URL
    if not os.environ.get("HOLDFAST_BASE_URL"):
        settings.HOLDFAST_BASE_URL = base  # `up` may have moved since the settings were read
    former = wake.register(None)
    allowed = settings.HOLDFAST_EGRESS_ALLOW
    token = secrets.token_urlsafe(24)
    gateway.allow_here()
    try:
        with _hasty(), gateway.serving(gateway.Recorders(folder, token), base) as here:
            people = _tell(folder, password, here, token)
        connections.move_to(base, here)
        gateway.mark(folder, {"token": token, "base": base, "loaded_at": timezone.now().isoformat()})
    finally:
        settings.HOLDFAST_EGRESS_ALLOW = allowed
        wake.register(former)
    return list(people.values())


@contextmanager
def _hasty() -> Iterator[None]:
    """SQLite does not wait for the disk meanwhile: a power cut would cost the demo, and there is nothing else."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous")
        before = cursor.fetchone()[0]
        cursor.execute("PRAGMA synchronous = OFF")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA synchronous = {int(before)}")


def _tell(folder: Path, password: str, here: str, token: str) -> dict[str, User]:
    clock = Clock(past.FIRST + 1)
    datasets = folder / "datasets"
    data.write_all(datasets, timezone.now())
    SeverityProfile.current()
    people = world.make_people(password)
    systems = world.make_systems(clock, people)
    gateway.set_up(folder, world.traffic())
    library.install()
    doors = connections.open_all(here, token, by=people["ann"])
    stage = Stage(clock, people, systems, doors, datasets)
    past.live_through(clock, people, systems)
    attack.poisoning(stage)
    story.drift(stage)
    aside.noise(stage)
    story.bias(stage)
    aside.trouble(stage)
    story.units(stage)
    clock.end()
    return people
