"""Who vouches for somebody: their password here, or the identity provider."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

#: How the session remembers it.
SINGLE_SIGN_ON = "config.sign_in.backends.SingleSignOn"


class LocalPasswords(ModelBackend):
    """Passwords kept here, for those who may use them (`HOLDFAST_LOCAL_PASSWORDS`); sessions that began with one
    end when they may no longer."""

    def user_can_authenticate(self, user: Any) -> bool:
        allowed = settings.HOLDFAST_LOCAL_PASSWORDS
        return super().user_can_authenticate(user) and (
            allowed == "all" or (allowed == "superusers" and bool(user.is_superuser))
        )


class SingleSignOn(ModelBackend):
    """Somebody whom the identity provider brought; there is nothing to guess here."""

    def authenticate(self, request: HttpRequest | None, *args: Any, **kwargs: Any) -> None:
        return None
