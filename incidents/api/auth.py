"""Bearer tokens: who calls, and what the token's scopes let them do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions, permissions

from incidents.models import ApiToken, User

#: A busy token's "last used" is written once a minute, not on every call.
TOUCH = timedelta(minutes=1)


class BearerAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer hf_…`."""

    def authenticate(self, request: Any) -> tuple[User, ApiToken] | None:
        header = authentication.get_authorization_header(request).decode("latin-1")
        word, _, plain = header.partition(" ")
        if word.lower() != "bearer":
            return None
        token = ApiToken.find(plain.strip())
        if token is None:
            raise exceptions.AuthenticationFailed(
                "This token is not known, has expired or was revoked. Make a new one in your settings or with `manage.py token`."
            )
        now = timezone.now()
        if token.last_used_at is None or now - token.last_used_at > TOUCH:
            ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
        return token.user, token

    def authenticate_header(self, request: Any) -> str:
        return 'Bearer realm="Holdfast"'


class BearerScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI document describes it."""

    target_class = BearerAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API token; only its hash is stored."}


class Scoped(permissions.BasePermission):
    """A token needs the scope of the call: `read` to look, `write` to change, `act` where the view
    says so (`needs_scope`). A session has all of them; rights are checked by the verbs in any case."""

    def has_permission(self, request: Any, view: Any) -> bool:
        if not (request.user and request.user.is_authenticated):
            return False
        if not isinstance(request.auth, ApiToken):
            return True
        needed = (
            "read" if request.method in permissions.SAFE_METHODS else getattr(view, "needs_scope", "write")
        )
        if needed in request.auth.scopes:
            return True
        self.message = f"This token lacks the scope “{needed}”; make one that has it."
        return False
