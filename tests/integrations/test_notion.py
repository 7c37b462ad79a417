"""Notion: the post-mortem as one page, each version in place of the last, within Notion's limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from incidents.report import blocks
from integrations import notion_blocks
from integrations.contract import SendError, Sent
from integrations.shelf import provider
from tests.contracts import contract_json
from tests.integrations.ticket_vendors import Notion
from tests.integrations.wire import DOCUMENT, HOSTILE, answered, converse, in_turn, told

pytestmark = pytest.mark.once

NOTION = provider("notion")
PARENT = "d9824bdc-8445-4327-be8b-5b47500af6ce"
SETTINGS = {"token": "ntn_x", "parent": f"https://www.notion.so/acme/Reviews-{PARENT.replace('-', '')}?pvs=4"}
DATABASE = {"token": "ntn_x", "data_source": PARENT, "title_property": "Title"}


def publish(
    place: Notion, link: Any = None, settings: Any = SETTINGS, **facts: Any
) -> tuple[Sent, list[Any]]:
    return converse(NOTION.compose(told("postmortem", **facts), settings, link), place)


def kinds(nodes: list[Any]) -> list[str]:
    return [node["type"] for node in nodes]


def every(nodes: list[Any]) -> Iterator[Any]:
    for node in nodes:
        yield node
        yield from every(node[node["type"]].get("children", []))


def test_the_first_version_is_a_page_below_its_parent() -> None:
    place = Notion()
    sent, requests = publish(place)
    (page,) = place.pages.values()
    assert page["title"] == "INC-7 post-mortem"
    assert requests[2].json["parent"] == {"type": "page_id", "page_id": PARENT}
    assert kinds(page["blocks"])[:4] == ["heading_1", "table", "heading_2", "paragraph"]
    assert (sent.remote_id, sent.url) == (page["id"], page["url"])


def test_a_page_whose_answer_was_lost_is_found_again_and_holds_everything_once() -> None:
    place = Notion()
    publish(place)
    before = next(iter(place.pages.values()))["blocks"].copy()
    publish(place)
    (page,) = place.pages.values()
    assert page["blocks"] == before


def test_the_next_version_replaces_what_the_page_held() -> None:
    place = Notion()
    sent, _ = publish(place)
    publish(place, {"remote_id": sent.remote_id}, document="Second")
    (page,) = place.pages.values()
    assert page["blocks"][0]["paragraph"]["rich_text"][0]["text"]["content"] == "Second"
    assert "heading_1" not in kinds(page["blocks"])


def test_a_page_that_is_gone_for_good_is_made_again() -> None:
    place = Notion()
    sent, _ = publish(place, {"remote_id": "0" * 32})
    assert list(place.pages) == [sent.remote_id]


def test_a_page_of_that_title_that_people_made_is_left_alone() -> None:
    place = Notion()
    publish(place)
    theirs = next(iter(place.pages.values()))
    theirs |= {"created_by": {"id": "ann"}, "blocks": ["Ann's"]}
    publish(place)
    assert len(place.pages) == 2
    assert theirs["blocks"] == ["Ann's"]


def test_a_database_is_asked_by_its_title_column() -> None:
    place = Notion()
    for _ in range(2):
        _, requests = publish(place, settings=DATABASE)
    assert requests[1].json["filter"] == {"property": "Title", "title": {"equals": "INC-7 post-mortem"}}
    assert len(place.pages) == 1
    assert NOTION.check({"token": "x"})["parent"]


def test_a_test_leaves_no_page_behind() -> None:
    place = Notion()
    sent, _ = converse(NOTION.compose(told("test"), SETTINGS, None), place)
    assert sent.note == "Signed in as Holdfast; its parent can be read."
    assert place.pages == {}


def test_notions_words_are_shown_and_a_conflict_passes() -> None:
    error = {"object": "error", "status": 409, "code": "conflict_error", "message": "Conflict occurred"}
    with pytest.raises(SendError, match="conflict_error: Conflict occurred") as caught:
        converse(NOTION.compose(told("postmortem"), SETTINGS, None), in_turn(answered(409, error)))
    assert caught.value.retryable


def test_the_document_keeps_its_form() -> None:
    nodes = notion_blocks.written(blocks.parse(DOCUMENT))
    assert kinds(nodes) == [
        "heading_1", "table", "heading_2", "paragraph", "bulleted_list_item", "bulleted_list_item",
        "numbered_list_item", "numbered_list_item", "quote", "code", "divider", "heading_2", "paragraph",
    ]  # fmt: skip
    table = nodes[1]["table"]
    assert (table["table_width"], table["has_column_header"], len(table["children"])) == (2, True, 2)
    words = nodes[3]["paragraph"]["rich_text"]
    assert {"bold": True} in [one.get("annotations") for one in words]
    assert words[-2]["text"]["link"] == {"url": "https://ci.example.org/1"}
    assert kinds(nodes[4]["bulleted_list_item"]["children"]) == ["bulleted_list_item"]


LONG = "\n\n".join(
    [
        "# Long", "x " * 30_000, "| a | b |\n| --- | --- |\n" + "| 1 | 2 |\n" * 250,
        "\n".join(f"{'  ' * (n % 6)}- item {n}" for n in range(150)), *(f"Paragraph {n}" for n in range(300)),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    "document", [DOCUMENT, LONG, f"# {HOSTILE[:3000]}\n\n{HOSTILE}"], ids=["usual", "long", "hostile"]
)
def test_every_request_stays_within_notions_limits_and_its_schema(document: str) -> None:
    place = Notion()
    _, requests = publish(place, document=document)
    appended = [one.json["children"] for one in requests if one.url.endswith("/children") and one.json]
    schema = contract_json("notion", "outbound", "append_block_children.request.schema.json")
    validator = jsonschema.validators.validator_for(schema)(schema)
    for children in appended:
        assert len(children) <= 100
        assert sum(1 for _ in every(children)) <= 1000
        for node in every(children):
            content = node[node["type"]]
            texts = content.get("cells") or [content.get("rich_text", [])]
            assert all(len(one) <= 100 for one in texts)
            assert all(len(part["text"]["content"]) <= 2000 for one in texts for part in one)
            assert len(content.get("children", ())) <= 100
        validator.validate({"block_id": "b", "children": children[:12]})
