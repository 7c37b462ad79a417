"""`Idempotency-Key` on POST: the same key and body give the same answer, and the effect once.

The key, the effect and the answer are one transaction. A second request with the key waits on the key's
unique index until the first has committed, and gets its answer; when the first dies, nothing of it is
left, the key included.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from incidents.api.problems import MEDIA_TYPE, problem
from incidents.models import IdempotentReply

KEEP = timedelta(days=1)
LONGEST = 255


class Idempotent:
    """Mixin for API views. Draft: IETF httpapi-idempotency-key-header.

    A view whose answer shows a secret sets `response.kept` to what a repetition gets instead.
    """

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        self._reply: IdempotentReply | None = None
        if request.method != "POST" or not request.headers.get("Idempotency-Key"):
            return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        with transaction.atomic():
            response = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
            if response.status_code >= 500:
                transaction.set_rollback(True)
            return response

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        key = request.headers.get("Idempotency-Key", "")
        if request.method != "POST" or not key:
            return
        if len(key) > LONGEST:
            detail = f"The Idempotency-Key is longer than {LONGEST} characters; a UUID does."
            raise Answered(problem(422, "Invalid", detail))
        whole = b"\0".join([request.method.encode(), request.get_full_path().encode(), request._request.body])
        digest = hashlib.sha256(whole).hexdigest()
        kept = IdempotentReply.objects.filter(user=request.user)
        kept.filter(at__lt=timezone.now() - KEEP).delete()
        try:
            with transaction.atomic():
                self._reply = IdempotentReply.objects.create(
                    user=request.user, key=key, request_digest=digest
                )
        except IntegrityError:
            raise Answered(_earlier(kept.filter(key=key).first(), digest)) from None

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, Answered):
            return exc.response
        return super().handle_exception(exc)  # type: ignore[misc]

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        if self._reply is not None and response.status_code < 500:
            body = response.kept if hasattr(response, "kept") else response.data
            self._reply.status = response.status_code
            self._reply.body = json.loads(json.dumps(body, cls=JSONEncoder))
            self._reply.save(update_fields=["status", "body"])
        return response


class Answered(Exception):
    """Ends the handling of a request whose answer is already known."""

    def __init__(self, response: Response):
        super().__init__("answered before")
        self.response = response


def _earlier(reply: IdempotentReply | None, digest: str) -> Response:
    if reply is None or reply.status is None:  # on its way out just now
        answer = problem(
            409, "Still working", "The first request with this Idempotency-Key is just ending; ask again."
        )
        answer["Retry-After"] = "1"
        return answer
    if reply.request_digest != digest:
        return problem(
            422, "Key used before", "This Idempotency-Key was used for another request; take a new key."
        )
    return Response(
        reply.body,
        status=reply.status,
        headers={"Idempotent-Replay": "true"},
        content_type=MEDIA_TYPE if reply.status >= 400 else None,
    )
