"""Which way the shipped playbooks go: the conductor alone, with scripted outcomes of each step."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks import facts, library
from playbooks.conductor import (
    Decision,
    Failed,
    Finish,
    Outcome,
    Passed,
    Progress,
    RunStep,
    Succeeded,
    decide,
)
from playbooks.definition import Definition, parse
from tests.playbooks.scenes import NOON

SHIPPED = {slug: parse(text) for slug, text in library.texts()}
FAILS = object()  #: the step fails for good

EMPTY: dict[str, Any] = {"id": 7, "severity": 3, "contained": False, "verified": False}
SYSTEM: dict[str, Any] = {"known": True, "slug": "watched", "data": {}, "serving": {"connection": "edge"}}


def way(slug: str, script: dict[str, Any], *, data: tuple[str, ...] = (), **incident: Any) -> list[str]:
    """The steps that are run, in order. `script`: step → outputs (with `verdict`), or FAILS; a step that is
    not in the script is done without outputs. Ends at "end", or before a step whose outputs the script lacks."""
    definition = SHIPPED[slug]
    known = {
        "incident": dict.fromkeys(facts.NAMES["incident"], "") | EMPTY | incident,
        "system": SYSTEM | {"data": dict.fromkeys(data, "x")},
        "inputs": {},
        "run": {"id": 1, "ref": "run:1", "dry_run": False},
    }
    seen: dict[str, dict[str, Any]] = {}
    path: list[str] = []
    decision = _decided(definition, Progress(definition.steps[0].id, known), None)
    while isinstance(decision, RunStep):
        for passed in decision.passed:
            seen[passed.id] = {"state": passed.state, "verdict": "", "summary": ""}
        at = decision.id
        path.append(at)
        said = script.get(at, {})
        if definition.step(at).kind == "human" and at not in script:
            return path
        outcome: Outcome = Failed("It does not work.") if said is FAILS else Succeeded()
        state = "failed" if said is FAILS else "done"
        outputs = {} if said is FAILS else said
        seen[at] = {"verdict": "", "summary": "", **outputs, "state": state}
        decision = _decided(definition, Progress(at, known, seen, len(path)), outcome)
    assert isinstance(decision, Finish), decision
    assert all(isinstance(one, Passed) for one in decision.passed)
    return [*path, "end"]


def _decided(definition: Definition, progress: Progress, outcome: Outcome | None) -> Decision:
    return decide(definition, progress, outcome, NOON)[0]


CONFIRMED, LIKELY, REFUTED = ({"verdict": word} for word in ("confirmed", "likely", "refuted"))
DRIFTED = {"DR-01": REFUTED, "DR-03": CONFIRMED}


@pytest.mark.parametrize(
    ("script", "data", "severity", "leads_to"),
    [
        # a loss that is measured is contained, whatever the season
        ({**DRIFTED, "DR-07": CONFIRMED}, ("kpi_column",), 3, "DR-10"),
        ({**DRIFTED, "DR-06": REFUTED, "DR-07": CONFIRMED}, ("kpi_column", "season_reference"), 3, "DR-10"),
        # the season, and nothing lost
        ({**DRIFTED, "DR-06": REFUTED, "DR-07": REFUTED}, ("kpi_column", "season_reference"), 3, "DR-14"),
        # nothing lost, but no season explains it; a loss within noise; no KPI: people
        ({**DRIFTED, "DR-06": CONFIRMED, "DR-07": REFUTED}, ("kpi_column", "season_reference"), 3, "DR-09"),
        ({**DRIFTED, "DR-07": LIKELY}, ("kpi_column",), 3, "DR-09"),
        (DRIFTED, (), 3, "DR-09"),
        # bad enough to contain without a KPI
        (DRIFTED, (), 2, "DR-10"),
        # drift that is not confirmed
        ({"DR-01": REFUTED, "DR-03": REFUTED}, (), 1, "DR-09"),
        # data broken or poisoned: other playbooks
        ({"DR-01": CONFIRMED}, (), 1, "DR-01Q"),
        ({**DRIFTED, "DR-08": CONFIRMED}, ("label_column", "source_column"), 1, "DR-08P"),
        # nothing can be measured
        ({"DR-01": FAILS, "DR-03": FAILS}, (), 1, "DR-09"),
    ],
)
def test_drift(script: dict[str, Any], data: tuple[str, ...], severity: int, leads_to: str) -> None:
    path = way("pb-drift", {**script, "DR-11": {"plan": "not_needed"}}, data=data, severity=severity)
    assert leads_to in path
    assert path[0] == "DR-00", "evidence first"
    others = {"DR-10", "DR-14", "DR-09", "DR-01Q", "DR-08P"} - {leads_to}
    assert not others & set(path)


def test_drift_that_is_not_verified_is_waited_for_again_or_contained_differently() -> None:
    script: dict[str, Any] = {**DRIFTED, "DR-13D": FAILS, "DR-13H": {"next": "wait_again"}}
    path = way("pb-drift", {**script, "DR-13H": {"next": "go_on_unverified"}}, severity=2)
    assert path[path.index("DR-13H") + 1] == "DR-11"
    definition = SHIPPED["pb-drift"]
    assert {branch.goto for branch in definition.step("DR-13H").branches} == {"DR-13", "DR-13X", "DR-11R"}


@pytest.mark.parametrize(
    ("script", "leads_to", "never"),
    [
        ({"DQ-01": CONFIRMED}, "DQ-06", "DQ-05H"),
        ({"DQ-01": LIKELY}, "DQ-05H", "DQ-06"),
        ({"DQ-01": FAILS}, "DQ-05H", "DQ-06"),
        ({"DQ-01": REFUTED, "DQ-05H": {"decision": "sound"}}, "DQ-14", "DQ-06"),
        ({"DQ-01": REFUTED, "DQ-05H": {"decision": "malicious"}}, "DQ-05P", "DQ-06"),
        ({"DQ-01": CONFIRMED, "DQ-06": FAILS}, "DQ-06H", "DQ-07"),
        ({"DQ-01": CONFIRMED, "DQ-07": FAILS}, "DQ-07H", "DQ-08"),
    ],
)
def test_data_quality(script: dict[str, Any], leads_to: str, never: str) -> None:
    path = way("pb-dataq", script)
    assert leads_to in path
    assert never not in path


@pytest.mark.parametrize(
    ("script", "leads_to", "never"),
    [
        ({"BI-01": CONFIRMED, "BI-02R": {"found": True}}, "BI-09", "BI-09B"),
        ({"BI-01": CONFIRMED, "BI-02R": {"found": False}}, "BI-09B", "BI-09"),
        ({"BI-01": CONFIRMED, "BI-02R": FAILS}, "BI-09B", "BI-09"),
        ({"BI-01": {"verdict": "inconclusive"}, "BI-02R": {"found": True}}, "BI-01H", "BI-09"),
        ({"BI-01": REFUTED, "BI-02R": {"found": True}, "BI-01H": {"decision": "refuted"}}, "end", "BI-09"),
        ({"BI-01": FAILS, "BI-02R": {"found": True}, "BI-01H": {"decision": "contain"}}, "BI-09", "BI-09B"),
        ({"BI-01": CONFIRMED, "BI-02R": {"found": True}, "BI-09": FAILS}, "BI-09H", "BI-07"),
    ],
)
def test_bias(script: dict[str, Any], leads_to: str, never: str) -> None:
    path = way("pb-bias", script)
    assert leads_to in path
    assert never not in path


@pytest.mark.parametrize(
    ("script", "leads_to", "never"),
    [
        ({"PO-05": {**CONFIRMED, "top_source": "gw-3"}, "PO-06": {"found": True}}, "PO-08", "PO-08B"),
        ({"PO-05": {**CONFIRMED, "top_source": "gw-3"}, "PO-06": {"found": True}}, "PO-08S", "PO-05H"),
        ({"PO-05": {**CONFIRMED, "top_source": None}, "PO-06": {"found": False}}, "PO-08B", "PO-08S"),
        ({"PO-05": FAILS, "PO-06": {"found": True}}, "PO-05H", "PO-08"),
        ({"PO-05": REFUTED, "PO-06": {"found": True}, "PO-05H": {"decision": "refuted"}}, "PO-05U", "PO-08"),
        ({"PO-01": FAILS, "PO-01H": {"frozen": "partly"}, "PO-05": REFUTED}, "PO-02", "PO-08"),
    ],
)
def test_poisoning(script: dict[str, Any], leads_to: str, never: str) -> None:
    path = way("pb-poison", script, severity=1)
    assert leads_to in path
    assert never not in path
    assert path[0] == "PO-01", "freeze first"
    assert path.index("PO-02") < path.index("PO-03") < path.index("PO-05")


@pytest.mark.parametrize("slug", SHIPPED)
def test_evidence_comes_before_whatever_contains(slug: str) -> None:
    definition = SHIPPED[slug]
    ids = [one.id for one in definition.steps]
    for one in definition.steps:
        if one.mark == "contained":
            snapshot = next(two.id for two in definition.steps if two.action == "snapshot_evidence")
            assert ids.index(snapshot) < ids.index(one.id)
