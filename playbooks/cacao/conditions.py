"""Conditions of CACAO (STIX patterning over variables) as CEL."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

_TOKEN = re.compile(
    r"""\s*(?:(?P<variable>__[A-Za-z_][A-Za-z0-9_-]*?__(?::value)?)(?![A-Za-z0-9_])|(?P<text>'(?:\\.|[^'\\])*')"""
    r"""|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z]+)|(?P<sign>==|!=|<>|<=|>=|=|<|>|\(|\)|,))"""
)
_COMPARE = {"=": "==", "==": "==", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class Untranslatable(ValueError):
    """This condition says something that CEL over our values cannot; the message says what."""


class Known(NamedTuple):
    """How a variable is written in CEL, of which kind it is (text, number, bool), and whether it may be missing:
    then what is asked about it does not hold."""

    cel: str
    kind: str
    missing: bool = False


class Token(NamedTuple):
    kind: str
    text: str


def to_cel(condition: str, variables: Mapping[str, Known]) -> str:
    """The condition in CEL. `variables` are known by their names with the underscores. Raises Untranslatable."""
    return _Parser(_tokens(condition), variables).whole()


def _tokens(text: str) -> list[Token]:
    found, at, text = [], 0, text.strip()
    while at < len(text):
        hit = _TOKEN.match(text, at)
        if hit is None:
            raise Untranslatable(f"“{text[at : at + 20]}” is not a comparison of variables")
        found.append(Token(str(hit.lastgroup), hit.group(str(hit.lastgroup))))
        at = hit.end()
    return found


class _Parser:
    def __init__(self, tokens: list[Token], variables: Mapping[str, Known]) -> None:
        self.tokens, self.variables, self.at = tokens, variables, 0

    def whole(self) -> str:
        found = self._any()
        if self.at < len(self.tokens):
            raise Untranslatable(f"“{self.tokens[self.at].text}” is not understood there")
        return found

    def _any(self) -> str:
        parts = [self._all()]
        while self._word("OR"):
            parts.append(self._all())
        return " || ".join(parts)

    def _all(self) -> str:
        parts = [self._one()]
        while self._word("AND"):
            parts.append(self._one())
        return " && ".join(parts)

    def _one(self) -> str:
        if self._word("NOT"):
            return f"!({self._one()})"
        if self._sign("("):
            inner = self._any()
            self._need(")")
            return f"({inner})"
        return self._comparison()

    def _comparison(self) -> str:
        left = self._known()
        negated = self._word("NOT")
        if self._word("IN"):
            self._need("(")
            items = [self._literal(left.kind)]
            while self._sign(","):
                items.append(self._literal(left.kind))
            self._need(")")
            found = f"{left.cel} in [{', '.join(items)}]"
        elif self._word("MATCHES"):
            found = f"{left.cel}.matches({self._literal('text')})"
        elif self.at < len(self.tokens) and self.tokens[self.at].text in _COMPARE:
            sign = _COMPARE[self._next().text]
            other = self._known().cel if self._is("variable") else self._literal(left.kind)
            found = f"{left.cel} {sign} {other}"
        elif left.kind == "bool":
            found = left.cel
        else:
            raise Untranslatable(f"nothing is compared with {left.cel}")
        found = f"!({found})" if negated else found
        return f"(has({left.cel}) && {found})" if left.missing else found

    def _known(self) -> Known:
        token = self._next()
        known = self.variables.get(token.text.removesuffix(":value")) if token.kind == "variable" else None
        if known is None:
            raise Untranslatable(f"“{token.text}” is no variable of this playbook")
        return known

    def _literal(self, kind: str) -> str:
        token = self._next()
        text = token.text
        if token.kind == "text":
            text = re.sub(r"\\(.)", r"\1", text[1:-1])
        elif token.kind != "number" and text.lower() not in ("true", "false"):
            raise Untranslatable(f"“{text}” is neither a text nor a number")
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower()
        if kind == "number" and re.fullmatch(r"-?\d+(\.\d+)?", text):
            return text
        return json.dumps(text, ensure_ascii=False)

    def _next(self) -> Token:
        if self.at >= len(self.tokens):
            raise Untranslatable("the condition ends too early")
        self.at += 1
        return self.tokens[self.at - 1]

    def _is(self, kind: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at].kind == kind

    def _word(self, word: str) -> bool:
        return self._skip("word", word)

    def _sign(self, sign: str) -> bool:
        return self._skip("sign", sign)

    def _skip(self, kind: str, text: str) -> bool:
        if self._is(kind) and self.tokens[self.at].text.upper() == text:
            self.at += 1
            return True
        return False

    def _need(self, sign: str) -> None:
        if not self._sign(sign):
            raise Untranslatable(f"“{sign}” is missing")
