"""Confluence: the post-mortem as one page, each version in place of the last."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from incidents.report import blocks
from integrations import storage_format
from integrations.contract import SendError, Sent
from integrations.shelf import provider
from tests.integrations.ticket_vendors import Confluence
from tests.integrations.wire import DOCUMENT, HOSTILE, answered, converse, in_turn, told

pytestmark = pytest.mark.once

WIKI = provider("confluence")
SETTINGS = {
    "site": "https://acme.atlassian.net", "email": "bot@acme.example", "api_token": "t", "space": "OPS", "parent": "42",
}  # fmt: skip


def publish(site: Confluence, link: Any = None, **facts: Any) -> tuple[Sent, list[str]]:
    sent, requests = converse(WIKI.compose(told("postmortem", **facts), SETTINGS, link), site)
    return sent, [f"{one.method} {one.url.partition('/wiki/api/v2/')[2]}" for one in requests]


def shown(site: Confluence) -> str:
    (page,) = site.pages.values()
    return str(page["body"]["storage"]["value"])


def tree(storage: str) -> ElementTree.Element:
    return ElementTree.fromstring(f'<x xmlns:ac="a" xmlns:ri="r">{storage}</x>')


def test_the_first_version_is_a_page_below_its_parent() -> None:
    site = Confluence()
    sent, steps = publish(site)
    assert steps == ["GET spaces", "GET pages", "POST pages"]
    assert site.pages["100"]["title"] == "INC-7 post-mortem"
    assert (sent.remote_id, sent.url) == ("100", "https://acme.atlassian.net/wiki/spaces/OPS/pages/100")
    assert "Written by Holdfast for INC-7." in shown(site)


def test_a_page_whose_answer_was_lost_is_found_again_and_not_written_twice() -> None:
    site = Confluence()
    publish(site)
    publish(site)
    publish(site)
    assert len(site.pages) == 1
    assert site.pages["100"]["version"]["number"] == 2  # its creation carries no message


def test_the_next_version_takes_its_place_under_the_title_that_people_gave_it() -> None:
    site = Confluence()
    sent, _ = publish(site)
    site.pages["100"]["title"] = "What we learned"
    publish(site, {"remote_id": sent.remote_id}, idempotency_key="v2", document="# Second")
    page = site.pages["100"]
    assert (page["title"], page["version"]["number"]) == ("What we learned", 2)
    assert "<h1>Second</h1>" in shown(site)


def test_a_page_that_somebody_deleted_is_made_again() -> None:
    site = Confluence()
    sent, _ = publish(site)
    site.pages.clear()
    assert publish(site, {"remote_id": sent.remote_id})[0].remote_id == "100"
    assert len(site.pages) == 1


def test_a_page_of_that_title_that_people_wrote_is_left_alone() -> None:
    site = Confluence()
    publish(site)
    site.pages["100"]["body"]["storage"]["value"] = "<p>Ann's own page</p>"
    with pytest.raises(SendError, match="that Holdfast did not write"):
        publish(site)
    assert "Ann's own page" in shown(site)


def test_two_people_saving_at_once_is_tried_again() -> None:
    conflict = answered(409, {"errors": [{"title": "Version conflict"}]})
    found = answered(200, {"results": [{"id": "65"}]})
    with pytest.raises(SendError, match="Version conflict") as caught:
        converse(
            WIKI.compose(told("postmortem"), SETTINGS, {"remote_id": "100"}), in_turn(found, found, conflict)
        )
    assert caught.value.retryable


def test_a_space_that_is_not_there_is_named() -> None:
    with pytest.raises(SendError, match="no space 'OPS'"):
        publish(Confluence(spaces=()))
    sent, _ = converse(WIKI.compose(told("test"), SETTINGS, None), Confluence())
    assert "Operations is there" in sent.note


def test_the_document_keeps_its_form() -> None:
    root = tree(storage_format.written(blocks.parse(DOCUMENT)))
    assert [one.tag for one in root] == [
        "h1", "table", "h2", "p", "ul", "ol", "blockquote", "{a}structured-macro", "hr", "h2", "p",
    ]  # fmt: skip
    assert [cell.findtext("p") for cell in root.iter("th")] == ["Post-mortem", "Published"]
    assert "".join(root.find("p").itertext()).startswith("The income feed changed its unit")  # type: ignore[union-attr]
    assert "']]>' = \"x\"" in "".join(root.find("{a}structured-macro").itertext())  # type: ignore[union-attr]
    assert root.find("ul/li/ul/li/p") is not None
    links = [one.get("href") for one in root.iter("a")]
    assert links == ["https://ci.example.org/1", "https://holdfast.example.org/evidence/3.png"]


def test_hostile_text_is_well_formed_and_acts_nowhere() -> None:
    site = Confluence()
    document = f"# {HOSTILE}\n\n<ac:structured-macro ac:name='html'/>\n\n[x](javascript:alert)\n\n```\n{HOSTILE}\n```"
    publish(site, document=document)
    root = tree(shown(site))
    assert {one.get("{a}name") for one in root.iter("{a}structured-macro")} <= {"code"}
    assert not list(root.iter("script"))
    assert [one.get("href") for one in root.iter("a")] == ["https://holdfast.example.org/incidents/INC-7/"]
