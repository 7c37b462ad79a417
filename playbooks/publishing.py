"""Versions of playbooks: drafts that are edited, published ones that never change, archived ones."""

from __future__ import annotations

import difflib
import hashlib
import json
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from incidents.access import can, require, require_somewhere
from incidents.lifecycle import Refused
from playbooks import linking
from playbooks.definition import Definition, DefinitionError, Problem, freeze, parse
from playbooks.models import Playbook, PlaybookVersion


def require_reader(user: Any) -> None:
    """Raise NotAllowed unless the user may read playbooks: who responds, on one system at least, who
    publishes, and who looks after the configuration."""
    if not (can(user, "playbook.publish") or can(user, "config.see")):
        require_somewhere(user, "incident.see")


def apply_text(
    text: str, *, by: Any = None, slug: str = "", publish: bool = False, note: str = "", filename: str = ""
) -> tuple[PlaybookVersion, bool]:
    """Bring a playbook's text to the database: a draft, or with `publish` the published version.

    Returns the version and whether anything changed; a text that is published already changes nothing.
    Without `by` it is the installation itself (its operator at the command line). Raises DefinitionError,
    NotAllowed, Refused.
    """
    definition = parse(text, filename)
    if slug and slug != definition.slug:
        raise DefinitionError(
            [Problem(1, 1, f"This is the playbook {definition.slug!r}, not {slug!r}.")], filename
        )
    with transaction.atomic():
        playbook, _ = Playbook.objects.get_or_create(
            slug=definition.slug, defaults={"title": definition.title, "summary": definition.summary}
        )
        current = playbook.published
        if current is not None and current.source == text:
            return current, False
        before = playbook.versions.filter(status="draft").order_by("-number").first()
        same = before is not None and before.source == text
        version = before if before is not None and same else save_draft(playbook, text, by=by, note=note)
        if publish:
            publish_version(version, by=by, note=note)
        return version, publish or not same


def save_draft(playbook: Playbook, text: str, *, by: Any = None, note: str = "") -> PlaybookVersion:
    """Keep `text` as the playbook's draft (there is at most one). The text may still have problems;
    `check` tells them. Raises NotAllowed."""
    if by is not None:
        require(by, "playbook.draft")
    with transaction.atomic():
        Playbook.objects.select_for_update().filter(pk=playbook.pk).values_list("pk").get()
        draft = playbook.versions.filter(status="draft").order_by("-number").first()
        if draft is None:
            newest = playbook.versions.order_by("-number").values_list("number", flat=True).first() or 0
            draft = PlaybookVersion(playbook=playbook, number=newest + 1)
        draft.source, draft.sha256, draft.frozen = text, _hash(text, {}), {}
        draft.author, draft.note = by, note
        draft.save()
    return draft


def publish_version(version: PlaybookVersion, *, by: Any = None, note: str = "") -> PlaybookVersion:
    """Make a draft the version that new runs use, for good; the one before is archived.

    Runs under way keep theirs. A playbook whose risk is HOLDFAST_FOUR_EYES_FROM or above is published by
    somebody other than who wrote the draft. Raises DefinitionError, NotAllowed, Refused.
    """
    if by is not None:
        require(by, "playbook.publish")
    with transaction.atomic():
        playbook = Playbook.objects.select_for_update().get(pk=version.playbook_id)
        version.refresh_from_db()
        if version.status != "draft":
            raise Refused(
                "publish",
                [f"{version} is {version.status}; only a draft can be published. Make a new draft."],
            )
        definition = _own(version, playbook)
        _four_eyes(version, definition, by)
        now = timezone.now()
        playbook.versions.filter(published_key=True).update(
            status="archived", published_key=None, archived_by=by, archived_at=now,
            archive_note=f"Replaced by version {version.number}.",
        )  # fmt: skip
        version.frozen = freeze(definition)
        version.sha256 = _hash(version.source, version.frozen)
        version.status, version.published_key = "published", True
        version.published_by, version.published_at = by, now
        version.note = note or version.note
        version.save()
        playbook.title, playbook.summary = definition.title, definition.summary
        playbook.save(update_fields=["title", "summary"])
    return version


def needs_other_eyes(definition: Definition) -> bool:
    """Whether its author alone may not publish it."""
    return linking.risk_of(definition) >= settings.HOLDFAST_FOUR_EYES_FROM


def _four_eyes(version: PlaybookVersion, definition: Definition, by: Any) -> None:
    if by is not None and version.author_id == by.pk and needs_other_eyes(definition):
        raise Refused(
            "publish",
            [
                f"This playbook acts at risk {linking.risk_of(definition)}, and you wrote this draft. "
                "Ask somebody else who may publish to read it and publish it."
            ],
        )


def archive(version: PlaybookVersion, *, by: Any, note: str = "") -> None:
    """Take the published version out of use; nothing new is started until another one is published."""
    require(by, "playbook.publish")
    taken = PlaybookVersion.objects.filter(pk=version.pk, published_key=True).update(
        status="archived", published_key=None, archived_by=by, archived_at=timezone.now(), archive_note=note
    )
    if not taken:
        raise Refused("archive", [f"{version} is not the published version."])
    version.refresh_from_db()


def discard(version: PlaybookVersion, *, by: Any) -> None:
    """Throw a draft away. Raises NotAllowed, Refused."""
    require(by, "playbook.draft")
    if version.status != "draft":
        raise Refused("discard", [f"{version} is {version.status}; only a draft can be thrown away."])
    version.delete()


def diff(old: PlaybookVersion | None, new: PlaybookVersion) -> list[str]:
    """Unified diff of two versions' texts, as lines; empty when they are equal."""
    return text_diff(old.source if old else "", new.source, str(old) if old else "nothing", str(new))


def text_diff(old: str, new: str, old_name: str = "before", new_name: str = "after") -> list[str]:
    return list(
        difflib.unified_diff(old.splitlines(), new.splitlines(), old_name, new_name, lineterm="", n=3)
    )


def _own(version: PlaybookVersion, playbook: Playbook) -> Definition:
    definition = parse(version.source)
    if definition.slug != playbook.slug:
        raise DefinitionError(
            [Problem(1, 1, f"The text is the playbook {definition.slug!r}; this one is {playbook.slug!r}.")]
        )
    if problems := linking.call_problems(definition):
        raise DefinitionError(problems)
    return definition


def _hash(source: str, frozen: dict[str, Any]) -> str:
    together = source + "\0" + json.dumps(frozen, sort_keys=True)
    return hashlib.sha256(together.encode()).hexdigest()
