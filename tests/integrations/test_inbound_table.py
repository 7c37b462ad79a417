"""Every vendor's samples beside what they become: the table, and that none was left out.

A vendor's tests name the outcome of each sample in `SAMPLES`, as `said` below words it, and what their connection
was set to in `SETTINGS`.
"""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from incidents.intake.signal import Signal
from integrations.contract import Inbound, Instruction, Refusal, Said, Unreadable
from integrations.shelf import provider, providers
from tests.contracts import CONTRACTS, contract_path
from tests.integrations.inbound import NOON
from tests.processes import ROOT

pytestmark = pytest.mark.once


def named_outcomes() -> dict[str, tuple[Mapping[str, str], Mapping[str, Any]]]:
    """The outcomes and settings that the vendors' tests name."""
    found = {}
    for slug in (one.slug for one in providers().values() if one.inbound):
        for name in (f"test_{slug}", f"test_{slug}_inbound"):
            if (ROOT / "tests" / "integrations" / f"{name}.py").exists():
                module = importlib.import_module(f"tests.integrations.{name}")
                if hasattr(module, "SAMPLES"):
                    found[slug] = (module.SAMPLES, getattr(module, "SETTINGS", {}))
    return found


TESTED = named_outcomes()
CASES = [
    pytest.param(slug, name, expected, id=f"{slug}-{name}")
    for slug, (samples, _) in TESTED.items()
    for name, expected in samples.items()
]


def names_of(vendor: str) -> set[str]:
    """The samples that lie in a vendor's folder; schemas and headers are none."""
    folder = CONTRACTS / vendor / "inbound"
    return {
        path.name.removesuffix(".json").removesuffix(".headers") if path.suffix == ".json" else path.name
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith("schema_") and ".shape." not in path.name
    }


def received(vendor: str, name: str) -> Inbound:
    """A sample as it arrives, with its headers; one that is only headers has no body."""
    folder = contract_path(vendor, "inbound")
    path = folder / name if (folder / name).exists() else folder / f"{name}.json"
    beside = folder / f"{name.removesuffix('.txt')}.headers.json"
    headers = {"content-type": "application/json"}
    if beside.exists():
        headers = {key.lower(): text for key, text in json.loads(beside.read_text(encoding="utf-8")).items()}
    return Inbound(
        headers,
        path.read_bytes() if path.exists() else b"",
        NOON,
        "connection:1",
        7,
        method=headers.pop("_method", "POST"),
    )


def outcome(slug: str, inbound: Inbound, settings: Mapping[str, Any]) -> str:
    """What becomes of a message, in a few words."""
    one = provider(slug)
    try:
        items = one.admit(inbound, settings) if inbound.method == "POST" else 0
    except Refusal as refusal:
        return f"refused {refusal.status}"
    if items == 0 and one.handshake(inbound, settings) is not None:
        return "handshake"
    # headers with credentials are not kept with a stored message
    kept = {name: text for name, text in inbound.headers.items() if name != "authorization"}
    try:
        understood = one.parse(replace(inbound, headers=kept), settings)
    except Unreadable:
        return "set aside"
    assert items == len(understood)
    return said(understood)


def said(understood: Any) -> str:
    """`2 firing, 1 resolved`, `1 deploy`, `1 acknowledge`; `nothing` when there was nothing to say."""
    counted = Counter(map(_word, understood))
    return ", ".join(f"{number} {word}" for word, number in sorted(counted.items())) or "nothing"


def _word(one: Said) -> str:
    if isinstance(one, Signal):
        return one.status
    return one.verb if isinstance(one, Instruction) else one.kind


@pytest.mark.parametrize(("slug", "name", "expected"), CASES)
def test_a_sample_becomes_what_it_says(slug: str, name: str, expected: str) -> None:
    assert outcome(slug, received(slug, name), TESTED[slug][1]) == expected


@pytest.mark.parametrize("slug", TESTED)
def test_no_sample_was_left_out(slug: str) -> None:
    contract_path(slug, "inbound")
    assert set(TESTED[slug][0]) == names_of(slug)


def test_the_table_of_vendors_and_samples(capsys: pytest.CaptureFixture[str]) -> None:
    contract_path("INDEX.md")
    rows, wrong = [], 0
    for slug, (samples, settings) in TESTED.items():
        right = sum(
            outcome(slug, received(slug, name), settings) == expected for name, expected in samples.items()
        )
        wrong += len(samples) - right
        rows.append(f"{slug:20} {len(samples):8} {right:6}")
    with capsys.disabled():
        print("", f"{'vendor':20} {'samples':>8} {'right':>6}", *rows, sep="\n")
    assert not wrong
