"""Hiding secrets wherever a request or an answer is shown, logged or kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "•••"

_NAMES = re.compile(
    r"authori[sz]ation|cookie|token|secret|passw|api[-_ ]?key|routing[-_ ]?key|private[-_ ]?key|signature",
    re.I,
)
_LINE = re.compile(r"(?im)^(\s*(?:proxy-)?authorization\s*[:=]\s*)\S.*$")
_USERINFO = re.compile(r"(://)[^/\s@]+@")
_QUERY = re.compile(
    r"(?i)([?&](?:[^=&\s]*(?:token|secret|password|signature|api_?key)[^=&\s]*|key|sig)=)[^&\s#]+"
)
#: a signed link to an approval decides without more where the installation allows it
_SIGNED = re.compile(r"(/answer/)[\w:.~-]+")
#: what programs write into their logs although nobody should read it: named credentials, bearer and basic
#: authentication, JSON web tokens, access keys of AWS
_LOGGED = (
    (re.compile(r"(?i)\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}"), rf"\1{MASK}"),
    (
        re.compile(
            r"""(?i)((?:passw(?:or)?d|passwd|secret|token|api[-_ ]?key|access[-_ ]?key|authorization)["']?\s*[=:]\s*["']?)"""
            r"""(?!["'\s]|(?:bearer|basic)\s)[^\s"',;&}]+"""
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), MASK),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), MASK),
)


def mask(shown: Any, secrets: Sequence[str] = ()) -> Any:
    """The same text, mapping or list with every secret replaced, at any depth.

    Hidden are the given values, also as addresses and JSON write them, text under a name that tells a
    credential (Authorization, Cookie, token, api_key …), and passwords inside addresses.
    """
    forms = {form for secret in secrets if secret for form in _forms(secret)}
    return _masked(shown, sorted(forms, key=len, reverse=True))


def mask_line(line: str, secrets: Sequence[str] = ()) -> str:
    """A line of somebody's log as it may be kept: what looks like a credential is hidden as well."""
    for pattern, instead in _LOGGED:
        line = pattern.sub(instead, line)
    return str(mask(line, secrets))


def shown_url(url: str, secrets: Sequence[str] = ()) -> str:
    """An address as it may be shown: without password, without keys in the query."""
    return str(mask(_QUERY.sub(rf"\1{MASK}", url), secrets))


def _forms(secret: str) -> tuple[str, ...]:
    in_json = (json.dumps(secret), json.dumps(secret, ensure_ascii=False))
    slashed = tuple(form[1:-1].replace("/", "\\/") for form in in_json)
    in_address = (quote(secret), quote(secret, safe=""), quote_plus(secret))
    return (secret, *in_address, *(form[1:-1] for form in in_json), *slashed)


def _masked(shown: Any, forms: Sequence[str]) -> Any:
    match shown:
        case str():
            for form in forms:
                shown = shown.replace(form, MASK)
            shown = _SIGNED.sub(rf"\1{MASK}", shown)
            return _USERINFO.sub(rf"\1{MASK}@", _LINE.sub(rf"\1{MASK}", shown))
        case Mapping():
            return {
                _masked(name, forms): MASK
                if isinstance(value, str) and value and _NAMES.search(str(name))
                else _masked(value, forms)
                for name, value in shown.items()
            }
        case list() | tuple():
            return [_masked(item, forms) for item in shown]
        case _:
            return shown
