"""`manage.py audit verify|export`: check the chain of the audit log, or write it as JSON lines or CSV."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from incidents import audit
from incidents.models import AuditEntry


class Command(BaseCommand):
    help = "Check the hash chain of the audit log (verify), or write it to standard output (export)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("do", choices=("verify", "export"))
        parser.add_argument("--after", type=int, default=0, metavar="N", help="only what follows place N")
        parser.add_argument(
            "--expect",
            metavar="N:HASH",
            help="fail unless entry N has this hash: notices that the end was cut off or the whole was written anew",
        )
        parser.add_argument("--format", choices=("jsonl", "csv"), default="jsonl")

    def handle(self, *args: Any, **options: Any) -> None:
        while audit.seal():
            pass
        if options["do"] == "export":
            self._export(options["after"], options["format"])
            return
        if options["expect"]:
            _expect(options["expect"])
        found = audit.verify(options["after"])
        if found.wrong:
            raise CommandError("The audit log is not as it was written:\n" + "\n".join(found.wrong))
        head = AuditEntry.objects.exclude(seq=None).order_by("-seq").first()
        at = f"; the newest is {head.seq}:{head.hash}" if head else ""
        self.stdout.write(f"{found.entries} entries are as they were written{at}")

    def _export(self, after: int, form: str) -> None:
        audit.note("export", "The audit log was exported at the command line.", actor="command line")
        rows = AuditEntry.objects.filter(seq__gt=after).order_by("seq").select_related("by", "incident")
        entries = (audit.shown(entry) for entry in rows.iterator(chunk_size=500))
        for line in audit.lines(entries, form):
            self.stdout.write(line, ending="")


def _expect(said: str) -> None:
    number, _, hashed = said.partition(":")
    if not number.isdecimal() or not hashed:
        raise CommandError("--expect takes what `audit verify` printed: a number, a colon and a hash.")
    if not AuditEntry.objects.filter(seq=int(number), hash=hashed).exists():
        raise CommandError(
            f"Entry {number} is not there with this hash: the log was cut off or written anew."
        )
