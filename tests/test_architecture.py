"""The floor plan, read from the code: who may import whom, what stands on the shelves, who opens sockets."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

from integrations.contract import Provider
from playbooks.contract import Action
from tests.processes import ROOT

pytestmark = pytest.mark.once

ROOMS = ("config", "integrations", "playbooks", "incidents")
SHELVES: dict[str, type] = {
    "integrations/providers": Provider,
    "integrations/actions": Action,
    "playbooks/actions": Action,
}

#: The one place from which requests leave the house.
DOOR = "integrations/http"
#: Modules that open connections, and names in modules that also do harmless things.
TRAVEL = (
    *("requests", "httpx", "aiohttp", "urllib3", "urllib.request", "http.client", "boto3"),
    *("botocore.session", "botocore.client", "botocore.httpsession"),  # its signatures do not travel
    *("smtplib", "ftplib", "slack_sdk.web", "slack_sdk.WebClient", "slack_sdk.webhook"),
    *("socket.socket", "socket.create_connection", "socket.create_server"),
)
#: file: what it may use, because it speaks only to processes of the installation itself
EXCEPTIONS: dict[str, tuple[str, ...]] = {
    # asks whether its own port is free, before it starts the server there
    "config/management/commands/up.py": ("socket.socket",),
    # asks its own server whether it is ready
    "config/supervisor.py": ("urllib.request",),
}


def shelf_files() -> list[Path]:
    return [
        path
        for shelf in SHELVES
        for path in sorted((ROOT / shelf).glob("*.py"))
        if not path.name.startswith("_")
    ]


def product_files() -> Iterator[Path]:
    for room in ROOMS:
        yield from (path for path in sorted((ROOT / room).rglob("*.py")) if "migrations" not in path.parts)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_import_contracts_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == EXIT_STATUS_SUCCESS


def test_no_module_imports_itself_in_a_circle() -> None:
    """Imports inside functions count: they hide a circle, they do not open it."""
    graph = grimp.build_graph(*ROOMS, exclude_type_checking_imports=True, cache_dir=None)
    circles = {
        " ⇄ ".join(sorted({module, *circle}))
        for module in graph.modules
        if (circle := graph.find_upstream_modules(module) & graph.find_downstream_modules(module))
    }
    assert not circles, "modules that import each other:\n" + "\n".join(sorted(circles))


@pytest.mark.parametrize("path", shelf_files(), ids=name_of)
def test_a_file_on_a_shelf_holds_one_thing_that_says_what_it_is(path: Path) -> None:
    base = SHELVES[name_of(path.parent)]
    module = importlib.import_module(name_of(path).removesuffix(".py").replace("/", "."))
    found = [
        thing
        for thing in vars(module).values()
        if inspect.isclass(thing) and issubclass(thing, base) and thing.__module__ == module.__name__
    ]
    assert len(found) == 1, f"one subclass of {base.__name__} is expected, found {found}"
    assert getattr(found[0], "title", ""), "it needs a title"
    assert (found[0].__doc__ or "").strip() or (module.__doc__ or "").strip(), "it needs a docstring"


@pytest.mark.parametrize("path", shelf_files(), ids=name_of)
def test_a_file_on_a_shelf_is_named_in_a_test(path: Path) -> None:
    word = re.compile(rf"(?<![a-z0-9]){re.escape(path.stem)}(?![a-z0-9])")
    tests = [test for test in (ROOT / "tests").rglob("*.py") if word.search(test.read_text())]
    assert tests, f"no test names {path.stem}"


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_explains_itself(room: str) -> None:
    readme = ROOT / room / "README.md"
    assert readme.exists(), f"{room}/README.md is missing"
    assert len(readme.read_text()) > 500


def test_only_one_module_opens_sockets() -> None:
    travellers = {
        f"{name_of(path)}: {used}"
        for path in product_files()
        if not name_of(path).startswith(DOOR)
        for used in travel_in(ast.parse(path.read_text()))
        if used not in EXCEPTIONS.get(name_of(path), ())
    }
    assert not travellers, "requests leave the house elsewhere than in integrations/http"


def travel_in(tree: ast.AST) -> set[str]:
    """The names of TRAVEL that a module imports or uses as `module.name`; types alone do not travel."""
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names.add(f"{node.value.id}.{node.attr}")
    return {name for name in names if any(name == way or name.startswith(f"{way}.") for way in TRAVEL)}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import requests", {"requests"}),
        ("from urllib.request import urlopen", {"urllib.request", "urllib.request.urlopen"}),
        ("from urllib.parse import quote", set()),
        ("import socket\nsocket.gethostname()", set()),
        ("import socket\nsocket.create_connection(('h', 1))", {"socket.create_connection"}),
        ("import botocore.session", {"botocore.session"}),
        ("from botocore.auth import SigV4Auth", set()),
        ("def late():\n    import http.client", {"http.client"}),
        ("if TYPE_CHECKING:\n    import requests", set()),
    ],
)
def test_opening_a_socket_is_recognised(source: str, found: set[str]) -> None:
    assert travel_in(ast.parse(source)) == found


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    drawers = [
        name_of(path) for path in product_files() if path.stem in ("utils", "helpers", "misc", "common")
    ]
    assert drawers == []


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    personal = re.compile(r"(?<![\w./:}\-])/(?:home|root|Users|work|workspace)/\w")
    folders = (*ROOMS, "tests", "docs", "benchmarks", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    files += list(ROOT.glob("*"))
    named = []
    for path in files:
        if not path.is_file() or "__pycache__" in path.parts:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        named += [f"{name_of(path)}: {found[0]}…" for found in personal.finditer(text)]
        named += [f"{name_of(path)}: {ROOT}"] if f"{ROOT}/" in text else []
    assert named == []
