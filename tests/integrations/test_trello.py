"""Trello both ways on paper: one card, told once, on the list of its state; what people do with it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from integrations.contract import Inbound, Refusal, Reply, SendError, Sent, Unreadable
from integrations.shelf import provider
from tests.contracts import contract_json, contract_path
from tests.integrations.inbound import NOON, request
from tests.integrations.ticket_vendors import Trello
from tests.integrations.vendors import path_of
from tests.integrations.wire import HOSTILE, ITEMS, answered, converse, in_turn, told

pytestmark = pytest.mark.once

TRELLO = provider("trello")
SETTINGS: dict[str, Any] = {"lists": {"mitigated": "Intermediate"}}
SAMPLES = {
    "adding_comment_to_card": "1 comment",
    "archiving_card": "nothing",
    "changing_cards_list": "1 state",
    "creating_card": "nothing",
}
ACCOUNT = {
    "api_key": "k", "api_token": "t", "board": "iqXXzYEj", "lists": {"triaged": "Doing", "closed": "Done"},
}  # fmt: skip
CARD = f"{1:024x}"


def tell(
    board: Trello, kind: str = "opened", link: Any = None, settings: Any = None, **facts: Any
) -> tuple[Sent, list[str]]:
    sent, requests = converse(
        TRELLO.compose(told(kind, **facts), {**ACCOUNT, **(settings or {})}, link), board
    )
    return sent, [f"{r.method} {path_of(r).removeprefix('/1').replace(CARD, 'CARD')}" for r in requests]


def link_of(sent: Sent) -> dict[str, Any]:
    return {"remote_id": sent.remote_id, "url": sent.url, **sent.data}


def test_an_opened_incident_gets_a_card_on_the_list_of_its_state() -> None:
    board = Trello()
    sent, steps = tell(board)
    assert steps == ["GET /boards/iqXXzYEj/lists", "POST /cards"]
    card = board.cards[CARD]
    assert (card["name"], card["idList"]) == ("INC-7 · SEV2 · Score drift in credit-risk", f"{1:024x}")
    assert "PSI 0.31" in card["desc"]
    assert "[Open in Holdfast](<https://holdfast.example.org/incidents/INC-7/>)" in card["desc"]
    assert (sent.remote_id, sent.url) == (CARD, "https://trello.com/c/00000001")


def test_a_card_whose_answer_was_lost_is_found_again_on_the_board() -> None:
    board = Trello()
    tell(board)
    sent, steps = tell(board)
    assert sent.remote_id == CARD
    assert "POST /cards" not in steps
    assert len(board.cards) == 1


def test_a_comment_is_written_once_however_often_it_is_told() -> None:
    board = Trello()
    link = link_of(tell(board)[0])
    sent = [tell(board, "comment", link, text="Rolled *back* for @ops.")[0] for _ in range(3)]
    (comment,) = board.cards[CARD]["comments"]
    assert "Rolled \\*back\\* for @\u200bops." in comment["data"]["text"]
    assert {one.part for one in sent} == {"a0"}


def test_a_card_moves_with_the_state_and_its_name_with_the_severity() -> None:
    board = Trello()
    link = link_of(tell(board)[0])
    sent, steps = tell(board, "escalated", link, severity=1)
    assert steps == ["GET /cards/CARD/actions", "POST /cards/CARD/actions/comments", "PUT /cards/CARD"]
    assert board.cards[CARD]["name"].startswith("INC-7 · SEV1 ·")
    sent, _ = tell(board, "closed", link_of(sent), severity=1, state="closed")
    assert board.cards[CARD]["idList"] == f"{2:024x}"
    assert sent.data["state"] == "closed"


def test_a_list_that_the_board_lacks_leaves_a_note() -> None:
    board = Trello()
    link = link_of(tell(board)[0])
    sent, _ = tell(board, "mitigated", link, {"lists": {"mitigated": "Watching"}}, state="mitigated")
    assert sent.note == "the board has no list Watching"
    assert board.cards[CARD]["idList"] == f"{1:024x}"


def test_action_items_are_a_checklist_that_is_ticked() -> None:
    board = Trello()
    link = link_of(tell(board)[0])
    for _ in range(2):
        tell(board, "items", link)
    assert [(one["name"][:8], one["state"]) for one in board.cards[CARD]["items"]] == [
        ("INC-7-A3", "incomplete"), ("INC-7-A4", "complete"),
    ]  # fmt: skip
    assert "owner ann@example.org, due 2026-03-20" in board.cards[CARD]["items"][0]["name"]
    tell(board, "items", link, items=({**ITEMS[0], "state": "done"},))
    assert board.cards[CARD]["items"][0]["state"] == "complete"


def test_long_text_of_any_script_fits_an_address() -> None:
    board = Trello()
    for kind in ("opened", "comment"):
        _, requests = converse(TRELLO.compose(told(kind, text=HOSTILE), ACCOUNT, None), board)
        for asked in requests:
            assert len(urlencode(dict(asked.params))) < 8000


def test_a_test_names_the_account_and_the_lists_that_are_missing() -> None:
    board = Trello()
    sent, _ = tell(board, "test")
    assert board.me in sent.note
    assert board.cards == {}
    with pytest.raises(SendError, match=r"no list Watching\. It has: Incoming, Doing, Done"):
        tell(board, "test", settings={"lists": {"mitigated": "Watching"}})


def test_trellos_plain_errors_are_shown() -> None:
    with pytest.raises(SendError, match=r"401: invalid key\. Check the API key and the token"):
        converse(TRELLO.compose(told(), ACCOUNT, None), lambda _: replace(answered(401), text="invalid key"))


def test_something_else_than_trello_does_not_make_a_second_card() -> None:
    with pytest.raises(SendError, match="without lists"):
        converse(TRELLO.compose(told(), ACCOUNT, None), in_turn(answered(200, {})))


def test_lists_that_are_no_table_and_a_missing_callback_address_are_named() -> None:
    wrong = TRELLO.check({**ACCOUNT, "lists": "[]", "app_secret": "s"})
    assert "JSON object" in wrong["lists"]
    assert "signs the address" in wrong["callback_url"]
    assert TRELLO.check(ACCOUNT) == {}


# --- what people do --------------------------------------------------------------------------------------


def acted(kind: str, data: dict[str, Any], settings: Any = None, **more: Any) -> list[Any]:
    card = {"id": CARD, "name": "INC-7 · SEV2 · Drift", "shortLink": "r33ylX2Z"}
    action = {
        "id": "act1", "type": kind, "date": "2026-02-03T04:05:06.394Z", "idMemberCreator": "ann1",
        "memberCreator": {"id": "ann1", "fullName": "Ann"}, "data": {"card": card, **data}, **more,
    }  # fmt: skip
    return list(TRELLO.parse(request({"action": action}), settings or ACCOUNT))


def test_a_card_that_is_moved_brings_its_incident_to_that_state() -> None:
    (act,) = acted("updateCard", {"listBefore": {"name": "Doing"}, "listAfter": {"name": "done"}})
    assert (act.verb, act.value, act.incident_key, act.remote_id) == ("state", "closed", "INC-7", CARD)
    assert (act.by_id, act.by_name, act.url) == ("ann1", "Ann", "https://trello.com/c/r33ylX2Z")
    assert acted("updateCard", {"listAfter": {"name": "Elsewhere"}}) == []
    assert acted("updateCard", {"old": {"closed": False}}) == []


def test_a_member_who_is_put_on_the_card_owns_the_incident() -> None:
    (act,) = acted("addMemberToCard", {"idMember": "bob1"}, member={"id": "bob1", "fullName": "Bob"})
    assert (act.verb, act.by_id, act.text) == ("assign", "bob1", "Ann put Bob on the card.")


def test_a_comment_is_a_note_but_ours_are_not() -> None:
    (act,) = acted("commentCard", {"text": "On it."})
    assert (act.verb, act.text, act.remote_part) == ("comment", "On it.", "act1")
    assert acted("commentCard", {"text": "Note\n\nINC-7 · Holdfast · ref 0123456789ab"}) == []
    assert acted("commentCard", {"text": "On it."}, {**ACCOUNT, "member_id": "ann1"}) == []


def test_what_is_no_webhook_of_trello_is_set_aside() -> None:
    with pytest.raises(Unreadable, match="no action"):
        TRELLO.parse(request({"hello": 1}), {})


def test_the_address_is_there_when_trello_looks() -> None:
    asked = Inbound({}, b"", NOON, method="HEAD")
    assert TRELLO.handshake(asked, {}) == Reply()
    assert TRELLO.handshake(replace(asked, method="GET"), {}) is None


def test_signatures_are_over_the_body_and_the_address() -> None:
    vectors = contract_json("trello", "signature_vectors.json")
    settings = {"app_secret": vectors["secret"], "callback_url": vectors["callbackURL"]}
    body = contract_path("trello", "inbound", "changing_cards_list.json").read_bytes()
    right = next(one["header"] for one in vectors["vectors"] if one.get("body_file"))
    assert TRELLO.admit(request(body, x_trello_webhook=right), {**settings, **SETTINGS}) == 1
    moved = {**settings, "callback_url": f"https://new.example/inbound/x/, {settings['callback_url']}"}
    assert TRELLO.admit(request(body, x_trello_webhook=right), {**moved, **SETTINGS}) == 1
    for header, where in (("", settings), (right, {**settings, "callback_url": "https://other.example"})):
        with pytest.raises(Refusal, match="does not fit") as caught:
            TRELLO.admit(request(body, x_trello_webhook=header), where)
        assert caught.value.status == 401
    digest = hmac.new(b"old-secret-1", body + vectors["callbackURL"].encode(), hashlib.sha1).digest()
    rotated = {**settings, "app_secret": "new-secret-2,old-secret-1"}
    assert TRELLO.admit(request(body, x_trello_webhook=base64.b64encode(digest).decode()), rotated) >= 0


def test_an_action_that_is_told_twice_has_the_same_key() -> None:
    assert TRELLO.delivery_key(request({"action": {"id": "act1"}})) == "act1"
    assert TRELLO.delivery_key(request(b"no json")) == ""
