"""`manage.py settings`: every variable of the environment, its type, default, present value and meaning."""

from __future__ import annotations

import json
import shutil
import textwrap
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config.settings import env


class Command(BaseCommand):
    help = (
        "List the settings read from the environment; secrets are masked. Make a value for HOLDFAST_SECRET_KEY "
        'with: python -c "import secrets; print(secrets.token_urlsafe(50))"; for HOLDFAST_ENCRYPTION_KEYS with: '
        'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())". To rotate, '
        "put the new key first and keep the old one behind it."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def handle(self, *args: Any, **options: Any) -> None:
        variables = env.variables.values()
        if options["json"]:
            self.stdout.write(json.dumps([asdict(variable) for variable in variables], indent=2))
            return
        rows = [("name", "type", "default", "now (* = from the environment)", "what it sets")]
        rows += [
            (v.name, v.kind, v.default, f"{v.shown}{' *' if v.from_environment else ''}", v.help)
            for v in variables
        ]
        limits = (27, 8, 34, 34)
        widths = [min(max(len(row[column]) for row in rows), limit) for column, limit in enumerate(limits)]
        widths.append(max(30, shutil.get_terminal_size((160, 40)).columns - sum(widths) - 8))
        for row in rows:
            cells = [textwrap.wrap(text, width) or [""] for text, width in zip(row, widths, strict=True)]
            for line in range(max(map(len, cells))):
                parts = [
                    (cell[line] if line < len(cell) else "").ljust(width)
                    for cell, width in zip(cells, widths, strict=True)
                ]
                self.stdout.write("  ".join(parts).rstrip())
