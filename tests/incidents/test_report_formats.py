"""Every format of a post-mortem holds all of it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields, replace
from datetime import UTC, date, datetime, timedelta, timezone
from io import BytesIO

import docx
import pytest
from pypdf import PdfReader

from incidents.markdown import render
from incidents.report import FORMATS, export
from incidents.report.document import Figure, Report, Section, Table, TimelineLine, Times, duration, moment
from tests.incidents.report_scenes import CHART, DETECTED, credit_bias, long_night


def pdf_text(content: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(content)).pages)


def docx_text(content: bytes) -> str:
    document = docx.Document(BytesIO(content))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return "\n".join([*(paragraph.text for paragraph in document.paragraphs), *cells])


def text_of(report: Report, format: str) -> str:
    content = export(report, format).content
    if format == "pdf":
        return pdf_text(content)
    return docx_text(content) if format == "docx" else content.decode()


def squeezed(text: str) -> str:
    """Without white space, because a page breaks lines where it must."""
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_holds_the_whole_post_mortem(format: str) -> None:
    report = credit_bias()
    text = squeezed(text_of(report, format))
    said = [
        "INC-7", report.header.title, "Ann Berg", "Ines Faro", "retail-credit v7.2", "SEV2", "SEV3", "Confidential",
        *(line.text for line in report.timeline),
        *(line.evidence for line in report.timeline),
        *(action.title for action in report.actions),
        *(action.done_when for action in report.actions),
        *(action.factor for action in report.actions),
        *(item.name for item in report.evidence),
        *(item.sha256 for item in report.evidence),
        "Agrees with the remedy.", "Executive summary", "64.2 %", "Impact ratio by week", "group by grp;",
    ]  # fmt: skip
    assert [item for item in said if squeezed(item) not in text] == []


@pytest.mark.parametrize("format", ["md", "html", "pdf", "docx"])
def test_times_are_utc_and_measured_from_detection(format: str) -> None:
    text = text_of(credit_bias(), format)
    assert "2026-11-09 06:05:00" in text
    assert "3 h 45 min" in text
    assert "83 d 18 h 20 min before" in text


@pytest.mark.parametrize("format", ["md", "html", "pdf", "docx"])
def test_an_empty_section_says_so_and_an_empty_list_too(format: str) -> None:
    report = credit_bias(
        sections=(Section("fairness", "Fairness"), Section("lineage", "Lineage", source="facts"))
    )
    text = text_of(report, format)
    assert text.count("Not written yet.") == 1
    assert text.count("Nothing recorded.") == 1


def test_a_section_with_nothing_but_a_table_without_rows_is_empty() -> None:
    section = Section("alerts", "Alerts", source="facts", tables=(Table("Alerts", ("Source",), ()),))
    text = text_of(credit_bias(sections=(section,)), "md")
    assert "## 2. Alerts\n\n*Recorded by the system*\n\nNothing recorded.\n\n## 3." in text


@pytest.mark.parametrize("format", FORMATS)
def test_a_thousand_timeline_lines_with_unbreakable_names_are_all_there(format: str) -> None:
    report = long_night()
    text = squeezed(text_of(report, format))
    missing = [line.text for line in report.timeline if squeezed(line.text) not in text]
    assert missing == []


def test_the_long_timeline_repeats_its_head_on_every_page_of_the_pdf() -> None:
    pages = [page.extract_text() for page in PdfReader(BytesIO(export(long_night(), "pdf").content)).pages]
    filled = [page for page in pages if page.count("feature_store") > 2]
    assert len(filled) > 20
    assert all("What happened" in page for page in filled)


def test_a_name_too_long_for_its_column_is_broken_without_changing_the_text() -> None:
    page = PdfReader(BytesIO(export(long_night(), "pdf").content)).pages[3].extract_text()
    name = "feature_store.customer_behaviour_90d.transactions_per_merchant_category_normalised_v12"
    assert name not in page
    assert name in squeezed(page)
    assert "\u200b" not in page
    assert "\u00ad" not in page


def test_the_pdf_knows_its_title_author_and_pages() -> None:
    reader = PdfReader(BytesIO(export(credit_bias(), "pdf").content))
    assert reader.metadata is not None
    assert reader.metadata.title == "INC-7 Approval gap in retail credit after release 7.2"
    assert reader.metadata.author is not None
    assert "Ann Berg" in reader.metadata.author
    for number, page in enumerate(reader.pages, start=1):
        text = page.extract_text()
        assert f"Page {number} of {len(reader.pages)}" in text
        assert "Confidential" in text
    assert [item.title for item in reader.outline[0:1]] == ["Approval gap in retail credit after release 7.2"]
    assert b"pdfuaid" in reader.trailer["/Root"]["/Metadata"].get_data()


def test_the_same_report_gives_the_same_pdf() -> None:
    assert export(credit_bias(), "pdf").content == export(credit_bias(), "pdf").content


def test_the_docx_has_headings_tables_lists_links_and_properties() -> None:
    document = docx.Document(BytesIO(export(credit_bias(), "docx").content))
    headings = [p.text for p in document.paragraphs if p.style.name == "Heading 1"]
    assert headings[:3] == ["1. Times", "2. Executive summary", "3. Impact"]
    assert (
        next(p.text for p in document.paragraphs if p.style.name == "List Number")
        == "No person was refused after 06:05 UTC."
    )
    assert "letters go out from 16 November" in [
        p.text for p in document.paragraphs if p.style.name == "List Bullet 2"
    ]
    assert document.core_properties.title == "INC-7 Approval gap in retail credit after release 7.2"
    assert document.core_properties.author == "Ann Berg, Timo Rask"
    assert len(document.inline_shapes) == 1
    assert "https://models.example/retail-credit" in {
        rel.target_ref for rel in document.part.rels.values() if rel.is_external
    }
    timeline = next(table for table in document.tables if table.cell(0, 2).text == "What happened")
    assert len(timeline.rows) == 7
    assert "w:tblHeader" in timeline.rows[0]._tr.xml


def test_two_numbered_lists_in_a_docx_both_start_where_they_say() -> None:
    report = credit_bias(sections=(Section("s", "S", "1. one\n2. two\n\ntext\n\n7. seven\n8. eight"),))
    document = docx.Document(BytesIO(export(report, "docx").content))
    items = [p for p in document.paragraphs if p.style.name == "List Number"]
    numbers = [p._p.pPr.numPr.numId.val for p in items]
    assert numbers[0] == numbers[1] != numbers[2] == numbers[3]
    xml = document.part.numbering_part.element.xml
    assert 'w:startOverride w:val="7"' in xml


def test_the_html_is_one_file_with_accessible_structure() -> None:
    html = export(credit_bias(), "html").content.decode()
    assert '<html lang="en">' in html
    assert html.count("<h1") == 1
    assert html.count("<h2") == 9
    assert html.count("<caption") == html.count('<th scope="col" class="strong">Moment') + 6
    assert 'alt="The ratio falls from 0.87 to 0.72 at release 7.2."' in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert not re.search(r'(src|href)="(?!#|data:image/svg|https://models\.example)', html)


def test_the_markdown_renders_to_the_same_content_again() -> None:
    html = render(export(credit_bias(), "md").content.decode())
    assert "INC-7 Approval gap" in html
    assert "<td>Fairness job: impact ratio 0.718, limit 0.80</td>" in html
    assert '<td align="right">0.9</td>' in html
    assert re.search(r"<li>\s*<p>6 187 decisions.*?<ul>\s*<li>letters", html, re.S)
    assert "<pre><code>select grp" in html


def test_a_pipe_in_a_cell_keeps_the_row_whole() -> None:
    report = credit_bias(timeline=(TimelineLine(DETECTED, "a | b\nc", evidence="x|y"),))
    row = next(line for line in export(report, "md").content.decode().splitlines() if "a \\| b" in line)
    assert row == "| 2026-11-09 02:20:00 |  | a \\| b<br>c |  | x\\|y |"


def test_the_json_gives_back_every_field() -> None:
    report = credit_bias()
    whole = json.loads(export(report, "json").content)
    assert (whole["schema"], whole["schema_version"]) == ("holdfast/post-mortem", 1)
    content = whole["report"]
    assert content["times"].pop("from_detection")["contained"] == 225 * 60

    def plain(value: object) -> object:
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, (tuple, list)) else value

    assert content == plain(asdict(report))
    assert set(content) == {each.name for each in fields(Report)}


def test_lists_are_shown_in_the_section_made_for_them_and_otherwise_at_the_end() -> None:
    headings = re.findall(r"^## (.+)$", export(credit_bias(), "md").content.decode(), re.M)
    assert headings == [
        "1. Times", "2. Executive summary", "3. Impact", "4. Timeline", "5. Root-cause analysis",
        "6. Fairness and ethics", "7. Action items", "8. Evidence", "9. Sign-offs",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("format", "media_type"),
    [
        ("md", "text/markdown"),
        ("html", "text/html"),
        ("pdf", "application/pdf"),
        ("docx", "wordprocessingml"),
        ("json", "application/json"),
    ],
)
def test_a_file_has_a_safe_name_and_its_type(format: str, media_type: str) -> None:
    exported = export(credit_bias(header=replace(credit_bias().header, id='../INC 7"\r\n')), format)
    assert exported.filename == f"INC-7-post-mortem.{format}"
    assert media_type in exported.media_type


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'odt'.*md, html, pdf, docx, json"):
        export(credit_bias(), "odt")


@pytest.mark.parametrize("format", FORMATS)
def test_a_time_without_zone_is_refused_rather_than_guessed(format: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        export(credit_bias(times=Times(detected=datetime(2026, 1, 1))), format)


@pytest.mark.parametrize("format", FORMATS)
def test_a_report_with_nothing_but_a_header_is_a_document(format: str) -> None:
    header = replace(
        credit_bias().header, systems=(), authors=(), reviewers=(), commander="", severity_history=()
    )
    assert "INC-7" in text_of(Report(header), format)


@pytest.mark.parametrize("svg", ["", "not a picture", "<svg", '<svg xmlns="http://www.w3.org/2000/svg"/>'])
@pytest.mark.parametrize("format", ["pdf", "docx"])
def test_a_figure_that_cannot_be_drawn_is_said_and_costs_nothing_else(format: str, svg: str) -> None:
    section = Section(
        "impact",
        "Impact",
        "Text stays.",
        figures=(Figure("Bad", svg, "what it shows"), Figure("Good", CHART, "fine")),
    )
    text = text_of(credit_bias(sections=(section,)), format)
    assert "Text stays." in text
    assert "what it shows" in text
    assert "Good" in text


def test_a_row_longer_than_its_table_is_refused() -> None:
    with pytest.raises(ValueError, match="2 columns but a row of 3"):
        Table("Groups", ("a", "b"), (("1", "2", "3"),))


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(), "0 s"),
        (timedelta(seconds=45), "45 s"),
        (timedelta(minutes=31), "31 min"),
        (timedelta(seconds=90), "1 min 30 s"),
        (timedelta(hours=1, minutes=55, seconds=20), "1 h 55 min"),
        (timedelta(hours=29, minutes=20), "29 h 20 min"),
        (timedelta(hours=102, minutes=10), "4 d 6 h 10 min"),
        (timedelta(minutes=-5), "−5 min"),
    ],
)
def test_durations_are_for_people(span: timedelta, text: str) -> None:
    assert duration(span) == text


def test_a_time_from_elsewhere_is_shown_in_utc() -> None:
    assert moment(datetime(2026, 11, 9, 4, 20, tzinfo=timezone(timedelta(hours=2)))) == "2026-11-09 02:20"
