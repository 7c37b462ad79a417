"""`$filter` of OData 4.01 (URL conventions, 5.1.1) as a condition of the database: comparisons, `in`, text functions."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.db.models import Q

from integrations.feeds.tables import Column, Table

#: Characters of a filter, and brackets in each other, at most.
LONGEST, DEEPEST = 4000, 30
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<time>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?)"
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<word>[A-Za-z_]\w*)|(?P<sign>[(),]))"
)
_COMPARISONS = {"gt": "gt", "ge": "gte", "lt": "lt", "le": "lte"}
_FUNCTIONS = {"contains": "contains", "startswith": "startswith", "endswith": "endswith"}


class BadQuery(ValueError):
    """The query cannot be read; the message says where, and what can be written."""


def condition(table: Table, text: str) -> Q:
    """The condition that `text` states about rows of the table. Raises BadQuery."""
    if len(text) > LONGEST:
        raise BadQuery(f"The filter is longer than {LONGEST} characters.")
    return _Reader(table, text).whole()


class _Reader:
    """Recursive descent: or, and, not, brackets, then one comparison or function."""

    def __init__(self, table: Table, text: str) -> None:
        self.table = table
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                raise BadQuery(f"The filter cannot be read from “{text[at : at + 20].strip()}”.")
            self.tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
            at = found.end()
        self.at, self.depth = 0, 0

    def whole(self) -> Q:
        found = self._any()
        if self.at < len(self.tokens):
            raise BadQuery(f"The filter goes on where it should end: “{self.tokens[self.at][1]}”.")
        return found

    def _peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def _next(self, *kinds: str) -> tuple[str, str]:
        if self.at >= len(self.tokens):
            raise BadQuery("The filter ends too early.")
        token = self.tokens[self.at]
        if kinds and token[0] not in kinds:
            raise BadQuery(f"The filter has “{token[1]}” where {' or '.join(kinds)} is expected.")
        self.at += 1
        return token

    def _sign(self, sign: str) -> None:
        if self._next()[1] != sign:
            raise BadQuery(f"The filter lacks “{sign}”.")

    def _any(self) -> Q:
        found = self._all()
        while self._peek() == "or":
            self.at += 1
            found |= self._all()
        return found

    def _all(self) -> Q:
        found = self._one()
        while self._peek() == "and":
            self.at += 1
            found &= self._one()
        return found

    def _one(self) -> Q:
        self.depth += 1
        if self.depth > DEEPEST:
            raise BadQuery(f"The filter is nested deeper than {DEEPEST} brackets.")
        try:
            if self._peek() == "not":
                self.at += 1
                return ~self._one()
            if self._peek() == "(":
                self.at += 1
                found = self._any()
                self._sign(")")
                return found
            if self._peek() in _FUNCTIONS:
                return self._function(self._next()[1])
            return self._comparison()
        finally:
            self.depth -= 1

    def _column(self) -> tuple[Column, bool]:
        """The column named next, and whether case is left aside (`tolower`, `toupper`)."""
        word = self._next("word")[1]
        if word in ("tolower", "toupper"):
            self._sign("(")
            column, _ = self._column()
            self._sign(")")
            return column, True
        found = self.table.column(word)
        if found is None:
            names = ", ".join(one.name for one in self.table.columns)
            raise BadQuery(f"There is no property “{word}”; there are {names}.")
        return found, False

    def _function(self, name: str) -> Q:
        self._sign("(")
        column, folded = self._column()
        self._sign(",")
        value = _text(self._next("text")[1])
        self._sign(")")
        if column.kind != "text":
            raise BadQuery(f"{name} is for texts; {column.name} is none.")
        return Q(**{f"{column.path}__{'i' if folded else ''}{_FUNCTIONS[name]}": value})

    def _comparison(self) -> Q:
        column, folded = self._column()
        operator = self._next("word")[1]
        if operator == "in":
            self._sign("(")
            values = [self._value(column)]
            while self._peek() == ",":
                self.at += 1
                values.append(self._value(column))
            self._sign(")")
            return Q(**{f"{column.path}__in": values})
        value = self._value(column)
        if value is None:
            if operator not in ("eq", "ne"):
                raise BadQuery(f"null can be compared by eq and ne only, not by {operator}.")
            return Q(**{f"{column.path}__isnull": operator == "eq"})
        if operator in ("eq", "ne"):
            same = Q(**{f"{column.path}__{'iexact' if folded and column.kind == 'text' else 'exact'}": value})
            return same if operator == "eq" else ~same
        if operator not in _COMPARISONS:
            raise BadQuery(f"There is no operator “{operator}”; there are eq, ne, gt, ge, lt, le and in.")
        return Q(**{f"{column.path}__{_COMPARISONS[operator]}": value})

    def _value(self, column: Column) -> Any:
        kind, written = self._next("text", "number", "time", "word")
        if written == "null":
            return None
        wrong = BadQuery(f"{written} does not fit {column.name}, which is {_NAMES[column.kind]}.")
        try:
            match column.kind:
                case "text" if kind == "text":
                    return _text(written)
                case "int" if kind == "number":
                    number = int(written)
                    if abs(number) < 2**63:
                        return number
                case "float" if kind == "number":
                    return float(written)
                case "bool" if written in ("true", "false"):
                    return written == "true"
                case "time" if kind == "time":
                    moment = datetime.fromisoformat(written.replace("Z", "+00:00"))
                    return moment if moment.tzinfo else datetime.fromisoformat(moment.isoformat() + "+00:00")
        except ValueError:
            raise wrong from None
        raise wrong


_NAMES = {
    "text": "a text in single quotes", "int": "a whole number", "float": "a number", "bool": "true or false",
    "time": "a time like 2026-11-20T08:00:00Z",
}  # fmt: skip


def _text(written: str) -> str:
    return written[1:-1].replace("''", "'")
