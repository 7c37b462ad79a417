"""What every view of the API is made of: scopes, body checks, idempotency."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rest_framework import permissions
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.serializers import ValidationError

from incidents.api.idempotency import Idempotent

if TYPE_CHECKING:
    from incidents.models import User

DEEPEST = 50
#: Numbers beyond these do not fit any column.
LARGEST = 2**63 - 1


class Api(Idempotent):
    """Mixin of every view. `needs_scope` is what a token needs to change something here."""

    needs_scope: ClassVar[str] = "write"

    def check_permissions(self, request: Request) -> None:
        """Also looks at what was sent: a stranger learns nothing about bodies, and none reaches a database unseen."""
        super().check_permissions(request)  # type: ignore[misc]
        _check(dict(request.query_params))
        if request.method not in permissions.SAFE_METHODS:
            request._request.body  # noqa: B018 - refuses what is too large before it is parsed
            try:
                data = request.data
            except RecursionError as error:
                raise ParseError("The body is nested too deeply.") from error
            _check(data)


def person_of(request: Request) -> User:
    """Who asks; strangers do not get past `check_permissions`."""
    return cast("User", request.user)


def read(shape: type[Any], request: Request, **kwargs: Any) -> dict[str, Any]:
    """The body as `shape` gives it. Raises ValidationError."""
    reader = shape(data=request.data, **kwargs)
    reader.is_valid(raise_exception=True)
    return dict(reader.validated_data)


@contextmanager
def telling_values() -> Generator[None]:
    """Around verbs that tell a person about bad values by ValueError: it becomes a 422."""
    try:
        yield
    except ValueError as error:
        raise ValidationError({"non_field_errors": [str(error)]}) from error


def _check(value: Any) -> None:
    """Refuse what no database keeps: NUL and lone surrogates in texts, deep nesting, boundless numbers."""
    stack = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        if depth > DEEPEST:
            raise ParseError(f"The body is nested deeper than {DEEPEST} levels.")
        match item:
            case str():
                if "\0" in item or any("\ud800" <= c <= "\udfff" for c in item):
                    raise ValidationError(
                        {
                            "non_field_errors": [
                                "NUL characters and lone surrogates cannot be kept; leave them out."
                            ]
                        }
                    )
            case bool():
                pass
            case int() if abs(item) > LARGEST:
                raise ValidationError({"non_field_errors": [f"A number is larger than {LARGEST}."]})
            case dict():
                stack += [(inner, depth + 1) for pair in item.items() for inner in pair]
            case list():
                stack += [(inner, depth + 1) for inner in item]
