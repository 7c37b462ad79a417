"""Query parameters of lists: declared once, checked, described in the schema, applied."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

#: what pagination reads
PAGING = ("cursor", "limit")
_KEY = re.compile("INC-([0-9]{1,18})")


class Query(serializers.Serializer):
    """Base of a list's query parameters. A name that is not declared is refused, so that a misspelt filter
    never answers with everything."""

    @classmethod
    def of(cls, request: Any) -> dict[str, Any]:
        """The values given. Raises ValidationError by parameter."""
        given = {name: value for name, value in request.query_params.items() if value != ""}
        reader = cls(data={name: value for name, value in given.items() if name not in PAGING})
        unknown = set(given) - set(reader.fields) - set(PAGING)
        if unknown:
            known = ", ".join([*reader.fields, *PAGING])
            raise serializers.ValidationError(
                {name: [f"There is no such parameter; there are {known}."] for name in sorted(unknown)}
            )
        reader.is_valid(raise_exception=True)
        return dict(reader.validated_data)


@extend_schema_field(OpenApiTypes.STR)
class OneOrMore(serializers.Field):
    """Words of a fixed set, several with commas."""

    def __init__(self, choices: Collection[str], **kwargs: Any) -> None:
        self.choices = tuple(choices)
        kwargs.setdefault("help_text", f"One or several with commas: {', '.join(self.choices)}.")
        super().__init__(required=False, **kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        words = [word.strip() for word in str(data).split(",") if word.strip()]
        if strange := [word for word in words if word not in self.choices]:
            raise serializers.ValidationError(
                f"{strange[0]!r} is not among {', '.join(self.choices)}; several are separated by commas."
            )
        return words

    def to_representation(self, value: Any) -> Any:
        return value


class Number(serializers.IntegerField):
    """A row's number."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=2**63 - 1, required=False, **kwargs)


@extend_schema_field({"type": "string", "pattern": "^INC-[0-9]{1,18}$", "example": "INC-7"})
class IncidentKey(serializers.CharField):
    """`INC-7` → 7."""

    def __init__(self, **kwargs: Any) -> None:
        given: dict[str, Any] = {"required": False, "help_text": "Like INC-7.", **kwargs}
        super().__init__(**given)

    def to_internal_value(self, data: Any) -> Any:
        found = _KEY.fullmatch(super().to_internal_value(data))
        if found is None:
            raise serializers.ValidationError("Write an incident like INC-7.")
        return int(found[1])


class Word(serializers.CharField):
    """Text that is compared as it is."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"required": False, "max_length": 300, **kwargs})
