"""Secrets at rest: a JSON field encrypted with the installation's Fernet keys (newest first)."""

from __future__ import annotations

import json
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


class SecretsUnreadable(Exception):
    """The stored value was encrypted with a key that is no longer configured."""


def _box() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.HOLDFAST_ENCRYPTION_KEYS])


def seal(value: Any) -> str:
    """JSON value → text that only this installation can read."""
    return _box().encrypt(json.dumps(value).encode()).decode()


def unseal(text: str) -> Any:
    """The value again. Raises SecretsUnreadable."""
    try:
        return json.loads(_box().decrypt(text.encode()))
    except InvalidToken as error:
        raise SecretsUnreadable(
            "A stored secret cannot be decrypted: put the former key back into HOLDFAST_ENCRYPTION_KEYS "
            "(after the new one), or enter the secret again."
        ) from error


class EncryptedJSONField(models.TextField):
    """A dict kept as ciphertext. To rotate, put the new key first and save the rows again."""

    # how the type checker's plugin is told what the attribute holds
    _pyi_private_get_type: Any
    _pyi_private_set_type: Any

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        return None if value is None else unseal(value)

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else seal(value)

    def to_python(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    def value_to_string(self, obj: Any) -> str:
        return seal(self.value_from_object(obj))
