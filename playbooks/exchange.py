"""Playbooks as files: a version as YAML or as a CACAO document, and either of them as a draft."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from playbooks import cacao, publishing
from playbooks.definition import check
from playbooks.models import Playbook, PlaybookVersion

FORMATS = ("yaml", "cacao")
LARGEST = 4 * 1024 * 1024  #: characters of a document


class Unreadable(ValueError):
    """The file is neither a playbook in YAML nor a CACAO document; the message says what to do."""


@dataclass(frozen=True, slots=True)
class File:
    """A version as a file. `notes` says what other tools will not find in it."""

    name: str
    media_type: str
    content: str
    notes: tuple[str, ...] = ()


def export(version: PlaybookVersion, how: str) -> File:
    """The version as a file. Raises Unreadable when a draft's text has problems that CACAO cannot say."""
    slug, number = version.playbook.slug, version.number
    if how == "yaml":
        return File(f"{slug}.yaml", "application/yaml", version.source)
    if problems := check(version.source):
        raise Unreadable(f"{version} has problems, so it cannot be written as CACAO: {problems[0]}")
    first = version.playbook.versions.order_by("number").values_list("created_at", flat=True).first()
    made = cacao.export(
        version.source,
        created=first or version.created_at,
        modified=version.published_at or version.created_at,
    )
    text = json.dumps(made.document, indent=2, ensure_ascii=False) + "\n"
    return File(f"{slug}-v{number}.cacao.json", "application/cacao+json", text, made.notes)


def text_of(content: str) -> cacao.Imported:
    """The playbook's text in a file: YAML as it is, a CACAO document translated. Raises Unreadable, CacaoError."""
    if len(content) > LARGEST:
        raise Unreadable(
            f"The file has more than {LARGEST // 1024 // 1024} million characters; split the playbook."
        )
    if not content.lstrip().startswith("{"):
        return cacao.Imported(content.replace("\r\n", "\n"), ())
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unreadable(
            f"This is not JSON: {error}. Give a CACAO document, or a playbook in YAML."
        ) from error
    return of_document(document)


def of_document(document: Any) -> cacao.Imported:
    """The playbook's text in a CACAO document. Raises CacaoError."""
    return cacao.bring_in(document, Playbook.objects.values_list("slug", flat=True))


def bring_in(found: cacao.Imported, *, by: Any = None, note: str = "") -> PlaybookVersion:
    """Keep an imported text as a draft of the playbook that it names. Raises DefinitionError, NotAllowed."""
    said = note or "Imported."
    if found.notes:
        said = f"{said} Not carried over: {len(found.notes)}."
    return publishing.apply_text(found.text, by=by, note=said[:300])[0]
