"""Secrets at rest: a JSON field encrypted with the installation's Fernet keys (newest first)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models
from django.db.models.query_utils import DeferredAttribute


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


class _Sealed(str):
    """Ciphertext as it lies in the table, not opened yet."""

    __slots__ = ()


class _OpenedOnDemand(DeferredAttribute):
    """Decrypts when the attribute is read, so that a row with a lost key can still be listed, shown
    and repaired; with `__set__` it stands before the instance's own dictionary."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if isinstance(value, _Sealed):
            value = instance.__dict__[self.field.attname] = unseal(value)
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


if TYPE_CHECKING:
    _Text = models.TextField[Any, Any]
else:
    _Text = models.TextField


class EncryptedJSONField(_Text):
    """A dict kept as ciphertext. To rotate, put the new key first and save the rows again."""

    descriptor_class = _OpenedOnDemand
    _pyi_private_set_type: Any  # for the type checker: any JSON value, not only text
    _pyi_private_get_type: Any

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        return None if value is None else _Sealed(value)

    def pre_save(self, instance: Any, add: bool) -> Any:
        return instance.__dict__[self.attname]  # an unopened value is written back as it is

    def get_prep_value(self, value: Any) -> Any:
        if value is None or isinstance(value, _Sealed):
            return value
        return seal(value)

    def to_python(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) and not isinstance(value, _Sealed) else value

    def value_to_string(self, obj: Any) -> str:
        return seal(self.value_from_object(obj))
