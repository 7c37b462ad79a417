"""Drafts are edited, published versions never change."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from incidents.access import NotAllowed
from incidents.lifecycle import Refused
from playbooks import publishing
from playbooks.definition import DefinitionError, thaw
from playbooks.models import Playbook, PlaybookVersion, PublishedVersion
from tests import scenes
from tests.playbooks.scenes import World, published, text, world

__all__ = ["world"]
pytestmark = pytest.mark.django_db

TELL = "- {id: N, kind: notify, title: Tell, text: hello}"


def test_publishing_archives_the_version_before(world: World) -> None:
    playbook = published(TELL)
    first = playbook.published
    published(TELL.replace("hello", "good day"))
    assert first is not None
    first.refresh_from_db()
    assert (first.status, first.published_key) == ("archived", None)
    second = playbook.published
    assert second is not None
    assert (second.number, second.status) == (2, "published")
    assert thaw(second.frozen).step("N").params == {"text": "good day"}
    assert [line for line in publishing.diff(first, second) if line.startswith(("-  ", "+  "))] == [
        "-  - {id: N, kind: notify, title: Tell, text: hello}",
        "+  - {id: N, kind: notify, title: Tell, text: good day}",
    ]


def test_a_published_version_neither_changes_nor_goes(world: World) -> None:
    version = published(TELL).published
    assert version is not None
    version.source = "other"
    with pytest.raises(PublishedVersion, match="Make a new draft"):
        version.save()
    with pytest.raises(PublishedVersion):
        version.delete()


def test_the_database_knows_one_published_version_per_playbook(world: World) -> None:
    version = published(TELL).published
    assert version is not None
    with pytest.raises(IntegrityError), transaction.atomic():
        PlaybookVersion.objects.create(
            playbook=version.playbook,
            number=9,
            status="published",
            published_key=True,
            source="x",
            sha256="x",
        )


def test_a_draft_may_have_problems_but_is_not_published_with_them(world: World) -> None:
    mia = scenes.person("mia", "MRC")
    playbook = Playbook.objects.create(slug="pb-test", title="Test")
    draft = publishing.save_draft(playbook, "playbook: pb-test", by=scenes.person("max", "MLE"))
    with pytest.raises(DefinitionError, match="needs “title”"):
        publishing.publish_version(draft, by=mia)
    same = publishing.save_draft(playbook, text(TELL), by=scenes.person("maja", "MLE"))
    assert same.pk == draft.pk
    version = publishing.publish_version(same, by=mia, note="First")
    assert (version.author.username if version.author else "", version.published_by, version.note) == (
        "maja",
        mia,
        "First",
    )


def test_rights_are_asked(world: World) -> None:
    playbook = Playbook.objects.create(slug="pb-test", title="Test")
    with pytest.raises(NotAllowed):
        publishing.save_draft(playbook, text(TELL), by=scenes.person("rep", "REP"))
    draft = publishing.save_draft(playbook, text(TELL), by=scenes.person("max", "MLE"))
    with pytest.raises(NotAllowed):
        publishing.publish_version(draft, by=scenes.person("mike", "MLE"))


def test_applying_the_same_text_twice_changes_nothing(world: World) -> None:
    version, changed = publishing.apply_text(text(TELL), publish=True)
    assert changed
    again, changed = publishing.apply_text(text(TELL), publish=True)
    assert (again.pk, changed) == (version.pk, False)


def test_a_text_belongs_to_its_playbook(world: World) -> None:
    with pytest.raises(DefinitionError, match="not 'pb-other'"):
        publishing.apply_text(text(TELL), slug="pb-other")
    with pytest.raises(DefinitionError, match="make them the same"):
        publishing.apply_text(text(TELL), filename="library/pb-other.yaml")
    assert not Playbook.objects.exists()


def test_only_a_draft_is_published_or_thrown_away(world: World) -> None:
    mia, max = scenes.person("mia", "MRC"), scenes.person("max", "MLE")
    version = published(TELL).published
    assert version is not None
    with pytest.raises(Refused, match="only a draft"):
        publishing.publish_version(version, by=mia)
    with pytest.raises(Refused, match="only a draft"):
        publishing.discard(version, by=max)
    publishing.archive(version, by=mia)
    assert version.playbook.published is None
