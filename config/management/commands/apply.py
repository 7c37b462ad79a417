"""`manage.py apply PATH...`: bring configuration from YAML files to the database and show what changes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config import applying, manifests
from incidents.models import User


class Command(BaseCommand):
    help = (
        "Create and update systems, connections, routes, rules, silences and playbooks from YAML files, in one "
        "transaction. Applied again, the same files change nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", metavar="PATH", help="a YAML file, or a folder of them")
        parser.add_argument("--dry-run", action="store_true", help="show what would change, change nothing")
        parser.add_argument(
            "--by", metavar="USER", help="in whose name and with whose rights; default the operator"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        by = None
        if options["by"]:
            by = User.objects.filter(username=options["by"], is_active=True).first()
            if by is None:
                raise CommandError(f"There is no active user {options['by']!r}.")
        try:
            documents = manifests.read(options["paths"])
            changes = applying.apply(documents, by=by, dry_run=options["dry_run"])
        except manifests.Unusable as error:
            raise CommandError(f"Nothing was changed:\n{error}") from error
        for change in changes:
            self.stdout.write("\n".join([f"# {change.name}", *change.diff, ""]))
        if not changes:
            self.stdout.write("no changes")
            return
        count = "1 change" if len(changes) == 1 else f"{len(changes)} changes"
        self.stdout.write(f"{count}; nothing was written (--dry-run)" if options["dry_run"] else count)
        for change in changes:
            if change.url and not options["dry_run"]:
                self.stdout.write(f"Inbound address of {change.name}, shown this once:\n  {change.url}")
