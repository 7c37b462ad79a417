"""The contract that every file on the provider shelf keeps; a new file is tested by being there."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from incidents.intake.signal import FAMILIES, Signal
from integrations import http
from integrations.authenticity import unproven
from integrations.contract import (
    Announcement,
    Example,
    Inbound,
    Instruction,
    Provider,
    Refusal,
    Reply,
    Request,
    Response,
    SendError,
    Sent,
    Unreadable,
)
from integrations.masking import mask
from integrations.shelf import UnknownProvider, provider, providers
from tests.integrations.local import raw_server, reply, server
from tests.integrations.vendors import VENDORS
from tests.integrations.wire import HOSTILE, answered, converse, told
from tests.processes import ROOT

pytestmark = pytest.mark.once

KINDS = frozenset(
    {
        *("opened", "updated", "acknowledged", "escalated", "mitigated", "resolved", "closed", "reopened"),
        *("approval", "notice", "test", "comment", "items", "postmortem", "answer"),
    }
)
EVERY = list(providers().values())
INBOUND = [one for one in EVERY if one.inbound]
OUTBOUND = [one for one in EVERY if one.outbound]
#: the others speak another protocol, which their own tests cover
HTTP = [one for one in OUTBOUND if any(item.kind == "url" for item in one.fields)]
EXAMPLES = [
    pytest.param(one, example, id=f"{one.slug}-{example.name}") for one in INBOUND for example in one.examples
]
CARRIED = [
    pytest.param(one, kind, id=f"{one.slug}-{kind}") for one in OUTBOUND for kind in sorted(one.carries)
]

every = pytest.mark.parametrize("one", EVERY, ids=lambda one: one.slug)
inbound = pytest.mark.parametrize("one", INBOUND, ids=lambda one: one.slug)
outbound = pytest.mark.parametrize("one", OUTBOUND, ids=lambda one: one.slug)
over_http = pytest.mark.parametrize("one", HTTP, ids=lambda one: one.slug)
carried = pytest.mark.parametrize(("one", "kind"), CARRIED)


def settings_of(one: Provider) -> dict[str, Any]:
    """A filled-in form of that provider."""
    filled: dict[str, Any] = {}
    for item in one.fields:
        plain = {"url": "https://vendor.example.org", "number": 5, "bool": True, "json": {}}
        text = f"s3cr3t-{item.name}" if item.secret else f"{item.name}-x"
        text = "ann@example.org" if item.name in ("sender", "to") else text
        choice = item.choices[0] if item.choices else None
        filled[item.name] = item.default or choice or plain.get(item.kind, text)
    return filled


# --- the shelf -----------------------------------------------------------------------------------------


def test_a_provider_is_found_by_the_name_of_its_file() -> None:
    assert {"jira", "pagerduty", "slack"} <= set(providers())
    for slug in providers():
        assert provider(slug).slug == slug
        assert (ROOT / "integrations" / "providers" / f"{slug}.py").exists()
    assert list(providers()) == sorted(providers())


def test_an_unknown_provider_is_answered_with_those_that_exist() -> None:
    with pytest.raises(UnknownProvider, match=r"no provider 'pagerdutty'.*pagerduty"):
        provider("pagerdutty")


@every
def test_it_introduces_itself(one: Provider) -> None:
    assert one.title
    assert one.summary
    assert one.docs.startswith("https://")
    assert one.inbound or one.outbound or one.acting
    names = [item.name for item in one.fields]
    assert len(names) == len(set(names))
    for item in one.fields:
        assert item.title
        assert item.kind != "choice" or item.choices
        assert not (item.secret and item.default)


@every
def test_its_page_names_every_setting(one: Provider) -> None:
    page = ROOT / "docs" / "integrations" / f"{one.slug}.md"
    assert page.exists(), f"write docs/integrations/{one.slug}.md"
    text = page.read_text(encoding="utf-8")
    missing = [item.name for item in one.fields if f"`{item.name}`" not in text]
    assert not missing


@every
def test_what_sounds_like_a_credential_is_marked_secret(one: Provider) -> None:
    for item in one.fields:
        words = set(item.name.split("_"))
        if words & {"token", "secret", "password", "apikey"} or item.name in ("api_key", "routing_key"):
            assert item.secret, f"{item.name} is not marked secret"
    filled = settings_of(one)
    secrets = one.secrets(filled)
    for item in one.fields:
        if item.secret:
            assert str(filled[item.name]) in secrets
    assert one.secrets({}) is not None


@every
def test_settings_are_checked_by_the_names_of_their_fields(one: Provider) -> None:
    names = {item.name for item in one.fields}
    for settings in ({}, settings_of(one), dict.fromkeys(names, "x"), dict.fromkeys(names, "")):
        wrong = one.check(settings)
        assert set(wrong) <= names
        assert all(wrong.values())


# --- inbound -------------------------------------------------------------------------------------------


def received(one: Provider, body: bytes, headers: Mapping[str, str] | None = None) -> Inbound:
    return Inbound(
        headers=headers or {"content-type": one.content_types[0]},
        body=body,
        received_at=datetime(2026, 3, 4, 10, 12, tzinfo=UTC),
        origin="connection:7",
        inbox_id=11,
    )


@inbound
def test_it_shows_examples(one: Provider) -> None:
    assert one.examples
    assert one.content_types


@pytest.mark.parametrize(("one", "example"), EXAMPLES)
def test_an_example_is_admitted_and_becomes_its_signals(one: Provider, example: Example) -> None:
    message = received(one, example.body, example.headers)
    assert one.admit(message, example.settings) >= 0
    said = one.parse(message, example.settings)
    signals = [one for one in said if isinstance(one, Signal)]
    assert (len(signals), len(said) - len(signals)) == (example.alerts, example.others)
    for signal in signals:
        assert_is_a_signal(one, signal)
    assert isinstance(one.delivery_key(message), str)


def assert_is_a_signal(one: Provider, signal: Signal) -> None:
    assert (signal.source, signal.origin, signal.inbox_id) == (one.slug, "connection:7", 11)
    assert signal.fingerprint
    assert signal.title.strip()
    assert signal.status in ("firing", "resolved")
    assert signal.level in (None, "critical", "warning", "info")
    assert signal.family is None or signal.family in FAMILIES
    assert signal.observed_at.tzinfo is not None
    for number in (signal.value, signal.threshold):
        assert number is None or math.isfinite(number)
    for moment in (signal.starts_at, signal.ends_at):
        assert moment is None or moment.tzinfo is not None
    assert all(isinstance(k, str) and isinstance(v, str) for k, v in signal.labels.items())
    assert "\0" not in json.dumps([signal.title, signal.description, signal.labels], ensure_ascii=False)


@pytest.mark.parametrize(("one", "example"), EXAMPLES)
def test_the_same_message_becomes_the_same_signals(one: Provider, example: Example) -> None:
    message = received(one, example.body, example.headers)
    first, second = one.parse(message, example.settings), one.parse(message, example.settings)
    assert first == second


@inbound
def test_a_secret_refuses_who_does_not_have_it(one: Provider) -> None:
    """Any provider can be given one; those by which people may ask something name what proves it is they."""
    example = one.examples[0]
    message = received(one, example.body, example.headers)
    refusing = []
    for item in one.fields:
        if item.secret and not item.required:
            try:
                one.admit(message, {**example.settings, item.name: "whsec_c2VjcmV0LW9mLXRoZS10ZXN0"})
            except Refusal as refusal:
                refusing.append((item.name, refusal.status))
    assert refusing
    assert {status for _, status in refusing} == {401}
    assert set(one.proved_by) <= {name for name, _ in refusing}


@inbound
def test_nothing_is_done_for_people_whom_no_secret_proves(one: Provider) -> None:
    asks = [
        said
        for example in one.examples
        for said in one.parse(received(one, example.body, example.headers), example.settings)
        if isinstance(said, Instruction)
    ]
    assert bool(asks) == bool(one.proved_by)
    if one.proved_by:
        assert one.title in unproven(one, {})
        assert unproven(one, dict.fromkeys(one.proved_by, " "))
        page = (ROOT / "docs" / "integrations" / f"{one.slug}.md").read_text(encoding="utf-8")
        assert "nothing that a person asks is done" in page
    assert unproven(one, settings_of(one)) == ""


GARBAGE = {
    "nothing": b"",
    "space": b"  \n",
    "open list": b"[",
    "null": b"null",
    "number": b"5",
    "string": b'"alert"',
    "empty list": b"[]",
    "empty object": b"{}",
    "list of null": b"[null, 1, [], {}]",
    "deep": b"[" * 20_000 + b"]" * 20_000,
    "deep objects": b'{"alerts":' * 20_000 + b"1" + b"}" * 20_000,
    "not text": b"\xff\xfe\x00\x81",
    "byte order mark": b"\xef\xbb\xbf{}",
    "not a number": b'{"alerts": NaN, "value": Infinity}',
    "huge number": b'{"alerts": ' + b"9" * 5000 + b"}",
    "surrogate": b'{"title": "\\ud800", "alerts": ["\\ud800"]}',
    "nul": b'{"title": "\\u0000", "alerts": [{"labels": {"a": "\\u0000"}}]}',
    "one megabyte": json.dumps({"title": "x" * 1_000_000, "alerts": "x" * 1000}).encode(),
    "keys twice": b'{"alerts": [], "alerts": 5}',
    "html": b"<html><body>502 Bad Gateway</body></html>",
}


def tolerates(one: Provider, message: Inbound, settings: Mapping[str, Any]) -> None:
    """Read it or say why not; any other exception would stop its neighbours."""
    refusal: Refusal | None = None
    try:
        items = one.admit(message, settings)
    except Refusal as error:
        items, refusal = 0, error
    assert items >= 0
    assert refusal is None or (str(refusal) and 400 <= refusal.status < 500)
    if refusal is None:
        assert isinstance(one.delivery_key(message), str)
    asked = message if refusal is None and not items else replace(message, method="GET")
    assert isinstance(one.handshake(asked, settings), Reply | None)
    reason: Exception | None = None
    try:
        signals = one.parse(message, settings)
    except (Unreadable, Refusal) as error:
        signals, reason = [], error
    assert reason is None or str(reason)
    for signal in signals:
        if isinstance(signal, Signal):
            assert_is_a_signal(one, signal)


@inbound
@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused_or_set_aside_with_a_reason(one: Provider, name: str) -> None:
    for settings in ({}, settings_of(one)):
        tolerates(one, received(one, GARBAGE[name]), settings)
        tolerates(one, received(one, GARBAGE[name], {"content-type": "\xff", "x": "y"}), settings)


WRONG = (None, True, 5, -1.5, 10**400, "", "x", [], ["x"], [None], {}, {"x": None}, {"a": {"b": [1]}})


@pytest.mark.parametrize(("one", "example"), [p for p in EXAMPLES if p.values[1].body[:1] in (b"{", b"[")])
def test_wrong_types_anywhere_in_a_message_are_borne(one: Provider, example: Example) -> None:
    whole = json.loads(example.body)
    for number, path in enumerate(places(whole)):
        for wrong in WRONG[number % 3 :: 3]:
            body = json.dumps(changed(whole, path, wrong)).encode()
            tolerates(one, received(one, body, example.headers), example.settings)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def changed(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    made = copy.deepcopy(whole)
    at = made
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return made


@outbound
def test_what_only_sends_refuses_messages(one: Provider) -> None:
    if not one.inbound:
        with pytest.raises(Refusal):
            one.admit(received(one, b"{}"), {})
        with pytest.raises(Unreadable):
            one.parse(received(one, b"{}"), {})


# --- outbound ------------------------------------------------------------------------------------------


@outbound
def test_it_says_how_effects_stay_single_and_what_the_vendor_takes(one: Provider) -> None:
    assert len(one.idempotency) > 40
    assert "https://" in one.limits
    assert one.carries
    assert one.carries <= KINDS
    assert one.rate is None or (one.rate[0] > 0 and one.rate[1] > 0)
    assert one.slug in VENDORS, f"describe how {one.title} answers in tests/integrations/vendors.py"


def compose(one: Provider, what: Announcement, link: Mapping[str, Any] | None = None) -> Any:
    return one.compose(what, settings_of(one), link)


def link_of(sent: Sent) -> dict[str, Any]:
    return {"remote_id": sent.remote_id, "url": sent.url, **sent.data}


@carried
def test_a_success_is_sent(one: Provider, kind: str) -> None:
    vendor = VENDORS[one.slug]()
    sent, requests = converse(compose(one, told(kind)), vendor)
    assert isinstance(sent, Sent)
    assert requests
    if kind not in ("test", "answer"):
        assert sent.remote_id
    json.dumps([sent.remote_id, sent.url, dict(sent.data), sent.note])


@carried
def test_what_was_left_by_the_first_call_serves_the_next(one: Provider, kind: str) -> None:
    vendor = VENDORS[one.slug]()
    first, _ = converse(compose(one, told("opened" if "opened" in one.carries else kind)), vendor)
    second, _ = converse(compose(one, told(kind), link_of(first)), vendor)
    if kind not in ("test", "answer"):
        assert second.remote_id == first.remote_id


@carried
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_refusal_is_permanent_and_says_what_was_answered(one: Provider, kind: str, status: int) -> None:
    error = failed(one, kind, answered(status, {"message": "no", "error": "no", "errorMessages": ["no"]}))
    assert not error.retryable
    assert str(status) in str(error)
    assert one.title in str(error)


@carried
@pytest.mark.parametrize("name", ["Retry-After", "retry-after"])
def test_too_many_requests_are_tried_again_when_the_vendor_says(one: Provider, kind: str, name: str) -> None:
    error = failed(one, kind, Response(429, {name: "17"}, ""))
    assert error.retryable
    assert error.retry_after == 17


@carried
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_vendor_in_trouble_is_tried_again(one: Provider, kind: str, status: int) -> None:
    error = failed(one, kind, Response(status, {}, "<html>Bad Gateway</html>"))
    assert error.retryable


@carried
def test_a_way_that_breaks_off_is_tried_again(one: Provider, kind: str) -> None:
    assert failed(one, kind, SendError("Could not reach vendor", retryable=True)).retryable


@carried
@pytest.mark.parametrize("body", [None, [], "x", 5, {}, {"issues": 5, "errors": 5, "ok": 1}, {"ok": None}])
def test_a_success_with_a_strange_body_never_crashes(one: Provider, kind: str, body: Any) -> None:
    for status in (200, 400):
        outcome: Sent | SendError
        try:
            outcome, _ = converse(
                compose(one, told(kind)), lambda request, status=status: answered(status, body)
            )
        except SendError as error:
            outcome = error
        assert isinstance(outcome, Sent) or str(outcome)


def failed(one: Provider, kind: str, answer: Response | SendError) -> SendError:
    with pytest.raises(SendError) as caught:
        converse(compose(one, told(kind)), lambda request: answer)
    assert "s3cr3t" not in str(caught.value)
    return caught.value


@carried
def test_the_same_announcement_says_the_same_twice(one: Provider, kind: str) -> None:
    """Retries and restarts compose anew: nothing on the wire may depend on when or how often."""
    first, second = (converse(compose(one, told(kind)), VENDORS[one.slug]())[1] for _ in range(2))
    assert [_timeless(request) for request in first] == [_timeless(request) for request in second]


def _timeless(request: Request) -> Request:
    """Without the signature of the very moment, which Standard Webhooks asks for."""
    moment = ("webhook-timestamp", "webhook-signature")
    return replace(
        request, headers={name: text for name, text in request.headers.items() if name not in moment}
    )


@carried
def test_an_announcement_of_bare_necessities_is_sent(one: Provider, kind: str) -> None:
    bare = Announcement(kind, "k1", "INC-9", "", 5, "", channel=told(kind).channel)
    assert isinstance(converse(compose(one, bare), VENDORS[one.slug]())[0], Sent)


def hostile(kind: str) -> Announcement:
    texts = ("title", "text", "system", "version", "incident_class", "owner", "source", "state")
    url = "https://h.example.org/" + "a" * 10_000
    pairs = tuple((f"{n} {HOSTILE}", HOSTILE) for n in range(60))
    links = (
        ("js", "javascript:alert(1)"),
        ("long", url),
        (HOSTILE, "https://ok.example.org/"),
        ("", ""),
    ) * 10
    return told(kind, **dict.fromkeys(texts, HOSTILE), facts=pairs, links=links, actions=links, url=url)


@carried
def test_hostile_text_stays_small_and_readable(one: Provider, kind: str) -> None:
    _, requests = converse(compose(one, hostile(kind)), VENDORS[one.slug]())
    for request in requests:
        body = json.dumps(request.json, ensure_ascii=False, allow_nan=False)
        assert len(body.encode("utf-8")) < 256 * 1024
        assert "\\u0000" not in body
        assert "javascript:" not in body
        assert len(request.url) < 2048


@carried
def test_secrets_are_masked_wherever_a_request_is_shown(one: Provider, kind: str) -> None:
    settings = settings_of(one)
    secrets = one.secrets(settings)
    _, requests = converse(compose(one, told(kind)), VENDORS[one.slug]())
    for request in requests:
        shown = mask(
            [request.url, dict(request.headers), dict(request.params), request.json, str(request.body)],
            secrets,
        )
        assert not [secret for secret in secrets if secret in json.dumps(shown, ensure_ascii=False)]


# --- over a real wire ----------------------------------------------------------------------------------


def over_the_wire(one: Provider, base: str) -> SendError:
    """The error of an opening announcement to a vendor whose every address is `base`."""
    filled = settings_of(one)
    filled |= {item.name: base for item in one.fields if item.kind == "url"}
    kind = "opened" if "opened" in one.carries else min(one.carries)
    with pytest.raises(SendError) as caught:
        http.run(one.compose(told(kind), filled, None), secrets=one.secrets(filled))
    assert not [s for s in one.secrets(filled) if s in f"{caught.value} {caught.value.transcript}"]
    return caught.value


@over_http
@pytest.mark.parametrize(
    ("status", "retryable"), [(400, False), (401, False), (404, False), (429, True), (500, True), (503, True)]
)
def test_a_vendors_answers_are_understood_over_the_wire(
    one: Provider, status: int, retryable: bool, settings: Settings
) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    with server(reply(status, b'{"error": "no"}', Retry_After="9")) as (base, seen):
        error = over_the_wire(one, base)
    assert (error.retryable, error.retry_after) == (retryable, 9)
    assert len(seen) == 1
    assert error.transcript[0][1]["status"] == status


@over_http
def test_a_vendor_that_hangs_up_is_tried_again(one: Provider, settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    with raw_server(lambda connection: None) as base:
        assert over_the_wire(one, base).retryable


@over_http
def test_a_vendor_at_a_private_address_needs_permission(one: Provider, settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = []
    with server(reply()) as (base, seen):
        error = over_the_wire(one, base)
    assert not error.retryable
    assert "HOLDFAST_EGRESS_ALLOW" in str(error)
    assert seen == []
