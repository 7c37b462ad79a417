"""`manage.py playbook export|import`: playbooks as files, in YAML or as CACAO 2.0 documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from incidents.models import User
from playbooks import exchange, publishing
from playbooks.cacao import CacaoError
from playbooks.definition import DefinitionError
from playbooks.models import Playbook


class Command(BaseCommand):
    help = "Write a version of a playbook to a file, or bring a file in as a draft."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        out = verbs.add_parser("export", help="write a version")
        out.add_argument("slug")
        out.add_argument("--format", choices=exchange.FORMATS, default="yaml")
        out.add_argument("--number", type=int, metavar="N", help="which version; default: the published one")
        out.add_argument("--output", metavar="FILE", help="where to; default: standard output")
        bring = verbs.add_parser("import", help="bring a YAML or CACAO file in as a draft")
        bring.add_argument("file")
        bring.add_argument("--publish", action="store_true", help="publish it at once")
        bring.add_argument("--dry-run", action="store_true", help="print the text, keep nothing")
        bring.add_argument("--note", default="", help="what changed and why")
        bring.add_argument(
            "--by", metavar="USER", help="in whose name and with whose rights; default the operator"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "export":
            self._export(options)
        else:
            self._import(options)

    def _export(self, options: dict[str, Any]) -> None:
        playbook = Playbook.objects.filter(slug=options["slug"]).first()
        if playbook is None:
            known = ", ".join(Playbook.objects.values_list("slug", flat=True)) or "none"
            raise CommandError(f"There is no playbook {options['slug']!r}. There are: {known}.")
        number = options["number"]
        version = playbook.versions.filter(number=number).first() if number else playbook.published
        if version is None:
            raise CommandError(
                f"{playbook.slug} has no {f'version {number}' if number else 'published version'}."
            )
        try:
            made = exchange.export(version, options["format"])
            if options["output"]:
                Path(options["output"]).write_text(made.content, encoding="utf-8")
            else:
                self.stdout.write(made.content, ending="")
        except (OSError, exchange.Unreadable) as error:
            raise CommandError(str(error)) from error
        for note in made.notes:
            self.stderr.write(f"note: {note}")

    def _import(self, options: dict[str, Any]) -> None:
        by = None
        if options["by"]:
            by = User.objects.filter(username=options["by"], is_active=True).first()
            if by is None:
                raise CommandError(f"There is no active user {options['by']!r}.")
        try:
            found = exchange.text_of(Path(options["file"]).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, exchange.Unreadable, CacaoError) as error:
            raise CommandError(f"{options['file']} cannot be brought in: {error}") from error
        for note in found.notes:
            self.stderr.write(f"note: {note}")
        if options["dry_run"]:
            self.stdout.write(found.text, ending="")
            return
        try:
            version = exchange.bring_in(found, by=by, note=options["note"])
            if options["publish"]:
                publishing.publish_version(version, by=by, note=options["note"])
        except DefinitionError as error:
            lines = "\n".join(f"{options['file']}: {problem}" for problem in error.problems)
            raise CommandError(f"Nothing was published or kept:\n{lines}") from error
        self.stdout.write(f"{version} is {version.status}")
