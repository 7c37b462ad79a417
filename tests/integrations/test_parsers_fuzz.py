"""Every reader on the shelf against messages nobody wrote: examples with damage, and any JSON.

300 messages per provider; `HOLDFAST_TEST_FUZZ=10000` for a longer run.
"""

from __future__ import annotations

import copy
import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from incidents.intake.signal import Signal
from integrations.contract import Change, Inbound, Provider, Refusal, Unreadable
from integrations.shelf import providers
from tests.integrations.inbound import NOON

RUNS = int(os.environ.get("HOLDFAST_TEST_FUZZ", "300"))

pytestmark = [pytest.mark.once, pytest.mark.timeout(max(120, RUNS))]

INBOUND = [one for one in providers().values() if one.inbound]

ODD_TEXT = st.sampled_from(
    ["", " ", "\x00", "\ud800", "NaN", "-Infinity", "1e999", "9" * 400, "null", "<script>", "{{x}}", "$ALERT_ID", "日本", "\u202e",
     "2026-13-45T99:99:99Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "1772366400000", "resolved", "firing", "[", "(",
     "http://[::1", "javascript:alert(1)", "a" * 5000]
)  # fmt: skip
LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | ODD_TEXT
    | st.text(st.characters(codec="utf-8"), max_size=30)
)
JSON = st.recursive(
    LEAF,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(ODD_TEXT | st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)


#: most damage is of a few kinds, which cost little to draw
REPLACEMENT = st.one_of(
    st.sampled_from(
        [None, True, 5, -1.5, 10**400, float("nan"), float("inf"), [], {}, [None], [[]], {"": None}, {"a": {"b": [1]}},
         ["x", 7, {}], {"name": ["x"]}, [{"name": {}, "value": []}], "x" * 400]
    ),
    ODD_TEXT,
    JSON,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all members of a JSON value."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [found for key, inner in members for found in ((*path, key), *places(inner, (*path, key)))]


@st.composite
def messages(draw: st.DrawFn, one: Provider) -> tuple[bytes, dict[str, str], dict[str, Any]]:
    """(body, headers, settings): any JSON, an example with members replaced, taken out or doubled, or with bytes
    changed."""
    if not one.examples or draw(st.integers(0, 4)) == 0:
        return _written(draw(JSON)), {"content-type": one.content_types[0]}, {}
    example = draw(st.sampled_from(list(one.examples)))
    headers, connected = dict(example.headers), dict(example.settings)
    try:
        whole = json.loads(example.body)
    except ValueError:
        whole = None
    paths = places(whole)
    if not paths or draw(st.integers(0, 5)) == 0:
        return _damaged(draw, example.body), headers, connected
    made = copy.deepcopy(whole)
    for path in draw(st.lists(st.sampled_from(paths), min_size=1, max_size=5)):
        _change(draw, made, path)
    if headers and draw(st.booleans()):
        headers[draw(st.sampled_from(sorted(headers)))] = draw(ODD_TEXT)
    return _written(made), headers, connected


def _change(draw: st.DrawFn, made: Any, path: tuple[Any, ...]) -> None:
    at = made
    for key in path[:-1]:
        if not _has(at, key):
            return  # an earlier change took the way away
        at = at[key]
    key = path[-1]
    if not _has(at, key):
        return
    match draw(st.integers(0, 3)):
        case 0:
            del at[key]
        case 1:
            at[key] = [at[key], at[key]]
        case _:
            at[key] = copy.deepcopy(draw(REPLACEMENT))  # a later change may alter it


def _has(value: Any, key: Any) -> bool:
    if isinstance(value, list):
        return isinstance(key, int) and key < len(value)
    return isinstance(value, dict) and key in value


def _damaged(draw: st.DrawFn, body: bytes) -> bytes:
    at, length = draw(st.integers(0, len(body))), draw(st.integers(0, 20))
    return body[:at] + draw(st.binary(max_size=20)) + body[at + length :]


def _written(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("one", INBOUND, ids=lambda one: one.slug)
def test_no_message_breaks_a_reader(one: Provider) -> None:
    @settings(max_examples=RUNS, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(messages(one))
    def bears(message: tuple[bytes, dict[str, str], dict[str, Any]]) -> None:
        body, headers, connected = message
        inbound = Inbound(headers, body, NOON, "connection:1", 7)
        try:
            assert one.admit(inbound, connected) >= 0
        except Refusal as refusal:
            told: str | None = str(refusal)
        else:
            told = None
            assert isinstance(one.delivery_key(inbound), str)
        assert told is None or told
        try:
            understood = one.parse(inbound, connected)
        except (Unreadable, Refusal) as reason:
            understood = []
            told = str(reason)
        assert told is None or told
        for said in understood:
            keeps_its_word(said)

    bears()


def keeps_its_word(said: Any) -> None:
    """What the database and the pages rely on."""
    if isinstance(said, Signal):
        assert said.fingerprint
        assert len(said.fingerprint) <= 255
        assert said.title.strip()
        assert said.status in ("firing", "resolved")
        assert said.level in (None, "critical", "warning", "info")
        assert all(
            moment is None or moment.tzinfo for moment in (said.observed_at, said.starts_at, said.ends_at)
        )
        assert all(url.startswith(("http://", "https://")) for _, url in said.links)
        kept: Any = [
            said.title,
            said.description,
            said.labels,
            said.extra,
            said.system,
            said.value,
            said.threshold,
            said.delivery_key,
        ]
        assert all(isinstance(name, str) and isinstance(value, str) for name, value in said.labels.items())
    elif isinstance(said, Change):
        assert said.key
        assert said.title.strip()
        assert said.at.tzinfo
        kept = [said.key, said.title, said.system, said.version, said.by, dict(said.labels), dict(said.extra)]
    else:
        assert said.delivery_key
        kept = [said.delivery_key, said.text, said.value]
    json.dumps(kept, ensure_ascii=False, allow_nan=False).encode()  # neither NaN nor half characters
