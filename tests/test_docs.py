"""What the documentation says is there: links, addresses, settings, commands, and a page for everything on a shelf."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands
from django.urls import Resolver404, resolve

from config import api
from config.settings import env
from integrations.shelf import providers
from playbooks import library
from tests.processes import ROOT

pytestmark = pytest.mark.once

ROOMS = ("incidents", "playbooks", "integrations", "config")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md"), *(ROOT / r / "README.md" for r in ROOMS)]
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
#: an address of ours in an example: after a host or the shell's `api PERSON`
OURS = re.compile(r"(?:127\.0\.0\.1:8000|\$H(?:OST)?)(/[^\s\"'`)]*)|\bapi \$\w+ +['\"]?([a-z][^\s\"']*)")
VARIABLE = re.compile(r"\b(HOLDFAST_[A-Z_]*[A-Z])\b")
#: read by tests only
OF_TESTS = {"HOLDFAST_TEST_DATABASE"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = set()
    for line in FENCE.sub("", path.read_text(encoding="utf-8")).splitlines():
        if line.startswith("#"):
            words = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower())
            found.add(words.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    """Named from the root or from the page's own room."""
    named = re.findall(r"`([a-z_0-9][a-z_0-9/]*(?:\.py|/))`", page.read_text(encoding="utf-8"))
    ours = [name for name in named if name.endswith(".py") or page.parent.name in ROOMS]
    assert [name for name in ours if not ((page.parent / name).exists() or (ROOT / name).exists())] == []


def addresses() -> list[Any]:
    found = {}
    for page in PAGES:
        for full, short in OURS.findall(page.read_text(encoding="utf-8")):
            path = (full or f"/api/v1/{short}").partition("?")[0]
            if re.search(r"\$\d", path):  # the definition of `api` itself
                continue
            path = re.sub(r"\$\([^)]*\)?|\$\w+", "7", path)
            if path.strip("/") and "…" not in path:
                found[f"{name_of(page)} {path}"] = path
    return [pytest.param(path, id=name) for name, path in sorted(found.items())]


@pytest.mark.parametrize("path", addresses())
def test_every_address_in_an_example_exists(path: str) -> None:
    if path.startswith("/api/v1/"):
        templates = [re.sub(r"\{\w+\}", "[^/]+", known) for known in api.document()["paths"]]
        own = ("/api/v1/docs/", "/api/v1/openapi.json")
        assert path in own or any(re.fullmatch(known, path) for known in templates)
    else:
        try:
            resolve(path)
        except Resolver404:
            pytest.fail(f"{path} is no address of this installation")


@pytest.mark.parametrize("provider", sorted(providers()))
def test_every_provider_has_its_page_and_is_on_the_lists(provider: str) -> None:
    page = f"integrations/{provider}.md"
    assert (ROOT / "docs" / page).is_file()
    assert f"]({page})" in (ROOT / "docs/README.md").read_text(encoding="utf-8")
    assert f"](docs/{page})" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("slug", [slug for slug, _ in library.texts()])
def test_every_shipped_playbook_has_its_page_and_is_on_the_lists(slug: str) -> None:
    page = f"playbooks/{slug}.md"
    assert (ROOT / "docs" / page).is_file()
    assert f"]({page})" in (ROOT / "docs/README.md").read_text(encoding="utf-8")
    assert f"](docs/{page})" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_no_page_is_left_over() -> None:
    """Pages of providers and playbooks that are no more, and pages that the index does not name."""
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("**/*.md")]
    assert [page for page in pages if page != "README.md" and f"]({page}" not in index] == []
    assert {path.stem for path in (ROOT / "docs/integrations").glob("*.md")} == set(providers())


def test_the_operators_page_names_every_setting_and_no_page_names_others() -> None:
    known = set(env.variables)
    operations = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    assert {name for name in known if f"`{name}`" not in operations} == set()
    named = {(name_of(page), v) for page in PAGES for v in VARIABLE.findall(page.read_text(encoding="utf-8"))}
    assert {(page, v) for page, v in named if v not in known | OF_TESTS} == set()


def test_every_command_in_the_pages_exists() -> None:
    said = {
        word
        for page in PAGES
        for word in re.findall(r"manage\.py ([a-z]+)\b", page.read_text(encoding="utf-8"))
    }
    assert said >= {"up", "work", "connect", "token", "apply", "settings"}
    assert said - set(get_commands()) == set()


def test_every_make_target_in_the_pages_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    said = {
        word
        for page in PAGES
        for word in re.findall(r"(?:`|^)make ([a-z]+)\b", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert said >= {"run", "test", "check"}
    assert said <= targets
