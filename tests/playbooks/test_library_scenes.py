"""Which way the playbooks about models and data go in the cases that they were written for, as tables."""

from __future__ import annotations

import pytest

from tests.playbooks.library_scenes import (
    BY_HAND,
    DATA,
    GATEWAY,
    GO_ON,
    LIKELY,
    NO,
    REFUTED,
    UNSURE,
    YES,
    Scene,
    goes_as_said,
    library_parts,
    of,
)

__all__ = ["library_parts"]
pytestmark = pytest.mark.usefixtures("library_parts")

KPI = {**DATA, "prediction_column": "score", "kpi_column": "clicked"}
LABELS = {**DATA, "prediction_column": "score", "label_column": "fraud"}
AUTUMN = {"DR-01": REFUTED, "DR-02": REFUTED, "DR-03": {**YES, "share_drifted": 0.38}, "DR-06": REFUTED}
LOST = {**AUTUMN, "DR-07": {**YES, "loss": 0.146}, "DR-10F": {"found": True, "version": "v3.13"}}
BACK = {"DR-13B": {"prediction_psi": 0.05}, "DR-13C": {"ratio": 0.954}}
CHALLENGER = {"DR-11": {"plan": "promote", "candidate": "v3.15"}}
SEASON = {**KPI, "season_reference": "last-autumn.csv"}

DRIFT = [
    Scene("S1 the season costs clicks, at Vertex AI", "pb-drift",
          "DR-00 DR-01 DR-03 DR-06 DR-07 DR-08D DR-10F DR-10P DR-10N DR-13A DR-13D DR-11 DR-12 DR-14 DR-14A DR-15", "DR-10 DR-09 DR-11R",
          asks="DR-10P:R2:IC,BO DR-12:R3:MRC", verified=True, severity=3, data=SEASON, serving=of("vertex"),
          outputs={**LOST, **BACK, "DR-14A": {"share_drifted": 0.0, "prediction_psi": 0.04}}, answers=CHALLENGER),
    Scene("S1 the same, behind a gateway that knows fallbacks", "pb-drift", "DR-10 DR-10N DR-13D DR-11", "DR-10P",
          asks="DR-10:R2:IC,BO", verified=True, severity=3, data=SEASON, outputs={**LOST, **BACK}, answers={"DR-11": {"plan": "not_needed"}}),
    Scene("S1 retraining is started where an Airflow DAG does it", "pb-drift", "DR-13D DR-11R DR-11 DR-15", asks="DR-11R:R1:",
          verified=True, severity=3, data=SEASON, serving={**GATEWAY, "retrain_dag": "train_recs"}, outputs={**LOST, **BACK},
          answers={"DR-11": {"plan": "scheduled"}}),
    Scene("N7 nothing is retrained while evidence is held", "pb-drift", "DR-13D DR-11", "DR-11R", verified=True, severity=3, data=SEASON,
          serving={**GATEWAY, "retrain_dag": "train_recs"}, outputs={**LOST, **BACK}, incident={"evidence_hold": True},
          answers={"DR-11": {"plan": "scheduled"}}),
    Scene("S1b the season explains it and nothing is lost", "pb-drift", "DR-08D DR-14 DR-14A DR-14B DR-15", "DR-09 DR-10 DR-10P", verified=True,
          severity=3, data=SEASON, outputs={**AUTUMN, "DR-07": {**REFUTED, "ratio": 1.01}, "DR-14A": {"share_drifted": 0.04, "prediction_psi": 0.03}},
          answers={"DR-14": {"new_reference": "autumn.csv", "reason": "As every year."}}),
    Scene("S1c the clicks do not come back", "pb-drift", "DR-10P DR-13D DR-13H DR-11", verified=False, severity=3, data=SEASON, serving=of("kserve"),
          outputs={**LOST, **BACK, "DR-13C": {"ratio": 0.90}}, answers={"DR-13H": GO_ON, "DR-11": {"plan": "scheduled"}}),
    Scene("S1d the owner says no", "pb-drift", "DR-10P DR-10H DR-10C DR-10N", asks="DR-10C:R2:IC,BO", verified=True, severity=3, data=SEASON,
          serving=of("vertex"), outputs={**LOST, **BACK}, answers={"DR-10P": NO, "DR-10H": BY_HAND, "DR-11": {"plan": "scheduled"}}),
    Scene("S1e the data of the window are broken", "pb-drift", "DR-01 DR-01Q DR-01N", "DR-03 DR-10", data=SEASON, outputs={"DR-01": YES},
          answers={"DR-01Q": {"next": "handed_over", "reason": "Minor units."}}),
    Scene("the model predicts worse on fresh labels", "pb-drift", "DR-07L DR-08D DR-10F DR-10", "DR-09", data=LABELS, severity=3,
          outputs={"DR-01": REFUTED, "DR-03": LIKELY, "DR-07L": YES, "DR-13B": {"prediction_psi": 0.02}}, verified=True,
          answers={"DR-11": {"plan": "scheduled"}}),
    Scene("N5 forty labels prove nothing", "pb-drift", "DR-07L DR-08D DR-09 DR-15", "DR-10", data=LABELS, severity=3,
          outputs={"DR-01": REFUTED, "DR-03": LIKELY, "DR-07L": UNSURE}, answers={"DR-09": {"decision": "no_drift", "reason": "Wait for labels."}}),
    Scene("one source causes it", "pb-drift", "DR-08 DR-08P DR-08N", "DR-08D DR-11R", data={**LABELS, "source_column": "site"},
          outputs={"DR-01": REFUTED, "DR-03": YES, "DR-08": YES}, answers={"DR-08P": {"next": "handed_over", "reason": "gw-3."}}),
]  # fmt: skip

UNFAIR = {
    "BI-01": {**YES, "worst_ratio": 0.718, "worst_group": "B"},
    "BI-02R": {"found": True, "version": "v6.9"},
}
FAIR = {"BI-10B": {"worst_ratio": 0.87, "equalised_odds_difference": 0.06, "n_min": 12_210}}
JUDGED = {"BI-08": {"standard": "EU", "alternative_searched": True, "assessment": "Indirect."},
          "BI-11": {"plan": "promote", "candidate": "v7.3", "ratio": 0.846}}  # fmt: skip
BIAS = [
    Scene("S2 refusals are held and the audited version serves, at a gateway", "pb-bias",
          "BI-00 BI-01 BI-01N BI-09 BI-09D BI-07 BI-10C BI-08 BI-11 BI-12 BI-13 BI-16", "BI-09B BI-09F BI-09P BI-12P BI-12F",
          asks="BI-09:R2:IC,BO BI-12:R3:MRC,ETH", verified=True, outputs={**UNFAIR, **FAIR}, answers=JUDGED),
    Scene("S2 at Azure ML with a flag that holds refusals", "pb-bias", "BI-09F BI-09P BI-09D BI-07 BI-10C BI-11 BI-12P BI-12F BI-13", "BI-09 BI-09B BI-12",
          asks="BI-09F:R2:IC,BO BI-09P:R2:IC,BO BI-12P:R3:MRC,ETH BI-12F:R3:MRC,ETH", verified=True,
          serving=of("azureml", hold_flag="hold-refusals"), outputs={**UNFAIR, **FAIR}, answers=JUDGED),
    Scene("S2 nothing can hold refusals and no version is safe", "pb-bias", "BI-09D BI-09H BI-09C BI-07", "BI-09 BI-09P BI-09F", asks="BI-09C:R2:IC,BO",
          verified=True, serving=of("azureml"), outputs={**UNFAIR, "BI-02R": {"found": False}, **FAIR}, answers={"BI-09H": BY_HAND, **JUDGED}),
    Scene("S2 the replacement is no fairer", "pb-bias", "BI-10C BI-10H BI-08", verified=False, outputs={**UNFAIR, "BI-10B": {"worst_ratio": 0.78, "n_min": 900}},
          answers={"BI-10H": GO_ON, **JUDGED}),
    Scene("S2 model risk rejects v7.3", "pb-bias", "BI-12 BI-13", "BI-12P BI-12F", verified=True, outputs={**UNFAIR, **FAIR}, answers={**JUDGED, "BI-12": NO}),
    Scene("S7 too few decisions, then enough", "pb-bias", "BI-01 BI-01H BI-01W BI-01X BI-01N BI-09", verified=True,
          outputs={**UNFAIR, "BI-01": {**UNSURE, "worst_group": "F"}, "BI-01X": YES, **FAIR},
          answers={"BI-01H": {"decision": "collect_more", "reason": "n = 90."}, **JUDGED}),
    Scene("the gap is within noise", "pb-bias", "BI-01H BI-15", "BI-09 BI-07", outputs={"BI-01": REFUTED},
          answers={"BI-01H": {"decision": "refuted", "reason": "Within noise."}}),
]  # fmt: skip

FLIPPED = {"PO-05": {**YES, "top_source": "gw-vendor-3"}, "PO-06": {"found": True, "version": "v2.3"}}
CLEANED = {"PO-14B": {**REFUTED, "confirmed": False}, "PO-14C": {"resource": {"version": "v2.3"}}}
REVIEWED = {
    "access_removed": True,
    "source_blocked": True,
    "to_review": 214,
    "reviewed": 214,
    "harmed": 0,
    "gold_gap": 0.4,
    "notes": "Read.",
}
RETURN = {
    "PO-09": REVIEWED,
    "PO-10": {"plan": "rebuild", "sample": 200},
    "PO-11": {"candidate": "v2.5", "results": "Gold 0.86."},
}
SOURCES = {**DATA, "label_column": "readmitted", "source_column": "gateway"}
POISON = [
    Scene("S3 labels flipped by one source, behind a gateway", "pb-poison",
          "PO-01 PO-02 PO-03 PO-03H PO-05 PO-06 PO-05D PO-08 PO-08D PO-08S PO-09 PO-14D PO-10 PO-11 PO-12 PO-12U PO-13 PO-16", "PO-01H PO-08B PO-05H PO-12P",
          asks="PO-08:R2:IC,SEC PO-12:R3:MRC,SEC PO-12U:R3:MRC,SEC", verified=True, severity=1, data=SOURCES, outputs={**FLIPPED, **CLEANED}, answers=RETURN),
    Scene("S3 on KServe, retrained by a DAG", "pb-poison", "PO-01A PO-02 PO-08 PO-08D PO-09 PO-14D PO-12P PO-12A PO-13", "PO-01 PO-01H PO-08S PO-12",
          asks="PO-08:R2:IC,SEC PO-12P:R3:MRC,SEC", verified=True, severity=1, data=SOURCES, serving=of("kserve", training_dags=["nightly"]),
          outputs={**FLIPPED, "PO-14B": {**REFUTED, "confirmed": False}}, answers=RETURN),
    Scene("S3 neither gateway nor DAG: people freeze", "pb-poison", "PO-01D PO-01H PO-02 PO-03 PO-08", "PO-01 PO-01A", verified=True, severity=1, data=SOURCES,
          serving=of("kserve"), outputs={**FLIPPED, "PO-14B": {"confirmed": False}}, answers={**RETURN, "PO-01H": {"frozen": "all_frozen", "what": "DAG off."}}),
    Scene("S3 no version is known to be clean", "pb-poison", "PO-08B PO-08D PO-08S PO-09", "PO-08 PO-08F PO-08H", verified=True, severity=1, data=SOURCES,
          outputs={**FLIPPED, "PO-06": {"found": False}, **CLEANED}, answers=RETURN),
    Scene("S3 no clean version and no gateway, but a flag", "pb-poison", "PO-08F PO-08D PO-09 PO-12P PO-12F", "PO-08 PO-08B PO-08H", verified=True, severity=1, data=SOURCES,
          serving=of("kserve", hold_flag="hold"), outputs={**FLIPPED, "PO-06": {"found": False}, "PO-14B": {"confirmed": False}}, answers=RETURN),
    Scene("S3 a charts review that is not finished", "pb-poison", "PO-14D PO-14H PO-10", verified=False, severity=1, data=SOURCES, outputs={**FLIPPED, **CLEANED},
          answers={**RETURN, "PO-09": {**REVIEWED, "reviewed": 200}, "PO-14H": GO_ON}),
    Scene("a backdoor that only the spectra show", "pb-poison", "PO-05 PO-05O PO-05D PO-08 PO-09", "PO-05H PO-08S", verified=True, severity=1, data=SOURCES,
          outputs={**FLIPPED, "PO-05": UNSURE, "PO-05O": YES, **CLEANED}, answers=RETURN),
    Scene("one source that harms, on trusted rows", "pb-poison", "PO-05L PO-05D PO-08", "PO-05H", verified=True, severity=1, data={**SOURCES, "gold": "gold.csv"},
          outputs={**FLIPPED, "PO-05": LIKELY, "PO-05L": YES, **CLEANED}, answers=RETURN),
    Scene("a suspicion that is refuted", "pb-poison", "PO-05D PO-05H PO-05U PO-15", "PO-08 PO-12U", asks="PO-05U:R1:SEC,IC", severity=3, data=SOURCES,
          outputs={"PO-05": REFUTED, "PO-01": {"before": {"training": "running", "promotion": "automatic", "ingestion": "open"}}},
          answers={"PO-05H": {"decision": "refuted", "reason": "Logs agree."}}),
]  # fmt: skip

MINOR = {
    "DQ-00": {"hashes": {"current": "abc"}},
    "DQ-01": {**YES, "cause": "unit_or_encoding_change", "summary": "amount is 100 times its median"},
}
GOOD = {
    "DQ-12A": {"sha256": "def"},
    "DQ-12B": {"ok": True, "failure_count": 0},
    "DQ-12D": {"ok": True, "failure_count": 0},
}
REPLAY = {"DQ-09": {"replayed": 186_000, "changed": 4_100}, "DQ-11": {"rule": "Median within 10 %.", "release": True},
          "DQ-08": {"producer": "Payments", "repair": "rolled_back"}}  # fmt: skip
SOUND = {"incident": {"verified": True}}
DATAQ = [
    Scene("S4 amounts in minor units, behind a gateway", "pb-dataq", "DQ-00 DQ-01 DQ-05 DQ-06 DQ-06E DQ-07 DQ-07N DQ-08 DQ-12B DQ-12C DQ-12E DQ-09 DQ-10 DQ-11 DQ-13 DQ-13B DQ-15",
          "DQ-05H DQ-06B DQ-06D DQ-06H DQ-07P DQ-13P DQ-13R", asks="DQ-07:R2:IC,BO DQ-10:R2:BO DQ-13:R1:DST,IC,MO DQ-13B:R2:IC,BO", verified=True,
          outputs={**MINOR, **GOOD, "DQ-07": {"before": {"version": "v12"}}}, answers=REPLAY, **SOUND),
    Scene("S4 the batch lies in S3, the models on SageMaker, training in Airflow", "pb-dataq",
          "DQ-06B DQ-06A DQ-06E DQ-07P DQ-07N DQ-12E DQ-09B DQ-09 DQ-13R DQ-13A DQ-13P", "DQ-06 DQ-06H DQ-07 DQ-13 DQ-13B",
          asks="DQ-07P:R2:IC,BO DQ-13R:R2:IC,BO DQ-13P:R2:IC,BO DQ-09B:R2:IC,BO", verified=True, data={**DATA, "batch": "s3://lake/tx/2026-11-17/"},
          serving=of("sagemaker", training_dags=["train_fraud", "train_limits"], backfill_dag="backfill_tx"),
          outputs={**MINOR, **GOOD, "DQ-06B": {"held_at": "s3://lake/quarantine/1/"}, "DQ-07P": {"before": {"shares": {"v12": 100}}}}, answers=REPLAY, **SOUND),
    Scene("S4 pinned in DVC", "pb-dataq", "DQ-06D DQ-06E DQ-07P", "DQ-06 DQ-06B DQ-06H", verified=True, data={**DATA, "dvc_file": "tx.csv.dvc", "good_revision": "tx@2026-11-17T20"},
          serving=of("kserve"), outputs={**MINOR, **GOOD, "DQ-07P": {"before": {"shares": {"v12": 100}}}}, answers=REPLAY),
    Scene("S4 no place for a quarantine is known", "pb-dataq", "DQ-06E DQ-06H DQ-07P", "DQ-06", verified=True, serving=of("kserve"),
          outputs={**MINOR, **GOOD}, answers={**REPLAY, "DQ-06H": {"what": "Moved."}}),
    Scene("S4 the second batch is bad as well", "pb-dataq", "DQ-12B DQ-12E DQ-12H DQ-09 DQ-14", "DQ-12C DQ-13 DQ-13B", verified=False,
          outputs={**MINOR, "DQ-12B": {"ok": False, "failure_count": 2}}, answers={**REPLAY, "DQ-12H": GO_ON}),
    Scene("S4 nobody is decided about otherwise", "pb-dataq", "DQ-09 DQ-11", "DQ-10", verified=True, outputs={**MINOR, **GOOD, "DQ-07": {"before": {"version": "v12"}}},
          answers={**REPLAY, "DQ-09": {"replayed": 500, "changed": 0}}),
    Scene("a producer that nobody knows", "pb-dataq", "DQ-05 DQ-05H DQ-05P", "DQ-06 DQ-07", outputs={"DQ-01": LIKELY},
          answers={"DQ-05H": {"decision": "malicious", "reason": "Unsigned."}}),
    Scene("warnings that do not touch the model", "pb-dataq", "DQ-05H DQ-14", "DQ-06", outputs={"DQ-01": LIKELY}, answers={"DQ-05H": {"decision": "sound", "reason": "Known."}}),
]  # fmt: skip


@pytest.mark.parametrize(
    "scene", [*DRIFT, *BIAS, *POISON, *DATAQ], ids=lambda scene: f"{scene.slug}: {scene.name}"
)
def test_the_playbook_goes_this_way(scene: Scene) -> None:
    goes_as_said(scene)
