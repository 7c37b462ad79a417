"""The severity matrix as a pure function over data: impact × urgency, floors, caps."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

#: The shipped profile. Administrators publish new versions; incidents keep the one they used.
#: `first_guess` answers for an alert that no person has assessed yet.
DEFAULT_PROFILE: dict[str, Any] = {
    "dimensions": [
        {"code": "SA", "title": "Safety / health", "levels": [
            "None", "Discomfort, no treatment", "Near miss, or minor injury plausible",
            "Unsafe output reached people; serious harm plausible, none confirmed",
            "Death or serious injury occurred or suspected"]},
        {"code": "RI", "title": "Fundamental rights & fairness", "levels": [
            "None", "Small quality-of-service gap, below flags",
            "Measurable disparity or privacy intrusion, unconfirmed or without legal consequence",
            "Confirmed disparity, unlawful decision or breach for a bounded group that can be redressed",
            "Widespread or irreversible infringement, or vulnerable groups"]},
        {"code": "OP", "title": "Operational disruption", "levels": [
            "None", "Single team slowed", "Important process degraded for more than 1 h",
            "Critical process halted, or safety fallback running for more than 1 h",
            "Critical process halted for more than 8 h, or several sites"]},
        {"code": "FI", "title": "Financial", "levels": [
            "Below 1 k", "1 k to 25 k", "25 k to 250 k", "250 k to 5 m", "Above 5 m"]},
        {"code": "SC", "title": "Scale (people adversely affected)", "levels": [
            "0 (low-stakes outputs: below 1 000)", "1–9 (low-stakes: 1 k–99 k)",
            "10–999 (low-stakes: 100 k–9.9 m)", "1 000–99 999 (low-stakes: 10 m and more)",
            "100 000 and more (not reachable for low-stakes outputs)"]},
        {"code": "RG", "title": "Regulatory / contractual", "levels": [
            "None", "Internal policy breach", "Audit finding or probable notification",
            "Statutory clock running, or enforcement likely",
            "Several regulators, licence or marking at risk"]},
        {"code": "RP", "title": "Reputational", "levels": [
            "Internal only", "Isolated complaints", "Social-media cluster or key-account escalation",
            "National press, NGO or regulator interest", "Sustained international coverage"]},
    ],
    "urgency": [
        {"code": "harm", "title": "Is harm happening now?", "options": [
            "No / potential", "Intermittent, or only at batch time", "Continuous"]},
        {"code": "velocity", "title": "Time until impact moves up one level", "options": [
            "More than 7 days", "1–7 days", "4–24 h", "Less than 4 h"]},
        {"code": "reversibility", "title": "Reversibility for the affected party", "options": [
            "Heals by itself", "Reversible with redress work", "Irreversible, or medically/legally consequential"]},
        {"code": "workaround", "title": "Workaround", "options": ["Active now", "Exists, not active", "None"]},
    ],
    #: highest sum that still belongs to U1, U2, U3; above is U4
    "urgency_bands": [2, 4, 6],
    #: continuous and irreversible harm is U4 whatever the sum
    "urgency_immediate": {"harm": 2, "reversibility": 2},
    #: rows I5…I1, columns U4…U1
    "matrix": [[1, 1, 2, 2], [1, 2, 2, 3], [2, 3, 3, 4], [3, 4, 4, 5], [4, 5, 5, 5]],
    "floors": [
        {"code": "F1", "fact": "death_or_injury", "at_least": 1, "title": "Death or serious injury suspected"},
        {"code": "F2a", "fact": "art3_49_ab", "at_least": 1, "title": "Serious incident, Art. 3(49)(a) or (b), suspected"},
        {"code": "F2c", "fact": "art3_49_cd", "at_least": 2, "title": "Serious incident, Art. 3(49)(c) or (d), suspected"},
        {"code": "F3", "fact": "malicious_tampering", "at_least": 2, "title": "Malicious tampering confirmed"},
        {"code": "F4", "fact": "personal_data_breach", "at_least": 2, "title": "Personal-data breach"},
        {"code": "F4+", "fact": "high_risk_breach", "at_least": 1, "title": "Breach with high risk to individuals, or 10 000 people and more"},
        {"code": "F5", "fact": "deadline_24h", "at_least": 1, "title": "Statutory deadline within 24 h"},
        {"code": "F5+", "fact": "deadline_72h", "at_least": 2, "title": "Statutory deadline within 72 h"},
        {"code": "F6", "fact": "protected_disparity", "at_least": 2, "title": "Protected-group disparity confirmed on consequential decisions"},
        {"code": "F7", "fact": "agent_irreversible", "at_least": 2, "title": "Agent took an unauthorised irreversible action"},
        {"code": "F8", "fact": "blind_tier1", "at_least": 3, "title": "Monitoring blind on a tier-1 system for more than 60 min"},
    ],
    "caps": [
        {"code": "C1", "fact": "non_production", "at_most": 4, "title": "Not production and no real personal data"},
        {"code": "C3", "fact": "shadow_model", "at_most": 4, "title": "Shadow model without effect on decisions"},
    ],
    "first_guess": {
        "critical": {"impact": 3, "urgency": {"harm": 1, "velocity": 1, "reversibility": 1, "workaround": 1}},
        "warning": {"impact": 2, "urgency": {"harm": 1, "velocity": 1, "reversibility": 1, "workaround": 1}},
        "info": {"impact": 1, "urgency": {"harm": 0, "velocity": 0, "reversibility": 0, "workaround": 0}},
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Assessment:
    """Result: `impact` 1–5, `urgency` 1–4 with its `urgency_sum` 0–9, severity by matrix and in the end."""

    impact: int
    impact_by: tuple[str, ...]  #: the dimensions that reached the maximum
    urgency: int
    urgency_sum: int
    matrix: int
    floors: tuple[str, ...] = ()
    caps: tuple[str, ...] = ()
    computed: int = 5
    estimated: tuple[str, ...] = field(default=())  #: questions nobody answered: pessimistic end taken

    def as_json(self) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def assess(
    profile: Mapping[str, Any],
    impact: Mapping[str, int],
    urgency: Mapping[str, int],
    facts: Mapping[str, bool] | None = None,
    cap_approved: bool = False,
) -> Assessment:
    """Apply the matrix. The worst dimension counts; an unanswered urgency question takes its
    pessimistic end; an unanswered dimension is left out unless none is answered.

    Floors only raise, caps only lower and only with an approver (`cap_approved`).
    Raises ValueError for unknown codes or values out of range.
    """
    facts = facts or {}
    dimensions = {d["code"]: len(d["levels"]) for d in profile["dimensions"]}
    questions = {q["code"]: len(q["options"]) - 1 for q in profile["urgency"]}
    for code, level in impact.items():
        if code not in dimensions or not 1 <= level <= dimensions[code]:
            raise ValueError(f"Impact {code}={level}: choose a level from 1 to 5 of {', '.join(dimensions)}.")
    for code, score in urgency.items():
        if code not in questions or not 0 <= score <= questions[code]:
            raise ValueError(f"Urgency {code}={score}: choose an option of {', '.join(questions)}.")

    worst = max(impact.values(), default=5)
    impact_by = tuple(code for code in dimensions if impact.get(code) == worst)
    answers = {code: urgency.get(code, top) for code, top in questions.items()}
    estimated = tuple(c for c in questions if c not in urgency) + tuple(
        c for c in dimensions if c not in impact
    )

    total = sum(answers.values())
    band = 1 + sum(total > limit for limit in profile["urgency_bands"])
    if all(answers.get(code, -1) >= least for code, least in profile["urgency_immediate"].items()):
        band = 4
    by_matrix = profile["matrix"][5 - worst][4 - band]

    severity = by_matrix
    caps = []
    for cap in profile["caps"]:
        if cap_approved and facts.get(cap["fact"]) and severity < cap["at_most"]:
            caps.append(cap["code"])
            severity = cap["at_most"]
    floors = []
    for floor in profile["floors"]:
        if facts.get(floor["fact"]):
            floors.append(floor["code"])
            severity = min(severity, floor["at_least"])
    return Assessment(
        impact=worst,
        impact_by=impact_by,
        urgency=band,
        urgency_sum=total,
        matrix=by_matrix,
        floors=tuple(floors),
        caps=tuple(caps),
        computed=severity,
        estimated=estimated,
    )


def check_profile(data: Any) -> list[str]:
    """Problems that keep a profile from being used, as sentences; empty when it is sound."""
    if not isinstance(data, dict):
        return ["The profile must be a JSON object."]
    problems = [f"{key} is missing." for key in DEFAULT_PROFILE if key not in data]
    if problems:
        return problems
    try:
        if any(len(d["levels"]) != 5 or not d["code"] for d in data["dimensions"]):
            problems.append("Each dimension needs a code and exactly five levels.")
        if any(len(q["options"]) < 2 or not q["code"] for q in data["urgency"]):
            problems.append("Each urgency question needs a code and at least two options.")
        if len(data["urgency_bands"]) != 3 or sorted(data["urgency_bands"]) != data["urgency_bands"]:
            problems.append("urgency_bands needs three rising numbers.")
        rows = data["matrix"]
        if len(rows) != 5 or any(len(r) != 4 or any(c not in (1, 2, 3, 4, 5) for c in r) for r in rows):
            problems.append("matrix needs five rows (I5 to I1) of four severities (U4 to U1), each 1 to 5.")
        else:
            if any(list(r) != sorted(r) for r in rows) or any(
                upper[c] > lower[c] for upper, lower in itertools.pairwise(rows) for c in range(4)
            ):
                problems.append("matrix must not become milder when impact or urgency rises.")
        for floor in data["floors"]:
            if not {"code", "fact", "title"} <= set(floor) or floor.get("at_least") not in (1, 2, 3, 4, 5):
                problems.append(
                    f"Floor {floor.get('code', '?')} needs code, fact, title and at_least 1 to 5."
                )
        for cap in data["caps"]:
            if not {"code", "fact", "title"} <= set(cap) or cap.get("at_most") not in (1, 2, 3, 4, 5):
                problems.append(f"Cap {cap.get('code', '?')} needs code, fact, title and at_most 1 to 5.")
        for level in ("critical", "warning", "info"):
            guess = data["first_guess"][level]
            assess(data, {data["dimensions"][0]["code"]: guess["impact"]}, guess["urgency"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        problems.append(f"The profile cannot be applied: {error!r}.")
    return problems
