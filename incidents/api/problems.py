"""RFC 9457 problem bodies: every refusal says what happened and what to do."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from incidents.access import NotAllowed
from incidents.lifecycle import Refused

MEDIA_TYPE = "application/problem+json"


def problem(code: int, title: str, detail: str, **more: Any) -> Response:
    """A problem response. `more` holds extension members such as `reasons` or `errors`."""
    body = {"type": "about:blank", "title": title, "status": code, "detail": detail, **more}
    return Response(body, status=code, content_type=MEDIA_TYPE)


def handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. Returns None for what is a defect, so that it is logged as one."""
    match error:
        case Refused():
            answer = problem(
                status.HTTP_409_CONFLICT, "Refused", str(error), reasons=error.reasons, move=error.move
            )
        case NotAllowed():
            answer = problem(status.HTTP_403_FORBIDDEN, "Not allowed", str(error), right=error.right)
        case exceptions.ValidationError():
            answer = problem(422, "Invalid", "Some values cannot be used; see errors.", errors=error.detail)
        case ValidationError():
            errors = (
                error.message_dict if hasattr(error, "error_dict") else {"non_field_errors": error.messages}
            )
            answer = problem(422, "Invalid", "Some values cannot be used; see errors.", errors=errors)
        case Http404() | exceptions.NotFound():
            answer = problem(
                404, "Not found", "There is nothing here that you may see. Check the id and your rights."
            )
        case PermissionDenied():
            answer = problem(403, "Not allowed", str(error) or "You may not do this.")
        case exceptions.APIException():
            answer = problem(error.status_code, error.default_detail, str(error.detail))
            if isinstance(error, exceptions.Throttled) and error.wait is not None:
                answer["Retry-After"] = str(int(error.wait) + 1)
            if error.status_code == 401 and getattr(error, "auth_header", None):
                answer["WWW-Authenticate"] = error.auth_header
        case ValueError():
            answer = problem(422, "Invalid", str(error))
        case _:
            return None
    set_rollback()
    return answer
