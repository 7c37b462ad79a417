"""Charts: valid, escaped, readable, and with a table behind them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from incidents.charts import (
    PRINT,
    Row,
    Series,
    Threshold,
    bar_chart,
    histogram_pair,
    interval_chart,
    line_chart,
    table_of,
)

SVG = "{http://www.w3.org/2000/svg}"
LONG = "customer_lifetime_transaction_amount_eur_30d_rolling_average"
EVIL = "<script>alert('x')</script>&\""
ROWS = [Row(LONG, 0.412, level="crit"), Row("age", 0.14, level="muted"), Row("gone", None)]
START = datetime(2026, 11, 1, tzinfo=UTC)


def every_chart(text: str = "PSI", **options: object) -> list[str]:
    limits = [
        Threshold(0.1, f"warn {text}"),
        Threshold(0.12, "noise floor"),
        Threshold(0.25, "critical", "crit"),
    ]
    lines = [Series(text, [(START + timedelta(hours=index), index / 10) for index in range(30)])]
    rows = [*ROWS, Row(text, 0.2, 0.1, 0.3, note=text)]
    return [
        bar_chart(text, rows, axis=text, thresholds=limits, **options),  # type: ignore[arg-type]
        interval_chart(text, rows, axis=text, thresholds=limits, **options),  # type: ignore[arg-type]
        line_chart(text, lines * 2, axis=text, thresholds=limits, **options),  # type: ignore[arg-type]
        histogram_pair(text, [text, "b"], [3, 1], [1, 3], x_axis=text, **options),  # type: ignore[arg-type]
        bar_chart(text, [], axis=text, **options),  # type: ignore[arg-type]
    ]


def texts(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(f"{SVG}text"))


def test_every_chart_is_valid_scalable_and_named_for_screen_readers():
    for svg in every_chart():
        root = ElementTree.fromstring(svg)
        assert root.get("viewBox")
        assert root.get("role") == "img"
        ids = {root.find(f"{SVG}title").get("id"), root.find(f"{SVG}desc").get("id")}
        assert set(root.get("aria-labelledby").split()) == ids
        assert root.find(f"{SVG}desc").text


def test_hostile_text_stays_text():
    for svg in every_chart(EVIL):
        root = ElementTree.fromstring(svg)
        assert not list(root.iter(f"{SVG}script"))
        assert root.find(f"{SVG}title").text == EVIL
    assert "<script" not in table_of([Row(EVIL, 1, note=EVIL)], caption=EVIL, axis=EVIL)


def test_no_inline_style_and_no_handlers():
    for svg in every_chart():
        for element in ElementTree.fromstring(svg).iter():
            assert not [name for name in element.attrib if name == "style" or name.startswith("on")]


def test_the_screen_palette_follows_the_page_and_the_print_palette_is_literal():
    for svg in every_chart():
        assert "currentColor" in svg
        assert "#ffffff" not in svg
    for svg in every_chart(palette=PRINT):
        assert "var(" not in svg
        assert "currentColor" not in svg


def test_a_long_name_loses_its_middle_and_is_whole_in_its_tooltip():
    svg = bar_chart("Drift", ROWS, axis="PSI")
    label = next(item for item in texts(svg) if item.find(f"{SVG}title") is not None)
    shown = "".join(label.itertext()).removeprefix(LONG)
    assert label.find(f"{SVG}title").text == LONG
    assert len(shown) < 40
    assert shown.startswith("customer")
    assert shown.endswith("average")


def test_threshold_labels_do_not_overlap():
    limits = [Threshold(value, f"a limit at {value}") for value in (0.10, 0.11, 0.12)]
    svg = bar_chart("Drift", ROWS, axis="PSI", thresholds=limits)
    heights = [item.get("y") for item in texts(svg) if (item.text or "").startswith("a limit")]
    assert len(set(heights)) == 3


def test_values_have_one_number_of_decimals():
    svg = bar_chart("Drift", [Row("a", 0.412), Row("b", 0.3), Row("c", None)], axis="PSI")
    assert [item.text for item in texts(svg) if item.get("font-variant")] == ["0.412", "0.300", "–"]


def test_bars_begin_at_zero_and_negative_ones_point_left():
    root = ElementTree.fromstring(bar_chart("Change", [Row("up", 2), Row("down", -1)], axis="points"))
    up, down = list(root.iter(f"{SVG}rect"))
    assert float(down.get("x")) + float(down.get("width")) == pytest.approx(float(up.get("x")), abs=0.2)
    assert float(up.get("width")) == pytest.approx(2 * float(down.get("width")), abs=0.3)


def test_a_gap_in_a_line_is_not_drawn_over():
    points = [(START + timedelta(hours=index), None if index == 5 else 1.0 * index) for index in range(10)]
    root = ElementTree.fromstring(line_chart("Rate", [Series("rate", points)], axis="%"))
    assert len(list(root.iter(f"{SVG}polyline"))) == 2


@pytest.mark.parametrize(("hours", "form"), [(6, r"\d\d:\d\d"), (96, r"\d\d \w{3}"), (9000, r"\w{3} \d{4}")])
def test_time_axes_choose_their_step(hours, form):
    points = [(START, 1.0), (START + timedelta(hours=hours), 2.0)]
    svg = line_chart("Rate", [Series("rate", points)], axis="%")
    ticks = [item.text for item in texts(svg) if re.fullmatch(form, item.text or "")]
    assert 2 <= len(ticks) <= 9
    assert "time (UTC)" in svg


def test_one_point_and_equal_values_are_drawn():
    assert "<circle" in line_chart("Rate", [Series("rate", [(START, 5.0)])], axis="%")
    ElementTree.fromstring(bar_chart("Zero", [Row("a", 0.0)], axis="n"))


def test_the_same_chart_has_the_same_bytes():
    assert every_chart() == every_chart()


def test_a_table_tells_rows_with_interval_and_level():
    html = table_of(
        [Row("B", 0.718, 0.703, 0.733, "crit", "n = 12,210")], caption="Ratios", axis="ratio", label="Group"
    )
    root = ElementTree.fromstring(html)
    assert [item.text for item in root.iter("th")] == ["Group", "ratio", "from", "to", "note", "B"]
    assert [item.text for item in root.iter("td")] == ["0.718", "0.703", "0.733", "critical, n = 12,210"]


def test_a_table_tells_series_by_moment():
    html = table_of(
        [Series("now", [(START, 4.1)]), Series("before", [(START, 4.8), (START + timedelta(hours=1), 4.7)])],
        caption="CTR",
        axis="%",
    )
    root = ElementTree.fromstring(html)
    assert [item.text for item in root.iter("td")] == ["4.1", "4.8", "–", "4.7"]
    assert "2026-11-01 00:00 UTC" in html
    assert "no data" in table_of([], caption="CTR", axis="%")
