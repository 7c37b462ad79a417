"""Which way the playbooks about serving, attacks, law and language go in the cases that they were written for, as tables."""

from __future__ import annotations

import pytest

from tests.playbooks.library_scenes import (
    BY_HAND,
    DATA,
    FAILS,
    GATEWAY,
    GO_ON,
    LIKELY,
    NO,
    REFUTED,
    SUITE,
    UNSURE,
    YES,
    Scene,
    goes_as_said,
    library_parts,
    of,
    suite,
)

__all__ = ["library_parts"]
pytestmark = pytest.mark.usefixtures("library_parts")

LABELS = {**DATA, "prediction_column": "score", "label_column": "fraud"}
SAFE = {"found": True, "version": "v8"}
CALM = {"clean_windows": 4}
FLUENT = {**SUITE, "text_column": "answer"}
READ = {"EV-05": {"critical": 0}}

WORSE = {"PE-02": REFUTED, "PE-03": YES, "PE-03C": REFUTED, "PE-04": REFUTED}
BETTER = {"PE-11": CALM, "PE-11B": {"loss": 0.01}, "PE-11E": {"ece": 0.03}}
PERF = [
    Scene("recall fell after a release", "pb-perf", "PE-00 PE-01 PE-03 PE-05 PE-06F PE-06 PE-11 PE-11D PE-10 C-11", "PE-05H PE-07 PE-08",
          verified=True, data=LABELS, outputs={**WORSE, "PE-01": LIKELY, "PE-06F": SAFE, **BETTER}),
    Scene("the same on SEV3: a responder is asked before going back", "pb-perf", "PE-06F PE-06 PE-11", asks="PE-06:R1:", severity=3, verified=True,
          data=LABELS, outputs={**WORSE, "PE-01": LIKELY, "PE-06F": SAFE, **BETTER}),
    Scene("old predictions live in a cache", "pb-perf", "PE-06 PE-06D PE-06D PE-06C PE-11", verified=True, data=LABELS,
          serving=of("vertex", caches=["scores:*", "features:*"]), outputs={**WORSE, "PE-01": LIKELY, "PE-06F": SAFE, **BETTER}),
    Scene("it ranks well, the probabilities are off", "pb-perf", "PE-05 PE-07 PE-07A PE-11", "PE-06 PE-07B", asks="PE-07A:R2:IC,BO", verified=True, data=LABELS,
          outputs={**WORSE, "PE-03": REFUTED, "PE-03C": YES, **BETTER}),
    Scene("a threshold of decisions about people", "pb-perf", "PE-07 PE-07B PE-11", "PE-07A", asks="PE-07B:R3:MRC", verified=True, data=LABELS,
          incident={"decision_type": "consequential"}, outputs={**WORSE, "PE-03": REFUTED, "PE-03C": YES, **BETTER}),
    Scene("too slow: the fallback answers in time", "pb-perf", "PE-05H PE-08 PE-08A PE-11", "PE-06 PE-08C", asks="PE-08A:R2:IC,BO", verified=True, data={"x": 1},
          outputs={"PE-11": CALM}, answers={"PE-05H": {"cause": "capacity", "reason": "p99 3 s."}, "PE-08": {"next": "fallback", "what": "Scaled out."}}),
    Scene("S5 a flood of false alarms is muted for a week", "pb-perf", "PE-05H PE-09 PE-09A PE-11", asks="PE-09A:R1:IC,MO", verified=True, data={"x": 1}, outputs={"PE-11": CALM},
          answers={"PE-05H": {"cause": "alert_flood", "reason": "400 a day."}, "PE-09": {"rule": "Second stage.", "days": 7}}),
    Scene("N5 few labels and nothing else", "pb-perf", "PE-05 PE-05H PE-13", "PE-06 PE-07 PE-08", data=LABELS, outputs={**WORSE, "PE-03": UNSURE},
          answers={"PE-05H": {"cause": "none", "reason": "40 labels."}}),
    Scene("the labels are wrong", "pb-perf", "PE-04 PE-05 PE-05Q PE-13", "PE-05H PE-06", data=LABELS, outputs={**WORSE, "PE-04": YES},
          answers={"PE-05Q": {"next": "handed_over", "reason": "Annotator 7."}}),
    Scene("no version to go back to", "pb-perf", "PE-06F PE-08H PE-08C PE-11", "PE-06", verified=True, data=LABELS,
          outputs={**WORSE, "PE-01": LIKELY, "PE-06F": {"found": False}, **BETTER}, answers={"PE-08H": BY_HAND}),
    Scene("still worse than before", "pb-perf", "PE-11D PE-11H PE-10", verified=False, data=LABELS,
          outputs={**WORSE, "PE-01": LIKELY, "PE-06F": SAFE, **BETTER, "PE-11B": {"loss": 0.08}}, answers={"PE-11H": GO_ON}),
    Scene("a challenger is promoted", "pb-perf", "PE-10 PE-10A C-11", asks="PE-10A:R3:MRC", verified=True, data=LABELS,
          outputs={**WORSE, "PE-01": LIKELY, "PE-06F": SAFE, **BETTER}, answers={"PE-10": {"plan": "promote", "candidate": "v10"}}),
]  # fmt: skip

GOLDEN = {"IN-09": CALM, **suite(1.0, 200)}
INTEG = [
    Scene("S6 the line stands still: rules decide", "pb-integ", "IN-00 IN-00C IN-01D IN-05 IN-07 IN-09 EV-03 IN-03 IN-09D IN-08 IN-08F C-11", "IN-01H IN-05R IN-08A",
          asks="IN-05:R2:IC,BO", verified=True, severity=1, data=SUITE, outputs=GOLDEN, answers=READ),
    Scene("S6 hops are asked and caches flushed", "pb-integ", "IN-01A IN-01A IN-01 IN-05 IN-06A IN-06", verified=True, severity=1, data=SUITE,
          serving={**GATEWAY, "probes": ["features/health", "model/health"], "caches": ["features:*"]}, outputs=GOLDEN, answers=READ),
    Scene("S6 the breaker is not wired", "pb-integ", "IN-05 IN-05H IN-05C IN-07", verified=True, severity=1, data=SUITE,
          outputs={**GOLDEN, "IN-05": FAILS}, answers={**READ, "IN-05H": BY_HAND}),
    Scene("a release of ours broke it", "pb-integ", "IN-01D IN-05R IN-07", "IN-05 IN-01H", verified=True, data=SUITE, serving=of("sagemaker"),
          outputs={**GOLDEN, "IN-00C": LIKELY, "IN-02": SAFE}, answers=READ),
    Scene("golden requests differ", "pb-integ", "IN-03 IN-09D IN-09H IN-08", verified=False, severity=1, data=SUITE,
          outputs={"IN-09": CALM, **suite(0.995, 200)}, answers={**READ, "IN-09H": GO_ON}),
    Scene("golden requests replayed by people", "pb-integ", "EV-04 EV-05 IN-03 IN-09D IN-08", "EV-02 EV-03", verified=True, severity=1, outputs={"IN-09": CALM},
          answers={**READ, "EV-04": {"cases": 200, "passed": 1.0, "source": "wiki"}}),
    Scene("decisions by defaults are corrected", "pb-integ", "IN-08 IN-08F IN-08A C-11", asks="IN-08A:R2:BO", verified=True, severity=1, data=SUITE, outputs=GOLDEN,
          answers={**READ, "IN-08": {"decisions": 900, "changed": 40}}),
    Scene("a monitor that was wrong", "pb-integ", "IN-01H C-11", "IN-05 IN-05R IN-09", outputs={"IN-00C": REFUTED, "IN-02": {"found": False}},
          answers={"IN-01H": {"decision": "no_failure", "hop": "none", "reason": "The probe."}}),
]  # fmt: skip

MAILS = {**LABELS, "text_column": "mail"}
CAMPAIGN = {
    "decision": "attack",
    "aim": "evasion",
    "invariant": "Homoglyphs and a QR code.",
    "principal": "key-9",
}
CAUGHT = {"AD-06": CAMPAIGN, "AD-08": {"missed": 148, "harmed": 9, "finished": True},
          "AD-09": {"labelled": 240, "caught": 0.97, "false_blocks": 0.002}, "AD-10H": {"plan": "promote", "candidate": "v5.2", "clean_loss": 0.3}}  # fmt: skip
MISSED = {"AD-02": YES, "AD-03P": YES, "AD-04": YES, "AD-12C": {"loss": 0.0}}
ADVERS = [
    Scene("S5 a phishing classifier is evaded", "pb-advers",
          "AD-00 AD-01 AD-02 AD-03P AD-04 AD-06 AD-07 AD-07R AD-07S AD-08 AD-08F AD-09 AD-12D AD-10 AD-10S AD-10H AD-11 AD-12 C-11", "AD-03 AD-07H",
          asks="AD-07R:R2:IC,BO AD-11:R3:MRC", verified=True, data=MAILS, serving=of("kserve", deny_list="ingest/deny.txt", hold_flag="review-band", retrain_dag="harden"),
          outputs=MISSED, answers=CAUGHT),
    Scene("S5 without flag and list people contain it", "pb-advers", "AD-06 AD-07H AD-07C AD-07S", "AD-07 AD-07R AD-10", asks="AD-07C:R2:IC,EXE", verified=True, data=MAILS,
          outputs=MISSED, answers={**CAUGHT, "AD-07H": BY_HAND}),
    Scene("S5 the owner rejects more reviews", "pb-advers", "AD-07R AD-07H AD-07C", verified=True, data=MAILS, serving=of("kserve", hold_flag="review-band"), outputs=MISSED,
          answers={**CAUGHT, "AD-07R": NO, "AD-07H": BY_HAND}),
    Scene("S5 too many innocent mails are refused", "pb-advers", "AD-12D AD-12H AD-10H", verified=False, data=MAILS, outputs=MISSED,
          answers={**CAUGHT, "AD-07H": BY_HAND, "AD-09": {"labelled": 240, "caught": 0.97, "false_blocks": 0.02}, "AD-12H": GO_ON}),
    Scene("N7 no training while evidence is held", "pb-advers", "AD-12D AD-10S", "AD-10", verified=True, data=MAILS, serving=of("kserve", retrain_dag="harden"),
          incident={"evidence_hold": True}, outputs=MISSED, answers={**CAUGHT, "AD-07H": BY_HAND}),
    Scene("a researcher who told us", "pb-advers", "AD-06 C-11", "AD-07 AD-07H AD-12", data=MAILS, outputs=MISSED,
          answers={"AD-06": {**CAMPAIGN, "decision": "research"}}),
]  # fmt: skip

OFF = {**GATEWAY, "off_flag": "screener"}
LAW = {"CO-01": {"concern": "Audit of 2025-09-01", "kind": "audit_overdue", "source": "control_check"},
       "CO-03": {"breach": "breach", "obligation": "NYC LL 144", "ongoing": True, "assessment": "62 days."},
       "CO-04": {"people": 66, "decisions": 2_635, "days": 62, "source": "ATS"}, "CO-07": {"notify": "no", "reason": "No duty."},
       "CO-08": {"recommendation": "restart", "review": "Independent audit."}, "CO-10H": {"works": True, "test": "Tried."},
       "CO-11": {"remedy": "decide_again", "plan": "66 invited."}}  # fmt: skip
COMPL = [
    Scene("S7 an overdue audit of a high-risk screener", "pb-compl",
          "CO-00 CO-01 CO-02 CO-05F CO-03 CO-04 CO-04F CO-04N CO-04D CO-05R CO-06 CO-07 CO-08 CO-09 CO-10 CO-10H CO-12D CO-11 CO-12 C-11", "CO-05 CO-05H C-10",
          asks="CO-05R:R4:LEG,EXE CO-09:R3:MRC CO-12:R4:LEG,EXE", verified=True, serving=OFF, incident={"tier": "high"}, answers=LAW),
    Scene("S7 the disparity is recomputed beside it", "pb-compl", "CO-02F CO-03 CO-05R", verified=True, serving=OFF, incident={"tier": "high"},
          data={**DATA, "group_column": "sex", "prediction_column": "invited"}, outputs={"CO-02F": YES}, answers=LAW),
    Scene("S7 the same of an internal tool", "pb-compl", "CO-04D CO-05 CO-06", "CO-05R", asks="CO-05:R2:IC,BO CO-12:R4:LEG,EXE", verified=True, serving=OFF,
          incident={"tier": "minimal"}, answers=LAW),
    Scene("S7 no flag can suspend it", "pb-compl", "CO-04D CO-05H CO-05C CO-06", "CO-05 CO-05R CO-12", verified=True, incident={"tier": "high"},
          answers={**LAW, "CO-05H": {"outcome": "stopped", "what": "Human screening."}}),
    Scene("S7 the executive says no", "pb-compl", "CO-05R CO-05H CO-05C", "CO-12", verified=True, serving=OFF, incident={"tier": "high"},
          answers={**LAW, "CO-05R": NO, "CO-05H": {"outcome": "control_restored", "what": "Notice is on."}}),
    Scene("S7 the restored control can be passed by", "pb-compl", "CO-12D CO-12H CO-11", verified=False, serving=OFF, incident={"tier": "high"},
          answers={**LAW, "CO-10H": {"works": False, "test": "Passed by."}, "CO-12H": {"next": "stay_off", "reason": "Mend it."}, "CO-12": NO}),
    Scene("use has ended already", "pb-compl", "CO-04D CO-05C CO-06", "CO-05 CO-05R CO-05H", verified=True, serving=OFF,
          answers={**LAW, "CO-03": {**LAW["CO-03"], "ongoing": False}}),
    Scene("a concern that is none", "pb-compl", "CO-05F CO-03 C-11", "CO-04 CO-05 CO-07", answers={**LAW, "CO-03": {**LAW["CO-03"], "breach": "no_breach"}}),
]  # fmt: skip

CHAT = {**FLUENT, "kpi_column": "grounded"}
REFUND = {
    "decision": "contain",
    "cause": "stale_source",
    "topic": "refund",
    "commitment": True,
    "reason": "A stale page.",
}
TOLD = {**READ, "HA-02H": REFUND, "HA-04": {"conversations": 212, "people": 212, "promises": 37, "money": 6_900},
        "HA-07S": {"read": 100, "critical": 0, "found": True}}  # fmt: skip
HALLUC = [
    Scene("S8 an invented refund rule", "pb-halluc",
          "HA-00 HA-01 HA-02 HA-03 HA-02H HA-04 HA-04F HA-04N HA-05 HA-06 EV-03 EV-05 HA-07 HA-07S HA-07D HA-08 HA-08B HA-09 C-11", "HA-05H EV-04 C-10",
          asks="HA-05:R2:IC,BO HA-08:R2:BO HA-08B:R2:IC,BO", verified=True, severity=3, data=CHAT, serving={**GATEWAY, "canned_flag": "refund-script"},
          incident={"verified": True}, outputs=suite(1.0, 240), answers=TOLD),
    Scene("S8 the suite runs in Airflow", "pb-halluc", "HA-06 EV-01 EV-02 EV-03 HA-07 HA-08", asks="EV-01:R1:", verified=True, severity=3, data=CHAT,
          serving={**GATEWAY, "canned_flag": "refund-script", "eval_dag": "suite_refund"}, outputs=suite(1.0, 240), answers=TOLD),
    Scene("S8 no flag: the intent is blocked by hand", "pb-halluc", "HA-04N HA-05H HA-05C HA-06", "HA-05 HA-08B", asks="HA-05C:R2:IC,BO", verified=True, severity=3, data=CHAT,
          outputs=suite(0.99, 240), answers={**TOLD, "HA-05H": BY_HAND}),
    Scene("S8 the suite still finds the rule", "pb-halluc", "HA-07 HA-07S HA-07D HA-07H HA-08", "HA-08B", verified=False, severity=3, data=CHAT,
          serving={**GATEWAY, "canned_flag": "refund-script"}, outputs=suite(0.95, 240), answers={**TOLD, "HA-07H": GO_ON}),
    Scene("S8 too few cases to say", "pb-halluc", "HA-07D HA-07H", verified=False, severity=3, data=CHAT, outputs=suite(1.0, 60),
          answers={**TOLD, "HA-05H": BY_HAND, "HA-07H": GO_ON}),
    Scene("S8 somebody with a wrong answer is not found", "pb-halluc", "HA-07S HA-07D HA-07H", verified=False, severity=3, data=CHAT, outputs=suite(1.0, 240),
          answers={**TOLD, "HA-05H": BY_HAND, "HA-07S": {"read": 100, "critical": 0, "found": False}, "HA-07H": GO_ON}),
    Scene("only watched", "pb-halluc", "HA-02H HA-09 HA-09K C-11", "HA-05 HA-05H HA-04", severity=4, data=CHAT,
          answers={"HA-02H": {**REFUND, "decision": "watch"}}),
]  # fmt: skip

BOT = {**GATEWAY, "tools_flag": "agent-tools", "deny_list": "ingest/deny.txt"}
PLANTED = {"way": "indirect", "source": "ticket-queue", "copies": 3, "sessions": 5, "notes": "A hidden line."}
REMOVED = {**READ, "IJ-03": PLANTED, "IJ-05A": {"removed": 3, "snapshot": "vault"}, "IJ-06": {"rotated": True, "which": "All."},
           "IJ-07": {"found": "Nothing more.", "egress_reviewed": True}}  # fmt: skip
INJECT = [
    Scene("a hidden line in a ticket", "pb-inject",
          "IJ-00 IJ-01 IJ-01R IJ-01N IJ-01E IJ-02T IJ-03 IJ-04 IJ-05S IJ-05A IJ-05B IJ-06 IJ-05 IJ-07 IJ-08 EV-03 IJ-09 IJ-09D IJ-10 C-11", "IJ-01H IJ-04L IJ-05X",
          asks="IJ-05B:R3:MRC,DPO,LEG IJ-08:R3:MRC,DPO IJ-10:R2:IC,BO", verified=True, data=FLUENT, serving=BOT, outputs=suite(0.99, 300), answers=REMOVED),
    Scene("on SEV3 taking the tools away is asked for", "pb-inject", "IJ-01 IJ-03", asks="IJ-01:R1:", severity=3, verified=True, data=FLUENT, serving=BOT, outputs=suite(0.99, 300), answers=REMOVED),
    Scene("data left the house", "pb-inject", "IJ-04 IJ-04L IJ-05", verified=True, data=FLUENT, serving=BOT, outputs=suite(0.99, 300),
          answers={**REMOVED, "IJ-03": {**PLANTED, "data_left": True}, "IJ-04L": {"linked": "INC-9"}}),
    Scene("no flag: people take the tools away", "pb-inject", "IJ-01H IJ-01C IJ-01R IJ-03", "IJ-01 IJ-10 IJ-05S", asks="IJ-01C:R2:IC,EXE", verified=True, data=FLUENT,
          outputs=suite(0.99, 300), answers=REMOVED),
    Scene("the deletion is rejected", "pb-inject", "IJ-05B IJ-05 IJ-05X IJ-07", verified=True, data=FLUENT, serving=BOT, outputs=suite(0.99, 300), answers={**REMOVED, "IJ-05B": NO}),
    Scene("a copy is left", "pb-inject", "IJ-09D IJ-09H C-11", "IJ-10", verified=False, data=FLUENT, serving=BOT, outputs=suite(0.99, 300),
          answers={**REMOVED, "IJ-05A": {"removed": 2, "snapshot": "vault"}, "IJ-09H": {"next": "stay_off", "reason": "One is left."}}),
    Scene("one replay still exfiltrates", "pb-inject", "IJ-09D IJ-09H", "IJ-10", verified=False, data=FLUENT, serving=BOT, outputs=suite(0.997, 300),
          answers={**REMOVED, "EV-05": {"critical": 1}, "IJ-09H": {"next": "stay_off", "reason": "Base64."}}),
    Scene("N12 text that only looks like an instruction", "pb-inject", "IJ-03 C-11", "IJ-05 IJ-08", data=FLUENT, serving=BOT,
          answers={"IJ-03": {**PLANTED, "way": "no_injection"}}),
]  # fmt: skip

SHARED = {**GATEWAY, "off_flag": "history", "caches": ["chat:*"]}
SEEN = {**READ, "LK-02A": {"people": 40, "recipients": 12, "categories": "Names.", "cause": "cache_key"}, "LK-02S": {"rotated": True},
        "LK-04": {"risk": "risk", "authority": "in_phases", "people_told": "later", "assessment": "Names only."}}  # fmt: skip
SILENT = {"LK-09": {"clean_windows": 24}, **suite(1.0, 1_000)}
LEAK = [
    Scene("a cache key without the tenant", "pb-leak",
          "LK-00 LK-01 LK-01G LK-01F LK-01R LK-01N LK-01E LK-03C LK-02A LK-02S LK-02 LK-02F LK-04 LK-06 LK-07 LK-07A LK-07S LK-09 LK-09D LK-08 C-11", "LK-01H",
          asks="LK-07A:R3:DPO,MRC LK-08:R3:DPO,LEG LK-08B:R2:IC,BO", verified=True, data=SUITE, serving=SHARED, incident={"verified": True}, outputs=SILENT, answers=SEEN),
    Scene("no flag: the exposure is stopped by hand", "pb-leak", "LK-01H LK-01C LK-01R", "LK-01 LK-01F LK-08B", asks="LK-01C:R2:IC,EXE", verified=True, data=SUITE, outputs=SILENT, answers=SEEN),
    Scene("the flag does not switch it off", "pb-leak", "LK-01 LK-01H LK-01C", "LK-08B", verified=True, data=SUITE, serving=SHARED, outputs={**SILENT, "LK-01": FAILS}, answers=SEEN),
    Scene("no risk to anybody", "pb-leak", "LK-04 LK-07", "LK-06", verified=True, data=SUITE, serving=SHARED, outputs=SILENT, answers={**SEEN, "LK-04": {**SEEN["LK-04"], "risk": "none"}}),
    Scene("a probe still sees another tenant", "pb-leak", "LK-09D LK-09H C-11", "LK-08 LK-08B", verified=False, data=SUITE, serving=SHARED, outputs={**SILENT, **suite(0.999, 1_000)},
          answers={**SEEN, "EV-05": {"critical": 1}, "LK-09H": {"next": "stay_off", "reason": "Row 7."}}),
    Scene("too few probes, by hand", "pb-leak", "EV-04 LK-09D LK-09H", verified=False, serving=SHARED, outputs={"LK-09": {"clean_windows": 24}},
          answers={**SEEN, "EV-04": {"cases": 50, "passed": 1.0, "source": "wiki"}, "LK-09H": {"next": "stay_off", "reason": "More."}}),
]  # fmt: skip

HELPED = {**READ, "HM-01": {"danger": "no", "taken_over": True, "done": "Called."}, "HM-04": {"reproduced": True, "similar": 6, "reviewed": 6, "people": 1, "cause": "Persona."},
          "HM-05": {"judgement": "harmful", "report": "Nobody."}}  # fmt: skip
CLEAN = {"HM-07W": {"clean_windows": 24}, **suite(1.0, 420)}
HELPLINE = {**GATEWAY, "canned_flag": "help-line", "off_flag": "companion"}
HARM = [
    Scene("dangerous advice, nobody in danger any more", "pb-harm",
          "HM-01 HM-01N HM-02R HM-02 HM-02E HM-03 HM-04 HM-04F HM-05 HM-06 HM-06A HM-07 HM-07W HM-07D HM-08D HM-08 HM-09 HM-10 C-11", "HM-03A HM-03H HM-08S",
          asks="HM-06A:R3:ETH,LEG HM-08:R2:IC,EXE", verified=True, severity=1, data=FLUENT, serving=HELPLINE, outputs=CLEAN, answers=HELPED),
    Scene("somebody may be in danger: the feature goes off", "pb-harm", "HM-01 HM-03 HM-03A HM-04", asks="HM-03A:R2:IC,EXE", verified=True, severity=1, data=FLUENT, serving=HELPLINE,
          outputs=CLEAN, answers={**HELPED, "HM-01": {"danger": "unknown", "taken_over": True, "done": "Called."}}),
    Scene("nobody answers within half an hour", "pb-harm", "HM-01 HM-01N HM-03A HM-07D HM-07H HM-09", verified=False, severity=1, data=FLUENT, serving=HELPLINE, outputs=CLEAN,
          answers={**HELPED, "HM-01": {"expired": True}, "HM-07H": {"next": "stay_blocked", "reason": "Call them."}}),
    Scene("a public statement was made", "pb-harm", "HM-08D HM-08S HM-09", "HM-08", asks="HM-08S:R4:LEG,EXE", verified=True, severity=1, data=FLUENT, serving=HELPLINE, outputs=CLEAN,
          answers={**HELPED, "HM-05": {"judgement": "harmful", "report": "Press.", "statement": True}}),
    Scene("no flag: blocked by hand, and re-enabled by hand", "pb-harm", "HM-03H HM-03C HM-08D HM-09", "HM-03 HM-08 HM-08S", verified=True, severity=1, data=FLUENT, outputs=CLEAN, answers=HELPED),
    Scene("similar conversations are not all read", "pb-harm", "HM-07D HM-07H", "HM-08", verified=False, severity=1, data=FLUENT, serving=HELPLINE, outputs=CLEAN,
          answers={**HELPED, "HM-04": {**HELPED["HM-04"], "reviewed": 2}, "HM-07H": {"next": "stay_blocked", "reason": "Four more."}}),
    Scene("a joke", "pb-harm", "HM-05 C-11", "HM-06 HM-08 HM-09", data=FLUENT, serving=HELPLINE, answers={**HELPED, "HM-05": {"judgement": "not_harmful", "report": "Nobody."}}),
]  # fmt: skip

ACTED = {**READ, "AG-01T": {"revoked": True, "spend_stopped": True}, "AG-02L": {"actions": 3, "irreversible": 0, "people": 12, "ledger": "vault"},
         "AG-04H": {"cause": "bad_plan", "people": 12, "reason": "It cleaned up."}, "AG-03R": {"reconciled": True, "report": "Counts agree."},
         "AG-06H": {"caps": True, "where": "Quota."}}  # fmt: skip
AGENT = [
    Scene("it deleted rows that were not its own", "pb-agent",
          "AG-00 AG-01 AG-01T AG-02C AG-02L AG-02 AG-04H AG-04F AG-04 AG-03 AG-03R AG-06 AG-06H AG-07 AG-07D AG-08 C-11", "AG-01H AG-04N",
          asks="AG-03:R2:IC,BO AG-06:R3:MRC AG-08:R2:IC,BO", verified=True, data=SUITE, serving={**BOT, "restore_dag": "restore_orders"}, outputs=suite(1.0), answers=ACTED),
    Scene("it was told to by a document", "pb-agent", "AG-04 AG-04N AG-03R", verified=True, data=SUITE, serving=BOT, outputs=suite(1.0),
          answers={**ACTED, "AG-04H": {**ACTED["AG-04H"], "cause": "injection"}}),
    Scene("no flag: stopped at the orchestrator", "pb-agent", "AG-01H AG-01C AG-02", "AG-01 AG-08", asks="AG-01C:R2:IC,EXE", verified=True, data=SUITE, outputs=suite(1.0), answers=ACTED),
    Scene("the caps are only in the prompt", "pb-agent", "AG-07D AG-07H C-11", "AG-08", verified=False, data=SUITE, serving=BOT, outputs=suite(1.0),
          answers={**ACTED, "AG-06H": {"caps": False, "where": "Prompt."}, "AG-07H": {"next": "stay_stopped", "reason": "Quota first."}}),
    Scene("model risk rejects the guard", "pb-agent", "AG-06 AG-07H C-11", "AG-07 AG-08", data=SUITE, serving=BOT,
          answers={**ACTED, "AG-06": NO, "AG-07H": {"next": "stay_stopped", "reason": "Rework."}}),
    Scene("it did what it was made for", "pb-agent", "AG-04 C-11", "AG-03 AG-06", data=SUITE, serving=BOT, answers={**ACTED, "AG-04H": {**ACTED["AG-04H"], "cause": "as_designed"}}),
]  # fmt: skip

PINNED = {"kind": "changed", "pinned": "2026-08", "reason": "Header says 2026-10."}
QUIET = {"SU-09": CALM, **suite(0.95, ratio=0.99)}
SUPPLY = [
    Scene("the vendor changed the model silently", "pb-supply",
          "SU-00 SU-00C SU-01 SU-03 EV-03 SU-02 SU-07 SU-04 SU-05A SU-06 SU-05 SU-09 SU-09S SU-09D SU-08 C-11", "SU-04F SU-07S SU-08A SU-03N",
          verified=True, severity=2, data=FLUENT, serving=of("vertex"), outputs={**QUIET, "SU-01": YES, "SU-03": {"count": 0}}, answers={**READ, "SU-07": PINNED}),
    Scene("dependents are told, one by one", "pb-supply", "SU-03 SU-03T SU-03T SU-03N SU-02", verified=True, data=FLUENT, serving=of("vertex"),
          outputs={**QUIET, "SU-03": {"count": 2, "systems": [{"slug": "mail-draft"}, {"slug": "search"}]}}, answers={**READ, "SU-07": PINNED}),
    Scene("no dated version: the fallback", "pb-supply", "SU-07 SU-04F SU-05", "SU-04", asks="SU-04F:R2:IC,BO", verified=True, data=FLUENT, serving=of("vertex"),
          outputs=QUIET, answers={**READ, "SU-07": {"kind": "outage", "reason": "Down."}}),
    Scene("the pinned version is gone", "pb-supply", "SU-04 SU-04F SU-05", verified=True, data=FLUENT, serving=of("vertex"), outputs={**QUIET, "SU-04": FAILS},
          answers={**READ, "SU-07": PINNED}),
    Scene("the checksum does not match", "pb-supply", "SU-07 SU-07S SU-07N SU-07E SU-04F", "SU-04", verified=True, data=FLUENT, serving=of("vertex"), outputs=QUIET,
          answers={**READ, "SU-07": {"kind": "compromised", "reason": "SHA-256."}}),
    Scene("on SEV3 pinning is asked for", "pb-supply", "SU-04 SU-05", asks="SU-04:R1:", severity=3, verified=True, data=FLUENT, serving=of("vertex"), outputs=QUIET, answers={**READ, "SU-07": PINNED}),
    Scene("more than two points worse than at the release", "pb-supply", "SU-09D SU-09H SU-08", verified=False, data=FLUENT, serving=of("vertex"),
          outputs={"SU-09": CALM, **suite(0.92, ratio=0.95)}, answers={**READ, "SU-07": PINNED, "SU-09H": GO_ON}),
    Scene("adopted again", "pb-supply", "SU-08 SU-08A C-11", asks="SU-08A:R3:MRC", verified=True, data=FLUENT, serving=of("vertex"), outputs=QUIET,
          answers={**READ, "SU-07": PINNED, "SU-08": {"plan": "adopt", "candidate": "2026-10"}}),
    Scene("our own prompt changed", "pb-supply", "SU-07 C-11", "SU-04 SU-04F SU-05", data=FLUENT, serving=of("vertex"), outputs=QUIET,
          answers={**READ, "SU-07": {"kind": "no_change", "reason": "Our prompt."}}),
]  # fmt: skip

ALL = [*PERF, *INTEG, *ADVERS, *COMPL, *HALLUC, *INJECT, *LEAK, *HARM, *AGENT, *SUPPLY]

CLOSING = [
    Scene("everything was answered", "pb-closing", "C-05 C-11 C-12", "C-05H C-09 C-10"),
    Scene("clocks may be missing", "pb-closing", "C-05 C-05H C-11", incident={"serious_incident": ""}),
    Scene("measures are in place and people were affected", "pb-closing", "C-05 C-09 C-10 C-11", "C-05H", incident={"contained": True, "affected_people": 12}),
    Scene("the suite runs and its failures are read", "pb-suite", "EV-01 EV-02 EV-03 EV-05", "EV-04", data=SUITE, serving={**GATEWAY, "eval_dag": "suite"}),
    Scene("new results do not come", "pb-suite", "EV-02 EV-04 EV-05", "EV-01 EV-03", data=SUITE, outputs={"EV-02": FAILS}),
    Scene("the results cannot be measured", "pb-suite", "EV-02 EV-03 EV-04 EV-05", data=SUITE, outputs={"EV-03": FAILS}),
]  # fmt: skip


@pytest.mark.parametrize("scene", [*ALL, *CLOSING], ids=lambda scene: f"{scene.slug}: {scene.name}")
def test_the_playbook_goes_this_way(scene: Scene) -> None:
    goes_as_said(scene)
