"""`Idempotency-Key` on POST: the same key and body give the same answer, and the effect once."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from incidents.api.problems import problem
from incidents.models import IdempotentReply

KEEP = timedelta(days=1)
#: A first request that has not answered for so long is taken to be dead.
ABANDONED = timedelta(minutes=2)


class Idempotent:
    """Mixin for API views. Draft: IETF httpapi-idempotency-key-header."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        self._reply: IdempotentReply | None = None
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        key = request.headers.get("Idempotency-Key", "")
        if request.method != "POST" or not key:
            return
        whole = b"\0".join([request.method.encode(), request.get_full_path().encode(), request._request.body])
        digest = hashlib.sha256(whole).hexdigest()
        now = timezone.now()
        mine = IdempotentReply.objects.filter(user=request.user, key=key[:255])
        mine.filter(at__lt=now - KEEP).delete()
        mine.filter(status=None, at__lt=now - ABANDONED).delete()
        try:
            with transaction.atomic():
                self._reply = IdempotentReply.objects.create(
                    user=request.user, key=key[:255], request_digest=digest
                )
        except IntegrityError:
            raise Answered(_earlier(mine.get(), digest)) from None

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, Answered):
            return exc.response
        return super().handle_exception(exc)  # type: ignore[misc]

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        if self._reply is not None:
            if response.status_code < 500 and isinstance(response, Response):
                self._reply.status = response.status_code
                self._reply.body = json.loads(json.dumps(response.data, cls=JSONEncoder))
                self._reply.save(update_fields=["status", "body"])
            else:
                self._reply.delete()
        return response


class Answered(Exception):
    """Ends the handling of a request whose answer is already known."""

    def __init__(self, response: Response):
        super().__init__("answered before")
        self.response = response


def _earlier(reply: IdempotentReply, digest: str) -> Response:
    if reply.request_digest != digest:
        return problem(
            422, "Key used before", "This Idempotency-Key was used for another request; take a new key."
        )
    if reply.status is None:
        answer = problem(
            409,
            "Still working",
            "The first request with this Idempotency-Key has not answered yet; ask again soon.",
        )
        answer["Retry-After"] = "1"
        return answer
    return Response(reply.body, status=reply.status, headers={"Idempotent-Replay": "true"})
