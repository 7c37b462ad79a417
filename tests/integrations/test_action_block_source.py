"""block_source: data of a source is refused, by the ingest gateway or by a file that the ingest reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from integrations.actions.block_source import BlockSource
from playbooks.contract import ActionError
from tests import scenes
from tests.integrations.data_scenes import acted, by_hand, kept, nearby, outputs
from tests.integrations.gateway import ModelGateway, gateway
from tests.playbooks.scenes import step

__all__ = ["nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nearby")]
AT_GATEWAY = {"sources": ["crawler-7"], "url": "systems/shop/pipeline"}


@pytest.fixture
def edge() -> Iterator[ModelGateway]:
    with gateway("shop") as made:
        made.pipeline("shop")["blocked_sources"] = ["spammer"]
        scenes.system("shop", serving={"gateway_url": made.url})
        yield made


@pytest.fixture
def deny(tmp_path: Path, settings: Settings) -> Path:
    settings.HOLDFAST_DATA_ROOTS = [tmp_path]
    file = tmp_path / "deny.txt"
    file.write_text("spammer\n")
    return file


def shop() -> scenes.AISystem:
    return scenes.AISystem.objects.get(slug="shop")


def test_a_source_is_added_to_the_list_of_the_gateway(edge: ModelGateway) -> None:
    run = acted("block_source", AT_GATEWAY, system=shop())
    assert run.state == "succeeded", run.reason
    assert edge.pipeline("shop")["blocked_sources"] == ["spammer", "crawler-7"]
    assert edge.pipeline("shop")["training"] == "running"
    assert kept(run, "before.json") == {"blocked": ["spammer"]}
    assert step(run, "A-1").verified == {"blocked": ["spammer", "crawler-7"]}


def test_undoing_lifts_only_what_was_added(edge: ModelGateway) -> None:
    run = acted(
        "block_source", {**AT_GATEWAY, "sources": ["spammer", "crawler-7"]}, system=shop(), helps=False
    )
    assert outputs(run)["added"] == ["crawler-7"]
    assert "Undone: A-1." in run.reason
    assert edge.pipeline("shop")["blocked_sources"] == ["spammer"]


def test_a_gateway_that_says_yes_and_does_nothing_is_caught(edge: ModelGateway) -> None:
    edge.lies = True
    run = acted("block_source", AT_GATEWAY, system=shop())
    assert run.state == "failed"
    assert 'should hold ["spammer", "crawler-7"], and holds ["spammer"]' in run.reason


def test_a_source_is_added_to_a_file(deny: Path) -> None:
    run = acted("block_source", {"sources": ["crawler-7"], "file": "deny.txt"})
    assert run.state == "succeeded", run.reason
    assert deny.read_text() == "spammer\ncrawler-7\n"


def test_the_file_is_restored(deny: Path) -> None:
    run = acted("block_source", {"sources": ["crawler-7"], "file": "deny.txt"}, helps=False)
    assert "Undone: A-1." in run.reason
    assert deny.read_text() == "spammer\n"


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"sources": ["x"]}, "either `url`"),
        ({"sources": ["x"], "url": "a", "file": "b"}, "either `url`"),
        ({"sources": [" "], "file": "deny.txt"}, "no source to block"),
        ({"sources": ["x\ny"], "file": "deny.txt"}, "line break"),
        ({"sources": ["x"], "file": "other.txt"}, "is no file"),
        ({"sources": ["x"], "file": "../deny.txt"}, "does not lie in"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_changed(
    deny: Path, params: dict[str, object], says: str
) -> None:
    with pytest.raises(ActionError, match=says):
        BlockSource().precheck(by_hand(**params))


def test_a_resource_without_such_a_list_is_said(edge: ModelGateway) -> None:
    with pytest.raises(ActionError, match="holds no list 'denied'"):
        BlockSource().precheck(by_hand(shop(), **AT_GATEWAY, list="denied"))
