"""Intake on paper (fold, windows, classes, keys, promotion) and its rule: order and partition change nothing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from incidents.intake.catalogue import Catalogue, Inventory, Rule, System
from incidents.intake.classify import classify, escape, key_of
from incidents.intake.families import guess
from incidents.intake.fold import fold, live_key_of, window_of
from incidents.intake.promotion import Voice, promote
from incidents.intake.signal import Signal
from incidents.models import Alert, Event, Incident
from tests.incidents.intake_scenes import NOON, at, counters_are_exact, signal, system, tell


def test_the_newest_signal_gives_the_status_whatever_the_order() -> None:
    signals = [
        signal(observed_at=at(1)),
        signal(status="resolved", observed_at=at(3)),
        signal(observed_at=at(2), title="last"),
    ]
    for order in itertools.permutations(signals):
        (report,) = fold(order, at(9))
        assert (report.newest.status, report.count, report.signal.title) == ("resolved", 3, "last")
        assert (report.first_at, report.last_at, report.fired_at) == (at(1), at(3), at(2))


def test_of_two_at_the_same_moment_the_later_in_the_batch_is_newer() -> None:
    (report,) = fold([signal(), signal(status="resolved")], NOON)
    assert not report.firing


def test_a_clock_that_is_ahead_cannot_freeze_an_alert() -> None:
    (report,) = fold([signal(observed_at=at(days=9000)), signal(status="resolved")], NOON)
    assert report.last_at == NOON


def test_reports_come_sorted_by_live_key_and_per_origin() -> None:
    signals = [signal("b"), signal("a"), signal("a", origin="connection:0")]
    assert [r.live_key for r in fold(signals, NOON)] == ["connection:0|a", "connection:1|a", "connection:1|b"]


def test_a_long_fingerprint_is_hashed_and_stays_apart() -> None:
    keys = {live_key_of(signal("x" * 300 + tail))[0] for tail in "ab"}
    assert len(keys) == 2
    assert all(len(key) <= 340 for key in keys)


@pytest.mark.parametrize(
    ("window", "minutes", "name"),
    [
        ("", 4, "2026-11-02T12:00:00Z"),
        ("", 5, "2026-11-02T12:05:00Z"),
        ("1h", 59, "2026-11-02T12:00:00Z"),
        ("24 h", 100, "2026-11-02T00:00:00Z"),
        ("2026-W45", 4, "2026-W45"),
    ],
)
def test_which_window_a_firing_belongs_to(window: str, minutes: int, name: str) -> None:
    assert window_of(signal(window=window, observed_at=at(minutes)), at(days=1)) == name


@pytest.mark.parametrize(
    ("said", "family"),
    [
        ({"metric": "feature_psi"}, "DRIFT"),
        ({"metric": "null_rate"}, "DATAQ"),
        ({"metric": "label_flip_rate"}, "POISON"),
        ({"metric": "disparate_impact_ratio"}, "BIAS"),
        ({"metric": "x", "labels": {"alertname": "FeatureStoreLatencyP99High"}}, "PERF"),
        ({"metric": "", "title": "Recall dropped below 0.9"}, "PERF"),
        ({"metric": "prompt_injection_hits"}, "INJECT"),
        ({"metric": "groundedness"}, "HALLUC"),
        ({"metric": "schema_drift"}, "DATAQ"),
        ({"metric": "abc", "title": "Something else"}, None),
    ],
)
def test_words_give_a_class(said: dict[str, Any], family: str | None) -> None:
    assert guess(signal(**said)) == family


DEFAULT = Rule(
    1, "Default", 1, 1, "", "", "", None, ("env", "system", "family"), 86_400, 604_800, 2, 3, (), ""
)
RECS = System(1, "recs-home", "Recommendations", "", False)


def key(*, rule: Rule = DEFAULT, **said: Any) -> str:
    (report,) = fold([signal(**said)], NOON)
    return classify(report, Catalogue(Inventory([RECS]), (rule,), ()), NOON).key


def test_a_missing_or_unknown_value_is_its_own_bucket() -> None:
    keys = [key(), key(system=""), key(system="fraud-x"), key(system="fraud-y"), key(system="none")]
    assert keys[:3] == [
        "env=prod|system=recs-home|family=DRIFT",
        "env=prod|system=∅|family=DRIFT",
        "env=prod|system=∅fraud-x|family=DRIFT",
    ]
    assert len(set(keys)) == 5


@given(st.text(), st.text())
def test_different_values_never_share_a_key(one: str, other: str) -> None:
    if escape(one) == escape(other):
        assert one.encode(errors="replace").replace(b"\0", b"") == other.encode(errors="replace").replace(
            b"\0", b""
        )


@given(st.lists(st.text(st.characters(exclude_categories=["C"])), min_size=2, max_size=2))
def test_a_value_cannot_pretend_to_be_two_parts(values: list[str]) -> None:
    parts = dict(zip(("env", "system"), map(escape, values), strict=True))
    assert key_of(parts).replace("\\\\", "").replace("\\|", "").count("|") == 1


def test_a_long_key_is_hashed() -> None:
    keys = {key_of({"system": "s" * 500 + tail}) for tail in "ab"}
    assert len(keys) == 2
    assert max(map(len, keys)) == 400


def warning(detector: str = "psi", windows: int = 1, firing: bool = True, level: str = "warning") -> Voice:
    return Voice(level, firing, ("prometheus", detector, ""), windows)


@pytest.mark.parametrize(
    ("voices", "by"),
    [
        ([warning(level="critical")], "critical"),
        ([warning(level="critical", firing=False)], "critical"),
        ([warning()], None),
        ([warning(), warning()], None),
        ([warning("psi"), warning("auc")], "signals"),
        ([warning("psi"), warning("auc", firing=False)], None),
        ([warning("psi"), warning("auc", level="info")], None),
        ([warning(windows=2)], None),
        ([warning(windows=3)], "windows"),
        ([warning(windows=9, level="info")], None),
    ],
)
def test_what_promotes(voices: list[Voice], by: str | None) -> None:
    promoted, state = promote(DEFAULT, voices)
    assert (promoted or {}).get("by") == by
    assert state["need"] == {"signals": 2, "windows": 3}


# --- the rule: any order and partition of the same reports ends in the same alerts and incidents ------
def history() -> st.SearchStrategy[list[Signal]]:
    """Reports of a few conditions of two systems, each at its own moment."""
    report = st.tuples(
        st.sampled_from(["a", "b", "c"]), st.sampled_from(["recs-home", "unheard-of"]),
        st.sampled_from(["firing", "resolved"]), st.sampled_from([0.05, 0.14, 0.4]),
    )  # fmt: skip
    return st.lists(report, min_size=1, max_size=14).map(
        lambda rows: [
            signal(f"{name}-{where}", system=where, status=status, metric="psi", value=value, sample_size=180,
                   observed_at=at(minute), starts_at=at(minute - 60))
            for minute, (name, where, status, value) in enumerate(rows)
        ]
    )  # fmt: skip


def world() -> tuple[Any, ...]:
    alerts = Alert.objects.order_by("live_key").values_list(
        "live_key", "status", "disposition", "count", "first_seen", "last_seen", "incident__grouping_key"
    )
    incidents = Incident.objects.order_by("open_key").values_list(
        "open_key", "state", "alert_count", "firing_count", "report_count"
    )
    return list(alerts), list(incidents)


def told(batches: list[list[Signal]]) -> tuple[Any, ...]:
    """The world after these batches, in a transaction that is taken back."""
    point = transaction.savepoint()
    system()
    for batch in batches:
        tell(*batch, now=at(60))
    assert counters_are_exact()
    assert Event.objects.filter(kind="incident.opened").count() == Incident.objects.count()
    seen = world()
    transaction.savepoint_rollback(point)
    return seen


@pytest.mark.django_db
@settings(max_examples=40)
@given(data=st.data())
def test_any_order_and_partition_of_critical_reports_ends_the_same(data: st.DataObject) -> None:
    signals = data.draw(history())
    shuffled = data.draw(st.permutations(signals))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(signals)), max_size=4)))
    batches = [shuffled[i:j] for i, j in itertools.pairwise([0, *cuts, len(signals)])]
    assert told(batches) == told([signals])


@pytest.mark.django_db
@settings(max_examples=25)
@given(data=st.data())
def test_any_partition_of_firing_warnings_ends_the_same(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=10))
    signals = [
        signal(name, level="warning", metric=f"m-{name}", observed_at=at(3 * i))
        for i, name in enumerate(names)
    ]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(signals)), max_size=4)))
    batches = [signals[i:j] for i, j in itertools.pairwise([0, *cuts, len(signals)])]
    assert told(batches) == told([signals])
