"""`manage.py demo`: load the demo world into an empty installation."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from incidents.models import AISystem, Incident
from integrations.models import Connection


class Command(BaseCommand):
    help = "Load people, AI systems and incidents of the demo. Refuses a database that holds real ones."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--password", help="password of all demo people (default: a random one, printed once)"
        )
        parser.add_argument(
            "--force",
            action="store_true",
            help="load although there is something already; all of it then becomes about half a year older",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        taken = [
            model._meta.verbose_name_plural
            for model in (Incident, AISystem, Connection)
            if model.objects.exists()
        ]
        if taken and not options["force"]:
            raise CommandError(
                f"This installation has {' and '.join(map(str, taken))} already; the demo would mix with them and change their "
                "times. Use an empty data folder (manage.py up --data FOLDER --demo), or insist with --force."
            )
        from config.demo import load  # needs the extra `diagnosis`, which `manage.py help` must not

        password = options["password"] or secrets.token_urlsafe(9)
        started = time.monotonic()
        # two hundred calls to the recorders are no news
        logging.getLogger("integrations.http").setLevel(logging.WARNING)
        people = load.load(settings.HOLDFAST_DATA, password)
        self.stdout.write(
            f"demo loaded in {time.monotonic() - started:.0f} s; sign in with the password {password} (shown this once) as"
        )
        for person in people:
            roles = ", ".join(grant.get_role_display() for grant in person.grants.all())
            self.stdout.write(f"  {person.username:<5} {person.display_name} ({roles})")
