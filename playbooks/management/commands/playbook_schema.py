"""`manage.py playbook_schema`: write the JSON Schema of playbooks, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from playbooks.schema import schema


class Command(BaseCommand):
    help = "Write the JSON Schema (2020-12) of playbooks with the actions installed here, for editors and checks."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", help="where to; default: standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        text = json.dumps(schema(), indent=2, ensure_ascii=False)
        if not options["file"]:
            self.stdout.write(text)
            return
        try:
            Path(options["file"]).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be written: {error}.") from error
        self.stdout.write(f"{options['file']} is written.")
