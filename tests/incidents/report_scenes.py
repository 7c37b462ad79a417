"""Post-mortems of a made-up bank, for the tests of every export format."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from incidents.report.document import (
    ActionLine,
    EvidenceLine,
    Figure,
    Header,
    Report,
    Section,
    SeverityChange,
    Signoff,
    Table,
    TimelineLine,
    Times,
)

DETECTED = datetime(2026, 11, 9, 2, 20, tzinfo=UTC)
HOSTILE = (
    '<script>alert(1)</script> #import "x" $math$ \\ [link](javascript:alert(2)) '
    '<img src=x onerror=alert(3)> `#read("/etc/passwd")` *bold* | pipe & &lt; שלום עולם 中文 😀 null\x00byte \u202eover'
)
CHART = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 150" width="600" height="150">'
    '<rect width="600" height="150" fill="#f4f6f8"/><line x1="40" x2="590" y1="52" y2="52" stroke="#b4470f"'
    ' stroke-dasharray="4 3"/><polyline fill="none" stroke="#1f5f99" stroke-width="2" points="40,30 120,34 200,31 '
    '280,36 300,88 380,92 460,95 590,94"/><text x="45" y="46" font-size="11" fill="#b4470f">limit 0.80</text></svg>'
)


def after(minutes: float) -> datetime:
    return DETECTED + timedelta(minutes=minutes)


def credit_bias(**changes: object) -> Report:
    """A credit model that refuses one group too often, found by the fairness job, reverted in hours."""
    header = Header(
        id="INC-7",
        title="Approval gap in retail credit after release 7.2",
        severity="SEV2",
        state="post_mortem",
        status="in_review",
        generated_at=datetime(2026, 11, 16, 9, 30, tzinfo=UTC),
        family="BIAS",
        subtype="selection_rate_disparity",
        systems=("retail-credit v7.2", "credit-gateway"),
        commander="Ann Berg",
        owner="Retail credit",
        authors=("Ann Berg", "Timo Rask"),
        reviewers=("Ines Faro",),
        classification="Confidential",
        audience="Risk committee, supervisor",
        severity_history=(
            SeverityChange(after(2), "SEV3", "severity matrix", "Impact 3, urgency 3"),
            SeverityChange(after(55), "SEV2", "Ann Berg", "Floor for protected groups applies"),
        ),
    )
    times = Times(
        onset=datetime(2026, 8, 17, 8, tzinfo=UTC),
        detected=DETECTED,
        opened=after(1.5),
        acked=after(11),
        triaged=after(55),
        contained=after(225),
        mitigated=after(1160),
    )
    report = Report(
        header=header,
        sections=SECTIONS,
        timeline=TIMELINE,
        times=times,
        actions=ACTIONS,
        evidence=EVIDENCE,
        signoffs=SIGNOFFS,
    )
    return replace(report, **changes)


def long_night() -> Report:
    """A thousand timeline lines, with names that have no place to break."""
    name = "feature_store.customer_behaviour_90d.transactions_per_merchant_category_normalised_v12"
    return credit_bias(
        timeline=tuple(
            TimelineLine(
                after(place), f"Entry {place}: {name} drifted", actor="prod-monitor-eu-west-1-replica-0042"
            )
            for place in range(1000)
        )
    )


def hostile() -> Report:
    """Every text a person or a vendor could have written tries to be more than text."""
    base = credit_bias()
    return Report(
        header=replace(
            base.header,
            title=HOSTILE,
            systems=(HOSTILE,),
            commander=HOSTILE,
            authors=(HOSTILE,),
            audience=HOSTILE,
        ),
        sections=(
            Section(
                "summary",
                HOSTILE,
                f"# {HOSTILE}\n\n{HOSTILE}\n\n- {HOSTILE}\n\n> {HOSTILE}\n\n```\n{HOSTILE}\n```\n",
                tables=(Table(HOSTILE, (HOSTILE, "b"), ((HOSTILE, HOSTILE),)),),
                figures=(Figure(HOSTILE, '<svg onload="alert(4)"><script>alert(5)</script>', HOSTILE),),
            ),
        ),
        timeline=(TimelineLine(DETECTED, HOSTILE, mark="detected", actor=HOSTILE, evidence=HOSTILE),),
        times=base.times,
        actions=(ActionLine(HOSTILE, owner=HOSTILE, done_when=HOSTILE, factor=HOSTILE),),
        evidence=(EvidenceLine(HOSTILE, "ab" * 32, 10, HOSTILE, DETECTED),),
        signoffs=(Signoff(HOSTILE, HOSTILE, HOSTILE, DETECTED, HOSTILE),),
    )


SECTIONS = (
    Section(
        "summary",
        "Executive summary",
        "From **17 August to 9 November 2026** release 7.2 of the retail credit model approved applicants of group B"
        " less often than the policy allows. The weekly fairness job found it; automated refusals were held within"
        " **3 h 45 min** and the audited scorecard took over.\n\n"
        "1. No person was refused after 06:05 UTC.\n2. 6 187 decisions are being made again.\n"
        "   - letters go out from 16 November\n   - a hotline is staffed until the end of the year\n\n"
        "See the [model card](https://models.example/retail-credit) and `policy/fairness.yaml`.",
    ),
    Section(
        "impact",
        "Impact",
        "Refusals beyond parity, by risk band:",
        source="both",
        tables=(
            Table(
                "Approvals in the last 30 days",
                ("Group", "Decisions", "Approved", "Rate", "Ratio to A"),
                (("A", "30 100", "19 324", "64.2 %", "1.000"), ("B", "12 210", "5 629", "46.1 %", "0.718")),
            ),
        ),
        figures=(Figure("Impact ratio by week", CHART, "The ratio falls from 0.87 to 0.72 at release 7.2."),),
    ),
    Section("timeline", "Timeline", source="both"),
    Section(
        "rca",
        "Root-cause analysis",
        "### Why was it not seen earlier?\n\n> The monthly job had no alert on its own absence.\n\n"
        "| Why | Because | Confidence |\n|---|---|--:|\n| No alert | job failed silently | 0.9 |\n"
        "| Job failed | permission removed on 24 August | 1.0 |\n\n```sql\nselect grp, avg(approved) from decisions\n"
        "group by grp;\n```",
    ),
    Section("fairness", "Fairness and ethics"),
)
TIMELINE = (
    TimelineLine(
        datetime(2026, 8, 17, 8, tzinfo=UTC), "Release 7.2 serves all traffic", "onset", "deploy bot", "EV-1"
    ),
    TimelineLine(
        DETECTED, "Fairness job: impact ratio 0.718, limit 0.80", "detected", "fairness job", "EV-2"
    ),
    TimelineLine(after(11), "Ann Berg takes command", "acknowledged", "Ann Berg"),
    TimelineLine(after(55), "Class BIAS, raised to SEV2", "triaged", "Ann Berg"),
    TimelineLine(
        after(225), "Automated refusals held, scorecard 6.9 serves", "contained", "PB-BIAS step 9", "EV-3"
    ),
    TimelineLine(
        after(1160), "Backtest on 42 310 decisions: ratio 0.87", "mitigated", "PB-BIAS step 10", "EV-4"
    ),
)
ACTIONS = (
    ActionLine(
        "Add a fairness gate to the release pipeline", "Timo Rask", date(2026, 12, 4), "prevent",
        "a build with ratio below 0.80 fails", "P0", "CF-EVAL-GAP", "open",
    ),
    ActionLine(
        "Alert when the fairness job is missing", "Lea Nord", date(2026, 11, 27), "detect",
        "a skipped run pages within 26 hours", "P1", "CF-MONITOR-MISSING", "done",
    ),
)  # fmt: skip
EVIDENCE = (
    EvidenceLine(
        "fairness-2026-11-09.json",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        48213,
        "fairness job",
        after(1),
    ),
    EvidenceLine(
        "registry-retail-credit-v7.2.tar",
        "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
        1834412032,
        "model registry",
        after(20),
    ),
)
SIGNOFFS = (
    Signoff(
        "Ines Faro",
        "Model risk",
        "approved",
        datetime(2026, 11, 16, 9, tzinfo=UTC),
        "Agrees with the remedy.",
    ),
)
