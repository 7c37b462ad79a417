"""An action is a file on a shelf; its name is the slug."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from playbooks import shelf

pytestmark = pytest.mark.once
ONE = "from playbooks.contract import Action\n\n\nclass {name}(Action):\n    title = 'T'\n"


def package(folder: Path, name: str, **files: str) -> str:
    """A package of action files that can be imported."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    for file, text in files.items():
        (folder / name / f"{file}.py").write_text(text)
    return name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


def test_the_installed_shelves_hold_one_action_per_file() -> None:
    for slug, action in shelf.actions().items():
        assert action.slug == slug
        assert type(action).__module__.endswith(f".actions.{slug}")


def test_the_shelves_are_named_in_settings(folder: Path, settings: Settings) -> None:
    one = package(folder, "shelf_a", wash=ONE.format(name="Wash"), _soap="")
    two = package(folder, "shelf_b", dry=ONE.format(name="Dry"))
    settings.HOLDFAST_ACTION_SHELVES = [one, two]
    assert list(shelf.actions()) == ["dry", "wash"]
    with pytest.raises(shelf.UnknownAction, match="There are: dry, wash"):
        shelf.action("iron")


def test_a_file_with_two_actions_or_a_name_used_twice_is_refused(folder: Path, settings: Settings) -> None:
    both = ONE.format(name="Wash") + "\n\nclass Dry(Action):\n    title = 'D'\n"
    settings.HOLDFAST_ACTION_SHELVES = [package(folder, "shelf_c", wash=both)]
    with pytest.raises(ImproperlyConfigured, match="holds 2 Action classes"):
        shelf.actions()
    again = [package(folder, name, wash=ONE.format(name="Wash")) for name in ("shelf_d", "shelf_e")]
    settings.HOLDFAST_ACTION_SHELVES = again
    with pytest.raises(ImproperlyConfigured, match="Two files are called wash"):
        shelf.actions()
