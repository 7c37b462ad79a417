"""What is kept of signing in: second factors, recovery codes, single sign-on identities, browsers' sessions."""

from __future__ import annotations

from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils import timezone

from incidents.models import User
from integrations.secrets import EncryptedJSONField


class Identity(models.Model):
    """Somebody's account at the identity provider: `subject` is the provider's own, unchanging name of them."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=300)
    subject = models.CharField(max_length=255)
    email = models.EmailField(blank=True, help_text="As the provider told it last, when it vouched for it.")
    made_staff = models.BooleanField(
        default=False, help_text="A group opened the administration; without it, it is closed again."
    )
    linked_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "identities"
        constraints = [models.UniqueConstraint(fields=["issuer", "subject"], name="one_person_per_identity")]

    def __str__(self) -> str:
        return f"{self.user} at {self.issuer}"


class SecondFactor(models.Model):
    """An authenticator app or a passkey.

    `counter` only grows: the last 30-second step whose code was used (app), or the device's own count of
    signatures (passkey). What was used once is refused by it in every process.
    """

    KINDS = [("totp", "Authenticator app"), ("passkey", "Passkey")]

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="second_factors")
    kind = models.CharField(max_length=8, choices=KINDS)
    name = models.CharField(max_length=80)
    secret = EncryptedJSONField(
        default=dict, help_text="`key` (base32) of an app; `credential` and `host` of a passkey."
    )
    digest = models.CharField(max_length=64, null=True, editable=False, help_text="Of a passkey's id.")
    counter = models.BigIntegerField(default=0)
    added_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["added_at", "id"]
        constraints = [models.UniqueConstraint(fields=["digest"], name="a_passkey_is_added_once")]

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"


class RecoveryCode(models.Model):
    """A code that stands in for a second factor once; only its hash is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "digest"], name="a_recovery_code_is_kept_once")
        ]

    def __str__(self) -> str:
        return f"Recovery code of {self.user}"


class Session(AbstractBaseSession):
    """A browser's session, as Django's, with what its owner recognises it by."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="sessions")
    address = models.CharField(max_length=45, blank=True)
    agent = models.CharField(max_length=300, blank=True)
    way = models.CharField(max_length=20, blank=True, help_text="password or single sign-on")
    began_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta(AbstractBaseSession.Meta):
        abstract = False

    def __str__(self) -> str:
        return f"{self.user or 'nobody'} since {self.began_at:%Y-%m-%d %H:%M}"
