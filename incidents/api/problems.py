"""RFC 9457 problem bodies: every refusal says what happened and what to do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, ValidationError
from django.http import Http404
from django_fsm import ConcurrentTransition
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from incidents.access import NotAllowed
from incidents.lifecycle import Refused

MEDIA_TYPE = "application/problem+json"
NOTHING_HERE = "There is nothing here that you may see. Check the id and your rights."


def body(code: int, title: str, detail: str, **more: Any) -> dict[str, Any]:
    """The members of a problem. `more` holds extension members such as `reasons` or `errors`."""
    return {"type": "about:blank", "title": title, "status": code, "detail": detail, **more}


def problem(code: int, title: str, detail: str, **more: Any) -> Response:
    """A problem response."""
    return Response(body(code, title, detail, **more), status=code, content_type=MEDIA_TYPE)


def invalid(errors: Any) -> Response:
    """422 with what is wrong by field."""
    return problem(422, "Invalid", "Some values cannot be used; see errors.", errors=errors)


def handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. Returns None for what is a defect, so that it is logged as one."""
    match error:
        case Refused():
            answer = problem(409, "Refused", str(error), reasons=error.reasons, move=error.move)
        case ConcurrentTransition():
            answer = problem(
                409, "Changed meanwhile", "Somebody changed this at the same moment; look again, then repeat."
            )
        case NotAllowed():
            answer = problem(403, "Not allowed", str(error), right=error.right)
        case exceptions.ValidationError():
            detail = error.detail if isinstance(error.detail, dict) else {"non_field_errors": error.detail}
            answer = invalid(detail)
        case ValidationError():
            answer = invalid(
                error.message_dict if hasattr(error, "error_dict") else {"non_field_errors": error.messages}
            )
        case Http404() | exceptions.NotFound():
            answer = problem(404, "Not found", NOTHING_HERE)
        case RequestDataTooBig():
            answer = problem(
                413, "Too large", "The body is larger than this installation takes; send less at a time."
            )
        case PermissionDenied():
            answer = problem(403, "Not allowed", str(error) or "You may not do this.")
        case exceptions.APIException():
            answer = problem(error.status_code, HTTPStatus(error.status_code).phrase, _said(error))
            if isinstance(error, exceptions.Throttled):
                answer["Retry-After"] = str(int(getattr(error, "wait", None) or 59) + 1)
            if error.status_code == 401 and getattr(error, "auth_header", None):
                answer["WWW-Authenticate"] = getattr(error, "auth_header")  # noqa: B009 - set by DRF, unknown to types
        case _:
            return None
    set_rollback()
    return answer


def _said(error: exceptions.APIException) -> str:
    match error:
        case exceptions.NotAuthenticated():
            return "Send “Authorization: Bearer …” with a token from your settings or `manage.py token`, or sign in."
        case exceptions.NotAcceptable():
            return "The API answers in application/json; accept that."
        case exceptions.UnsupportedMediaType():
            return f"{error.detail} Send “Content-Type: application/json”."
        case exceptions.MethodNotAllowed():
            return f"{error.detail} The header Allow names the methods of this address."
    return str(error.detail)
