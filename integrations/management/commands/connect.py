"""`manage.py connect PROVIDER NAME`: make or change a connection and print its inbound address once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations.connecting import BadSettings, Made, connect, fields_of
from integrations.shelf import UnknownProvider, provider, providers


class Command(BaseCommand):
    help = (
        "Make a connection, or change the settings of the one with this name. The inbound address is printed "
        "when it is made; --rotate makes a new one, the former stays good for a day."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("provider", help=f"one of {', '.join(providers())}")
        parser.add_argument("name", help="how people call this connection")
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="key=value",
            help="a setting; key=@file reads it from a file, key= takes it back to its default",
        )
        parser.add_argument("--rotate", action="store_true", help="make a new inbound address")
        parser.add_argument("--json", action="store_true", help='print {"id", "url"}; url is null when kept')

    def handle(self, *args: Any, **options: Any) -> None:
        changes = dict(_setting(word) for word in options["set"])
        try:
            made = connect(options["provider"], options["name"], changes, rotate=options["rotate"])
        except BadSettings as error:
            told = "\n".join(f"  {name}: {message}" for name, message in error.errors.items())
            raise CommandError(f"Nothing was changed:\n{told}\n{_help(options['provider'])}") from error
        except (UnknownProvider, ValueError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps({"id": made.connection.pk, "url": made.url}))
        else:
            self.stdout.write(_told(made))


def _setting(word: str) -> tuple[str, str]:
    key, separator, value = word.partition("=")
    if not separator or not key.strip():
        raise CommandError(f"--set {word}: write key=value.")
    if value.startswith("@"):
        try:
            value = Path(value[1:]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"--set {key}: {value[1:]} cannot be read ({error}).") from error
    return key.strip(), value


def _told(made: Made) -> str:
    row = made.connection
    lines = [f'Connection "{row.name}" ({row.provider}) {"made" if made.created else "changed"}.']
    if made.url:
        lines += ["Inbound address, shown this once:", f"  {made.url}"]
        if row.previous_token_until:
            lines.append(
                f"The former address stays good until {row.previous_token_until:%Y-%m-%d %H:%M} UTC."
            )
    elif provider(row.provider).inbound:
        lines.append(f"Its inbound address ({row.token_prefix}…) is unchanged; --rotate makes a new one.")
    return "\n".join(lines)


def _help(slug: str) -> str:
    rows = [
        f"  {field.name}{' (required)' if field.required else ''}: {field.help or field.title}"
        for field in fields_of(provider(slug))
    ]
    return "\n".join([f"Settings of {slug}:", *rows]) if rows else f"{slug} has no settings."
