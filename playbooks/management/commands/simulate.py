"""`manage.py simulate PLAYBOOK`: walk a playbook on a past or an invented incident; nothing is stored or sent."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from incidents.lifecycle import Refused
from incidents.models import Incident
from playbooks.api.simulations import as_json
from playbooks.forms import InvalidForm
from playbooks.models import Playbook, PlaybookVersion
from playbooks.plan import definition_of_any
from playbooks.simulate import simulate
from playbooks.supposed import Simulation, Unusable


class Command(BaseCommand):
    help = "Walk a playbook on a past or an invented incident and say what it would do; nothing is stored or sent."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("playbook", help="slug")
        parser.add_argument(
            "--version-number", type=int, metavar="N", help="a version, also a draft; default: published"
        )
        parser.add_argument(
            "--incident", metavar="INC-7", help="an incident that is there; default: an invented one"
        )
        parser.add_argument(
            "--facts",
            metavar="FILE",
            help="JSON with incident, system, inputs, outputs and answers; - reads standard input",
        )
        parser.add_argument("--diagnose", action="store_true", help="really run diagnosis that only reads")
        parser.add_argument("--json", action="store_true", help="print everything as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        version = _version(options["playbook"], options["version_number"])
        incident = _incident(options["incident"]) if options["incident"] else None
        given = _given(options["facts"]) if options["facts"] else {}
        try:
            definition = definition_of_any(version)
            found = simulate(
                version, definition, incident=incident, given=given, for_real=options["diagnose"]
            )
        except (InvalidForm, Refused, Unusable) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(as_json(found), indent=2, default=str))
        else:
            self.stdout.write("\n".join(_lines(found)))


def _version(slug: str, number: int | None) -> PlaybookVersion:
    playbook = Playbook.objects.filter(slug=slug).first()
    if playbook is None:
        there = ", ".join(Playbook.objects.values_list("slug", flat=True)) or "none"
        raise CommandError(f"There is no playbook {slug!r}; there are: {there}.")
    found = playbook.versions.filter(number=number).first() if number else playbook.published
    if found is None:
        raise CommandError(f"{slug} has no {f'version {number}' if number else 'published version'}.")
    return found


def _incident(key: str) -> Incident:
    digits = key.upper().removeprefix("INC-")
    found = (
        Incident.objects.select_related("system", "owner").filter(pk=digits).first()
        if digits.isdigit()
        else None
    )
    if found is None:
        raise CommandError(f"There is no incident {key!r}; write it like INC-7.")
    return found


def _given(path: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise CommandError(f"--facts {path}: {error}") from error
    if not isinstance(found, dict):
        raise CommandError(f"--facts {path}: the file must hold a JSON object.")
    return found


def _lines(found: Simulation) -> list[str]:
    """The walk as people read it: one line per step, with what it would do and why it goes on."""
    lines = [f"{found.playbook} v{found.version}: {found.state}. {found.reason}".rstrip()]
    for step in found.steps:
        after = int((step.at - found.started_at).total_seconds())
        where = f" [{step.inside}]" if step.inside else ""
        lines.append(f"  +{after:>6} s  {step.id}{where} {step.title}: {step.state}")
        details = [step.error or step.summary, f"would send: {step.does}" if step.does else ""]
        if step.asked:
            how = "as given" if step.asked.given else "by default"
            details.append(
                f"asks {' or '.join(step.asked.roles) or 'whoever may'}: {json.dumps(step.asked.answer)} ({how})"
            )
        if step.why:
            details.append(f"→ {step.goto}, because {step.why}")
        lines += [f"             {detail}" for detail in details if detail]
    took = int((found.ended_at - found.started_at).total_seconds())
    lines.append(f"Took {took} s by its own clock; {len(found.effects)} effects and messages, none sent.")
    return [*lines, *(f"Note: {note}" for note in found.notes)]
