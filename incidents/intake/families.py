"""A guess at the class of an alert whose source and rule name none, by the words of its metric or name."""

from __future__ import annotations

import functools
import re

from .signal import Signal

DEFAULT = "PERF"

#: Tried in this order, first hit wins: a narrow word stands before the broad one that may accompany it
#: ("label_flip_rate" is poisoning although it is a rate, "schema_drift" is data quality although it says drift).
_WORDS: tuple[tuple[str, str], ...] = (
    ("INJECT", r"(prompt|indirect)?injections?|jailbreaks?"),
    ("LEAK", r"leak(s|age|ed)?|pii|canary|exfiltration|secrets?"),
    ("POISON", r"poison(ing|ed)?|flip|flips|spectral|backdoor|trojan"),
    ("ADVERS", r"adversarial|evasion|extraction|inversion|membership"),
    ("HALLUC", r"hallucinations?|grounded(ness)?|faithful(ness)?|citations?"),
    ("HARM", r"toxic(ity)?|harm(ful)?|unsafe|safety|moderation"),
    ("AGENT", r"agents?|tool(call|calls)?|autonomy"),
    ("BIAS", r"bias|fairness|parity|dispar(ity|ate)|odds|opportunity|impact|demographic"),
    ("DATAQ", r"schema|nulls?|missing|fresh(ness)?|stale(ness)?|volume|duplicates?|rows?|expectations?|contract|quality|columns?"),
    ("DRIFT", r"psi|js|jensen|ks|kolmogorov|wasserstein|mmd|drift(ed)?|shift|skew|divergence|kl"),
    ("SUPPLY", r"vendor|supplier|supply|licen[cs]e"),
    ("COMPL", r"compliance|audit|consent|retention|policy"),
    ("INTEG", r"5xx|errors?|timeouts?|unavailable|down|unreachable|saturation|burn|cpu|memory|disk|queue|restarts?|crash(loop)?|oom|probe"),
    ("PERF", r"latency|throughput|cost|p50|p9[0-9]|p99[0-9]?|accuracy|precision|recall|f1|auc|roc|calibration|ece|rmse|mae|mape|logloss|ctr|conversion|performance"),
)  # fmt: skip
_FAMILIES = [(family, re.compile(rf"(?:{words})")) for family, words in _WORDS]
_TOKENS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")


def guess(signal: Signal) -> str | None:
    """A code of FAMILIES, or None when no word is known. The metric counts first, then the alert's name,
    then its title."""
    for text in (signal.metric, signal.labels.get("alertname", ""), signal.title):
        family = _family_of(text) if text else None
        if family is not None:
            return family
    return None


@functools.lru_cache(maxsize=4096)
def _family_of(text: str) -> str | None:
    tokens = [token.lower() for token in _TOKENS.findall(text)]
    for family, words in _FAMILIES:
        if any(words.fullmatch(token) for token in tokens):
            return family
    return None
