"""The playbooks that come with the product, and how they reach the database without overwriting anybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playbooks.linking import callers_last
from playbooks.models import Playbook
from playbooks.publishing import apply_text

FOLDER = Path(__file__).parent
#: The note by which versions of our own are told from those of people.
SHIPPED = "Shipped with the product."


def texts() -> Iterator[tuple[str, str]]:
    """Slug and text of each shipped playbook."""
    for path in sorted(FOLDER.glob("*.yaml")):
        yield path.stem, path.read_text(encoding="utf-8")


def install(by: Any = None) -> list[str]:
    """Publish the shipped playbooks that are new or changed; the slugs of those that were published.

    A playbook that people took over stays theirs: as soon as a version or draft of it is not ours, or it
    was switched off or archived, it is left alone. Safe to repeat.
    """
    published = []
    shipped = dict(texts())
    for slug in callers_last(shipped):
        text = shipped[slug]
        if _belongs_to_people(slug):
            continue
        _, changed = apply_text(text, by=by, slug=slug, publish=True, note=SHIPPED, filename=f"{slug}.yaml")
        if changed:
            published.append(slug)
    return published


def ensure(slug: str) -> Playbook:
    """The shipped playbook of that name as it is in the database, published first where it never was there."""
    found = Playbook.objects.filter(slug=slug).first()
    if found is None:
        apply_text(dict(texts())[slug], slug=slug, publish=True, note=SHIPPED, filename=f"{slug}.yaml")
        found = Playbook.objects.get(slug=slug)
    return found


def _belongs_to_people(slug: str) -> bool:
    playbook = Playbook.objects.filter(slug=slug).first()
    if playbook is None:
        return False
    return (
        playbook.versions.exclude(note=SHIPPED).exists() or not playbook.active or playbook.published is None
    )
